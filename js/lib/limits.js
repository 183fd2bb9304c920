/** Limits on input, as in codec/limits.py, and the numbers of modes. */

export const LOSSY = 0;
export const LOSSLESS = 1;
export const STORED = 2;
export const BOUNDED = 3;
export const MODES = ["lossy", "lossless", "stored", "bounded"];

export const TILE = 28;
export const SIDE_MAX = 65535;
export const PIXELS_MAX = 2 ** 26;
export const DECODED_PIXELS_MAX = [2 ** 23, 2 ** 18, PIXELS_MAX, 2 ** 18]; // by mode
export const GROUP_PIXELS_MAX = [2 ** 23, 2 ** 21, PIXELS_MAX, 2 ** 21];
export const GREY_PIXELS_MAX = 2 ** 20; // of a lossy image whose model codes it whole
export const GREY_STEPS_MAX = 2 ** 12; // of an image that a pixel model codes whole
export const GREY_LANE_STEPS_MAX = 2 ** 14; // of all images of a lane
export const ERROR_MAX = 64;
export const QUALITY_MAX = 100;
export const CHECK_BITS_MIN = 16;
export const CHECK_BITS_MAX = 23;

/** The steps in which a model of the kind grey codes an image without loss or within a bound. */
export function stepsOf(width, height) {
  return width + 3 * height;
}

/** How many tiles cover an image. */
export function tilesIn(width, height) {
  return Math.ceil(width / TILE) * Math.ceil(height / TILE);
}
