/** mnistzip: a learned codec for small greyscale images. README.md shows how to use it, mnistzip.d.ts has the types. */
export { Archive } from "./lib/archive.js";
export { decode, decodeBare, info } from "./lib/decode.js";
export { encode, encodeBare } from "./lib/encode.js";
export {
  FormatError, ImageError, LimitError, MnistzipError, ModelError, OptionError, UnsupportedError,
} from "./lib/errors.js";
export { isArchive } from "./lib/header.js";
export { addModel, configure } from "./lib/setup.js";
