/** Start, index and footer of an archive: FORMAT.md, section 9.1. */
import { crc32 } from "./crc32.js";
import { FormatError, UnsupportedError } from "./errors.js";
import { HEADER_BYTES, LABELS, NAMES } from "./group.js";
import { requireMagic } from "./header.js";
import { hex } from "./reader.js";

const START_BYTES = 4;
const ENTRY_BYTES = 20;
const FOOTER_BYTES = 40;
const ARCHIVE = 127;
const EMBEDDED = 16;
const ORIGINS = ["none", "idx", "folder", "npy", "npz", "parquet"];
const IMAGES_MAX = 65535; // in a group
const PER_LANE_MAX = 256;
const WINDOW = 128; // entries that are read together

const u64 = (view, at) => Number(view.getBigUint64(at, true)); // numbers above 2^53 fit no file, and fail the checks of sizes

/** The index of an archive. Entries are read when they are needed. */
export class Index {
  #storage;
  #windows = new Map();

  static async open(storage) {
    const start = await storage.read(0, Math.min(START_BYTES, storage.size));
    requireMagic(start);
    if (start.length < START_BYTES) throw new FormatError(`the file is cut short: it ends after ${start.length} bytes`);
    if (start[2] !== ARCHIVE) throw new FormatError("this file holds a single image, not an archive: decode reads it");
    if (start[3]) throw new UnsupportedError(`archive byte 0x${hex([start[3]])} is unsupported: it is reserved for later versions`);
    if (storage.size < START_BYTES + ENTRY_BYTES + FOOTER_BYTES) {
      throw new FormatError(`the archive is cut short: it ends after ${storage.size} bytes`);
    }
    const footer = parseFooter(await storage.read(storage.size - FOOTER_BYTES, FOOTER_BYTES), storage.size);
    return new Index(storage, footer);
  }

  constructor(storage, footer) {
    this.#storage = storage;
    this.footer = footer;
  }

  /** Where a group is, by its number: {number, first, images, offset, size}. */
  async extent(number) {
    const { count, groups, indexOffset } = this.footer;
    const [first, offset] = await this.#entry(number);
    const [end, nextOffset] = await this.#entry(number + 1);
    const begins = number > 0 || (first === 0 && offset === START_BYTES);
    const ends = number < groups - 1 || (end === count && nextOffset === indexOffset);
    if (!begins || !ends || first >= end || end > count || offset + HEADER_BYTES > nextOffset || nextOffset > indexOffset) {
      throw new FormatError(`the index is damaged: group ${number} is no part of the file between its neighbours`);
    }
    return { number, first, images: end - first, offset, size: nextOffset - offset };
  }

  /** Where the group of an image is, by bisection. */
  async extentOf(image) {
    let low = 0;
    let high = this.footer.groups; // the last group that begins no later than the image
    while (low < high) {
      const middle = low + high >> 1;
      if ((await this.#entry(middle))[0] <= image) low = middle + 1;
      else high = middle;
    }
    const extent = await this.extent(Math.max(low - 1, 0));
    if (image < extent.first || image >= extent.first + extent.images) {
      throw new FormatError(`the index is damaged: no group has image ${image}`);
    }
    return extent;
  }

  async #entry(number) {
    const window = Math.floor(number / WINDOW);
    if (!this.#windows.has(window)) {
      const { indexOffset, groups } = this.footer;
      const count = Math.min(WINDOW, groups + 1 - window * WINDOW);
      const reading = this.#storage.read(indexOffset + window * WINDOW * ENTRY_BYTES, count * ENTRY_BYTES);
      this.#windows.set(window, reading);
      reading.catch(() => this.#windows.delete(window));
    }
    const entries = await this.#windows.get(window);
    const raw = entries.subarray(number % WINDOW * ENTRY_BYTES, (number % WINDOW + 1) * ENTRY_BYTES);
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    if (raw.length < ENTRY_BYTES || crc32(raw.subarray(0, 16)) !== view.getUint32(16, true)) {
      throw new FormatError(`the index is damaged: entry ${number} does not match its check`);
    }
    return [u64(view, 0), u64(view, 8)];
  }
}

function parseFooter(raw, size) {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  if (raw.length < FOOTER_BYTES || hex(raw.subarray(36)) !== "7fe1ca45" || crc32(raw.subarray(0, 32)) !== view.getUint32(32, true)) {
    throw new FormatError("the archive is damaged or cut short: it does not end as archives do");
  }
  const [count, groups, indexOffset] = [u64(view, 0), u64(view, 8), u64(view, 16)];
  const [origin, flags] = [raw[24], raw[25]];
  const [width, height, reserved] = [view.getUint16(26, true), view.getUint16(28, true), view.getUint16(30, true)];
  if (flags & ~(LABELS | NAMES | EMBEDDED) || reserved || origin >= ORIGINS.length) {
    throw new UnsupportedError("a field of the footer is unsupported: it is reserved for later versions");
  }
  const modelBytes = size - FOOTER_BYTES - (indexOffset + (groups + 1) * ENTRY_BYTES);
  const embedded = (flags & EMBEDDED) !== 0;
  const fits = (embedded ? modelBytes > 0 : modelBytes === 0) && START_BYTES + groups * HEADER_BYTES <= indexOffset;
  if (!fits || groups > count || count > Math.min(groups * IMAGES_MAX, Math.floor(indexOffset * PER_LANE_MAX / 4))) {
    throw new FormatError("the archive is damaged: index and images do not fill the room that the footer gives them");
  }
  const [labels, names] = [(flags & LABELS) !== 0, (flags & NAMES) !== 0];
  if (!groups && (labels || names)) throw new FormatError("the archive is damaged: it has no images, but labels or names of theirs");
  if (width > 0 !== height > 0) throw new FormatError("the archive is damaged: its images have a width or a height but not both");
  return { count, groups, indexOffset, origin: ORIGINS[origin], width, height, labels, names, embedded };
}
