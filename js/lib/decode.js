/** Decoding of single files and bare streams. */
import { usesPixelModel, TILES_PER_STREAM } from "./engine.js";
import { FormatError, LimitError, asBytes, requireKnown, requireWithin } from "./errors.js";
import { BY_FINGERPRINT, METHODS, parseHeader, requireLimit, requirePixels } from "./header.js";
import {
  CHECK_BITS_MAX, CHECK_BITS_MIN, GREY_LANE_STEPS_MAX, GREY_PIXELS_MAX, GREY_STEPS_MAX, LOSSY, MODES, QUALITY_MAX, SIDE_MAX, STORED, TILE,
  stepsOf, tilesIn,
} from "./limits.js";
import { AUTO, DIGITS, SHIPPED, requireMode, requireSizes } from "./models.js";
import { Reader, equalBytes, varint } from "./reader.js";
import { setUp } from "./setup.js";
import { unstore } from "./stored.js";

/** Decode a .cae file: {width, height, pixels}. */
export async function decode(data, options = {}) {
  requireKnown(options, ["maxPixels"]);
  requireLimit(options.maxPixels);
  const file = asBytes(data);
  const header = parseHeader(file);
  const { mode, width, height } = header;
  requirePixels(mode, width, height, options.maxPixels);
  const payload = file.subarray(header.bytes.length);
  if (mode === STORED) return { width, height, pixels: unstore(header, payload) };
  const { engine, models } = await setUp();
  const uses = usesPixelModel(mode) ? ["pixels"] : [];
  const model = header.model === BY_FINGERPRINT
    ? await models.byFingerprint(header.fingerprint, uses)
    : await models.byNumber(header.model, uses);
  requireMode(model, mode);
  return { width, height, pixels: decodePayload(engine, model, header, payload, options.maxPixels) };
}

/** Decode a bare stream: {width, height, pixels}. Both ends agree on the options. */
export async function decodeBare(stream, options = {}) {
  requireKnown(options, ["width", "height", "quality", "model", "checkBits", "maxPixels"]);
  const { width = TILE, height = TILE, quality = 50, model: name = DIGITS, checkBits = 8, maxPixels } = options;
  requireWithin("quality", quality, 1, QUALITY_MAX);
  requireWithin("checkBits", checkBits, 0, CHECK_BITS_MAX);
  requireLimit(maxPixels);
  requireWithin("width", width, 1, SIDE_MAX);
  requireWithin("height", height, 1, SIDE_MAX);
  requirePixels(LOSSY, width, height, maxPixels);
  const { engine, models } = await setUp();
  const model = await models.byName(name === AUTO ? DIGITS : name);
  requireMode(model, LOSSY);
  const header = { mode: LOSSY, width, height, quality, ...model.named };
  return { width, height, pixels: decodePayload(engine, model, header, asBytes(stream, "a stream"), maxPixels, checkBits) };
}

function decodePayload(engine, model, header, payload, maxPixels, checkBits) {
  const { mode, width, height } = header;
  if (maxPixels === undefined) requireModelLimit(model, mode, [[width, height]]);
  try {
    requireSizes(model, [[width, height]]);
    if (model.tiles) splitStreams(payload, streamsOf(tilesIn(width, height)));
    else requireStart(payload);
    return engine.decode(model, header, payload, checkBits);
  } catch (error) {
    throw error.constructor === FormatError ? new FormatError(`the file is damaged: ${error.message}`, { cause: error }) : error;
  }
}

/** Throw LimitError for images, [width, height] each, that take a model longer than is allowed by default; `perLane` share a lane. */
export function requireModelLimit(model, mode, sizes, perLane = 1) {
  if (model.grey && usesPixelModel(mode)) requireFewSteps(model, sizes, perLane);
  const largest = Math.max(...sizes.map(([width, height]) => width * height));
  if (mode === LOSSY && model.grey && largest > GREY_PIXELS_MAX) {
    const time = `the model ${model.name} takes some seconds for ${GREY_PIXELS_MAX} pixels`;
    throw new LimitError(`${time}, and an image has ${largest}. maxPixels allows more`);
  }
  if (!model.tileLimits) return;
  const sum = (measure) => sizes.reduce((total, size) => total + measure(...size), 0);
  const tiles = mode === LOSSY ? sum(tilesIn) : Math.floor(sum((width, height) => width * height) / TILE ** 2);
  const limit = model.tileLimits[mode];
  if (tiles > limit) {
    throw new LimitError(`the model ${model.name} is too large for ${tiles} tiles: ${limit} take it some seconds. maxPixels allows more`);
  }
}

function requireFewSteps(model, sizes, perLane) {
  const steps = sizes.map((size) => stepsOf(...size));
  const ofLanes = [];
  for (let first = 0; first < steps.length; first += perLane) {
    ofLanes.push(steps.slice(first, first + perLane).reduce((sum, count) => sum + count, 0));
  }
  const limits = [["an image needs", steps, GREY_STEPS_MAX], ["images of a lane need", ofLanes, GREY_LANE_STEPS_MAX]];
  for (const [who, counts, limit] of limits) {
    const most = Math.max(...counts);
    if (most > limit) {
      const time = `the model ${model.name} takes some seconds for ${limit} steps (width + 3 * height)`;
      throw new LimitError(`${time}, and ${who} ${most}. maxPixels allows more`);
    }
  }
}

export function streamsOf(tiles) {
  return Math.ceil(tiles / TILES_PER_STREAM);
}

/** The streams of a payload, each of which begins with a possible state. */
export function splitStreams(payload, count) {
  if (count > payload.length) throw new FormatError(`the file is cut short: ${payload.length} bytes cannot hold ${count} streams`);
  const reader = new Reader(payload);
  const lengths = [];
  for (let k = 1; k < count; k++) lengths.push(reader.varint("the length of a stream", payload.length));
  const start = reader.offset;
  const streams = lengths.map((length) => reader.take(length, "a stream"));
  streams.push(payload.subarray(reader.offset));
  const shortest = lengths.flatMap(varint);
  if (!equalBytes(shortest, payload.subarray(0, start))) {
    throw new FormatError("the lengths of the streams are damaged: they are not in their shortest form");
  }
  streams.forEach(requireStart);
  return streams;
}

export function requireStart(stream) {
  if (!stream.length || !stream[0]) throw new FormatError("a coded stream is empty or begins with an impossible state");
}

/**
 * What a file says of itself, and which bytes do what: [start, end) of `header` and `stream`, and of `check` where it has bytes of its
 * own, as in stored files. Elsewhere the check lies within the state of the streams and costs `checkBits` bits or more of each.
 */
export function info(data) {
  const file = asBytes(data);
  const header = parseHeader(file);
  const { mode, width, height, quality = null, maxError = null } = header;
  const start = header.bytes.length;
  const end = mode === STORED ? Math.max(start, file.length - 2) : file.length;
  const ranges = { header: [0, start], stream: [start, end], check: mode === STORED ? [end, file.length] : null };
  const shipped = SHIPPED.find((model) => model.number === header.model);
  const model = mode === STORED ? null : header.fingerprint ?? shipped?.name ?? `number ${header.model}`;
  const method = mode === STORED ? METHODS[header.method] : null;
  return { mode: MODES[mode], model, method, quality, maxError, width, height, bytes: file.length, ranges, checkBits: CHECK_BITS_MIN };
}
