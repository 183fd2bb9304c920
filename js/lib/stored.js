/** Images that are stored without a model: FORMAT.md, section 2. */
import { matchesCheck16, crc32 } from "./crc32.js";
import { deflate, inflate } from "./inflate.js";
import { FormatError } from "./errors.js";
import { headerBytes } from "./header.js";
import { STORED } from "./limits.js";
import { concat } from "./reader.js";

const RAW = 0;
const DEFLATE = 1;
const UP = 2;
const GRADIENT = 3;

/** The grey levels of a stored file. */
export function unstore(header, payload) {
  const count = header.width * header.height;
  const body = payload.subarray(0, Math.max(0, payload.length - 2));
  const raw = header.method === RAW ? body : inflate(body, count);
  if (raw.length !== count) {
    throw new FormatError(`the file holds ${raw.length} pixels, not the ${count} of a ${header.width}x${header.height} image`);
  }
  const pixels = undone(header.method, raw.slice(), header.width, header.height);
  if (!matchesCheck16(payload.subarray(-2), header.bytes, pixels)) {
    throw new FormatError("the file is damaged: its content does not match its check");
  }
  return pixels;
}

/** The grey levels, from the values that a method stores; they are changed in place. */
export function undone(method, values, width, height) {
  if (method === GRADIENT) {
    for (let row = 0; row < height; row++) {
      for (let k = row * width + 1; k < (row + 1) * width; k++) values[k] += values[k - 1];
    }
  }
  if (method === UP || method === GRADIENT) {
    for (let k = width; k < width * height; k++) values[k] += values[k - width];
  }
  return values;
}

/** The values that a method stores. */
function done(method, pixels, width, height) {
  const values = pixels.slice();
  if (method === UP || method === GRADIENT) {
    for (let k = width * height - 1; k >= width; k--) values[k] -= values[k - width];
  }
  if (method === GRADIENT) {
    for (let row = 0; row < height; row++) {
      for (let k = (row + 1) * width - 1; k > row * width; k--) values[k] -= values[k - 1];
    }
  }
  return values;
}

/** The stored file of an image with the smallest body, if its body and check may take fewer than `limit` bytes; else null. */
export async function smallestStored({ pixels, width, height }, limit) {
  let best = null;
  for (const method of [DEFLATE, UP, GRADIENT]) {
    const values = done(method, pixels, width, height);
    if (2 + leastDeflated(values) >= limit) continue;
    best ??= [RAW, pixels];
    const body = await deflate(values);
    if (body.length < best[1].length) best = [method, body];
  }
  if (!best) return null;
  const [method, body] = best;
  const header = headerBytes({ mode: STORED, width, height, method });
  const crc = crc32(header, pixels);
  return { bodyBytes: body.length, file: concat([header, body, Uint8Array.of(crc >>> 8, crc)]) };
}

/** The least that the deflated values take: codec/bitstream/stored.py gives the reasons for these numbers. */
function leastDeflated(values) {
  const occurs = new Uint8Array(256);
  let literals = -1;
  for (let k = 0; k < values.length; k++) {
    literals += 1 - occurs[values[k]];
    occurs[values[k]] = 1;
  }
  if (values.length > 2 ** 15) return Math.floor(5 * literals / 8);
  const ownCode = 29 + literals * (Math.log2(Math.max(literals, 1)) + 0.5);
  return Math.floor(Math.min(8 * literals, ownCode) / 8);
}

/** The least number of pixels that differ from a prediction by their neighbours, of three simple rules. */
export function changesOf({ pixels, width, height }) {
  let above = 0;
  let left = 0;
  let both = 0;
  for (let row = 0, k = 0; row < height; row++) {
    for (let column = 0; column < width; column++, k++) {
      const north = row ? pixels[k - width] : 0;
      const west = column ? pixels[k - 1] : 0;
      const corner = row && column ? pixels[k - width - 1] : 0;
      above += pixels[k] !== north;
      left += pixels[k] !== west;
      both += (pixels[k] - north - west + corner & 255) !== 0;
    }
  }
  return Math.min(above, left, both);
}
