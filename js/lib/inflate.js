/**
 * Deflate streams, RFC 1951. The platform's own streams differ in what they do with bytes behind the end, which a file must not
 * have, so inflating is done here. Deflating and gzip are left to the platform.
 */
import { FormatError, asBytes } from "./errors.js";
import { concat } from "./reader.js";

const BITS_MAX = 15;
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Base values and numbers of extra bits of the symbols for lengths and for distances. */
function series(start, symbols, repeats, plain) {
  const base = [];
  const extra = [];
  for (let k = 0, value = start; k < symbols; k++) {
    const bits = k < plain ? 0 : Math.floor((k - plain) / repeats) + 1;
    base.push(value);
    extra.push(bits);
    value += 2 ** bits;
  }
  return { base, extra };
}
const LENGTHS = series(3, 28, 4, 8);
LENGTHS.base.push(258);
LENGTHS.extra.push(0);
const DISTANCES = series(1, 30, 2, 4);

/** A canonical Huffman code: how many symbols have each length, and the symbols in order. */
function codeOf(lengths) {
  const count = new Uint16Array(BITS_MAX + 1);
  for (const length of lengths) count[length]++;
  count[0] = 0;
  const next = new Uint16Array(BITS_MAX + 2);
  let left = 1; // codes of a length that are not taken
  for (let bits = 1; bits <= BITS_MAX; bits++) {
    next[bits + 1] = next[bits] + count[bits];
    left = 2 * left - count[bits];
    if (left < 0) throw new FormatError("a code has too many symbols");
  }
  const symbols = new Uint16Array(lengths.length);
  lengths.forEach((length, symbol) => {
    if (length) symbols[next[length]++] = symbol;
  });
  return { count, symbols, complete: left === 0, used: next[BITS_MAX + 1] };
}
const FIXED = [
  codeOf(Array.from({ length: 288 }, (_, k) => (k < 144 ? 8 : k < 256 ? 9 : k < 280 ? 7 : 8))),
  codeOf(new Array(30).fill(5)),
];

class BitReader {
  #data;
  #bits = 0;
  #held = 0;

  constructor(data) {
    this.#data = data;
    this.offset = 0;
  }

  take(count) {
    while (this.#held < count) {
      if (this.offset >= this.#data.length) throw new FormatError("it is cut short");
      this.#bits |= this.#data[this.offset++] << this.#held;
      this.#held += 8;
    }
    const value = this.#bits & ((1 << count) - 1);
    this.#bits >>>= count;
    this.#held -= count;
    return value;
  }

  symbol({ count, symbols }) {
    for (let bits = 1, code = 0, first = 0, index = 0; bits <= BITS_MAX; bits++) {
      code |= this.take(1);
      if (code - first < count[bits]) return symbols[index + code - first];
      index += count[bits];
      first = (first + count[bits]) << 1;
      code <<= 1;
    }
    throw new FormatError("a code is invalid");
  }

  /** Bytes as they are, from the next whole byte on. */
  bytes(count) {
    this.#bits = this.#held = 0; // fewer than 8 bits are held
    if (this.offset + count > this.#data.length) throw new FormatError("it is cut short");
    this.offset += count;
    return this.#data.subarray(this.offset - count, this.offset);
  }
}

function dynamicCodes(reader) {
  const literals = reader.take(5) + 257;
  const distances = reader.take(5) + 1;
  const codes = reader.take(4) + 4;
  if (literals > 286 || distances > 30) throw new FormatError("a code has too many symbols");
  const ofLengths = new Array(19).fill(0);
  for (let k = 0; k < codes; k++) ofLengths[CODE_LENGTH_ORDER[k]] = reader.take(3);
  const lengthCode = codeOf(ofLengths);
  if (!lengthCode.complete) throw new FormatError("a code is incomplete");
  const lengths = [];
  while (lengths.length < literals + distances) {
    const symbol = reader.symbol(lengthCode);
    if (symbol < 16) {
      lengths.push(symbol);
      continue;
    }
    if (symbol === 16 && lengths.length === 0) throw new FormatError("a code repeats nothing");
    const length = symbol === 16 ? lengths.at(-1) : 0;
    const times = symbol === 16 ? 3 + reader.take(2) : symbol === 17 ? 3 + reader.take(3) : 11 + reader.take(7);
    for (let k = 0; k < times; k++) lengths.push(length);
  }
  if (lengths.length > literals + distances || !lengths[256]) throw new FormatError("the lengths of a code are invalid");
  const result = [codeOf(lengths.slice(0, literals)), codeOf(lengths.slice(literals))];
  for (const code of result) if (!code.complete && code.used > 1) throw new FormatError("a code is incomplete");
  return result;
}

/** The blocks of a stream into `out`. Returns how many bytes they have; more than `out` has room for are an error. */
function inflateInto(packed, out) {
  const reader = new BitReader(packed);
  let size = 0;
  const put = (byte) => {
    if (size === out.length) throw new FormatError("it has too many bytes");
    out[size++] = byte;
  };
  for (let last = 0; !last;) {
    last = reader.take(1);
    const kind = reader.take(2);
    if (kind === 3) throw new FormatError("the kind of a block is invalid");
    if (kind === 0) {
      const [a, b, c, d] = reader.bytes(4);
      if ((a ^ c) !== 255 || (b ^ d) !== 255) throw new FormatError("the length of a block is invalid");
      reader.bytes(a | b << 8).forEach(put);
      continue;
    }
    const [literals, distances] = kind === 1 ? FIXED : dynamicCodes(reader);
    for (let symbol; (symbol = reader.symbol(literals)) !== 256;) {
      if (symbol < 256) {
        put(symbol);
        continue;
      }
      const row = symbol - 257;
      if (row >= LENGTHS.base.length) throw new FormatError("a length is invalid");
      const length = LENGTHS.base[row] + reader.take(LENGTHS.extra[row]);
      const column = reader.symbol(distances);
      const distance = DISTANCES.base[column] + reader.take(DISTANCES.extra[column]);
      if (distance > size) throw new FormatError("a distance is invalid");
      for (let k = 0; k < length; k++) put(out[size - distance]);
    }
  }
  if (reader.offset !== packed.length) throw new FormatError("bytes follow its end");
  return size;
}

/** Inflate a raw deflate stream, which must end where the bytes end. One of more than `limit` + 1 bytes is refused. */
export function inflate(packed, limit) {
  const out = new Uint8Array(limit + 1);
  try {
    return out.subarray(0, inflateInto(packed, out));
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new FormatError(`the file is damaged: its deflated bytes do not end where they should, or are invalid (${cause.message})`);
  }
}

const zlib = globalThis.process?.getBuiltinModule?.("node:zlib");

/** A raw deflate stream by the platform: in Node with the settings of Python, which make it smaller. */
export async function deflate(raw) {
  if (!zlib) return through(new CompressionStream("deflate-raw"), raw);
  const log2 = (number) => 32 - Math.clz32(number); // of the power of two above
  const windowBits = Math.min(Math.max(log2(raw.length + 262), 9), 15);
  const memLevel = Math.min(Math.max(log2(raw.length - 1) - 6, 1), 9);
  return asBytes(zlib.deflateRawSync(raw, { level: 9, windowBits, memLevel }));
}

/** The content of a gzip stream, by the platform. */
export function gunzip(packed) {
  return through(new DecompressionStream("gzip"), packed);
}

async function through(transform, input) {
  const pieces = [];
  const reader = new Blob([input]).stream().pipeThrough(transform).getReader();
  for (let step = await reader.read(); !step.done; step = await reader.read()) pieces.push(step.value);
  return concat(pieces);
}
