/** What WebP, JPEG and PNG need for a picture, by the encoders of the browser. */
import { show, toGrey } from "./picture.js";
import { greyPng } from "./png.js";
import { stripped } from "./strip.js";

const QUALITY_MAX = 100;

/** {bytes, picture, quality, least} of the best quality of at most so many bytes, or else of the least quality; null if there is no encoder. */
export async function codeLossy(picture, type, room) {
  const canvas = document.createElement("canvas");
  show(canvas, picture);
  let best = await blobOf(canvas, type, 0);
  if (!best) return null;
  let quality = 0;
  const least = best.size > room;
  for (let low = 1, high = QUALITY_MAX; low <= high && !least;) {
    const middle = low + high >> 1;
    const blob = await blobOf(canvas, type, middle);
    if (blob.size <= room) [best, quality, low] = [blob, middle, middle + 1];
    else high = middle - 1;
  }
  return { bytes: best.size, picture: await readBack(best, picture), quality, least };
}

/** The smaller one of the browser's own PNG and a plain one of 8-bit grey, as {blob, bytes, picture}. */
export async function codePng(picture) {
  const canvas = document.createElement("canvas");
  show(canvas, picture);
  const [own, plain] = [await blobOf(canvas, "image/png", 0), await greyPng(picture)];
  const blob = own && own.size < plain.size ? own : plain;
  return { blob, bytes: blob.size, picture: await readBack(blob, picture) };
}

/** The blob of a type; null from browsers that write another one instead. */
async function blobOf(canvas, type, quality) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, quality / QUALITY_MAX));
  return blob?.type === type ? stripped(blob) : null;
}

async function readBack(blob, { width, height }) {
  const bitmap = await createImageBitmap(blob);
  const picture = toGrey(bitmap, width, height);
  bitmap.close();
  return picture;
}
