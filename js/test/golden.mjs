/**
 * The golden files, faulty files and inputs of fuzzing, for any platform. Each function returns what went wrong, as texts.
 *
 * `read` gives the bytes of a file of tests/ by its path, and `names` the files of its folders.
 */
import * as mnistzip from "../mnistzip.js";
import { crc32 } from "../lib/crc32.js";

const { Archive, MnistzipError, decode, decodeBare, encode, encodeBare } = mnistzip;

async function readJson(read, path) {
  return JSON.parse(new TextDecoder().decode(await read(path)));
}

/** Width, height and pixels of a PGM file. */
function parsePgm(bytes) {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 40));
  const [head, width, height] = /^P5\s+(\d+)\s+(\d+)\s+255\s/.exec(text);
  return { width: Number(width), height: Number(height), pixels: bytes.subarray(head.length) };
}

function difference(name, image, expected) {
  const same = image.width === expected.width && image.height === expected.height
    && image.pixels.length === expected.pixels.length && image.pixels.every((grey, k) => grey === expected.pixels[k]);
  return same ? [] : [`${name}: other pixels`];
}

/** What an action does wrong that must throw an error of mnistzip. */
async function faults(name, { error, says }, action) {
  try {
    await action();
  } catch (caught) {
    if (!(caught instanceof MnistzipError)) return [`${name}: ${caught.stack}`];
    const expected = caught.name === error && caught.message.includes(says);
    return expected ? [] : [`${name}: ${caught.name}: ${caught.message}, not ${error}: ${says}`];
  }
  return [`${name}: no error`];
}

export async function checkFiles(read, names) {
  const wrong = [];
  for (const folder of ["valid", "own"]) {
    for (const file of names[`vectors/${folder}`].filter((name) => name.endsWith(".cae"))) {
      const expected = parsePgm(await read(`vectors/${folder}/${file.replace(".cae", ".pgm")}`));
      wrong.push(...difference(file, await decode(await read(`vectors/${folder}/${file}`)), expected));
    }
  }
  return wrong;
}

export async function checkBareStreams(read) {
  const wrong = [];
  for (const [name, agreed] of Object.entries(await readJson(read, "vectors/bare/agreed.json"))) {
    const { quality, check_bits: checkBits, model = "mnist", shape: [height, width] } = agreed;
    const expected = parsePgm(await read(`vectors/bare/${name}.pgm`));
    const options = { quality, checkBits, model, width, height };
    wrong.push(...difference(name, await decodeBare(await read(`vectors/bare/${name}.bare`), options), expected));
  }
  return wrong;
}

export async function checkFaults(read) {
  const wrong = [];
  for (const [name, expected] of Object.entries(await readJson(read, "vectors/invalid/expected.json"))) {
    const file = await read(`vectors/invalid/${name}.cae`);
    wrong.push(...(await faults(name, expected, () => decode(file))));
  }
  return wrong;
}

async function readAll(archive) {
  const images = [];
  for await (const image of archive) images.push(image);
  return { images, names: await archive.names(), labels: await archive.labels() };
}

export async function checkArchives(read) {
  const wrong = [];
  for (const [name, expected] of Object.entries(await readJson(read, "vectors/archive/expected.json"))) {
    const archive = await Archive.open(await read(`vectors/archive/${name}.cae`));
    const { images, names, labels } = await readAll(archive);
    const oneByOne = [];
    for (let k = 0; k < archive.count; k++) oneByOne.push(await archive.read(k));
    for (const some of [images, oneByOne]) {
      const found = some.map(({ width, height, pixels }) => [width, height, crc32(pixels)]).join();
      if (found !== expected.sizes.map((size, k) => [...size, expected.crc32[k]]).join()) wrong.push(`${name}: other images`);
    }
    const rounded = labels && labels.map(Number); // as JSON has them
    if (JSON.stringify([names, rounded]) !== JSON.stringify([expected.names, expected.labels])) {
      wrong.push(`${name}: other names or labels`);
    }
  }
  return wrong;
}

export async function checkFaultsOfArchives(read) {
  const wrong = [];
  for (const [name, expected] of Object.entries(await readJson(read, "vectors/invalid-archive/expected.json"))) {
    const file = await read(`vectors/invalid-archive/${name}.cae`);
    wrong.push(...(await faults(name, expected, async () => readAll(await Archive.open(file)))));
  }
  return wrong;
}

/** Whatever comes in, the only errors are those of mnistzip, and the engine still works afterwards. */
export async function checkFuzzCorpus(read, names) {
  const wrong = [];
  const maxPixels = 4096;
  const attempt = async (name, action) => {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof MnistzipError)) wrong.push(`${name}: ${error.stack}`);
    }
  };
  for (const name of names["fuzz/corpus/single"]) {
    const file = await read(`fuzz/corpus/single/${name}`);
    await attempt(name, () => decode(file, { maxPixels }));
    await attempt(name, () => mnistzip.info(file));
  }
  for (const name of names["fuzz/corpus/archive"]) {
    const file = await read(`fuzz/corpus/archive/${name}`);
    await attempt(name, async () => readAll(await Archive.open(file, { maxPixels })));
  }
  for (const name of names["fuzz/corpus/bare"]) {
    const file = await read(`fuzz/corpus/bare/${name}`);
    const [quality = 0, bits = 0, width = 0, height = 0] = file;
    const options = { quality: quality % 100 + 1, checkBits: bits % 24, width: width % 60 + 1, height: height % 60 + 1, maxPixels };
    await attempt(name, () => decodeBare(file.subarray(4), options));
  }
  for (const name of names["fuzz/corpus/model"]) {
    const file = await read(`fuzz/corpus/model/${name}`);
    await attempt(name, () => mnistzip.addModel(file));
  }
  return [...wrong, ...(await checkBareStreams(read))];
}

/** Encoders write Python's bytes. `cases` are {name, pixels (hex), width, height, options, bare, file (hex)}. */
export async function checkEncodings(cases) {
  const wrong = [];
  const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  for (const { name, pixels, width, height, options, bare, file } of cases) {
    const grey = Uint8Array.from(pixels.match(/../g), (digits) => parseInt(digits, 16));
    const bytes = await (bare ? encodeBare : encode)(grey, width, height, options);
    const made = toHex(bytes);
    const stored = !bare && file.startsWith("cae1") && (parseInt(file.slice(4, 6), 16) & 0xb0) === 0xa0; // the platform deflates
    if (stored && mnistzip.info(bytes).mode === "stored") wrong.push(...difference(name, await decode(bytes), { width, height, pixels: grey }));
    else if (made !== file) wrong.push(`${name} ${JSON.stringify(options)}: ${made}, not ${file}`);
    if (bare) continue;
    const image = await decode(await encode(grey, width, height, { ...options, lossless: true, maxError: undefined }));
    wrong.push(...difference(`${name} without loss`, image, { width, height, pixels: grey }));
  }
  return wrong;
}
