/** Headers of files, FORMAT.md section 1. */
import { FormatError, LimitError, UnsupportedError, requireWithin } from "./errors.js";
import { BOUNDED, DECODED_PIXELS_MAX, ERROR_MAX, LOSSLESS, LOSSY, QUALITY_MAX, STORED, TILE } from "./limits.js";
import { Reader, equalBytes, hex, varint } from "./reader.js";

export const BY_FINGERPRINT = 15;
export const METHODS = ["raw", "deflate", "up", "gradient"];
const LOSSLESS_DIGIT = 101;
const ARCHIVE = 127;

/** Throw unless bytes begin like a mnistzip file of this version. */
export function requireMagic(data) {
  if (data.length < 2 || data[0] !== 0xca || data[1] >> 4 !== 0xe) {
    throw new FormatError(`not a mnistzip file: it begins with ${hex(data.subarray(0, 4), " ") || "nothing"}, not with ca e1`);
  }
  if (data[1] !== 0xe1) {
    throw new UnsupportedError(`format version ${data[1] & 15} needs a newer mnistzip (this one reads version 1)`);
  }
}

/** Whether bytes begin like an archive. */
export function isArchive(data) {
  return data.length > 2 && data[0] === 0xca && data[1] >> 4 === 0xe && data[2] === ARCHIVE;
}

/**
 * The header of a file: mode, width, height, and model, fingerprint (hex), quality, maxError, method where the mode has them.
 * `bytes` are those of the header.
 */
export function parseHeader(data) {
  requireMagic(data);
  const reader = new Reader(data, 2);
  const header = readFields(reader);
  const bytes = data.slice(0, reader.offset);
  if (!equalBytes(headerBytes(header), bytes)) throw new FormatError("the header is damaged: it is not in its shortest form");
  return { ...header, bytes };
}

function readFields(reader) {
  const kind = reader.byte("the header");
  if (kind >= 1 && kind <= QUALITY_MAX) return { mode: LOSSY, width: TILE, height: TILE, model: 0, quality: kind };
  if (kind === LOSSLESS_DIGIT) return { mode: LOSSLESS, width: TILE, height: TILE, model: 0 };
  if (kind === ARCHIVE) throw new UnsupportedError("this file is an archive of many images: Archive.open opens it");
  if (kind < 128) throw new UnsupportedError(`header byte 0x${hex([kind])} is unsupported: it is reserved for later versions`);
  const mode = kind >> 4 & 3;
  const low = kind & 15;
  const header = { mode };
  if (mode === STORED) {
    if (low >= METHODS.length) throw new UnsupportedError(`storage method ${low} is unsupported: it is reserved for later versions`);
    header.method = low;
  } else {
    if (low === BY_FINGERPRINT - 1) throw new UnsupportedError(`model number ${low} is unsupported: it is reserved for later versions`);
    header.model = low;
    if (low === BY_FINGERPRINT) header.fingerprint = hex(reader.take(4, "the model's fingerprint"));
  }
  if (mode === BOUNDED) {
    header.maxError = reader.byte("the largest error");
    if (header.maxError < 1 || header.maxError > ERROR_MAX) {
      throw new FormatError(`the largest error is ${header.maxError}, outside 1..${ERROR_MAX}: the header is damaged`);
    }
  }
  if (mode === LOSSY) {
    header.quality = reader.byte("the quality");
    if (header.quality < 1 || header.quality > QUALITY_MAX) {
      throw new FormatError(`quality ${header.quality} is outside 1..${QUALITY_MAX}: the header is damaged`);
    }
  }
  [header.width, header.height] = reader.size((kind & 64) !== 0);
  return header;
}

/** The bytes of a header in its one form. */
export function headerBytes({ mode, width, height, model, fingerprint, quality, maxError, method }) {
  const sized = width !== TILE || height !== TILE;
  const size = sized ? [...varint(width), ...varint(height)] : [];
  if (mode === STORED) return Uint8Array.of(0xca, 0xe1, 128 | sized << 6 | mode << 4 | method, ...size);
  const value = mode === LOSSY ? [quality] : mode === BOUNDED ? [maxError] : [];
  if (model === 0 && !sized && mode !== BOUNDED) return Uint8Array.of(0xca, 0xe1, ...(mode === LOSSY ? value : [LOSSLESS_DIGIT]));
  const name = model === BY_FINGERPRINT ? fingerprint.match(/../g).slice(0, 4).map((digits) => parseInt(digits, 16)) : [];
  return Uint8Array.of(0xca, 0xe1, 128 | sized << 6 | mode << 4 | model, ...name, ...value, ...size);
}

/** Throw LimitError for an image above maxPixels or the default limit of its mode. */
export function requirePixels(mode, width, height, maxPixels) {
  const limit = maxPixels ?? DECODED_PIXELS_MAX[mode];
  if (width * height > limit) throw new LimitError(`${width}x${height} is more than the limit of ${limit} pixels: maxPixels raises it`);
}

/** Throw OptionError unless this is undefined or a number of pixels. */
export function requireLimit(maxPixels) {
  if (maxPixels !== undefined) requireWithin("maxPixels", maxPixels, 1, Number.MAX_SAFE_INTEGER);
}
