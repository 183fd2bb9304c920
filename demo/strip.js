/** WebP and JPEG files without the colour profile that some browsers add: it takes 470 bytes, and grey pictures do not need it. */

/** The shortest form of a file that shows the same picture; other types stay as they are. */
export async function stripped(blob) {
  const strip = { "image/webp": stripWebp, "image/jpeg": stripJpeg }[blob.type];
  if (!strip) return blob;
  const pieces = strip(new Uint8Array(await blob.arrayBuffer()));
  return pieces ? new Blob(pieces, { type: blob.type }) : blob;
}

/** The pieces of a WebP file of the simple form, which has one chunk; null if there is more to the picture than that. */
function stripWebp(bytes) {
  const view = new DataView(bytes.buffer);
  const chunks = [];
  for (let at = 12; at + 8 <= bytes.length;) {
    const end = at + 8 + view.getUint32(at + 4, true);
    chunks.push({ type: String.fromCharCode(...bytes.subarray(at, at + 4)), bytes: bytes.subarray(at, end + end % 2) });
    at = end + end % 2;
  }
  const needed = chunks.filter(({ type }) => !["VP8X", "ICCP", "EXIF", "XMP "].includes(type));
  if (needed.length !== 1) return null;
  const head = bytes.slice(0, 12);
  new DataView(head.buffer).setUint32(4, 4 + needed[0].bytes.length, true);
  return [head, needed[0].bytes];
}

/** The pieces of a JPEG file without its application segments but the first. */
function stripJpeg(bytes) {
  const pieces = [bytes.subarray(0, 2)];
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at + 1] !== 0xda) {
    const end = at + 2 + (bytes[at + 2] << 8 | bytes[at + 3]);
    const marker = bytes[at + 1];
    if (marker <= 0xe0 || marker > 0xef) pieces.push(bytes.subarray(at, end));
    at = end;
  }
  pieces.push(bytes.subarray(at));
  return pieces;
}
