/** mnistzip: a learned codec for small greyscale images. */

/** An image: width * height grey levels, 0 black to 255 white, row by row. */
export interface Image {
  width: number;
  height: number;
  pixels: Uint8Array;
}

/** The name of a model; that of one added by addModel, too. */
export type ModelName = "mnist" | "mnist-fast" | "mnist-micro" | "mnist-bitmap" | "glyph" | "grey" | "classic" | (string & {});

export interface DecodeOptions {
  /** Larger images are refused before memory is allocated. The default depends on how the file codes its image. */
  maxPixels?: number;
}

export interface EncodeOptions {
  /** "auto", the default, chooses a model, or no loss, for the image. */
  model?: "auto" | ModelName;
  /** 1 (smallest) to 100 (best); 50 by default. */
  quality?: number;
  /** 0 (fastest) to 9 (smallest); 3 by default. */
  effort?: number;
  /** Keep every pixel. */
  lossless?: boolean;
  /** Keep every pixel within so many grey levels, 1 to 64. Not with lossless. */
  maxError?: number;
}

export interface BareOptions {
  /** "mnist" by default. */
  model?: ModelName;
  /** 1 to 100; 50 by default. */
  quality?: number;
  /** Bits of the check, 0 to 23; 8 by default. */
  checkBits?: number;
}

/** What a file says of itself, and where its bytes are. */
export interface Info {
  mode: "lossy" | "lossless" | "stored" | "bounded";
  /** The name of the model or the first bytes of its fingerprint in hex; null if stored. */
  model: string | null;
  /** How a stored file holds its pixels, else null. */
  method: "raw" | "deflate" | "up" | "gradient" | null;
  quality: number | null;
  maxError: number | null;
  width: number;
  height: number;
  /** Size of the file. */
  bytes: number;
  /**
   * [start, end) of the header, of the coded stream, and of the check of a stored file. Elsewhere the check has no bytes of its own: it
   * is the state in which the decoder of each stream must end.
   */
  ranges: { header: [number, number]; stream: [number, number]; check: [number, number] | null };
  /** The fewest bits of the check of a stream. */
  checkBits: number;
}

type Bytes = ArrayBuffer | ArrayBufferView;
type Pixels = Uint8Array | Uint8ClampedArray;

/** Decode the bytes of a .cae file. */
export function decode(file: Bytes, options?: DecodeOptions): Promise<Image>;

/** Encode an image into the bytes of a .cae file: those that Python gives with the same options. */
export function encode(pixels: Pixels, width: number, height: number, options?: EncodeOptions): Promise<Uint8Array>;

/** Decode a bare stream, which has no header: both ends agree on the options. The size is 28x28 by default. */
export function decodeBare(
  stream: Bytes,
  options?: BareOptions & DecodeOptions & { width?: number; height?: number },
): Promise<Image>;

/** Encode an image into a bare stream. */
export function encodeBare(
  pixels: Pixels,
  width: number,
  height: number,
  options?: BareOptions & { effort?: number },
): Promise<Uint8Array>;

/** Describe a file by its header; nothing is decoded. */
export function info(file: Bytes): Info;

/** Whether bytes begin like an archive of many images. */
export function isArchive(file: Uint8Array): boolean;

/** What an archive can be read from, besides addresses, bytes and blobs. */
export interface Storage {
  size: number;
  read(offset: number, size: number): Promise<Uint8Array>;
}

/** An archive of images. Only what is asked for is read. */
export class Archive implements AsyncIterable<Image> {
  private constructor();
  /** Open an archive at an address, which is read by HTTP ranges, or in bytes. */
  static open(source: string | URL | Bytes | Blob | Storage, options?: DecodeOptions): Promise<Archive>;
  /** Number of images. */
  readonly count: number;
  /** Bytes of the file. */
  readonly size: number;
  /** Width and height of all images, or null if they differ. */
  readonly imageSize: { width: number; height: number } | null;
  readonly hasNames: boolean;
  readonly hasLabels: boolean;
  /** The kind of data that the images came from. */
  readonly origin: "none" | "idx" | "folder" | "npy" | "npz" | "parquet";
  /** An image by its number, from 0. */
  read(number: number): Promise<Image>;
  /** The name of every image, or null if they have none. */
  names(): Promise<string[] | null>;
  /** The label of every image, or null if they have none; a bigint where numbers are not exact. */
  labels(): Promise<(number | bigint)[] | null>;
  /** All images in order; the checks of whole groups are verified, too. */
  [Symbol.asyncIterator](): AsyncIterator<Image>;
}

export interface Sources {
  /** An address of mnistzip.wasm, its bytes, or a WebAssembly.Module. */
  wasm?: string | URL | ArrayBuffer | ArrayBufferView | WebAssembly.Module;
  /** An address of the folder of the packed models, or a function from the name of a file to its bytes. */
  models?: string | URL | ((file: string) => Bytes | Promise<Bytes>);
}

/** Say where engine and models come from; by default they lie next to this module. Call it before anything else. */
export function configure(sources: Sources): void;

/** Add a packed file of a model that does not ship; a model has up to three. Returns the name of the model. */
export function addModel(file: Bytes): Promise<string>;

/** Base class of the errors that mnistzip throws on purpose. */
export class MnistzipError extends Error {}
/** The bytes are not a complete, undamaged mnistzip file. */
export class FormatError extends MnistzipError {}
/** The bytes use a feature that this version does not support; the file may be sound. */
export class UnsupportedError extends FormatError {}
/** A model is missing or damaged. */
export class ModelError extends MnistzipError {}
/** The input exceeds a limit. */
export class LimitError extends MnistzipError {}
/** The input is not an 8-bit greyscale image of a supported size. */
export class ImageError extends MnistzipError {}
/** An option has a value outside its range. */
export class OptionError extends MnistzipError {}
