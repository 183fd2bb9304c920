/**
 * Digits per second in Node or a browser: encoding and decoding, one by one. In Node they are per second of processor time, in a browser,
 * and with MNISTZIP_CLOCK=wall in Node, per second that passes.
 *
 *     node js/benchmark.mjs [seconds of each measurement]
 *
 * measure(digits, seconds) does the same for a page. benchmark.py compares both with Python.
 */
import { decode, encode } from "./mnistzip.js";

export const SETTINGS = [
  { model: "mnist-fast", effort: 0 },
  { model: "mnist", effort: 0 },
  { model: "mnist", effort: 3 },
  { lossless: true },
];

const ofProcessor = globalThis.process && process.env.MNISTZIP_CLOCK !== "wall";
const seconds = ofProcessor ? () => process.cpuUsage().user / 1e6 : () => performance.now() / 1000;

/** Digits per second of `work` on one digit after the other, after a warm-up. */
async function rate(items, duration, work) {
  let start = 0;
  let count = 0;
  for (const warming of [true, false]) {
    start = seconds();
    for (count = 0; seconds() - start < (warming ? 0.5 : duration); count++) await work(items[count % items.length]);
  }
  return Math.round(count / (seconds() - start));
}

/** For each setting {encode, decode} in digits per second. digits: of 28x28 pixels each. */
export async function measure(digits, duration = 2) {
  const results = [];
  for (const options of SETTINGS) {
    const files = [];
    for (const digit of digits) files.push(await encode(digit, 28, 28, options));
    results.push({
      ...options,
      encode: await rate(digits, duration, (digit) => encode(digit, 28, 28, options)),
      decode: await rate(files, duration, (file) => decode(file)),
    });
  }
  return results;
}

if (globalThis.process?.argv[1] && import.meta.url.endsWith("/benchmark.mjs") && process.argv[1].endsWith("benchmark.mjs")) {
  const { readFile } = await import("node:fs/promises");
  const { gunzipSync } = await import("node:zlib");
  const idx = gunzipSync(await readFile(new URL("../tests/data/digits-idx3-ubyte.gz", import.meta.url))).subarray(16);
  const digits = Array.from({ length: idx.length / 784 }, (_, k) => Uint8Array.from(idx.subarray(784 * k, 784 * (k + 1))));
  console.log(JSON.stringify(await measure(digits, Number(process.argv[2] ?? 2))));
}
