/** Archives: many images in one file, each readable without the others. FORMAT.md, section 9. */
import { crc32 } from "./crc32.js";
import { requireModelLimit } from "./decode.js";
import { unpackLabels, unpackNames } from "./details.js";
import { FormatError, LimitError, ModelError, OptionError, requireKnown } from "./errors.js";
import { HEADER_BYTES, LABELS, NAMES, readGroup } from "./group.js";
import { BY_FINGERPRINT, requireLimit } from "./header.js";
import { Index } from "./index.js";
import { decodeLane } from "./lanes.js";
import { BOUNDED, LOSSLESS, STORED } from "./limits.js";
import { requireMode } from "./models.js";
import { setUp } from "./setup.js";
import { openStorage } from "./storage.js";

const GROUPS_CACHED = 64;
const LANES_CACHED = 16;
const ALL_MAX = 2 ** 22; // images whose names or labels are read together

/** An archive of images. Only what is asked for is read. */
export class Archive {
  #storage;
  #index;
  #maxPixels;
  #groups = new Map(); // the ones that were used last, as promises
  #lanes = new Map();

  /**
   * Open an archive.
   *
   * source: an address that is read by HTTP ranges, bytes, a Blob, or an object {size, read(offset, size)}.
   */
  static async open(source, options = {}) {
    requireKnown(options, ["maxPixels"]);
    requireLimit(options.maxPixels);
    const storage = await openStorage(source);
    return new Archive(storage, await Index.open(storage), options.maxPixels);
  }

  /** Not for callers: use Archive.open. */
  constructor(storage, index, maxPixels) {
    this.#storage = storage;
    this.#index = index;
    this.#maxPixels = maxPixels;
  }

  /** Number of images. */
  get count() {
    return this.#index.footer.count;
  }

  /** Bytes of the file. */
  get size() {
    return this.#storage.size;
  }

  /** Width and height of all images, or null if they differ. */
  get imageSize() {
    const { width, height } = this.#index.footer;
    return width ? { width, height } : null;
  }

  get hasNames() {
    return this.#index.footer.names;
  }

  get hasLabels() {
    return this.#index.footer.labels;
  }

  /** The kind of data that the images came from: none, idx, folder, npy, npz or parquet. */
  get origin() {
    return this.#index.footer.origin;
  }

  /** An image by its number, from 0: {width, height, pixels}. */
  async read(number) {
    if (!Number.isInteger(number) || number < 0 || number >= this.count) {
      throw new OptionError(`image ${String(number)} of an archive of ${this.count}`);
    }
    const extent = await this.#index.extentOf(number);
    const group = await this.#group(extent);
    const image = number - extent.first;
    const part = group.parts[group.partOf[image]];
    const position = part.images.indexOf(image);
    const lane = Math.floor(position / part.coding.perLane);
    const images = await this.#lane(extent, group, part, lane);
    const { width, height, pixels } = images[position % part.coding.perLane];
    return { width, height, pixels: pixels.slice() };
  }

  /** All images in order. The checks of whole groups are verified, too. */
  async *[Symbol.asyncIterator]() {
    for await (const extent of this.#extents()) {
      const group = await this.#group(extent);
      const { engine, models } = await setUp();
      const { header } = group;
      const lanes = await this.#storage.read(group.offset + HEADER_BYTES + header.tableBytes, header.lanesBytes);
      const images = new Array(header.images);
      for (const part of group.parts) {
        const model = await this.#modelOf(part, models);
        part.stored.forEach((_, lane) => {
          const content = lanes.subarray(part.laneOffsets[lane], part.laneOffsets[lane + 1]);
          const decoded = decodeNamed(engine, model, part, lane, content, extent);
          decoded.forEach((image, k) => {
            images[part.images[lane * part.coding.perLane + k]] = image;
          });
        });
      }
      if (crc32(lanes) !== header.lanesCrc || crc32(...images.map((image) => image.pixels)) !== header.pixelsCrc) {
        throw new FormatError(`group ${extent.number} does not match its check`);
      }
      yield* images;
    }
  }

  /** The name of every image, or null if they have none. */
  names() {
    return this.#details(this.hasNames, "names", (group) => {
      const { tableBytes, lanesBytes, labelsBytes, namesBytes } = group.header;
      return [HEADER_BYTES + tableBytes + lanesBytes + labelsBytes, namesBytes, unpackNames];
    });
  }

  /** The label of every image, or null if they have none: numbers, or bigints where numbers are not exact. */
  labels() {
    return this.#details(this.hasLabels, "labels", (group) => {
      const { tableBytes, lanesBytes, labelsBytes } = group.header;
      return [HEADER_BYTES + tableBytes + lanesBytes, labelsBytes, unpackLabels];
    });
  }

  async #details(has, what, sectionOf) {
    if (!has) return null;
    if (this.count > ALL_MAX) throw new LimitError(`the ${what} of ${this.count} images are more than are read together (${ALL_MAX})`);
    const all = [];
    for await (const extent of this.#extents()) {
      const group = await this.#group(extent);
      const [offset, size, unpack] = sectionOf(group);
      for (const detail of unpack(await this.#storage.read(group.offset + offset, size), group.header.images)) all.push(detail);
    }
    return all;
  }

  /** The extents of all groups. */
  async *#extents() {
    const { groups, count } = this.#index.footer;
    let number = 0;
    for (let image = 0; image < count;) {
      const extent = await this.#index.extentOf(image);
      if (extent.number !== number) throw new FormatError(`the index is damaged: group ${number} has no images`);
      yield extent;
      number++;
      image += extent.images;
    }
    if (number !== groups) throw new FormatError(`the index is damaged: group ${number} has no images`);
  }

  #group(extent) {
    return cached(this.#groups, GROUPS_CACHED, extent.number, async () => {
      const read = (offset, size) => this.#storage.read(offset, size);
      const group = await readGroup(read, extent.offset, extent.size, this.#maxPixels);
      const { header } = group;
      const { labels, names, width, height } = this.#index.footer;
      const agrees = (header.flags & LABELS) !== 0 === labels && (header.flags & NAMES) !== 0 === names
        && (!width || (header.width === width && header.height === height));
      if (header.size !== extent.size || header.images !== extent.images || !agrees) {
        throw new FormatError(`group ${extent.number} is damaged: it is not what index and footer say`);
      }
      return group;
    });
  }

  #lane(extent, group, part, lane) {
    return cached(this.#lanes, LANES_CACHED, `${extent.number} ${group.parts.indexOf(part)} ${lane}`, async () => {
      const { engine, models } = await setUp();
      const model = await this.#modelOf(part, models);
      const start = group.offset + HEADER_BYTES + group.header.tableBytes + part.laneOffsets[lane];
      const content = await this.#storage.read(start, part.laneOffsets[lane + 1] - part.laneOffsets[lane]);
      return decodeNamed(engine, model, part, lane, content, extent);
    });
  }

  /** The model that a part names; null if it is stored. */
  async #modelOf({ coding, sizes }, models) {
    const { mode, model: number, fingerprint, perLane } = coding;
    if (mode === STORED) return null;
    const uses = mode === LOSSLESS || mode === BOUNDED ? ["pixels"] : [];
    const model = number === BY_FINGERPRINT ? await this.#ownModel(models, fingerprint, uses) : await models.byNumber(number, uses);
    const here = model.fingerprintFor(mode);
    if (here !== fingerprint) {
      throw new ModelError(`the archive was written with the model ${model.name} ${fingerprint}, but the model here is ${here}`);
    }
    requireMode(model, mode);
    if (this.#maxPixels === undefined) requireModelLimit(model, mode, sizes, perLane);
    return model;
  }

  async #ownModel(models, fingerprint, uses) {
    try {
      return await models.byFingerprint(fingerprint, uses);
    } catch (error) {
      if (!this.#index.footer.embedded) throw error;
      throw new ModelError(`${error.message}; the model file in the archive is for Python, which can pack it`, { cause: error });
    }
  }
}

/** A lane whose errors say which images they are of. */
function decodeNamed(engine, model, part, lane, content, extent) {
  try {
    return decodeLane(engine, model, part, lane, content);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const { perLane } = part.coding;
    const numbers = part.images.slice(lane * perLane, (lane + 1) * perLane).map((image) => image + extent.first);
    const type = error.constructor;
    throw new type(`the file is damaged in image${numbers.length > 1 ? "s" : ""} ${numbers.join(", ")}: ${error.message}`, { cause: error });
  }
}

/** A value of a cache of promises, made if it is missing; the oldest ones are dropped. */
function cached(cache, limit, key, make) {
  if (!cache.has(key)) {
    const making = make();
    cache.set(key, making);
    making.catch(() => cache.delete(key));
    if (cache.size > limit) cache.delete(cache.keys().next().value);
  }
  return cache.get(key);
}
