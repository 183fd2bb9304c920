/*
 * mnistzip: a learned codec for small greyscale images.
 *
 * This library computes what FORMAT.md specifies: the networks of a model, the probabilities, the entropy coder, and the search
 * of an encoder for a cheaper latent. All of it is integer arithmetic with proved bounds, so every machine gets the same bytes
 * and pixels.
 *
 * - It allocates nothing and keeps no state of its own. The caller hands over the memory of a model, and a workspace for each
 *   call. Calls with different workspaces may run at the same time, also with the same model.
 * - A model is loaded from a prepared model: the weights of a model file, laid out for the kernels (mnistzip.models.prepared in
 *   Python writes it). It is in the byte order of the machine.
 * - Functions that can fail return an mnz_status.
 *
 * Most models code tiles: an image is cut into tiles of 28 x 28 pixels, and a lossy tile is a latent of 196 symbols. A stream is a
 * state of the entropy coder, and holds up to 16 tiles. Models of the kind grey code whole images of any size instead: the latent
 * of an image has 16 symbols for each square of 4 x 4 pixels, and a stream holds any number of images. Models of the kind bitmap code
 * MNIST's digits without loss, as the black and white bitmaps that they were made from.
 */
#ifndef MNISTZIP_H
#define MNISTZIP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MNZ_TILE = 28,
    MNZ_TILE_PIXELS = MNZ_TILE * MNZ_TILE,
    MNZ_SYMBOLS = 196,          /* of a latent */
    MNZ_QUALITIES = 100,
    MNZ_TILES_PER_STREAM = 16,
    MNZ_CHECK_BITS_MIN = 16,    /* of the check of a stream in a file */
    MNZ_CHECK_BITS_MAX = 23,
    MNZ_ALIGNMENT = 64,         /* bytes: of prepared models, of the memory of models, and of workspaces */
    MNZ_BIT = 256               /* a bit in code lengths, which are counted in 1/256 bits */
};

typedef enum {
    MNZ_OK = 0,
    MNZ_ERROR_ARGUMENT,         /* an argument is out of its range */
    MNZ_ERROR_MEMORY,           /* the memory or workspace is too small or not aligned */
    MNZ_ERROR_MODEL,            /* the prepared model is damaged, or for another version or byte order */
    MNZ_ERROR_INEXACT,          /* a sum of the model could overflow */
    MNZ_ERROR_NO_PIXEL_MODEL,   /* the model cannot code images without loss */
    MNZ_ERROR_STREAM,           /* a stream is too short, or begins with an impossible state */
    MNZ_ERROR_OUTPUT,           /* the output is too small */
    MNZ_ERROR_NO_FILE,          /* the bytes do not begin like a file of mnistzip */
    MNZ_ERROR_UNSUPPORTED,      /* an archive, a stored image, or a file of a later version */
    MNZ_ERROR_DAMAGED,          /* a file is cut short, or its content does not match its check */
    MNZ_ERROR_KIND,             /* the model is of another kind: it codes tiles, whole images, or bitmaps */
    MNZ_ERROR_IMAGE             /* the model cannot code this image */
} mnz_status;

typedef struct mnz_model mnz_model;

/* A short description of a status in English. */
const char *mnz_status_text(mnz_status status);

/* Instructions that the kernels can use: "scalar", "sse2", "avx2", "avx512", "neon", "wasm". The best that this processor has is first.
   Returns NULL at the end of the list. */
const char *mnz_instructions(int index);

/* ---- Models ---- */

/* Bytes of memory that mnz_model_load needs for a prepared model; 0 if it is none. */
size_t mnz_model_memory(const void *prepared, size_t size);

/*
 * Check a prepared model, prove that no sum can overflow, and make it ready. The prepared model and the memory must outlive the
 * model. Both are aligned to MNZ_ALIGNMENT.
 *
 * instructions: one of mnz_instructions(), or NULL for the best.
 */
mnz_status mnz_model_load(const void *prepared, size_t size, const char *instructions, void *memory, size_t memory_size,
                          mnz_model **model);

/* The instructions that a model was loaded with. */
const char *mnz_model_instructions(const mnz_model *model);

/* Whether the model is of the kind grey: it codes whole images, by the functions of their own section below. */
int mnz_model_is_grey(const mnz_model *model);

/* Whether the model can code images without loss. */
int mnz_model_has_pixels(const mnz_model *model);

/* Bytes of workspace that lossy functions need. */
size_t mnz_lossy_workspace(const mnz_model *model);

/* Bytes of workspace that mnz_refine, mnz_refine_to_budget and mnz_first_latent need. */
size_t mnz_search_workspace(const mnz_model *model);

/* Bytes of workspace that lossless functions need for a number of tiles. */
size_t mnz_lossless_workspace(const mnz_model *model, int tiles);

/* ---- Images: FORMAT.md, sections 1, 3, 8, 10 and 12 to 14 ---- */

enum { MNZ_LOSSY = 0, MNZ_LOSSLESS = 1, MNZ_BOUNDED = 3, MNZ_HEADER_MAX = 14, MNZ_ERROR_MAX = 64 };

/* What a file says of its image. A bare stream has no header, and both ends agree on it. */
typedef struct {
    int mode;                   /* MNZ_LOSSY, MNZ_LOSSLESS or MNZ_BOUNDED */
    int width, height;          /* 1 to 65535 */
    int model;                  /* the number of a shipped model, or 15 for the one of the fingerprint */
    uint8_t fingerprint[4];
    int quality;                /* 1 to 100, if lossy */
    int max_error;              /* 1 to MNZ_ERROR_MAX, if bounded: no pixel differs by more grey levels */
} mnz_header;

/* Read the header of a file. The payload begins behind its header_size bytes. Check width and height before you allocate: a file
   of a few bytes can claim 65535 x 65535 pixels. */
mnz_status mnz_read_header(const uint8_t *file, size_t size, mnz_header *header, size_t *header_size);

/* Write a header; returns its size, or 0 if it is not valid. */
size_t mnz_write_header(const mnz_header *header, uint8_t out[MNZ_HEADER_MAX]);

/* The most bytes of a file with this header; 0 if it is not valid, or too large for this machine. */
size_t mnz_file_bound(const mnz_header *header);

/* Bytes of workspace that mnz_encode, mnz_decode and mnz_measure need for an image; 0 if its header is not valid, if it is too large for
   this machine, or if a model of the kind grey has no pixel model for it. Of models that code tiles they do not depend on the size of the
   image. */
size_t mnz_image_workspace(const mnz_model *model, const mnz_header *header);

/*
 * Encode an image of width * height grey levels, row by row, into a file. Python's encode(model=...) writes the same bytes, unless it
 * chooses another mode for an image that this one does not fit.
 *
 * effort: 0 to 9, how long to search; not used without loss. A model of the kind bitmap fails with MNZ_ERROR_IMAGE for an image that no
 * bitmap gives exactly.
 * bare_check_bits: -1 for a file; 0 to 23 for a bare stream, which is lossy and has no header.
 */
mnz_status mnz_encode(const mnz_model *model, const mnz_header *header, const uint8_t *pixels, int effort, int bare_check_bits,
                      uint8_t *out, size_t capacity, size_t *out_size, void *workspace, size_t workspace_size);

/*
 * The ideal code length of what mnz_encode would code, in 1/MNZ_BIT bits, and the squared error of what it would decode to. An encoder
 * that has several models, or may also code without loss, compares them.
 */
mnz_status mnz_measure(const mnz_model *model, const mnz_header *header, const uint8_t *pixels, int effort, int64_t *bits,
                       int64_t *error, void *workspace, size_t workspace_size);

/* Decode a payload or bare stream to width * height grey levels. check_bits: MNZ_CHECK_BITS_MIN for files. If it fails, pixels may
   have been written. */
mnz_status mnz_decode(const mnz_model *model, const mnz_header *header, const uint8_t *payload, size_t size, int check_bits,
                      uint8_t *pixels, void *workspace, size_t workspace_size);

/* ---- Latents of one tile. quality_index is quality - 1; y has MNZ_SYMBOLS symbols in coding order. ---- */

/* Pixels to the symbols of the analysis. */
mnz_status mnz_analyse(const mnz_model *model, const uint8_t *x, int quality_index, int8_t *y, void *workspace, size_t size);

/* Symbols to pixels. */
mnz_status mnz_synthesize(const mnz_model *model, const int8_t *y, int quality_index, uint8_t *x_hat, void *workspace,
                          size_t size);

/* The intervals that the prior gives the symbols: arrays of MNZ_SYMBOLS. Frequencies are 1 to 65536. */
mnz_status mnz_latent_symbols(const mnz_model *model, const int8_t *y, int quality_index, uint16_t *start, uint16_t *freq_less_one,
                              void *workspace, size_t size);

/* The ideal code length of a symbol, given its frequency, in 1/MNZ_BIT bits. */
int32_t mnz_cost(uint32_t freq);

/* The symbols of the analysis, those beyond the picture replaced by cheap ones. inside: 1 for each pixel of the picture. */
mnz_status mnz_first_latent(const mnz_model *model, const uint8_t *x, const uint8_t *inside, int quality_index, int8_t *y,
                            void *workspace, size_t size);

/* Search for symbols of less bits + lmbda * squared error, from the symbols in y on. effort: 0 to 9, how long to search. */
mnz_status mnz_refine(const mnz_model *model, const uint8_t *x, const uint8_t *inside, int quality_index, int effort, int8_t *y,
                      void *workspace, size_t size);

/* Search for the symbols of least squared error within a number of 1/MNZ_BIT bits. They may exceed the limit if none is found. */
mnz_status mnz_refine_to_budget(const mnz_model *model, const uint8_t *x, const uint8_t *inside, int quality_index,
                                int effort, int64_t limit, int8_t *y, void *workspace, size_t size);

/* ---- Streams ---- */

/* The state of a decoder after the last symbol of a stream. */
typedef struct {
    uint32_t state;
    uint32_t bytes_left;
} mnz_final;

/* Whether a stream ended on its check, of which it must hold at least check_bits bits. */
int mnz_check_passed(mnz_final final, uint32_t check, int check_bits);

/* The most bytes of a stream of so many symbols. */
size_t mnz_stream_bound(size_t symbols);

/* Code symbols, given their intervals, from the first to the last. freq_less_one: frequencies are 1 to 65536. */
mnz_status mnz_encode_intervals(const uint16_t *start, const uint16_t *freq_less_one, size_t symbols, uint32_t check,
                                int check_bits, uint8_t *out, size_t capacity, size_t *out_size);

/* Code the latents of a stream, given the intervals of tiles * MNZ_SYMBOLS symbols. interleaved: tiles take turns symbol by
   symbol; only then a workspace is used, of 4 bytes for each symbol and 2 * MNZ_ALIGNMENT more. */
mnz_status mnz_encode_latents(const uint16_t *start, const uint16_t *freq_less_one, int tiles, int interleaved, uint32_t check,
                              int check_bits, uint8_t *out, size_t capacity, size_t *out_size, void *workspace, size_t size);

/* Decode the latents of a stream, all of one quality. */
mnz_status mnz_decode_latents(const mnz_model *model, const uint8_t *stream, size_t stream_size, int quality_index, int tiles,
                              int interleaved, int8_t *y, mnz_final *final, void *workspace, size_t size);

/* The nearest of the grey levels that a bounded error leaves; the grey level itself if max_error is 0. */
int mnz_nearest_level(int grey, int max_error);

/*
 * The symbols of a tile that the pixel model codes, in coding order. Each array has room for MNZ_PIXEL_SYMBOLS_MAX symbols.
 *
 * x: grey levels, 0 outside the image. turn: the step in which each symbol is coded, counted through all planes.
 * max_error: 0 without loss; otherwise all grey levels are those of mnz_nearest_level.
 */
enum { MNZ_PIXEL_SYMBOLS_MAX = 4 * MNZ_TILE_PIXELS };
mnz_status mnz_pixel_symbols(const mnz_model *model, const uint8_t *x, const uint8_t *inside, int max_error, int *symbols, int16_t *turn,
                             uint16_t *start, uint16_t *freq_less_one, void *workspace, size_t size);

/* Code the tiles of a lossless stream, whose symbols follow each other tile by tile. The workspace has 4 bytes for each symbol
   and 2 * MNZ_ALIGNMENT more. */
mnz_status mnz_encode_pixels(const int32_t *counts, int tiles, const int16_t *turn, const uint16_t *start,
                             const uint16_t *freq_less_one, uint32_t check, uint8_t *out, size_t capacity, size_t *out_size,
                             void *workspace, size_t size);

/* Decode the tiles of such a stream. preview: without the shades. possible: 1 for each tile whose shades and levels are all valid. */
mnz_status mnz_decode_pixels(const mnz_model *model, const uint8_t *stream, size_t stream_size, const uint8_t *inside, int tiles,
                             int max_error, int preview, uint8_t *x, uint8_t *possible, mnz_final *final, void *workspace, size_t size);

/*
 * ---- Latents of whole images, with models of the kind grey ----
 *
 * The latent of an image of height x width pixels has ceil(height / 4) rows and ceil(width / 4) columns of positions, and
 * MNZ_GREY_CHANNELS symbols of each: y[row][column][channel]. quality_index is quality - 1.
 */
enum {
    MNZ_GREY_CHANNELS = 16,
    MNZ_GREY_SEARCHED = 1 << 12,    /* positions of a latent that is searched, at most */
    MNZ_GREY_LMBDA_MAX = 1 << 22
};

/* Bytes of workspace that the functions of this section need for a latent; 0 if the model is of another kind, or if a size is out of
   range. A workspace for a larger latent will do. */
size_t mnz_grey_workspace(const mnz_model *model, int rows, int columns);

/* The symbols that code a latent: all but those of channels that the quality leaves out. 0 as above. */
size_t mnz_grey_symbols(const mnz_model *model, int rows, int columns, int quality_index);

/* Grey levels, row by row, to the symbols of the analysis. */
mnz_status mnz_analyse_image(const mnz_model *model, const uint8_t *x, int height, int width, int quality_index, int8_t *y,
                             void *workspace, size_t size);

/* Symbols to height * width grey levels. */
mnz_status mnz_synthesize_image(const mnz_model *model, const int8_t *y, int height, int width, int quality_index, uint8_t *x_hat,
                                void *workspace, size_t size);

/* Search for symbols of less bits + lmbda * squared error, from the symbols in y on. effort: 0 to 9, how long to search. lmbda: weight of
   the squared error, as models have it for each quality. Latents of more than MNZ_GREY_SEARCHED positions stay as they are.
   mnz_image_search_workspace gives the bytes of workspace; 0 if the latent stays as it is. */
size_t mnz_image_search_workspace(const mnz_model *model, int rows, int columns);
mnz_status mnz_refine_image(const mnz_model *model, const uint8_t *x, int height, int width, int quality_index, int effort,
                            int32_t lmbda, int8_t *y, void *workspace, size_t size);

/* The intervals that the prior gives the symbols, in coding order: arrays of mnz_grey_symbols numbers. mnz_encode_intervals codes
   them; those of several images of a stream follow each other. */
mnz_status mnz_image_symbols(const mnz_model *model, const int8_t *y, int rows, int columns, int quality_index, uint16_t *start,
                             uint16_t *freq_less_one, void *workspace, size_t size);

/* Decode the latents of the images of a stream, all of one quality. shapes: rows and columns of each; y: all symbols of the first
   latent, then those of the second, and so on. The workspace is that of the largest latent. */
mnz_status mnz_decode_image_latents(const mnz_model *model, const uint8_t *stream, size_t stream_size, int quality_index, int images,
                                    const int32_t *shapes, int8_t *y, mnz_final *final, void *workspace, size_t size);

/*
 * ---- Whole images without loss or within a bound, with models of the kind grey that have a pixel model ----
 *
 * Each pixel has one symbol, also if the image is 1 x 1. max_error: 0 without loss; otherwise all grey levels are those of
 * mnz_nearest_level, 1 to MNZ_ERROR_MAX.
 */

/* Bytes of workspace that the functions of this section need for an image; 0 if the model has no pixel model for whole images, or if a
   size is not 1 to 65535. */
size_t mnz_image_pixels_workspace(const mnz_model *model, int height, int width);

/* The intervals of the grey levels of an image in coding order: arrays of height * width numbers. mnz_encode_intervals codes them; those
   of several images of a stream follow each other. */
mnz_status mnz_image_pixel_symbols(const mnz_model *model, const uint8_t *x, int height, int width, int max_error, uint16_t *start,
                                   uint16_t *freq_less_one, void *workspace, size_t size);

/* Decode the images of a stream. shapes: height and width of each; x: all grey levels of the first image, then those of the second, and
   so on. The workspace is that of the image that needs most. */
mnz_status mnz_decode_pixel_images(const mnz_model *model, const uint8_t *stream, size_t stream_size, int max_error, int images,
                                   const int32_t *shapes, uint8_t *x, mnz_final *final, void *workspace, size_t size);

/*
 * ---- Bitmaps of digits: FORMAT.md, section 14 ----
 *
 * MNIST's digits of 28 x 28 grey levels were made from black and white bitmaps. A bitmap has height * width bytes of ink, row by row, 0 if
 * white. Its longer side is MNZ_BITMAP_SIDE_MIN to MNZ_BITMAP_SIDE_MAX pixels; the shorter one lies in the middle of as many pixels, moved
 * by `shift`.
 */
enum {
    MNZ_BITMAP_SIDE_MIN = 20,
    MNZ_BITMAP_SIDE_MAX = 128,
    MNZ_BITMAP_PIXELS_MAX = MNZ_BITMAP_SIDE_MAX * MNZ_BITMAP_SIDE_MAX,
    MNZ_BITMAP_SHIFT_MIN = -8,
    MNZ_BITMAP_SHIFT_MAX = 7
};

typedef struct {
    int height, width, shift;
} mnz_bitmap;

/* The digit that MNIST would have made of a bitmap: x has MNZ_TILE_PIXELS grey levels. */
mnz_status mnz_digit_of(const mnz_bitmap *bitmap, const uint8_t *ink, uint8_t *x);

/* Bytes of workspace that mnz_find_bitmap needs. */
size_t mnz_bitmap_workspace(void);

/* Search for a bitmap that gives a digit exactly. Its height is 0 if none is found. ink: room for MNZ_BITMAP_PIXELS_MAX bytes. */
mnz_status mnz_find_bitmap(const uint8_t *x, mnz_bitmap *bitmap, uint8_t *ink, void *workspace, size_t size);

/*
 * Models of the kind bitmap code bitmaps: MNZ_BITMAP_EXTENT_SYMBOLS symbols of size and shift, then one for each pixel. A stream holds any
 * number of them, which follow each other.
 */
enum { MNZ_BITMAP_EXTENT_SYMBOLS = 3 };

/* Bytes of workspace that the functions below need; 0 if the model is of another kind. */
size_t mnz_bitmap_coding_workspace(const mnz_model *model);

/* The intervals of the symbols of a bitmap in coding order: arrays of MNZ_BITMAP_EXTENT_SYMBOLS + height * width numbers.
   mnz_encode_intervals codes them. */
mnz_status mnz_bitmap_symbols(const mnz_model *model, const mnz_bitmap *bitmap, const uint8_t *ink, uint16_t *start,
                              uint16_t *freq_less_one, void *workspace, size_t size);

/* Decode the bitmaps of a stream. ink: of the first bitmap, then of the second, and so on; it has room for MNZ_BITMAP_PIXELS_MAX bytes for
   each of them. possible: whether all sizes are possible; those that are not are replaced by others, and the stream is damaged. */
mnz_status mnz_decode_bitmaps(const mnz_model *model, const uint8_t *stream, size_t stream_size, int bitmaps, mnz_bitmap *bitmap,
                              uint8_t *ink, int *possible, mnz_final *final, void *workspace, size_t size);

/* The same, to the digits that MNIST would have made of them: x has MNZ_TILE_PIXELS grey levels for each. */
mnz_status mnz_decode_digits(const mnz_model *model, const uint8_t *stream, size_t stream_size, int digits, uint8_t *x, int *possible,
                             mnz_final *final, void *workspace, size_t size);

#ifdef __cplusplus
}
#endif
#endif
