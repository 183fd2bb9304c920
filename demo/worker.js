/** The worker of the page: it codes, so that drawing never waits. Each message is {id, name, parameters}, each answer {id, result or error}. */
import { Archive, configure, decode, decodeBare, encode, encodeBare, info, isArchive } from "mnistzip";

const ARCHIVE_SHOWN = 24; // images
const QUALITY_MAX = 100;

const CALLS = {
  /** Take in the files of the page: the engine, and the packed models. */
  start(files) {
    const held = Object.keys(files).filter((name) => /^[^.]+\.model$/.test(name)).map((name) => name.replace(".model", ""));
    configure({
      wasm: files["mnistzip.wasm"],
      models(name) {
        if (files[name]) return files[name];
        throw new Error(`this page holds only ${held.join(" and ")}. The command "mnistzip demo --all-models" writes a page with all models`);
      },
    });
  },

  /** A picture as a file, and what the file keeps of it. */
  async code({ pixels, width, height }, options) {
    const file = await encode(pixels, width, height, options);
    return { file, info: info(file), picture: await decode(file) };
  },

  /** The same as a bare stream. */
  bare({ pixels, width, height }, options) {
    return encodeBare(pixels, width, height, options);
  },

  /** The bare stream of the best quality, found by halving, that fits into so many bytes; {least}, the bytes at quality 1, if none does. */
  async packet({ pixels, width, height }, options, room) {
    const streamAt = (quality) => encodeBare(pixels, width, height, { ...options, quality });
    let [quality, stream] = [1, await streamAt(1)];
    if (stream.length > room) return { least: stream.length };
    for (let above = QUALITY_MAX + 1; quality + 1 < above;) {
      const middle = quality + above >> 1;
      const longer = await streamAt(middle);
      if (longer.length <= room) [quality, stream] = [middle, longer];
      else above = middle;
    }
    return { quality, stream, picture: await decodeBare(stream, { model: options.model, quality, width, height }) };
  },

  /** A file, or the first images of an archive. */
  async open(file) {
    if (!isArchive(file)) return { info: info(file), picture: await decode(file) };
    const archive = await Archive.open(file);
    const count = Math.min(archive.count, ARCHIVE_SHOWN);
    const pictures = [];
    for (let number = 0; number < count; number++) pictures.push(await archive.read(number));
    return { archive: { count: archive.count, bytes: archive.size, pictures } };
  },
};

onmessage = async ({ data: { id, name, parameters } }) => {
  try {
    postMessage({ id, result: await CALLS[name](...parameters) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
