/** CRC-32 of FORMAT.md, section 5. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** The CRC-32 of pieces of bytes in order. */
export function crc32(...pieces) {
  let crc = 0xffffffff;
  for (const piece of pieces) {
    for (let k = 0; k < piece.length; k++) crc = TABLE[(crc ^ piece[k]) & 255] ^ (crc >>> 8);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** A number of 32 bits as bytes, low byte first. */
export function bytesOf32(value) {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

/** Whether two bytes are the low 16 bits of the CRC-32 of pieces, high byte first. */
export function matchesCheck16(check, ...pieces) {
  const crc = crc32(...pieces);
  return check[0] === (crc >>> 8 & 255) && check[1] === (crc & 255);
}
