/** Lanes of archives to images: FORMAT.md, section 9.2. */
import { bytesOf32, crc32, matchesCheck16 } from "./crc32.js";
import { requireStart, splitStreams, streamsOf } from "./decode.js";
import { TILES_PER_STREAM, requireCheck } from "./engine.js";
import { FormatError, UnsupportedError } from "./errors.js";
import { METHODS } from "./header.js";
import { inflate } from "./inflate.js";
import { BOUNDED, LOSSY, TILE, tilesIn } from "./limits.js";
import { requireSizes } from "./models.js";
import { concat } from "./reader.js";
import { undone } from "./stored.js";

const TILE_PIXELS = TILE * TILE;
const SYMBOLS = 196;
const DAMAGED = "its content does not match its check";

/** The images of a lane, {width, height, pixels} each. `model` is that of the part, if it has one. */
export function decodeLane(engine, model, part, lane, content) {
  const { coding, stored, inParts, seed } = part;
  const sizes = part.sizes.slice(lane * coding.perLane, (lane + 1) * coding.perLane);
  const laneSeed = concat([seed, bytesOf32(lane)]);
  const decodeAll = stored[lane] ? decodeStored : model.tiles ? decodeTiles : model.grey ? decodeGrey : decodeBitmaps;
  const images = decodeAll({ engine, model, coding, sizes, seed: laneSeed, content, inParts });
  return images.map((pixels, k) => ({ width: sizes[k][0], height: sizes[k][1], pixels }));
}

/** The check of a stream of a lane. */
function checkOf(seed, number, content) {
  return crc32(seed, bytesOf32(number), content);
}

function decodeStored({ sizes, seed, content, inParts }) {
  const total = sizes.reduce((sum, [width, height]) => sum + width * height, 0);
  let body = content.subarray(inParts ? 1 : 0, -2);
  const method = inParts ? content[0] : body.length === total ? 0 : 1; // raw or deflated
  if (method >= METHODS.length) throw new UnsupportedError(`storage method ${method} is unsupported: it is reserved for later versions`);
  if (method) body = inflate(body, total);
  if (body.length !== total) throw new FormatError(DAMAGED);
  let offset = 0;
  const images = sizes.map(([width, height]) => undone(method, body.slice(offset, offset += width * height), width, height));
  if (!matchesCheck16(content.subarray(-2), seed, ...images)) throw new FormatError(DAMAGED);
  return images;
}

/** Lanes whose streams hold up to 16 tiles. */
function decodeTiles({ engine, model, coding, sizes, seed, content }) {
  const counts = sizes.map(([width, height]) => tilesIn(width, height));
  const total = counts.reduce((sum, count) => sum + count, 0);
  const streams = splitStreams(content, streamsOf(total));
  const inside = coding.mode === LOSSY ? null : coverOf(sizes, total);
  const tiles = new Uint8Array(total * TILE_PIXELS);
  streams.forEach((stream, number) => {
    const first = number * TILES_PER_STREAM;
    const some = Math.min(TILES_PER_STREAM, total - first);
    const at = first * TILE_PIXELS;
    if (coding.mode === LOSSY) {
      const { symbols, final } = engine.decodeLatents(model, stream, coding.quality, some);
      requireCheck(final, checkOf(seed, number, symbols));
      for (let k = 0; k < some; k++) {
        tiles.set(engine.synthesize(model, symbols.subarray(k * SYMBOLS, (k + 1) * SYMBOLS), coding.quality), at + k * TILE_PIXELS);
      }
    } else {
      const covered = inside.subarray(at, at + some * TILE_PIXELS);
      const { x, final } = engine.decodePixels(model, stream, covered, some, maxErrorOf(coding));
      requireCheck(final, checkOf(seed, number, x));
      tiles.set(x, at);
    }
  });
  let tile = 0;
  return sizes.map(([width, height], k) => {
    const pixels = joinTiles(tiles.subarray(tile * TILE_PIXELS), width, height);
    tile += counts[k];
    return pixels;
  });
}

/** Lanes of whole images: one stream. */
function decodeGrey({ engine, model, coding, sizes, seed, content }) {
  requireStart(content);
  let offset = 0;
  if (coding.mode !== LOSSY) {
    const { x, final } = engine.decodePixelImages(model, content, sizes, maxErrorOf(coding));
    requireCheck(final, checkOf(seed, 0, x));
    return sizes.map(([width, height]) => x.slice(offset, offset += width * height));
  }
  const { symbols, counts, final } = engine.decodeImages(model, content, coding.quality, sizes);
  requireCheck(final, checkOf(seed, 0, symbols));
  return sizes.map((size, k) => engine.synthesizeImage(model, symbols.subarray(offset, offset += counts[k]), size, coding.quality));
}

/** Lanes of digits that are coded as bitmaps: one stream. */
function decodeBitmaps({ engine, model, sizes, seed, content }) {
  requireSizes(model, sizes);
  requireStart(content);
  const { x, final } = engine.decodeDigits(model, content, sizes.length);
  requireCheck(final, checkOf(seed, 0, x));
  return sizes.map((_, k) => x.slice(k * TILE_PIXELS, (k + 1) * TILE_PIXELS));
}

/** The largest error of a part, which takes the place of its quality. */
function maxErrorOf({ mode, quality }) {
  return mode === BOUNDED ? quality : 0;
}

/** Call `visit` for each row of each tile of an image: where its pixels are in the image and in the tiles, and how many they are. */
function eachRow(width, height, visit) {
  const columns = Math.ceil(width / TILE);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < columns; column++) {
      const tile = Math.floor(row / TILE) * columns + column;
      visit(row * width + column * TILE, tile * TILE_PIXELS + row % TILE * TILE, Math.min(TILE, width - column * TILE));
    }
  }
}

function joinTiles(tiles, width, height) {
  const pixels = new Uint8Array(width * height);
  eachRow(width, height, (to, from, count) => pixels.set(tiles.subarray(from, from + count), to));
  return pixels;
}

/** 1 for each pixel of their tiles that images cover. */
function coverOf(sizes, total) {
  const inside = new Uint8Array(total * TILE_PIXELS);
  let offset = 0;
  for (const [width, height] of sizes) {
    eachRow(width, height, (_, at, count) => inside.fill(1, offset + at, offset + at + count));
    offset += tilesIn(width, height) * TILE_PIXELS;
  }
  return inside;
}
