/** What the controls say, as options of mnistzip, and as a command line. */

const CANDIDATES = ["mnist", "glyph", "grey"]; // of the choice "auto"
const DEFAULT_QUALITY = 50;
const DEFAULT_EFFORT = 3;
const DIGIT_SIDE = 28;

/** The models whose packed files are in the page. */
export function modelsOf(files) {
  return Object.keys(files).filter((name) => /^[^.]+\.model$/.test(name)).map((name) => name.replace(".model", ""));
}

/** Whether the page can choose as Python does. */
export function choosesLikePython(models) {
  return CANDIDATES.every((name) => models.includes(name));
}

/** The model for a picture: the one that the user chose, or else a simple rule where the page cannot choose as Python does. */
export function modelFor({ width, height }, { model, keep }, models) {
  if (model !== "auto" || choosesLikePython(models)) return model;
  return keep === "quality" && (width !== DIGIT_SIDE || height !== DIGIT_SIDE) ? "grey" : "mnist-fast";
}

/** The options of encode for a picture. */
export function encodeOptions(picture, controls, models) {
  const { keep, quality, effort, maxError } = controls;
  const how = { quality: { quality }, lossless: { lossless: true }, bounded: { maxError } }[keep];
  return { model: modelFor(picture, controls, models), effort, ...how };
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
