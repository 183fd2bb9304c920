/** Grey pictures, {width, height, pixels}: from canvases and files, onto canvases, and how far two are apart. */

export const SIDE_MAX = 256; // larger pictures are scaled down
export const DIGIT_SIDE = 28;

export function emptyPicture() {
  return { width: DIGIT_SIDE, height: DIGIT_SIDE, pixels: new Uint8Array(DIGIT_SIDE ** 2) };
}

/** Show a picture on a canvas of its size. */
export function show(canvas, { width, height, pixels }) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const rgba = new Uint8ClampedArray(4 * pixels.length).fill(255);
  pixels.forEach((grey, k) => rgba.fill(grey, 4 * k, 4 * k + 3));
  contextOf(canvas).putImageData(new ImageData(rgba, width, height), 0, 0);
}

/** What an image, a bitmap or a canvas shows, on white, as grey levels: the luma of ITU-R BT.601, as Pillow computes it. */
export function toGrey(source, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = contextOf(canvas);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  const rgba = context.getImageData(0, 0, width, height).data;
  const pixels = new Uint8Array(width * height);
  for (let k = 0; k < pixels.length; k++) {
    pixels[k] = rgba[4 * k] * 19595 + rgba[4 * k + 1] * 38470 + rgba[4 * k + 2] * 7471 + 0x8000 >> 16;
  }
  return { width, height, pixels };
}

function contextOf(canvas) {
  return canvas.getContext("2d", { willReadFrequently: true });
}

/** Any image that the browser opens, scaled down to at most SIDE_MAX pixels a side. */
export async function readImage(blob) {
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  try {
    await image.decode();
    const { naturalWidth: width, naturalHeight: height } = image;
    const scale = Math.min(1, SIDE_MAX / Math.max(width, height));
    if (!width || !height) throw new Error("the image has no size");
    return toGrey(image, Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  } catch (cause) {
    throw new Error("this browser cannot open it as an image", { cause });
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

/** Peak signal-to-noise ratio in dB; Infinity if the pictures are equal. */
export function psnr(one, other) {
  let sum = 0;
  for (let k = 0; k < one.pixels.length; k++) sum += (one.pixels[k] - other.pixels[k]) ** 2;
  return 10 * Math.log10(255 ** 2 * one.pixels.length / sum);
}
