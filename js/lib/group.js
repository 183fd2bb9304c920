/** Headers and tables of the groups of an archive: FORMAT.md, sections 9.2 and 9.5. */
import { bytesOf32, crc32 } from "./crc32.js";
import { FormatError, LimitError, UnsupportedError } from "./errors.js";
import { BY_FINGERPRINT, requirePixels } from "./header.js";
import { inflate } from "./inflate.js";
import {
  BOUNDED, DECODED_PIXELS_MAX, ERROR_MAX, GROUP_PIXELS_MAX, LOSSY, PIXELS_MAX, QUALITY_MAX, SIDE_MAX, STORED, TILE, tilesIn,
} from "./limits.js";
import { Reader, concat, hex, varint } from "./reader.js";

export const HEADER_BYTES = 52;
export const LABELS = 4;
export const NAMES = 8;
const SIZES = 1;
const MIXED = 2;
const KNOWN_FLAGS = SIZES | MIXED | LABELS | NAMES;
const READ_AHEAD = 2048; // nearly always holds header and table
const IN_PARTS = 4;
const PARTS_MAX = 16;
const PER_LANE_MAX = 256;
const LANE_BYTES_MIN = 3;
const TABLE = "the table of a group";

/**
 * Read and verify header and table of a group: {header, offset, sizes, parts, partOf}. `read` reads from the file, `room` is how many
 * bytes the group has.
 */
export async function readGroup(read, offset, room, maxPixels) {
  let start = await read(offset, Math.min(room, READ_AHEAD));
  const header = parseHeader(start);
  const end = HEADER_BYTES + header.tableBytes;
  if (header.size > room) {
    throw new FormatError(`the group at byte ${offset} is damaged: it has ${header.size} bytes, but ${room} are left for it`);
  }
  if (end > start.length) start = concat([start, await read(offset + start.length, end - start.length)]);
  const table = start.subarray(HEADER_BYTES, end);
  if (crc32(start.subarray(0, 48), table) !== header.headerCrc) {
    throw new FormatError(`the group at byte ${offset} is damaged: its header and table do not match their check`);
  }
  requireValid(header);
  const { sizes, used } = parseSizes(header, table);
  const { parts, partOf } = parseParts(header, sizes, table.subarray(0, used), table.subarray(used));
  requireWithinLimits(offset, parts, maxPixels);
  return { header, offset, sizes, parts, partOf };
}

function parseHeader(start) {
  if (start.length < HEADER_BYTES || hex(start.subarray(0, 4)) !== "cae17f47") {
    throw new FormatError("the file is damaged: there is no group of images where one should begin");
  }
  const view = new DataView(start.buffer, start.byteOffset, HEADER_BYTES);
  const u16 = (at) => view.getUint16(at, true);
  const u32 = (at) => view.getUint32(at, true);
  const header = {
    images: u16(4), method: start[6], flags: start[7], model: start[8], quality: start[9], perLane: u16(10), width: u16(12), height: u16(14),
    fingerprint: hex(start.subarray(16, 24)), tableBytes: u32(24), lanesBytes: u32(28), labelsBytes: u32(32), namesBytes: u32(36),
    lanesCrc: u32(40), pixelsCrc: u32(44), headerCrc: u32(48),
  };
  if (header.method > IN_PARTS) {
    throw new UnsupportedError(`coding method ${header.method} is unsupported: it is reserved for later versions`);
  }
  header.size = HEADER_BYTES + header.tableBytes + header.lanesBytes + header.labelsBytes + header.namesBytes;
  return header;
}

/** Refuse fields that are forged, which the check cannot detect. */
function requireValid(header) {
  const { flags, method, perLane, images, width, height } = header;
  if (flags & ~KNOWN_FLAGS) {
    throw new UnsupportedError(`group flags 0x${hex([flags])} are unsupported: some are reserved for later versions`);
  }
  const codingValid = method === IN_PARTS
    ? !header.quality && !header.model && !parseInt(header.fingerprint, 16) && !(flags & MIXED) && perLane === 1
    : isValidCoding(codingOf(header)) && !((method === STORED || method === BOUNDED) && flags & MIXED);
  const sizesValid = perLane > 0 && perLane <= Math.min(images, PER_LANE_MAX)
    && width > 0 === height > 0 && width > 0 === !(flags & SIZES)
    && header.labelsBytes > 0 === (flags & LABELS) > 0 && header.namesBytes > 0 === (flags & NAMES) > 0;
  if (!codingValid || !sizesValid) throw new FormatError("the header of a group is damaged: its fields contradict each other");
}

function codingOf({ method, model, quality, perLane, fingerprint }) {
  return { mode: method, model, quality, perLane, fingerprint };
}

function isValidCoding({ mode, model, quality, fingerprint }) {
  if (mode === STORED) return !quality && !model && !parseInt(fingerprint, 16);
  if (model === BY_FINGERPRINT - 1) throw new UnsupportedError(`model number ${model} is unsupported: it is reserved for later versions`);
  const [low, high] = mode === LOSSY ? [1, QUALITY_MAX] : mode === BOUNDED ? [1, ERROR_MAX] : [0, 0];
  return quality >= low && quality <= high && model <= BY_FINGERPRINT;
}

/** [width, height] of each image, and how many bytes of the table say so. */
function parseSizes(header, table) {
  if (!(header.flags & SIZES)) return { sizes: new Array(header.images).fill([header.width, header.height]), used: 0 };
  const { values, used } = parseVarints(table, 2 * header.images);
  if (values.some((side) => side < 1 || side > SIDE_MAX)) throw new FormatError(`${TABLE} is damaged: a side is 0 or above ${SIDE_MAX}`);
  const sizes = Array.from({ length: header.images }, (_, k) => [values[2 * k], values[2 * k + 1]]);
  if (sizes.every(([width, height]) => width === sizes[0][0] && height === sizes[0][1])) {
    throw new FormatError(`${TABLE} is damaged: it gives each image a size, although all have the same`);
  }
  return { sizes, used };
}

/** The parts of a group, each with its coding, images, sizes, lanes and checksum seed. */
function parseParts(header, sizes, sizeBytes, table) {
  const inParts = header.method === IN_PARTS;
  const { codings, partOf, used } = inParts
    ? parseCodings(header, table)
    : { codings: [codingOf(header)], partOf: new Uint8Array(header.images), used: 0 };
  let rest = table.subarray(used);
  let offset = 0;
  const parts = codings.map((coding, number) => {
    const images = [];
    partOf.forEach((part, image) => {
      if (part === number) images.push(image);
    });
    const lanes = Math.ceil(images.length / coding.perLane);
    const stored = parseStored(header, coding, lanes, rest);
    rest = rest.subarray(stored.used);
    const lengths = parseLengths(rest, lanes);
    rest = rest.subarray(lengths.used);
    const ofPart = images.map((image) => sizes[image]);
    const bytes = codings.length === 1 || !sizeBytes.length ? sizeBytes : Uint8Array.from(ofPart.flat().flatMap(varint));
    const laneOffsets = [offset];
    for (const length of lengths.values) laneOffsets.push(offset += length);
    return { coding, images, sizes: ofPart, stored: stored.mask, laneOffsets, seed: seedOf(header, coding, images.length, bytes), inParts };
  });
  if (rest.length || offset !== header.lanesBytes) throw new FormatError(`${TABLE} is damaged: its lanes do not fill their bytes`);
  return { parts, partOf };
}

function parseCodings(header, table) {
  const reader = new Reader(table);
  const count = reader.byte(TABLE);
  if (count < 1 || count > PARTS_MAX) throw new FormatError(`${TABLE} is damaged: it has ${count} parts`);
  const codings = Array.from({ length: count }, () => {
    const [mode, model, quality, perLane] = reader.take(4, TABLE);
    if (mode > BOUNDED) throw new UnsupportedError(`coding method ${mode} of a part is unsupported: it is reserved for later versions`);
    return { mode, model, quality, perLane: perLane + 1, fingerprint: hex(mode === STORED ? new Uint8Array(8) : reader.take(8, TABLE)) };
  });
  let partOf = new Uint8Array(header.images);
  if (count > 1) {
    const size = reader.varint(TABLE, table.length);
    partOf = inflate(reader.take(size, TABLE), header.images);
  }
  requireCanonical(header, codings, partOf);
  return { codings, partOf, used: reader.offset };
}

/** Refuse parts in a form that no encoder writes. */
function requireCanonical(header, codings, partOf) {
  const counts = new Array(codings.length).fill(0);
  let seen = 0; // parts must come in the order of their first images
  let inOrder = partOf.length === header.images;
  for (const part of partOf) {
    if (part > seen || part >= codings.length) inOrder = false;
    if (part === seen) seen++;
    counts[part]++;
  }
  const valid = codings.map(isValidCoding).every(Boolean);
  const keys = new Set(codings.map(({ mode, model, quality, fingerprint }) => [mode, model, quality, fingerprint].join()));
  const needed = codings.length > 1 || codings[0].mode === STORED;
  const full = codings.every(({ perLane }, part) => perLane <= counts[part]);
  if (!valid || !inOrder || seen !== codings.length || keys.size !== codings.length || !needed || !full) {
    throw new FormatError(`${TABLE} is damaged: its parts contradict each other`);
  }
}

/** Which lanes are stored, and how many bytes say so. */
function parseStored(header, coding, lanes, table) {
  if (!(header.flags & MIXED)) return { mask: new Array(lanes).fill(coding.mode === STORED), used: 0 };
  const used = Math.ceil(lanes / 8);
  const bits = Array.from({ length: 8 * Math.min(used, table.length) }, (_, k) => (table[k >> 3] >> (k & 7) & 1) === 1);
  if (bits.length < lanes || bits.slice(lanes).some(Boolean) || !bits.some(Boolean)) {
    throw new FormatError(`${TABLE} is damaged: it does not say of each lane whether it is stored`);
  }
  return { mask: bits.slice(0, lanes), used };
}

/** The bytes of each lane, and how many bytes say so. */
function parseLengths(table, lanes) {
  const { values, used } = parseVarints(table, 1 + lanes);
  const [least, ...more] = values;
  if (least < LANE_BYTES_MIN) throw new FormatError(`${TABLE} is damaged: a lane has fewer than ${LANE_BYTES_MIN} bytes`);
  if (!more.includes(0)) throw new FormatError(`${TABLE} is damaged: the lanes do not fill their bytes, as no lane has the least length`);
  return { values: more.map((length) => least + length), used };
}

function parseVarints(data, count) {
  const values = [];
  let used = 0;
  for (let k = 0; k < count; k++) {
    let value = 0;
    let factor = 1;
    let byte;
    do {
      byte = data[used++];
      if (byte === undefined || factor > 2 ** 28 || (byte === 0 && factor > 1)) {
        throw new FormatError(`${TABLE} is damaged: it does not hold the numbers that it should`);
      }
      value += (byte & 127) * factor;
      factor *= 128;
    } while (byte > 127);
    values.push(value);
  }
  return { values, used };
}

/** D of section 9.2: the check of everything that says how to decode the lanes of a part. */
function seedOf(header, { mode, model, quality, perLane, fingerprint }, images, sizeBytes) {
  const fields = new Uint8Array(20);
  const view = new DataView(fields.buffer);
  view.setUint16(0, images, true);
  fields.set([mode, 0, model, quality], 2);
  view.setUint16(6, perLane, true);
  view.setUint16(8, header.width, true);
  view.setUint16(10, header.height, true);
  view.setBigUint64(12, BigInt(`0x${fingerprint}`), false);
  return bytesOf32(crc32(fields, sizeBytes));
}

/** Refuse images, lanes and groups that take too long to decode. */
function requireWithinLimits(offset, parts, maxPixels) {
  const requireAtMost = (count, byDefault, what) => {
    const limit = Math.min(Math.max(byDefault, maxPixels ?? 0), PIXELS_MAX);
    if (count > limit) {
      throw new LimitError(`the group at byte ${offset} has ${count} ${what}, more than the limit of ${limit}: maxPixels raises it`);
    }
  };
  const ofMode = [0, 0, 0, 0];
  let tiles = 0;
  let images = 0;
  for (const { coding, sizes } of parts) {
    for (const [width, height] of sizes) {
      requirePixels(coding.mode, width, height, maxPixels);
      ofMode[coding.mode] += width * height;
      if (coding.mode !== STORED) tiles += tilesIn(width, height);
    }
    images += sizes.length;
  }
  if (images === 1) return;
  for (const { coding, sizes } of parts) {
    for (let first = 0; sizes.length > 1 && first < sizes.length; first += coding.perLane) {
      const pixels = sizes.slice(first, first + coding.perLane).reduce((sum, [width, height]) => sum + width * height, 0);
      requireAtMost(pixels, DECODED_PIXELS_MAX[coding.mode], "pixels in a lane");
    }
  }
  ofMode.forEach((pixels, mode) => requireAtMost(pixels, GROUP_PIXELS_MAX[mode], "pixels"));
  requireAtMost(tiles * TILE ** 2, GROUP_PIXELS_MAX[LOSSY], "pixels in whole tiles");
}
