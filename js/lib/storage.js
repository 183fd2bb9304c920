/** Where the bytes of an archive come from: an address that is read by HTTP ranges, or bytes that are there. */
import { FormatError, OptionError, asBytes } from "./errors.js";

/** {size, read(offset, size) -> promise of bytes} of an address, bytes, a Blob, or such an object itself. */
export async function openStorage(source) {
  if (typeof source === "string" || source instanceof URL) return openAddress(new URL(source, globalThis.location?.href));
  if (typeof Blob !== "undefined" && source instanceof Blob) {
    return { size: source.size, read: async (offset, size) => new Uint8Array(await source.slice(offset, offset + size).arrayBuffer()) };
  }
  if (source && typeof source.read === "function" && Number.isInteger(source.size)) return source;
  if (!(source instanceof ArrayBuffer || ArrayBuffer.isView(source))) {
    throw new OptionError("the archive is neither an address nor bytes nor a Blob nor an object with size and read");
  }
  return ofBytes(asBytes(source, "an archive"));
}

function ofBytes(bytes) {
  return { size: bytes.length, read: async (offset, size) => bytes.subarray(offset, offset + size) };
}

/** Read by ranges; a server that has none sends everything once. */
async function openAddress(url) {
  if (url.protocol === "file:" && globalThis.process?.versions?.node) {
    const { readFile } = await import("node:fs/promises");
    return ofBytes(asBytes(await readFile(url)));
  }
  const first = await request(url, 0, 4);
  if (first.status !== 206) return ofBytes(new Uint8Array(await first.arrayBuffer()));
  await first.arrayBuffer();
  const size = totalSize(first) ?? (await sizeByHead(url));
  return {
    size,
    async read(offset, count) {
      if (count === 0) return new Uint8Array(0);
      const response = await request(url, offset, count);
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (response.status === 206 && bytes.length === count) return bytes;
      if (response.status === 200 && bytes.length === size) return bytes.subarray(offset, offset + count);
      throw new FormatError(`${url.href} was cut short or replaced while it was read`);
    },
  };
}

async function request(url, offset, count) {
  const response = await fetch(url, { headers: { Range: `bytes=${offset}-${offset + count - 1}` } });
  if (!response.ok) throw new Error(`${url.href} cannot be read: ${response.status} ${response.statusText}`);
  return response;
}

/** The size of the whole, which other sites may hide from a page. */
function totalSize(response) {
  const total = response.headers.get("Content-Range")?.split("/")[1];
  return total && /^\d+$/.test(total) ? Number(total) : null;
}

async function sizeByHead(url) {
  const length = (await fetch(url, { method: "HEAD" })).headers.get("Content-Length");
  if (length === null) throw new Error(`${url.href} does not say how large it is`);
  return Number(length);
}
