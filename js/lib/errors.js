/** The errors of mnistzip. All derive from MnistzipError. They have the names and the meanings of those in Python. */

/** Base class of the errors that mnistzip throws on purpose. */
export class MnistzipError extends Error {}

/** The bytes are not a complete, undamaged mnistzip file. */
export class FormatError extends MnistzipError {}

/** The bytes use a feature that this version does not support; the file may be sound. */
export class UnsupportedError extends FormatError {}

/** A model is missing or damaged. */
export class ModelError extends MnistzipError {}

/** The input exceeds a limit. */
export class LimitError extends MnistzipError {}

/** The input is not an 8-bit greyscale image of a supported size. */
export class ImageError extends MnistzipError {}

/** An option has a value outside its range. */
export class OptionError extends MnistzipError {}

// Minifiers rename classes; these names stay.
for (const [name, type] of Object.entries({
  MnistzipError, FormatError, UnsupportedError, ModelError, LimitError, ImageError, OptionError,
})) {
  Object.defineProperty(type.prototype, "name", { value: name, writable: true, configurable: true });
}

/** Throw OptionError unless an option is a whole number in low..high. */
export function requireWithin(name, value, low, high) {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new OptionError(`${name} is ${String(value)}: give a whole number in ${low}..${high}`);
  }
}

/** Throw OptionError for options that do not exist. */
export function requireKnown(options, known) {
  if (options === null || typeof options !== "object") throw new OptionError("options are not an object");
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new OptionError(`no option ${unknown}: give ${known.join(", ")}`);
}

/** The bytes of an ArrayBuffer or of a view of one; OptionError for anything else. */
export function asBytes(data, what = "a file") {
  if (data?.constructor === Uint8Array) return data; // not a Buffer of Node, whose slice() copies nothing
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  throw new OptionError(`${what} is given as ${data === null ? "null" : typeof data}: give its bytes`);
}
