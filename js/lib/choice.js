/**
 * Which model and which mode code an image: the rule of codec/coding/model_choice.py, for one image. That file gives the reasons for
 * the rule and for its numbers. A plan is {mode, model, quality or maxError}, or {file} if it is made already.
 */
import { BIT, TILES_PER_STREAM } from "./engine.js";
import { BOUNDED, DECODED_PIXELS_MAX, GREY_PIXELS_MAX, GREY_STEPS_MAX, LOSSLESS, LOSSY, TILE, stepsOf, tilesIn } from "./limits.js";
import { BITMAPS, DIGITS } from "./models.js";
import { changesOf, smallestStored } from "./stored.js";

const BYTE = 8 * BIT;
const LMBDA_SCALE = 2 ** 14; // a model's lmbda weighs squared grey levels against 1/256 bits in units of 2^-14
const BYTES_PER_CHANGE = 0.3;
const BYTES_PER_CHANGE_FAST = 0.45; // at effort 0
const PIXEL_MODEL_BYTES_MIN = 2; // of a tile
const BITMAP_BYTES_PER_EDGE = 0.2;
const BITMAP_BYTES_PER_EDGE_FAST = 0.35; // at effort 0
const SOLID = 250;
const SURELY_LESS = 0.8;
const ADVANTAGE = 32;
const OVERHEAD = 4 * BYTE;
const POOR_DB = 4;
const DIGIT_INK = [0.05, 0.36];
const DIGIT_GREY = 0.95;
const DIGIT_BITS = 1.45;
const DIGIT_BYTES_PER_GREY = 0.9;

/** The file of an image at the quality of the candidates, {model, quality} each. `coder` measures plans and makes their files. */
export async function encodeAtQuality(coder, candidates) {
  const { image, effort } = coder;
  const { plan, error, cost } = await firstLook(coder, candidates);
  const bitmap = await bitmapBelow(coder, candidates, cost + OVERHEAD);
  if (bitmap && (effort ? bitmap.bits <= SURELY_LESS * cost : bitmap.bits < cost)) return coder.file(bitmap);

  const lossy = await coder.file(plan);
  const weighed = bitmap !== null || isPoor(image, plan, error); // with the error
  const rate = BYTE * (effort ? BYTES_PER_CHANGE : BYTES_PER_CHANGE_FAST);
  const small = image.pixels.length <= DECODED_PIXELS_MAX[LOSSLESS];
  const leastLossless = small && !bitmap ? rate * changesOf(image) : Infinity;
  const atMost = BYTE * lossy.length + OVERHEAD; // the bits of the file are more than those of its symbols
  if (!weighed && !bitmap && leastLossless > atMost && !(await storedWithin(image, atMost))) return lossy;

  const measured = await coder.measure(plan);
  let limit = measured.bits; // lossless coding wins below
  if (weighed) limit += Math.floor(lmbdaOf(candidates[0]) * (effort ? measured.error : error) / LMBDA_SCALE);
  const lossless = bitmap ?? (leastLossless <= limit + OVERHEAD
    ? await planLossless(coder, candidates.map((candidate) => candidate.model.name), 0, weighed, false)
    : await storedWithin(image, limit + OVERHEAD));
  if (!lossless) return lossy;
  const file = await coder.file(lossless);
  return (weighed && lossless.bits < limit) || file.length <= lossy.length ? file : lossy;
}

/** The plan of a digit made from a bitmap, if several models are candidates and it might take no more bits than a limit; or null. */
async function bitmapBelow(coder, candidates, limit) {
  const rate = BYTE * (coder.effort ? BITMAP_BYTES_PER_EDGE : BITMAP_BYTES_PER_EDGE_FAST);
  if (candidates.length === 1 || rate * edgePixels(coder.image) > limit) return null;
  return planBitmap(coder, true);
}

/**
 * The candidate of least cost at effort 0, as a plan, with its squared error and its cost in bits. The error is 0 if there is one
 * candidate, and an estimate for digits at effort 0.
 */
async function firstLook(coder, candidates) {
  const plans = candidates.map((candidate) => ({ mode: LOSSY, ...candidate }));
  if (plans.length === 1) return { plan: plans[0], error: 0, cost: 0 };
  const { image, effort } = coder;
  const first = await coder.measure(plans[0], 0);
  const { model, quality } = plans[0];
  const typical = model.name === DIGITS && first.bits <= DIGIT_BITS * BIT * model.typicalBits[quality - 1] && looksLikeDigit(image);
  const compared = effort > 0 || !typical;
  if (!compared) first.error = typicalError(plans[0], first.bits + OVERHEAD);
  const lmbda = lmbdaOf(candidates[0]);
  const costOf = ({ bits, error }) => bits * LMBDA_SCALE + lmbda * error;
  let best = { plan: plans[0], ...first };
  let least = costOf(first);
  least -= Math.floor(least / ADVANTAGE);
  for (const plan of compared ? plans.slice(1) : []) {
    if (plan.model.grey && (typical || image.pixels.length > GREY_PIXELS_MAX)) continue;
    const look = await coder.measure(plan, 0);
    if (costOf(look) < least) {
      least = costOf(look);
      best = { plan, ...look };
    }
  }
  return { plan: best.plan, error: best.error, cost: best.bits + Math.floor(lmbda * best.error / LMBDA_SCALE) };
}

/** The squared error of a digit whose file has so many bits, estimated: it has as much for each bit as other digits. */
function typicalError({ model, quality }, bits) {
  const squaredError = Math.round(255 ** 2 * TILE ** 2 / 10 ** (model.typicalPsnr[quality - 1] / 10));
  return Math.floor(squaredError * bits / Math.round(BIT * model.typicalBits[quality - 1]));
}

function lmbdaOf({ model, quality }) {
  return model.lmbda[quality - 1];
}

/**
 * The plan of fewest bits that keeps every pixel, or with maxError every pixel within so many grey levels. Its bits can be a few too many
 * unless `exact` is true. A digit is tried as a bitmap if `bitmaps` is true and there are several models.
 */
export async function planLossless(coder, names, maxError, exact = false, bitmaps = true) {
  const { image } = coder;
  const tiles = tilesIn(image.width, image.height);
  if (tiles > TILES_PER_STREAM) {
    const plain = await storedWithin(image, null);
    if (plain && plain.bits <= PIXEL_MODEL_BYTES_MIN * tiles * BYTE) return plain;
  }
  const levels = { ...image, pixels: nearest(image.pixels, maxError) };
  let best = bitmaps && names.length > 1 ? await planBitmap(coder, exact || maxError > 0) : null;
  const measureAll = exact || best !== null;
  let first = null;
  for (const name of best && !maxError ? [] : names) { // bitmaps take fewer bits than pixel models, unless these may change pixels
    if (first && isTypicalLossless(levels, first)) break;
    const model = await coder.model(name, ["pixels"]);
    if (!model.hasPixels || (model.grey && stepsOf(image.width, image.height) > GREY_STEPS_MAX)) continue;
    const plan = { mode: maxError ? BOUNDED : LOSSLESS, model, maxError };
    if (model.bitmap && (maxError || !(await coder.code(plan)))) continue;
    if (!first && !measureAll) {
      // Nearly always this file is the result, and its size says so without a measurement.
      const bits = BYTE * (await coder.code(plan)).length;
      const alone = names.length === 1 || isTypicalLossless(levels, { model, bits });
      if (alone && !(await storedWithin(image, bits))) return { ...plan, bits };
    }
    plan.bits = (await coder.measure(plan)).bits;
    first ??= plan;
    if (!best || plan.bits < best.bits) best = plan;
  }
  const stored = await storedWithin(image, best && best.bits);
  return stored && (!best || stored.bits < best.bits) ? stored : best;
}

/**
 * The plan that codes a digit as the bitmap that it was made from, or null if there is none. Its bits can be a few too many unless `exact`
 * is true or the image might be stored in fewer.
 */
async function planBitmap(coder, exact) {
  if (coder.image.width !== TILE || coder.image.height !== TILE) return null;
  const plan = { mode: LOSSLESS, model: await coder.model(BITMAPS), maxError: 0 };
  const file = await coder.code(plan);
  if (!file) return null;
  plan.bits = BYTE * file.length;
  if (exact || (await storedWithin(coder.image, plan.bits))) plan.bits = (await coder.measure(plan)).bits;
  return plan;
}

/** Pixels of a digit that are neither black nor ink throughout; infinitely many in images of other sizes. */
function edgePixels({ pixels, width, height }) {
  if (width !== TILE || height !== TILE) return Infinity;
  return pixels.reduce((sum, level) => sum + (level > 0 && level < SOLID), 0);
}

/** A stored plan of at most so many bits, or null; of any if `limit` is null. */
async function storedWithin(image, limit) {
  const inBytes = limit === null ? image.pixels.length : Math.floor(limit / BYTE);
  const stored = await smallestStored(image, inBytes + 3);
  if (!stored || (limit !== null && BYTE * stored.bodyBytes > limit)) return null;
  return { file: stored.file, bits: BYTE * stored.bodyBytes };
}

/** The nearest of the grey levels that a bounded error leaves: FORMAT.md, section 11. */
function nearest(pixels, maxError) {
  if (!maxError) return pixels;
  const step = 2 * maxError + 1;
  const last = Math.floor(255 / step) * step;
  const table = Uint8Array.from({ length: 256 }, (_, grey) => {
    const level = Math.min(Math.ceil((grey - maxError) / step) * step, last);
    return 255 - last > maxError && grey - last > 255 - grey ? 255 : Math.max(level, 0);
  });
  return pixels.map((grey) => table[grey]);
}

/** Whether a lossy picture is far worse than its quality stands for; digits never are. */
function isPoor(image, { model, quality }, error) {
  if (!model.typicalPsnr || !error) return false;
  const psnr = 10 * Math.log10(255 ** 2 * image.pixels.length / error);
  if (psnr >= model.typicalPsnr[quality - 1] - POOR_DB) return false;
  return !(model.name === DIGITS && looksLikeDigit(image));
}

function isTypicalLossless(levels, { model, bits }) {
  if (model.name !== DIGITS || !looksLikeDigit(levels)) return false;
  const grey = levels.pixels.reduce((sum, level) => sum + (level > 0 && level < 255), 0);
  return bits <= DIGIT_BYTES_PER_GREY * BYTE * grey;
}

/** Whether an image has what MNIST's digits have in common: 28x28, a black border, grey strokes of a certain area. */
function looksLikeDigit({ pixels, width, height }) {
  if (width !== TILE || height !== TILE) return false;
  let ink = 0;
  let white = 0;
  for (let k = 0; k < pixels.length; k++) {
    const column = k % TILE;
    if (pixels[k] && (k < TILE || k >= TILE * (TILE - 1) || column === 0 || column === TILE - 1)) return false;
    ink += pixels[k] > 0;
    white += pixels[k] === 255;
  }
  const share = ink / pixels.length;
  return share >= DIGIT_INK[0] && share <= DIGIT_INK[1] && ink - white >= DIGIT_GREY * ink;
}
