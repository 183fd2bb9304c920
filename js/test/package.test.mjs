/** What a program may hand over, where models come from, and archives at addresses. */
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { createServer } from "node:http";
import { test } from "node:test";
import * as mnistzip from "../mnistzip.js";
import { deflateRawSync, gunzipSync, gzipSync } from "node:zlib";
import { crc32 } from "../lib/crc32.js";
import { requireModelLimit } from "../lib/decode.js";
import { inflate } from "../lib/inflate.js";
import { BOUNDED, LOSSLESS, LOSSY } from "../lib/limits.js";
import { read } from "./setup.mjs";

const { Archive, decode, decodeBare, encode, encodeBare, info } = mnistzip;
const digit = async () => decode(await read("vectors/valid/mnist-q50.cae"));

test("info tells what the bytes of a file are", async () => {
  const file = await read("vectors/valid/mnist-q50.cae");
  assert.deepEqual(info(file), {
    mode: "lossy", model: "mnist", method: null, quality: 50, maxError: null, width: 28, height: 28, bytes: 19,
    ranges: { header: [0, 3], stream: [3, 19], check: null }, checkBits: 16,
  });
  const stored = await read("vectors/valid/stored-up.cae");
  const { ranges, method } = info(stored);
  assert.equal(method, "up");
  assert.deepEqual(ranges.check, [stored.length - 2, stored.length]);
  assert.deepEqual([ranges.header[1], ranges.stream[1]], [ranges.stream[0], ranges.check[0]]);
});

test("files and streams come back, from every kind of bytes", async () => {
  const { pixels } = await digit();
  const file = await encode(new Uint8ClampedArray(pixels), 28, 28, { model: "mnist-fast", effort: 0 });
  const image = await decode(file);
  for (const bytes of [file.buffer, new DataView(file.buffer), Buffer.from(file)]) assert.deepEqual(await decode(bytes), image);
  const stream = await encodeBare(pixels, 28, 28, { quality: 20, checkBits: 4 });
  assert.ok(stream.length < file.length);
  const there = await decodeBare(stream, { quality: 20, checkBits: 4 });
  assert.equal(there.pixels.length, 784);
  await assert.rejects(decodeBare(stream, { quality: 21, checkBits: 16 }), mnistzip.FormatError);
});

test("a lossless file keeps every pixel, a bounded one every pixel within its bound", async () => {
  const { pixels } = await digit();
  assert.deepEqual((await decode(await encode(pixels, 28, 28, { lossless: true }))).pixels, pixels);
  const near = (await decode(await encode(pixels, 28, 28, { maxError: 5 }))).pixels;
  const largest = Math.max(...pixels.map((grey, k) => Math.abs(grey - near[k])));
  assert.ok(largest > 0 && largest <= 5);
});

test("calls at the same time do not disturb each other", async () => {
  const { pixels } = await digit();
  const options = ["mnist", "glyph", "mnist-fast", "grey"].flatMap((model) => [0, 3].map((effort) => ({ model, effort })));
  const alone = [];
  for (const each of options) alone.push(await encode(pixels, 28, 28, each));
  assert.deepEqual(await Promise.all(options.map((each) => encode(pixels, 28, 28, each))), alone);
});

test("wrong arguments are named", async () => {
  const pixels = new Uint8Array(784);
  const { ImageError, LimitError, ModelError, OptionError } = mnistzip;
  const file = await encode(pixels, 28, 28);
  const rejected = [
    [() => encode(pixels, 28, 27), ImageError, "not the 756 of 28x27"],
    [() => encode(new Uint8Array(4 * 784), 28, 28), ImageError, "one grey level of the four"],
    [() => encode(Array.from(pixels), 28, 28), ImageError, "no Uint8Array"],
    [() => encode(pixels, 28.5, 28), ImageError, "width of the image is 28.5"],
    [() => encode(new Uint8Array(0), 0, 28), ImageError, "0x28"],
    [() => encode(pixels, 28, 28, { quality: 0 }), OptionError, "quality is 0"],
    [() => encode(pixels, 28, 28, { quality: "50" }), OptionError, "quality is 50"],
    [() => encode(pixels, 28, 28, { effort: 10 }), OptionError, "effort is 10"],
    [() => encode(pixels, 28, 28, { maxError: 65 }), OptionError, "maxError is 65"],
    [() => encode(pixels, 28, 28, { maxError: 1, lossless: true }), OptionError, "takes no maxError"],
    [() => encode(pixels, 28, 28, { lossless: 1 }), OptionError, "true or false"],
    [() => encode(pixels, 28, 28, { qualty: 1 }), OptionError, "no option qualty"],
    [() => encode(pixels, 28, 28, null), OptionError, "options"],
    [() => encode(pixels, 28, 28, { model: "mnst" }), ModelError, "no model mnst"],
    [() => encodeBare(pixels, 28, 28, { checkBits: 24 }), OptionError, "checkBits is 24"],
    [() => decode("abc"), OptionError, "given as string"],
    [() => decode(pixels, { maxPixels: 0 }), OptionError, "maxPixels is 0"],
    [() => decode(file, { maxPixels: 783 }), LimitError, "28x28 is more than the limit of 783"],
    [() => decodeBare(pixels, { width: 0 }), OptionError, "width is 0"],
    [() => decodeBare(pixels, { width: 65535, height: 65535 }), LimitError, "65535x65535"],
    [() => Archive.open(5), OptionError, "neither an address nor bytes"],
    [() => mnistzip.addModel(pixels), ModelError, "no packed model"],
  ];
  for (const [action, type, says] of rejected) {
    await assert.rejects(action, (error) => error.constructor === type && error.name === type.name && error.message.includes(says));
  }
  assert.throws(() => mnistzip.configure({ model: "x" }), OptionError);
});

test("damage anywhere is an error, never a trap or another picture", async () => {
  for (const name of ["mnist-q50", "grey-q50", "grey-lossless-digit", "grey-bounded-20x9", "lossless-glyph", "bounded-fast", "stored-up"]) {
    const file = await read(`vectors/valid/${name}.cae`);
    const { pixels } = await decode(file);
    for (let k = 0; k < 60; k++) {
      const damaged = file.slice(0, k % 3 ? file.length : 1 + k * 7 % file.length);
      damaged[k * 11 % damaged.length] ^= 1 << k % 8;
      const result = await decode(damaged, { maxPixels: 4096 }).catch((error) => error);
      if (!(result instanceof mnistzip.MnistzipError)) assert.fail(`${name}, damage ${k}: ${result.stack ?? "a picture"}`);
    }
    assert.deepEqual((await decode(file)).pixels, pixels);
  }
});

test("images that take grey too many steps without loss are refused by default", async () => {
  const { FormatError, LimitError } = mnistzip;
  const tall = Uint8Array.of(0xca, 0xe1, 0xd4, 5, 0xf8, 0x0a, 1, 2, 3, 4); // 5x1400, without loss, with the model 4
  assert.deepEqual([info(tall).mode, info(tall).model, info(tall).height], ["lossless", "grey", 1400]);
  await assert.rejects(decode(tall), (error) => error.constructor === LimitError && error.message.includes("an image needs 4205"));
  await assert.rejects(decode(tall, { maxPixels: 7000 }), FormatError);
  const grey = { name: "grey", grey: true };
  const sizes = new Array(10).fill([1, 1365]); // 4096 steps each
  for (const mode of [LOSSLESS, BOUNDED]) {
    requireModelLimit(grey, mode, sizes, 4);
    assert.throws(() => requireModelLimit(grey, mode, sizes, 5), /images of a lane need 20480/);
    requireModelLimit({ name: "mnist", grey: false }, mode, sizes, 5);
  }
  requireModelLimit(grey, LOSSY, sizes, 5);
});

test("lossy parts of archives name grey by its older fingerprint, other parts by the newer one", async () => {
  const [older, newer] = ["0321fae5ce869be1", "7314795c1427d0fb"];
  for (const [name, named, other] of [["grey", older, newer], ["grey-lossless", newer, older], ["grey-bounded", newer, older]]) {
    const content = await read(`vectors/archive/${name}.cae`);
    const group = content.slice(4);
    assert.equal(Buffer.from(group.subarray(16, 24)).toString("hex"), named);
    group.set(Buffer.from(other, "hex"), 16);
    const view = new DataView(group.buffer);
    view.setUint32(48, crc32(group.subarray(0, 48), group.subarray(52, 52 + view.getUint32(24, true))), true);
    const archive = await Archive.open(Uint8Array.of(...content.subarray(0, 4), ...group));
    await assert.rejects(archive.read(0), (error) => error.constructor === mnistzip.ModelError && error.message.endsWith(named));
  }
});

test("a file may name a shipped model by either of its fingerprints", async () => {
  const file = await read("vectors/valid/grey-q50.cae");
  const size = info(file).ranges.header[1];
  for (const prefix of ["0321fae5", "7314795c"]) {
    const fields = [0xca, 0xe1, file[2] | 15, ...Buffer.from(prefix, "hex"), ...file.subarray(3, size)];
    const renamed = Uint8Array.of(...fields, ...file.subarray(size)); // its check is that of another header
    assert.equal(info(renamed).model, prefix);
    await assert.rejects(decode(renamed), /does not match its check/);
  }
});

test("deflate streams of all kinds inflate, and must end where they should", () => {
  const raw = Uint8Array.from({ length: 3000 }, (_, k) => (k * k >> 5) % 97 * (k % 3));
  for (const options of [{ level: 9 }, { level: 0 }, { strategy: 4 }, { level: 1, windowBits: 9, memLevel: 1 }]) {
    const packed = deflateRawSync(raw, options);
    assert.deepEqual(inflate(packed, raw.length), raw);
    for (const wrong of [packed.subarray(0, -1), Buffer.concat([packed, packed.subarray(0, 1)])]) {
      assert.throws(() => inflate(wrong, raw.length), mnistzip.FormatError);
    }
    assert.throws(() => inflate(packed, raw.length - 2), /too many bytes/);
  }
});

/** A server of one file, which notes the ranges that it was asked for. */
async function serve(content, { ranges = true } = {}) {
  const asked = [];
  const server = createServer((request, response) => {
    const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
    asked.push(range ? Number(range[2]) - Number(range[1]) + 1 : content.length);
    if (request.url !== "/images.cae") return response.writeHead(404).end();
    if (!range || !ranges) return response.end(content);
    const [start, end] = [Number(range[1]), Math.min(Number(range[2]), content.length - 1)];
    response.writeHead(206, { "Content-Range": `bytes ${start}-${end}/${content.length}` }).end(content.subarray(start, end + 1));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { asked, server, address: `http://127.0.0.1:${server.address().port}/images.cae` };
}

test("an archive at an address is read in parts", async () => {
  const content = await read("vectors/archive/grown.cae");
  const local = await Archive.open(content);
  const { asked, server, address } = await serve(content);
  try {
    const archive = await Archive.open(address);
    assert.equal(archive.count, local.count);
    assert.ok(asked.reduce((sum, count) => sum + count, 0) < content.length);
    assert.deepEqual(await archive.read(archive.count - 1), await local.read(local.count - 1));
    assert.deepEqual([archive.size, archive.imageSize, archive.origin], [local.size, local.imageSize, local.origin]);
    await assert.rejects(archive.read(archive.count), mnistzip.OptionError);
    await assert.rejects(Archive.open(address.replace("images", "other")), /404/);
  } finally {
    server.close();
  }
});

test("an archive on a server without ranges is read whole", async () => {
  const content = await read("vectors/archive/two.cae");
  const { asked, server, address } = await serve(content, { ranges: false });
  try {
    const archive = await Archive.open(address);
    assert.equal((await archive.read(1)).pixels.length, 784);
    assert.equal(asked.length, 1);
  } finally {
    server.close();
  }
});

test("a damaged packed model is refused", async () => {
  const folder = process.env.MNISTZIP_MODELS ? `${process.env.MNISTZIP_MODELS}/` : new URL("../models/", import.meta.url).pathname;
  const content = gunzipSync(await readFile(`${folder}own.model`));
  const end = content.indexOf(10);
  const stream = (await readdir(new URL("../../tests/vectors/own/", import.meta.url))).find((name) => name.endsWith(".cae"));
  const file = await read(`vectors/own/${stream}`);
  const changes = [
    (head) => { head.layout = 99; },
    (head) => { head.size = 2 ** 40; },
    (head) => { head.size = 64; },
    (head) => { head.arrays[3][0] = -64; },
    (head) => { head.arrays[3][3] = 2 ** 26; },
    (head) => { head.arrays[3][1] = 3; },
    (head) => { head.arrays[3][2] = 0; },
    (head) => { head.arrays[0] = [0, 4, 1, 4]; },
    (head) => { head.arrays = null; },
    (head) => { head.use = "other"; },
    (head) => { head.kind = "other"; },
    (head) => { head.kind = "bitmap"; },
    (head) => { head.fingerprint = "x"; },
  ];
  for (const change of changes) {
    const head = JSON.parse(content.subarray(0, end).toString());
    change(head);
    const packed = gzipSync(Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), content.subarray(end + 1)]));
    mnistzip.configure({});
    await assert.rejects(async () => {
      await mnistzip.addModel(packed);
      await decode(file);
    }, mnistzip.ModelError, change.toString());
  }
});

test("packed models of earlier versions, which name no kind, still work", async () => {
  const folder = process.env.MNISTZIP_MODELS ? `${process.env.MNISTZIP_MODELS}/` : new URL("../models/", import.meta.url).pathname;
  for (const [name, file] of [["mnist-fast", "mnist-fast-q50"], ["grey", "grey-q50"]]) {
    const content = gunzipSync(await readFile(`${folder}${name}.model`));
    const end = content.indexOf(10);
    const { kind, ...older } = JSON.parse(content.subarray(0, end).toString());
    assert.ok(kind);
    const packed = gzipSync(Buffer.concat([Buffer.from(`${JSON.stringify(older)}\n`), content.subarray(end + 1)]));
    const expected = await decode(await read(`vectors/valid/${file}.cae`));
    mnistzip.configure({ models: async () => packed });
    assert.deepEqual(await decode(await read(`vectors/valid/${file}.cae`)), expected);
    mnistzip.configure({ models: new URL(`file://${folder}`) });
  }
});

test("digits without loss are coded as their bitmaps, and nothing else is", async () => {
  const { pixels } = await decode(await read("vectors/valid/lossless-digit.cae"));
  const { FormatError, ModelError } = mnistzip;
  const file = await encode(pixels, 28, 28, { lossless: true });
  assert.deepEqual([info(file).mode, info(file).model], ["lossless", "mnist-bitmap"]);
  assert.deepEqual((await decode(file)).pixels, pixels);
  assert.deepEqual(await encode(pixels, 28, 28, { lossless: true, model: "mnist-bitmap" }), file);
  const changed = pixels.map((grey, k) => (k === 400 ? grey ^ 64 : grey));
  for (const options of [{ lossless: true }, { lossless: true, model: "mnist-bitmap" }]) {
    const other = await encode(changed, 28, 28, options);
    assert.notEqual(info(other).model, "mnist-bitmap");
    assert.deepEqual((await decode(other)).pixels, changed);
  }
  const stream = file.subarray(3);
  const refused = [
    [() => encode(pixels, 28, 28, { model: "mnist-bitmap" }), ModelError, "without loss only"],
    [() => encodeBare(pixels, 28, 28, { model: "mnist-bitmap" }), ModelError, "without loss only"],
    [() => decodeBare(stream, { model: "mnist-bitmap" }), ModelError, "without loss only"],
    [() => decode(Uint8Array.of(0xca, 0xe1, 0x86, 50, ...stream)), ModelError, "without loss only"],
    [() => decode(Uint8Array.of(0xca, 0xe1, 0xb6, 4, ...stream)), ModelError, "without loss only"],
    [() => decode(Uint8Array.of(0xca, 0xe1, 0xd6, 29, 28, ...stream)), FormatError, "28x28 pixels only"],
    [() => decode(file.subarray(0, 3)), FormatError, "empty"],
    [() => decode(file.subarray(0, -1)), FormatError, "does not match its check"],
  ];
  for (const [action, type, says] of refused) {
    await assert.rejects(action, (error) => error.constructor === type && error.message.includes(says));
  }
});

test("models come from wherever a function takes them, and a failure says why", async () => {
  const asked = [];
  const file = await read("vectors/valid/mnist-fast-q50.cae");
  const folder = process.env.MNISTZIP_MODELS ? `${process.env.MNISTZIP_MODELS}/` : new URL("../models/", import.meta.url).pathname;
  mnistzip.configure({
    wasm: await readFile(new URL("../mnistzip.wasm", import.meta.url)),
    models: async (name) => {
      asked.push(name);
      return readFile(folder + name);
    },
  });
  await decode(file);
  assert.deepEqual(asked, ["mnist-fast.model"]);
  mnistzip.configure({ models: async (name) => Promise.reject(new Error(`no ${name}`)) });
  await assert.rejects(decode(file), (error) => error.name === "ModelError" && error.message.includes("no mnist-fast.model"));
  mnistzip.configure({ models: async () => readFile(`${folder}glyph.model`) });
  await assert.rejects(decode(file), /another model/);
  const packed = await readFile(`${folder}mnist-fast.model`);
  mnistzip.configure({ models: async () => packed.subarray(0, 1000) });
  await assert.rejects(decode(file), mnistzip.ModelError);
});
