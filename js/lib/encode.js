/** Encoding: the options, and files and bare streams by a plan. */
import { encodeAtQuality, planLossless } from "./choice.js";
import { ImageError, OptionError, asBytes, requireKnown, requireWithin } from "./errors.js";
import { CHECK_BITS_MAX, ERROR_MAX, LOSSY, PIXELS_MAX, QUALITY_MAX, SIDE_MAX } from "./limits.js";
import { AUTO, CANDIDATES, DIGITS, requireMode } from "./models.js";
import { setUp } from "./setup.js";
import { smallestStored } from "./stored.js";

const EFFORT_MAX = 9;

/**
 * Encode an image into a .cae file: the bytes that mnistzip.encode of Python gives with the same options. Only the body of a stored
 * file, which is deflated, can differ between platforms.
 *
 * pixels: width * height grey levels, row by row.
 */
export async function encode(pixels, width, height, options = {}) {
  requireKnown(options, ["model", "quality", "effort", "lossless", "maxError"]);
  const { model = AUTO, quality = 50, effort = 3, lossless = false, maxError } = options;
  const image = asImage(pixels, width, height);
  requireWithin("quality", quality, 1, QUALITY_MAX);
  requireWithin("effort", effort, 0, EFFORT_MAX);
  if (maxError !== undefined) requireWithin("maxError", maxError, 1, ERROR_MAX);
  if (typeof lossless !== "boolean") throw new OptionError(`lossless is ${String(lossless)}: give true or false`);
  if (lossless && maxError !== undefined) throw new OptionError("lossless keeps every pixel, so it takes no maxError");
  const coder = new Coder(await setUp(), image, effort);
  const names = model === AUTO ? CANDIDATES : [model];
  if (lossless || maxError !== undefined) return coder.file(await planLossless(coder, names, maxError ?? 0));
  return encodeAtQuality(coder, await coder.candidates(names, quality));
}

/** Encode an image into a bare stream, without a header. Both ends agree on model, quality, size and checkBits. */
export async function encodeBare(pixels, width, height, options = {}) {
  requireKnown(options, ["model", "quality", "effort", "checkBits"]);
  const { model: name = DIGITS, quality = 50, effort = 3, checkBits = 8 } = options;
  const image = asImage(pixels, width, height);
  requireWithin("quality", quality, 1, QUALITY_MAX);
  requireWithin("effort", effort, 0, EFFORT_MAX);
  requireWithin("checkBits", checkBits, 0, CHECK_BITS_MAX);
  const { engine, models } = await setUp();
  const model = await models.byName(name === AUTO ? DIGITS : name, effort ? ["search"] : []);
  requireMode(model, LOSSY);
  return engine.encode(model, { mode: LOSSY, width, height, quality, ...model.named }, image.pixels, effort, checkBits);
}

function asImage(pixels, width, height) {
  for (const [side, value] of [["width", width], ["height", height]]) {
    if (!Number.isInteger(value)) throw new ImageError(`the ${side} of the image is ${String(value)}: give a whole number`);
  }
  if (width < 1 || height < 1 || width > SIDE_MAX || height > SIDE_MAX || width * height > PIXELS_MAX) {
    throw new ImageError(`the image is ${width}x${height}: the format takes sides of 1..${SIDE_MAX} and at most ${PIXELS_MAX} pixels`);
  }
  if (!(pixels instanceof Uint8Array || pixels instanceof Uint8ClampedArray)) {
    throw new ImageError("the pixels are no Uint8Array: give grey levels of 0..255, row by row");
  }
  if (pixels.length !== width * height) {
    const hint = pixels.length === 4 * width * height ? ": take one grey level of the four numbers of each pixel" : "";
    throw new ImageError(`the image has ${pixels.length} grey levels, not the ${width * height} of ${width}x${height}${hint}`);
  }
  return { pixels: asBytes(pixels), width, height };
}

/** Codes one image. */
class Coder {
  #engine;
  #models;

  constructor({ engine, models }, image, effort) {
    this.#engine = engine;
    this.#models = models;
    this.image = image;
    this.effort = effort;
  }

  model(name, uses = []) {
    return this.#models.byName(name, uses);
  }

  /** Models at the quality of the nearest lmbda to that of the first model's quality. */
  async candidates(names, quality) {
    const models = await Promise.all(names.map((name) => this.model(name)));
    requireMode(models[0], LOSSY);
    const wanted = Math.log2(models[0].lmbda[quality - 1]);
    return models.map((model, number) => {
      if (number === 0) return { model, quality };
      const distances = Array.from(model.lmbda, (lmbda) => Math.abs(Math.log2(lmbda) - wanted));
      return { model, quality: 1 + distances.indexOf(Math.min(...distances)) };
    });
  }

  #header({ mode, model, quality, maxError }) {
    const { width, height } = this.image;
    return { mode, width, height, quality, maxError, ...model.named };
  }

  /** Bits and squared error of a plan at an effort. */
  async measure(plan, effort = this.effort) {
    await this.#prepare(plan, effort);
    return this.#engine.measure(plan.model, this.#header(plan), this.image.pixels, effort);
  }

  async #prepare({ mode, model }, effort) {
    if (mode !== LOSSY) await this.model(model.name, ["pixels"]);
    else if (effort) await this.model(model.name, ["search"]);
  }

  /** The file of a plan as its model codes it; null if it cannot. */
  async code(plan) {
    await this.#prepare(plan, this.effort);
    plan.coded ??= this.#engine.encode(plan.model, this.#header(plan), this.image.pixels, this.effort);
    return plan.coded;
  }

  /** The file of a plan. One without loss, or within a bound, is stored if that is no larger. */
  async file(plan) {
    if (plan.file) return plan.file;
    const file = await this.code(plan);
    if (plan.mode === LOSSY) return file;
    const stored = await smallestStored(this.image, file.length + 1);
    return stored && stored.file.length <= file.length ? stored.file : file;
  }
}
