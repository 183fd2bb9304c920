/** Labels and names of the images of a group: FORMAT.md, section 9.2. */
import { crc32 } from "./crc32.js";
import { FormatError } from "./errors.js";
import { inflate } from "./inflate.js";

const NAME_MAX = 4096; // bytes of UTF-8
const PART_MAX = 255; // between two slashes
const NAMES_MAX = 2 ** 22; // of the names of a group

/** The label of each image: a number, or a bigint where numbers are not exact. */
export function unpackLabels(section, images) {
  const raw = unpackSection(section, 1 + 8 * images, "the labels");
  const width = raw[0];
  if (![1, 2, 4, 8].includes(width) || raw.length !== 1 + width * images) {
    throw new FormatError("the labels are damaged: they are not one for each image");
  }
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const readers = {
    1: (at) => view.getInt8(at),
    2: (at) => view.getInt16(at, true),
    4: (at) => view.getInt32(at, true),
    8: (at) => view.getBigInt64(at, true),
  };
  const labels = Array.from({ length: images }, (_, k) => readers[width](1 + k * width));
  const needed = [1, 2, 4, 8].find((size) => {
    const end = 2n ** BigInt(8 * size - 1);
    return labels.every((label) => -end <= label && label < end);
  });
  if (needed !== width) throw new FormatError("the labels are damaged: they are not in as few bytes as possible");
  return labels.map((label) => (Number.isSafeInteger(Number(label)) ? Number(label) : label));
}

/** The name of each image, a path or empty. */
export function unpackNames(section, images) {
  const raw = unpackSection(section, Math.min(NAMES_MAX, images * (NAME_MAX + 1)), "the names");
  let names;
  try {
    names = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw).split("\0");
  } catch (cause) {
    throw new FormatError("the names are damaged: they are not text in UTF-8", { cause });
  }
  if (names.pop() !== "" || names.length !== images) throw new FormatError(`the names are damaged: they are not ${images}`);
  for (const name of names) {
    const reason = faultOf(name);
    if (reason) throw new FormatError(`the name ${JSON.stringify(name.slice(0, 60))} ${reason}: the file is damaged or malicious`);
  }
  return names;
}

/** Why a name is not allowed, or null. */
function faultOf(name) {
  if (!name) return null;
  const parts = name.split("/");
  const bytes = parts.map((part) => new TextEncoder().encode(part).length);
  if (new TextEncoder().encode(name).length > NAME_MAX || Math.max(...bytes) > PART_MAX) {
    return `is longer than ${NAME_MAX} bytes, or a part of it than ${PART_MAX}`;
  }
  if (/[\x00-\x1f\x7f\\]/.test(name)) return "has a control character or a backslash";
  if (/^(\/|[A-Za-z]:)/.test(name)) return "is absolute";
  if (parts.some((part) => part === "" || part === "." || part === "..")) return "has an empty part, . or ..";
  return null;
}

/** The content of labels or names, which are a check and a deflate stream. */
function unpackSection(section, limit, what) {
  let raw;
  try {
    raw = inflate(section.subarray(4), limit);
  } catch (cause) {
    throw new FormatError(`${what} are damaged: ${cause.message}`, { cause });
  }
  const check = new DataView(section.buffer, section.byteOffset, section.byteLength).getUint32(0, true);
  if (raw.length > limit || crc32(raw) !== check) throw new FormatError(`${what} are damaged: they do not match their check`);
  return raw;
}
