/** What the controls say, as options of mnistzip, and as a command line. */

const BITMAPS = "mnist-bitmap"; // codes without loss only
const CANDIDATES = ["mnist", "glyph", "grey", BITMAPS]; // of the choice "auto"
const DEFAULT_QUALITY = 50;
const DEFAULT_EFFORT = 3;
const DIGIT_SIDE = 28;

/** The models of the page, from the names of its files. */
export class Models {
  constructor(files) {
    const held = files.filter((name) => /^[^.]+\.model$/.test(name)).map((name) => name.replace(".model", ""));
    this.names = held.filter((name) => name !== BITMAPS);
    this.chooseLikePython = CANDIDATES.every((name) => held.includes(name));
  }

  /** The model for a picture: the one that the user chose, or else by a simple rule where the page cannot choose as Python does. */
  modelFor({ width, height }, { model }) {
    if (model !== "auto" || this.chooseLikePython) return model;
    return width === DIGIT_SIDE && height === DIGIT_SIDE ? "mnist-fast" : "grey";
  }

  /** The rule in words. */
  get rule() {
    if (this.chooseLikePython) return "Automatic: what costs least, as the command does.";
    return "Automatic: mnist-fast for 28×28 pixels, grey for the rest.";
  }
}

/** The options of encode. */
export function encodeOptions(model, { keep, quality, effort, maxError }) {
  const how = { quality: { quality }, lossless: { lossless: true }, bounded: { maxError } }[keep];
  return { model, effort, ...how };
}

/** The command that makes the same file of the picture `name`.png. */
export function commandLine(name, { model, quality, effort, lossless, maxError }) {
  const words = ["mnistzip", "compress", `${name}.png`, "-o", `${name}.cae`];
  if (quality !== undefined && quality !== DEFAULT_QUALITY) words.push("--quality", quality);
  if (lossless) words.push("--lossless");
  if (maxError !== undefined) words.push("--max-error", maxError);
  if (effort !== DEFAULT_EFFORT) words.push("--effort", effort);
  if (model !== "auto") words.push("--model", model);
  return words.join(" ");
}
