/* Models of the kind grey: what their files share. Sizes of latents are in positions: rows and columns. */
#ifndef MNZ_GREY_H
#define MNZ_GREY_H

#include "reader.h"

enum {
    MNZ_GREY_BLOCK = 4,                 /* pixels of a side that become one position */
    MNZ_GREY_SIDE_MAX = 65536 / MNZ_GREY_BLOCK,
    MNZ_TOGETHER = 84                   /* places of a product that are computed together: a multiple of what kernels take */
};

/* Signed logarithms are round(32 * log2(1 + |symbol|)). */
extern const uint8_t mnz_logs[MNZ_SYMBOL_MAX + 1];

static inline int mnz_smaller(int one, int other)
{
    return one < other ? one : other;
}

static inline int64_t mnz_clip64(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* ---- Models ---- */

/* The prior behind the two networks. */
void mnz_read_grey_prior(mnz_reader *r, mnz_grey *grey, int64_t *sums);

/* The pixel model behind it. */
void mnz_read_grey_pixels(mnz_reader *r, mnz_grey_pixels *pixels, int64_t *sums);

/* How many positions of a latent the networks see in each direction at most. */
int mnz_grey_halo(const mnz_model *model);

/* Bytes that analysis and synthesis of a latent need at most, and that the prior needs. */
uint64_t mnz_grey_network_memory(const mnz_model *model, int rows, int columns);
uint64_t mnz_grey_prior_memory(const mnz_model *model, int rows, int columns);

/* ---- Networks ---- */

/* A network at work on some positions of a latent. */
typedef struct {
    const mnz_model *model;
    const mnz_network *network;
    int quality_index, rows, columns;
} mnz_pass;

/* Whether numbers have 16 bits; otherwise they have 32. */
static inline int mnz_is_narrow(mnz_range range)
{
    return range.low >= INT16_MIN && range.high <= INT16_MAX;
}

static inline int32_t mnz_number_at(const void *x, int narrow, size_t k)
{
    return narrow ? ((const int16_t *)x)[k] : ((const int32_t *)x)[k];
}

static inline int mnz_height(const mnz_pass *p, const mnz_signal *signal)
{
    return signal->height / MNZ_SIDE * p->rows;
}

static inline int mnz_width(const mnz_pass *p, const mnz_signal *signal)
{
    return signal->width / MNZ_SIDE * p->columns;
}

static inline uint64_t mnz_places(const mnz_pass *p, const mnz_signal *signal)
{
    return (uint64_t)mnz_height(p, signal) * (uint64_t)mnz_width(p, signal);
}

/* Bytes of a signal, aligned; products may read a number behind its last. */
static inline uint64_t mnz_signal_bytes(const mnz_pass *p, const mnz_signal *signal)
{
    const uint64_t size = mnz_places(p, signal) * (uint64_t)signal->channels * (mnz_is_narrow(signal->range) ? 2 : 4) + 2;
    return (size + MNZ_ALIGNMENT - 1) / MNZ_ALIGNMENT * MNZ_ALIGNMENT;
}

/* A layer that has no others inside, and what it takes beyond its input and output. */
void mnz_run_layer(const mnz_pass *p, const mnz_layer *layer, const void *x, void *out, mnz_arena scratch);
uint64_t mnz_layer_memory(const mnz_pass *p, const mnz_layer *layer);

/* The sum of two signals, clipped. */
void mnz_add_signals(const mnz_pass *p, const mnz_signal *one, const void *x, const mnz_signal *other, const void *change,
                     const mnz_signal *sum, void *out);

/* ---- Prior ---- */

enum { MNZ_EDGES = 4 };

/* The states of the prior for one latent, computed step by step: those of the positions that are coded side by side. */
typedef struct {
    const mnz_model *model;
    int quality_index, rows, columns;
    int group, first_row, first_column, distance, step_columns; /* what is visited: channels, and positions of a step */
    int margin, own_width, known_width;     /* cells before the first of a row of `own`, and of all of a row */
    int16_t *own, *known;                   /* cells of all positions, with a margin of zeros */
    size_t positions;                       /* of the largest step */
    int64_t *mean;                          /* of a step, channel by channel, before the channels of a position see each other */
    int32_t *scale;
    int16_t *symbol[MNZ_GROUP], *size[MNZ_GROUP]; /* of the channels of a step: symbols, and their logarithms */
    int32_t *centre, *index, *near;         /* of a channel: means in 256ths, indices of scales, and the symbols next to the means */
    int32_t *edge[MNZ_EDGES];               /* for those who visit: cumulative frequencies */
    int32_t *sums, *linear, *out;           /* of positions whose products are computed together */
    int16_t *hidden, *narrow;
} mnz_walk;

/* What is done with the symbols of a channel, once their means and scales are known: some positions from one on. An encoder reads
   them, a decoder writes symbols and sizes. */
typedef void (*mnz_visit_channel)(void *context, mnz_walk *walk, int channel, int bound, size_t first, int count);

mnz_walk mnz_walk_begin(const mnz_model *model, int rows, int columns, int quality_index, void *workspace, size_t size);

/* Visit the symbols of a latent: they are those of `from`, or `to` takes them. The other one is NULL. */
void mnz_walk_latent(mnz_walk *walk, const int8_t *from, int8_t *to, mnz_visit_channel visit, void *context);

/* Cumulative frequencies below some symbols of the channel that is visited, and below those that follow: symbol + more and so on, in
   w->edge[0], w->edge[1], ... */
void mnz_edges_of(const mnz_walk *w, const int32_t *symbol, int more, int bound, int edges, size_t first, int count);

/* The number of a position of the step that is visited, row by row in the latent. */
static inline size_t mnz_walk_position(const mnz_walk *w, size_t k)
{
    const size_t row = (size_t)w->first_row + k / (size_t)w->step_columns * (size_t)w->distance;
    return row * (size_t)w->columns + (size_t)w->first_column + k % (size_t)w->step_columns * (size_t)w->distance;
}

/* ---- Pixel model ---- */

/* The grey levels that an image may have, and the symbols of all grey levels: those of the nearest ones. */
typedef struct {
    int count;
    uint8_t level[256], symbol[256];
    int32_t edge[256];                      /* between a symbol and the one before it, in 512ths of a grey level */
} mnz_levels;

typedef struct mnz_pixel_batch mnz_pixel_batch;

/* What is done with a pixel of a batch, once its distribution is known. A decoder writes its grey level to the canvas. */
typedef void (*mnz_visit_pixel)(void *context, mnz_pixel_batch *batch, int pixel);

/* Pixels of an image that are computed together. */
struct mnz_pixel_batch {
    const mnz_model *model;
    int height, width;
    mnz_levels levels;
    ptrdiff_t stride;                       /* from a row of the canvas to the next */
    int16_t *canvas;                        /* grey levels, with a margin of unknown ones above and to the left */
    int32_t *bias, *head_bias;              /* of the first layer and the head, with what the largest error adds */
    int pixels;
    int32_t row[MNZ_TOGETHER], column[MNZ_TOGETHER], prediction[MNZ_TOGETHER], spread[MNZ_TOGETHER];
    int16_t *x, *features;                  /* (pixels, inputs), and (pixels, width) */
    int32_t *sums, *out, *moved;            /* (pixels, stride), (pixels, outputs of the head), (pixels, components) */
};

/* Bytes of workspace for an image. */
uint64_t mnz_pixels_memory(const mnz_model *model, int height, int width);

/* Make a batch ready for an image, all of whose grey levels are unknown. */
mnz_pixel_batch mnz_pixels_begin(const mnz_model *model, int height, int width, int max_error, void *workspace, size_t size);

/* Visit all pixels in coding order. known: whether the canvas holds all grey levels. */
void mnz_pixels_visit(mnz_pixel_batch *batch, int known, mnz_visit_pixel visit, void *context);

enum { MNZ_CANVAS_UP = 6, MNZ_CANVAS_LEFT = 8 }; /* rows of the margin, and columns, which also are to the right of the row above */

/* The grey level of a pixel of the canvas. */
static inline int16_t *mnz_canvas_at(const mnz_pixel_batch *b, int row, int column)
{
    return b->canvas + (ptrdiff_t)(row + MNZ_CANVAS_UP) * b->stride + column + MNZ_CANVAS_LEFT;
}

/* ---- Files ---- */

/* The payload of an image, whose header is valid. mnz_grey_file_workspace gives the bytes that the arena must have; 0 if the image is too
   large, or if there is no pixel model for it. */
size_t mnz_grey_file_workspace(const mnz_model *model, const mnz_header *h);
mnz_status mnz_grey_encode(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, int effort, int check_bits, uint8_t *out,
                           size_t capacity, size_t *size, mnz_arena arena);
mnz_status mnz_grey_measure(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, int effort, int64_t *bits, int64_t *error,
                            mnz_arena arena);
mnz_status mnz_grey_decode(const mnz_model *model, const mnz_header *h, const uint8_t *payload, size_t size, int check_bits,
                           uint8_t *pixels, mnz_arena arena);

/* ---- Arguments ---- */

/* Whether the model is of this kind, quality and size are in range, and the workspace is large enough. */
mnz_status mnz_grey_check(const mnz_model *model, int rows, int columns, int quality_index, const void *workspace, size_t size);

/* Whether symbols are within the bounds of a quality. */
int mnz_grey_within(const mnz_model *model, const int8_t *y, size_t positions, int quality_index);

#endif
