/** Models: packed files (codec/models/packed.py describes them) to prepared models in the engine's memory. */
import { usesPixelModel } from "./engine.js";
import { FormatError, ModelError, asBytes } from "./errors.js";
import { gunzip } from "./inflate.js";
import { LOSSLESS, LOSSY, TILE } from "./limits.js";

/**
 * The models that ship: their numbers in files, and their fingerprints. They never change, but grey had no pixel model at first: lossy
 * parts of archives keep the fingerprint that it had.
 */
export const SHIPPED = [
  { name: "mnist", number: 0, fingerprint: "fbf156a675eb1d37" },
  { name: "classic", number: 1, fingerprint: "f8d161057cb0519e" },
  { name: "mnist-fast", number: 2, fingerprint: "a7ca3dab0a7bb19b" },
  { name: "glyph", number: 3, fingerprint: "4944a3bf1db645b1" },
  { name: "grey", number: 4, fingerprint: "7314795c1427d0fb", lossyFingerprint: "0321fae5ce869be1" },
  { name: "mnist-micro", number: 5, fingerprint: "277a2ffcf9ab980a" },
  { name: "mnist-bitmap", number: 6, fingerprint: "0aed5300090f4f5c" },
];

export const CANDIDATES = ["mnist", "glyph", "grey"]; // of the choice "auto"
export const AUTO = "auto";
export const BITMAPS = "mnist-bitmap"; // what auto tries first on digits that are to be coded without loss
export const DIGITS = "mnist"; // the model of bare streams where nobody names one

const SUFFIXES = { coding: ".model", search: ".search.model", pixels: ".pixels.model" };
const LAYOUT = 3;
const SIZE_MAX = 2 ** 27; // bytes of a prepared model
const QUALITIES = 100;
const TILES = "tiles";
const GREY = "grey";
const BITMAP = "bitmap";
const KINDS = [TILES, GREY, BITMAP];
const LMBDA_OFFSET = { [TILES]: 64 + 2 * 4 * QUALITIES * 4, [GREY]: 64 + 2 * 4 * QUALITIES * 16 };

/** A model in the memory of an engine. `uses` says what it can be used for, `ready` for what it is loaded. */
class Model {
  constructor(head, engine) {
    this.name = head.name;
    this.number = head.number;
    this.fingerprint = head.fingerprint;
    this.kind = kindOf(head);
    this.uses = head.uses;
    this.typicalBits = head.typicalBits;
    this.typicalPsnr = head.typicalPsnr;
    this.tileLimits = head.tileLimits; // by mode, of models that do not ship
    this.ready = new Set();
    this.size = 0;
    this.at = engine.reserve(head.size);
    engine.bytes(this.at, head.size).fill(0);
    this.room = head.size;
  }

  /** Whether it codes tiles. */
  get tiles() {
    return this.kind === TILES;
  }

  /** Whether it codes whole images of any size. */
  get grey() {
    return this.kind === GREY;
  }

  /** Whether it codes nothing but the bitmaps of digits, without loss. */
  get bitmap() {
    return this.kind === BITMAP;
  }

  get hasPixels() {
    return this.bitmap || this.uses.includes("pixels");
  }

  /** The fingerprint that names it in parts of archives of a mode. */
  fingerprintFor(mode) {
    const shipped = SHIPPED.find((model) => model.number === this.number);
    return (mode === LOSSY && shipped?.lossyFingerprint) || this.fingerprint;
  }

  /** Its name in headers. */
  get named() {
    return this.number === null ? { model: 15, fingerprint: this.fingerprint.slice(0, 8) } : { model: this.number };
  }

  /** Take in a packed file, and let the engine check the whole again. */
  add(file, engine) {
    const { head, content } = file;
    if (head.fingerprint !== this.fingerprint) throw new ModelError(`the file ${head.use} of the model ${this.name} is of another model`);
    let offset = 0;
    let end = this.size;
    for (const [at, item, rows, count] of head.arrays) {
      const bytes = item * count;
      const valid = at % 64 === 0 && at + bytes <= this.room && (item === 2 || item === 4) && offset + bytes <= content.length && count % rows === 0;
      if (!valid) throw new ModelError(`the packed model ${this.name} is damaged`);
      unpackArray(content.subarray(offset, offset + bytes), item, rows, count, engine, this.at + at);
      offset += bytes;
      end = Math.max(end, at + Math.ceil(bytes / 64) * 64);
    }
    // The first record says how long the prepared model is; gradients lie within it.
    this.size = new DataView(engine.bytes(this.at, 64).slice().buffer).getUint32(8, true);
    if (this.size > this.room) throw new ModelError(`the packed model ${this.name} is damaged`);
    Object.assign(this, engine.loadModel(this.at, this.size, this.memory));
    this.ready.add(head.use);
    if (this.bitmap) return;
    const lmbda = engine.bytes(this.at + LMBDA_OFFSET[this.kind], 4 * QUALITIES).slice();
    this.lmbda = new Int32Array(lmbda.buffer);
  }
}

/** What a model codes; packed files of earlier versions say only whether it is grey. */
function kindOf({ kind, grey }) {
  return kind ?? (grey ? GREY : TILES);
}

/** The numbers of an array: differences from row to row, folded to unsigned numbers, all low bytes first. */
function unpackArray(packed, item, rows, count, engine, at) {
  const view = engine.bytes(at, item * count);
  const out = item === 4 ? new Int32Array(view.buffer, at, count) : new Int16Array(view.buffer, at, count);
  const columns = count / rows;
  for (let k = 0; k < count; k++) {
    let folded = packed[k] | packed[count + k] << 8;
    if (item === 4) folded |= packed[2 * count + k] << 16 | packed[3 * count + k] << 24;
    const step = (folded >>> 1) ^ -(folded & 1);
    out[k] = k >= columns ? out[k - columns] + step : step;
  }
}

/** Whether the first line of a packed file has the fields that it must have. The engine checks the model itself. */
function isValid(head) {
  const { use, fingerprint, arrays, name, number, uses, size } = head;
  const isCount = (value) => Number.isInteger(value) && value >= 0 && value <= SIZE_MAX;
  if (!Object.hasOwn(SUFFIXES, use) || !/^[0-9a-f]{16}$/.test(fingerprint)) return false;
  if (!Array.isArray(arrays) || !arrays.every((array) => array.length === 4 && array.every(isCount))) return false;
  if (use !== "coding") return true;
  if (!KINDS.includes(kindOf(head))) return false;
  return typeof name === "string" && (number === null || isCount(number)) && Array.isArray(uses) && isCount(size) && size >= 64;
}

/** A packed file: the object of its first line, and the arrays behind it. */
async function openFile(packed, name) {
  try {
    const content = await gunzip(asBytes(packed, "a packed model"));
    const end = content.indexOf(10);
    const head = JSON.parse(new TextDecoder().decode(content.subarray(0, end)));
    if (head?.mnistzip !== "packed model") throw new SyntaxError("it is something else");
    if (head.layout !== LAYOUT) throw new ModelError(`${name} has the layout ${head.layout}, but this version reads ${LAYOUT}`);
    if (!isValid(head)) throw new SyntaxError("its first line is damaged");
    return { head, content: content.subarray(end + 1) };
  } catch (cause) {
    if (cause instanceof ModelError) throw cause;
    throw new ModelError(`${name} is no packed model: ${cause.message}`, { cause });
  }
}

/** Finds models, and loads what is asked for. `fetchFile` gives the bytes of a file by its name. */
export class Models {
  #engine;
  #fetchFile;
  #files = new Map(); // fingerprint and use -> promise of a packed file
  #loaded = new Map(); // fingerprint -> promise of a Model
  #own = new Map(); // fingerprint -> name

  constructor(engine, fetchFile) {
    this.#engine = engine;
    this.#fetchFile = fetchFile;
  }

  /** Add a packed file of the user's own; returns the name of its model. */
  async add(packed) {
    const file = await openFile(packed, "the file");
    const { fingerprint, use } = file.head;
    this.#files.set(`${fingerprint} ${use}`, Promise.resolve(file));
    if (use === "coding") this.#own.set(fingerprint, file.head.name);
    return this.#own.get(fingerprint) ?? fingerprint;
  }

  /** A model by its name, ready for some uses besides coding. */
  async byName(name, uses = []) {
    const shipped = SHIPPED.find((model) => model.name === name);
    const own = [...this.#own].find(([, ownName]) => ownName === name);
    if (!shipped && !own) {
      const names = [...SHIPPED.map((model) => model.name), AUTO, ...this.#own.values()];
      throw new ModelError(`no model ${String(name).slice(0, 200)}: give one of ${names.join(", ")}`);
    }
    return this.#ready(shipped?.fingerprint ?? own[0], name, uses);
  }

  async byNumber(number, uses = []) {
    const shipped = SHIPPED.find((model) => model.number === number);
    if (!shipped) {
      const known = SHIPPED.map((model) => `${model.number} = ${model.name}`).join(", ");
      throw new ModelError(`the file needs the shipped model ${number}, which this version does not have (it has ${known})`);
    }
    return this.#ready(shipped.fingerprint, shipped.name, uses);
  }

  /** A model by the first bytes of its fingerprint in hex. */
  async byFingerprint(prefix, uses = []) {
    const own = [...this.#own].find(([fingerprint]) => fingerprint.startsWith(prefix));
    if (own) return this.#ready(...own, uses);
    const isNamed = (fingerprint) => fingerprint?.startsWith(prefix);
    const shipped = SHIPPED.find((model) => isNamed(model.fingerprint) || isNamed(model.lossyFingerprint)); // a file can be older than the number
    if (shipped) return this.#ready(shipped.fingerprint, shipped.name, uses);
    throw new ModelError(`the file needs the custom model ${prefix}: pass its packed files to addModel`);
  }

  async #ready(fingerprint, name, uses) {
    if (!this.#loaded.has(fingerprint)) {
      const loading = this.#file(fingerprint, name, "coding").then((file) => {
        const model = new Model(file.head, this.#engine);
        model.add(file, this.#engine);
        return model;
      });
      this.#loaded.set(fingerprint, loading);
      loading.catch(() => this.#loaded.delete(fingerprint)); // the next call tries again
    }
    const model = await this.#loaded.get(fingerprint);
    for (const use of uses) {
      if (model.ready.has(use) || !model.uses.includes(use)) continue;
      const file = await this.#file(fingerprint, name, use);
      if (!model.ready.has(use)) model.add(file, this.#engine);
    }
    return model;
  }

  #file(fingerprint, name, use) {
    const key = `${fingerprint} ${use}`;
    if (!this.#files.has(key)) {
      const loading = this.#fetch(fingerprint, name, use);
      this.#files.set(key, loading);
      loading.catch(() => this.#files.delete(key));
    }
    return this.#files.get(key);
  }

  async #fetch(fingerprint, name, use) {
    const fileName = `${name}${SUFFIXES[use]}`;
    if (this.#own.has(fingerprint)) throw new ModelError(`the model ${name} lacks its file ${fileName}: pass it to addModel`);
    let packed;
    try {
      packed = await this.#fetchFile(fileName);
    } catch (cause) {
      throw new ModelError(`the model ${name} cannot be loaded: ${cause.message}`, { cause });
    }
    const file = await openFile(packed, fileName);
    if (file.head.fingerprint !== fingerprint) throw new ModelError(`${fileName} holds another model than ${name}`);
    return file;
  }
}

/** Throw ModelError if a model cannot code in a mode. */
export function requireMode(model, mode) {
  if (model.bitmap && mode !== LOSSLESS) throw new ModelError(`the model ${model.name} codes without loss only`);
  if (usesPixelModel(mode) && !model.hasPixels) throw new ModelError(`the file needs the pixel model of ${model.name}, which has none`);
}

/** Throw FormatError if a model codes no images of some sizes, [width, height] each. */
export function requireSizes(model, sizes) {
  if (model.bitmap && sizes.some(([width, height]) => width !== TILE || height !== TILE)) {
    throw new FormatError(`the model ${model.name} codes images of ${TILE}x${TILE} pixels only`);
  }
}
