/** A PNG of 8-bit grey. Browsers write colours, which takes more bytes. */
import { crc32 } from "../js/lib/crc32.js";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const [NONE, UP] = [0, 2]; // filters

/** The smaller one of the PNGs without a filter and with the filter Up, as a Blob. */
export async function greyPng(picture) {
  const [plain, up] = await Promise.all([NONE, UP].map((filter) => zlib(filtered(picture, filter))));
  const { width, height } = picture;
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head[8] = 8; // bits of a pixel; the other fields are 0: grey, deflate, not interlaced
  const body = plain.length <= up.length ? plain : up;
  const pieces = [Uint8Array.from(SIGNATURE), chunk("IHDR", head), chunk("IDAT", body), chunk("IEND", new Uint8Array(0))];
  return new Blob(pieces, { type: "image/png" });
}

/** Each row with the number of its filter before it. */
function filtered({ width, height, pixels }, filter) {
  const rows = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y++) {
    rows[y * (width + 1)] = filter;
    for (let x = 0; x < width; x++) {
      const above = filter === UP && y ? pixels[(y - 1) * width + x] : 0;
      rows[y * (width + 1) + 1 + x] = pixels[y * width + x] - above;
    }
  }
  return rows;
}

async function zlib(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(type, content) {
  const bytes = new Uint8Array(12 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(content, 8);
  view.setUint32(8 + content.length, crc32(bytes.subarray(4, 8 + content.length)));
  return bytes;
}
