/**
 * The engine in WebAssembly: engine/mnistzip.h, on one memory. Models stay at its bottom; what a call needs lies above them, and is
 * given back when the call ends.
 */
import { FormatError, LimitError, ModelError } from "./errors.js";
import { BOUNDED, CHECK_BITS_MIN, LOSSLESS, TILE } from "./limits.js";

const ALIGNMENT = 64;
const PAGE = 65536;
const TILE_PIXELS = TILE * TILE;
const SYMBOLS = 196; // of a tile
const GREY_BLOCK = 4;
const GREY_CHANNELS = 16; // symbols of a position
export const TILES_PER_STREAM = 16;
export const BIT = 256; // code lengths count in 1/256 bits

// mnz_status
const OK = 0;
const ERROR_STREAM = 6;
const ERROR_DAMAGED = 10;
const ERROR_IMAGE = 12;
const MODEL_ERRORS = { 3: "the packed model is damaged, or for another version", 4: "a sum of the model could overflow" };

const DAMAGED = "its content does not match its check";

export class Engine {
  #wasm;
  #top;

  constructor(instance) {
    this.#wasm = instance.exports;
    this.#top = this.#wasm.__heap_base.value;
  }

  /** The engine of a module: its bytes or a compiled WebAssembly.Module. */
  static async from(source) {
    const module = source instanceof WebAssembly.Module ? source : await WebAssembly.compile(source);
    return new Engine(await WebAssembly.instantiate(module, {}));
  }

  /** Room for good; returns its address. */
  reserve(size) {
    const at = Math.ceil(this.#top / ALIGNMENT) * ALIGNMENT;
    const missing = at + size - this.#wasm.memory.buffer.byteLength;
    try {
      if (missing > 0) this.#wasm.memory.grow(Math.ceil(missing / PAGE));
    } catch (cause) {
      throw new LimitError(`this takes ${at + size} bytes of memory, more than there are`, { cause });
    }
    this.#top = at + size;
    return at;
  }

  /** What `work` reserves is free again when it returns. */
  #scoped(work) {
    const top = this.#top;
    try {
      return work();
    } finally {
      this.#top = top;
    }
  }

  /** A view of some bytes of the memory, valid until the next reservation. */
  bytes(at, size) {
    return new Uint8Array(this.#wasm.memory.buffer, at, size);
  }

  #int32(at) {
    return new DataView(this.#wasm.memory.buffer).getInt32(at, true);
  }

  #put(content) {
    const at = this.reserve(content.length);
    this.bytes(at, content.length).set(content);
    return at;
  }

  #workspace(size) {
    if (size === 0) throw new LimitError("the image is too large for this machine");
    return [this.reserve(size >>> 0), size];
  }

  /** Check a prepared model, and make it ready; returns its handle. `memory` holds mnz_model_memory bytes, or is 0. */
  loadModel(at, size, memory) {
    const needed = this.#wasm.mnz_model_memory(at, size);
    if (needed === 0) throw new ModelError(MODEL_ERRORS[3]);
    const room = memory || this.reserve(needed);
    const handle = this.#scoped(() => {
      const out = this.reserve(4);
      const status = this.#wasm.mnz_model_load(at, size, 0, room, needed, out);
      if (status !== OK) throw new ModelError(MODEL_ERRORS[status] ?? `the model cannot be loaded: error ${status}`);
      return this.#int32(out);
    });
    return { handle, memory: room };
  }

  /** A mnz_header of a file. */
  #header({ mode, width, height, model, fingerprint, quality = 0, maxError = 0 }) {
    const at = this.reserve(28);
    const view = new DataView(this.#wasm.memory.buffer, at, 28);
    const name = fingerprint ? parseInt(fingerprint.slice(0, 8), 16) : 0;
    [mode, width, height, model].forEach((value, k) => view.setInt32(4 * k, value, true));
    view.setUint32(16, name, false);
    view.setInt32(20, quality, true);
    view.setInt32(24, maxError, true);
    return at;
  }

  /** Decode a payload or a bare stream to grey levels. */
  decode(model, header, payload, checkBits = CHECK_BITS_MIN) {
    return this.#scoped(() => {
      const h = this.#header(header);
      const count = header.width * header.height;
      const from = this.#put(payload);
      const pixels = this.reserve(count);
      const space = this.#workspace(this.#wasm.mnz_image_workspace(model.handle, h));
      require(this.#wasm.mnz_decode(model.handle, h, from, payload.length, checkBits, pixels, ...space));
      return this.bytes(pixels, count).slice();
    });
  }

  /** Encode an image into a file; with checkBits, into a bare stream. Null if the model cannot code this image. */
  encode(model, header, pixels, effort, checkBits = -1) {
    return this.#scoped(() => {
      const h = this.#header(header);
      const bound = this.#wasm.mnz_file_bound(h);
      const from = this.#put(pixels);
      const out = this.#workspace(bound)[0];
      const size = this.reserve(4);
      const space = this.#workspace(this.#wasm.mnz_image_workspace(model.handle, h));
      const status = this.#wasm.mnz_encode(model.handle, h, from, effort, checkBits, out, bound, size, ...space);
      if (status === ERROR_IMAGE) return null;
      require(status);
      return this.bytes(out, this.#int32(size)).slice();
    });
  }

  /** Ideal code length in 1/256 bits and squared error of what `encode` would code. */
  measure(model, header, pixels, effort) {
    return this.#scoped(() => {
      const h = this.#header(header);
      const from = this.#put(pixels);
      const bits = this.reserve(8);
      const error = this.reserve(8);
      const space = this.#workspace(this.#wasm.mnz_image_workspace(model.handle, h));
      require(this.#wasm.mnz_measure(model.handle, h, from, effort, bits, error, ...space));
      const view = new DataView(this.#wasm.memory.buffer);
      return { bits: Number(view.getBigInt64(bits, true)), error: Number(view.getBigInt64(error, true)) };
    });
  }

  // ---- Streams of lanes; callers compare their checks ----

  /** The symbols of the tiles of a stream, which take turns, and where the decoder ended. */
  decodeLatents(model, stream, quality, tiles) {
    return this.#scoped(() => {
      const from = this.#put(stream);
      const y = this.reserve(tiles * SYMBOLS);
      const final = this.reserve(8);
      const space = this.#workspace(this.#wasm.mnz_lossy_workspace(model.handle));
      require(this.#wasm.mnz_decode_latents(model.handle, from, stream.length, quality - 1, tiles, 1, y, final, ...space));
      return { symbols: this.bytes(y, tiles * SYMBOLS).slice(), final: this.#final(final) };
    });
  }

  /** The grey levels of a tile. */
  synthesize(model, symbols, quality) {
    return this.#scoped(() => {
      const y = this.#put(symbols);
      const x = this.reserve(TILE_PIXELS);
      const space = this.#workspace(this.#wasm.mnz_lossy_workspace(model.handle));
      require(this.#wasm.mnz_synthesize(model.handle, y, quality - 1, x, ...space));
      return this.bytes(x, TILE_PIXELS).slice();
    });
  }

  /** The grey levels of the tiles of a stream of the pixel model. inside: 1 for each pixel of an image. */
  decodePixels(model, stream, inside, tiles, maxError) {
    return this.#scoped(() => {
      const from = this.#put(stream);
      const covered = this.#put(inside);
      const x = this.reserve(tiles * TILE_PIXELS);
      const possible = this.reserve(tiles);
      const final = this.reserve(8);
      const space = this.#workspace(this.#wasm.mnz_lossless_workspace(model.handle, tiles));
      require(this.#wasm.mnz_decode_pixels(model.handle, from, stream.length, covered, tiles, maxError, 0, x, possible, final, ...space));
      if (!this.bytes(possible, tiles).every(Boolean)) throw new FormatError(DAMAGED);
      return { x: this.bytes(x, tiles * TILE_PIXELS).slice(), final: this.#final(final) };
    });
  }

  /** The symbols of the images of a stream, [width, height] each, with a model of the kind grey. */
  decodeImages(model, stream, quality, sizes) {
    return this.#scoped(() => {
      const shapes = sizes.map(([width, height]) => [Math.ceil(height / GREY_BLOCK), Math.ceil(width / GREY_BLOCK)]);
      const counts = shapes.map(([rows, columns]) => rows * columns * GREY_CHANNELS);
      const total = counts.reduce((sum, count) => sum + count, 0);
      const from = this.#put(stream);
      const of = this.#put(new Uint8Array(Int32Array.from(shapes.flat()).buffer));
      const y = this.reserve(total);
      const final = this.reserve(8);
      const most = Math.max(...shapes.map((shape) => this.#wasm.mnz_grey_workspace(model.handle, ...shape) >>> 0));
      const space = this.#workspace(most);
      require(this.#wasm.mnz_decode_image_latents(model.handle, from, stream.length, quality - 1, sizes.length, of, y, final, ...space));
      return { symbols: this.bytes(y, total).slice(), counts, final: this.#final(final) };
    });
  }

  /** The grey levels of the images of a stream of the pixel model of a model of the kind grey, one image after the other. */
  decodePixelImages(model, stream, sizes, maxError) {
    return this.#scoped(() => {
      const total = sizes.reduce((sum, [width, height]) => sum + width * height, 0);
      const from = this.#put(stream);
      const of = this.#put(new Uint8Array(Int32Array.from(sizes.flatMap(([width, height]) => [height, width])).buffer));
      const x = this.reserve(total);
      const final = this.reserve(8);
      const needed = sizes.map(([width, height]) => this.#wasm.mnz_image_pixels_workspace(model.handle, height, width) >>> 0);
      const space = this.#workspace(needed.includes(0) ? 0 : Math.max(...needed));
      require(this.#wasm.mnz_decode_pixel_images(model.handle, from, stream.length, maxError, sizes.length, of, x, final, ...space));
      return { x: this.bytes(x, total).slice(), final: this.#final(final) };
    });
  }

  /** The grey levels of the digits of a stream of a model of the kind bitmap, one digit after the other. */
  decodeDigits(model, stream, digits) {
    return this.#scoped(() => {
      const from = this.#put(stream);
      const x = this.reserve(digits * TILE_PIXELS);
      const possible = this.reserve(4);
      const final = this.reserve(8);
      const space = this.#workspace(this.#wasm.mnz_bitmap_coding_workspace(model.handle));
      require(this.#wasm.mnz_decode_digits(model.handle, from, stream.length, digits, x, possible, final, ...space));
      if (!this.#int32(possible)) throw new FormatError(DAMAGED);
      return { x: this.bytes(x, digits * TILE_PIXELS).slice(), final: this.#final(final) };
    });
  }

  /** The grey levels of an image. */
  synthesizeImage(model, symbols, [width, height], quality) {
    return this.#scoped(() => {
      const y = this.#put(symbols);
      const x = this.reserve(width * height);
      const shape = [Math.ceil(height / GREY_BLOCK), Math.ceil(width / GREY_BLOCK)];
      const space = this.#workspace(this.#wasm.mnz_grey_workspace(model.handle, ...shape));
      require(this.#wasm.mnz_synthesize_image(model.handle, y, height, width, quality - 1, x, ...space));
      return this.bytes(x, width * height).slice();
    });
  }

  #final(at) {
    return { state: this.#int32(at) >>> 0, bytesLeft: this.#int32(at + 4) };
  }
}

/** Throw unless a stream used up its bytes and ended on its check, of 16 to 23 bits. */
export function requireCheck({ state, bytesLeft }, check) {
  const bits = 31 - Math.clz32(state);
  const passed = bytesLeft === 0 && bits >= CHECK_BITS_MIN && bits <= 23 && state === 2 ** bits + check % 2 ** bits;
  if (!passed) throw new FormatError(DAMAGED);
}

function require(status) {
  if (status === OK) return;
  if (status === ERROR_STREAM || status === ERROR_DAMAGED) throw new FormatError(DAMAGED);
  throw new ModelError(`the engine refuses this: error ${status}`);
}

export function usesPixelModel(mode) {
  return mode === LOSSLESS || mode === BOUNDED;
}
