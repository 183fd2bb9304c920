/** Reads the fields of a file in order. Errors name the field that was cut off. */
import { FormatError } from "./errors.js";
import { SIDE_MAX, TILE } from "./limits.js";

export class Reader {
  constructor(data, offset = 0) {
    this.data = data;
    this.offset = offset;
  }

  take(count, field) {
    if (this.offset + count > this.data.length) {
      throw new FormatError(`the file is cut short in ${field}: it ends after ${this.data.length} bytes`);
    }
    this.offset += count;
    return this.data.subarray(this.offset - count, this.offset);
  }

  byte(field) {
    return this.take(1, field)[0];
  }

  varint(field, limit) {
    for (let value = 0, factor = 1; ; factor *= 128) {
      const byte = this.byte(field);
      value += (byte & 127) * factor;
      if (value > limit || factor > 2 ** 28) throw new FormatError(`${field} is larger than ${limit}: the file is damaged`);
      if (byte < 128) return value;
    }
  }

  /** Width and height; 28x28 if the file has none. */
  size(sized) {
    if (!sized) return [TILE, TILE];
    const width = this.varint("the width", SIDE_MAX);
    const height = this.varint("the height", SIDE_MAX);
    if (!width || !height) throw new FormatError(`the image is ${width}x${height}: no image has a side of 0`);
    return [width, height];
  }
}

/** A number in base 128, low digits first; the top bit of a byte says that another byte follows. */
export function varint(value) {
  const out = [];
  for (; value > 127; value = Math.floor(value / 128)) out.push(value % 128 | 128);
  out.push(value);
  return out;
}

/** Bytes as hexadecimal digits, with something between them. */
export function hex(bytes, between = "") {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(between);
}

export function concat(pieces) {
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let offset = 0;
  for (const piece of pieces) {
    out.set(piece, offset);
    offset += piece.length;
  }
  return out;
}

export function equalBytes(one, other) {
  return one.length === other.length && one.every((byte, k) => byte === other[k]);
}
