/*
 * FORMAT.md, section 14: the model of bitmaps, which codes their pixels as ink or white, and streams of bitmaps.
 *
 * The rows of a bitmap are kept as bits. Of the window of a pixel, the first layer sums the weights of the pixels that are ink. It takes
 * them run by run: the weights of a run are the difference of two sums from the beginning of its row on, and most rows have few runs.
 *
 * The pixels of a step do not see each other, so a decoder computes them together. An encoder computes those of many steps together.
 */
#include "bitmap.h"
#include "engine.h"

#include <string.h>

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

enum {
    ROW_STEPS = MNZ_SEEN_RIGHT + 1,                                         /* steps from a pixel to the one below it */
    STEP_MAX = (MNZ_BITMAP_SIDE_MAX + ROW_STEPS - 1) / ROW_STEPS,           /* pixels of a step */
    TOGETHER = 84,                                                          /* pixels that are computed together */
    WORD = 64,
    WORDS = (MNZ_SEEN_LEFT + MNZ_BITMAP_SIDE_MAX + MNZ_SEEN_RIGHT + WORD - 1) / WORD
};

/* The bits of a row, with a margin of white. */
typedef struct {
    uint64_t word[WORDS];
} bits;

typedef struct {
    const mnz_model *model;
    int height, width;
    int step;                           /* the next one */
    bits *rows;                         /* with MNZ_SEEN_UP white ones above */
    int32_t *of_row, *of_column;        /* what is added to the products of the first layer, by row and by column */
    int pixels;
    int row[TOGETHER], column[TOGETHER];
    int32_t *sums, *logit;              /* (pixels, stride), and (pixels) */
    int16_t *features;                  /* (pixels, width) */
} batch;

/* ---- Memory ---- */

static void *part(mnz_arena *arena, size_t count, size_t item, size_t *size)
{
    *size += mnz_aligned(count * item);
    return arena ? mnz_take(arena, count, item) : NULL;
}

/* Take the arrays of a batch and return their size; without an arena they are only measured. */
static size_t take_parts(batch *b, mnz_arena *arena)
{
    const mnz_bitmap_net *net = &b->model->bitmaps;
    const size_t stride = (size_t)net->stride, widest = (size_t)net->widest;
    size_t size = 0;
    b->rows = part(arena, MNZ_SEEN_UP + MNZ_BITMAP_SIDE_MAX, sizeof *b->rows, &size);
    b->of_row = part(arena, MNZ_BITMAP_SIDE_MAX * stride, sizeof *b->of_row, &size);
    b->of_column = part(arena, MNZ_BITMAP_SIDE_MAX * stride, sizeof *b->of_column, &size);
    b->sums = part(arena, TOGETHER * widest, sizeof *b->sums, &size);
    b->logit = part(arena, TOGETHER, sizeof *b->logit, &size);
    b->features = part(arena, TOGETHER * widest + 1, sizeof *b->features, &size);
    return size;
}

size_t mnz_bitmap_coding_workspace(const mnz_model *model)
{
    batch b = {0};
    b.model = model;
    return model->kind == MNZ_KIND_BITMAP ? take_parts(&b, NULL) + mnz_aligned(MNZ_BITMAP_PIXELS_MAX) : 0; /* and the ink of a digit */
}

static int smaller(int one, int other)
{
    return one < other ? one : other;
}

/* out[o] += of one row of a table. */
static void add_row(const int32_t *row, int count, int32_t *out)
{
    for (int o = 0; o < count; o++) out[o] += row[o];
}

/* Make a batch ready for a bitmap of white pixels. */
static batch begin(const mnz_model *model, int height, int width, mnz_arena arena)
{
    const mnz_bitmap_net *net = &model->bitmaps;
    const int stride = net->stride, last = MNZ_BITMAP_DISTANCES - 1;
    batch b = {0};
    b.model = model, b.height = height, b.width = width;
    take_parts(&b, &arena);
    memset(b.rows, 0, (size_t)(MNZ_SEEN_UP + height) * sizeof *b.rows);
    for (int k = 0; k < height; k++) {
        int32_t *of_row = b.of_row + k * stride;
        memcpy(of_row, net->bias, (size_t)stride * sizeof *of_row);
        add_row(net->heights + height * stride, stride, of_row);
        add_row(net->widths + width * stride, stride, of_row);
        add_row(net->edges[0] + smaller(k, last) * stride, stride, of_row);
        add_row(net->edges[2] + smaller(height - 1 - k, last) * stride, stride, of_row);
    }
    for (int k = 0; k < width; k++) {
        int32_t *of_column = b.of_column + k * stride;
        memcpy(of_column, net->edges[1] + smaller(k, last) * stride, (size_t)stride * sizeof *of_column);
        add_row(net->edges[3] + smaller(width - 1 - k, last) * stride, stride, of_column);
    }
    return b;
}

/* ---- Bits ---- */

static int lowest(uint32_t number)
{
#if defined(_MSC_VER) && !defined(__clang__)
    unsigned long index;
    _BitScanForward(&index, number);
    return (int)index;
#else
    return __builtin_ctz(number);
#endif
}

/* The row of a bitmap. */
static bits *row_at(const batch *b, int row)
{
    return b->rows + MNZ_SEEN_UP + row;
}

static void set_ink(bits *row, int column)
{
    const int at = column + MNZ_SEEN_LEFT;
    row->word[at / WORD] |= (uint64_t)1 << at % WORD;
}

/* Some pixels of a row, from MNZ_SEEN_LEFT to the left of a column on. */
static uint32_t pixels_at(const bits *row, int column, int count)
{
    const int word = column / WORD, shift = column % WORD;
    uint64_t seen = row->word[word] >> shift;
    if (shift > WORD - MNZ_SEEN_ROW) seen |= row->word[word + 1] << (WORD - shift);
    return (uint32_t)(seen & (((uint64_t)1 << count) - 1));
}

static int note(uint32_t ends, int first, int count, uint8_t *numbers)
{
    for (; ends; ends &= ends - 1) numbers[count++] = (uint8_t)(first + lowest(ends) - 1);
    return count;
}

/* The sums of weights that the runs of a row of the window need: those up to their last pixels less those before their first ones. */
static void note_runs(uint32_t seen, int row, mnz_signed_rows *rows)
{
    const uint32_t behind = seen << 1;
    rows->added = note(behind & ~seen, row * MNZ_SEEN_ROW, rows->added, rows->add);
    rows->subtracted = note(seen & ~behind & ~(uint32_t)1, row * MNZ_SEEN_ROW, rows->subtracted, rows->subtract);
}

/* ---- Networks ---- */

/* The sums of the first layer, and what it makes of them. A row of the window has at most 10 runs, so parts of a sum stay below 2^28. */
static void enter(batch *b)
{
    const mnz_bitmap_net *net = &b->model->bitmaps;
    for (int k = 0; k < b->pixels; k++) {
        const int row = b->row[k], column = b->column[k];
        const bits *at = row_at(b, row);
        mnz_signed_rows rows;
        rows.added = rows.subtracted = 0;
        for (int up = 0; up < MNZ_SEEN_UP; up++) note_runs(pixels_at(at - MNZ_SEEN_UP + up, column, MNZ_SEEN_ROW), up, &rows);
        note_runs(pixels_at(at, column, MNZ_SEEN_LEFT), MNZ_SEEN_UP, &rows);
        b->model->kernels->sum_signed(b->of_row + row * net->stride, b->of_column + column * net->stride, net->reach, &rows,
                                      net->stride / MNZ_BLOCK, b->sums + k * net->stride);
    }
    b->model->kernels->settle(b->sums, net->stride, b->pixels, net->shift, net->width, 0, MNZ_ACTIVATION_MAX, b->features);
}

static void multiply(const batch *b, const mnz_affine *layer)
{
    static const ptrdiff_t here[1] = {0};
    int32_t offset[TOGETHER];
    for (int k = 0; k < b->pixels; k++) offset[k] = k * layer->weight.inputs;
    mnz_products_at(b->model, b->features, offset, b->pixels, here, &layer->weight, layer->bias, 0, b->sums);
}

/* The logits of all pixels. */
static void compute(batch *b)
{
    const mnz_bitmap_net *net = &b->model->bitmaps;
    const mnz_kernels *kernels = b->model->kernels;
    enter(b);
    for (int k = 0; k < 2; k++) {
        const mnz_affine *layer = &net->middle[k];
        multiply(b, layer);
        kernels->settle(b->sums, mnz_stride(&layer->weight), b->pixels, layer->shift, layer->weight.outputs, 0, MNZ_ACTIVATION_MAX,
                        b->features);
    }
    multiply(b, &net->head);
    kernels->settle_wide(b->sums, mnz_stride(&net->head.weight), b->pixels, net->head.shift, 1, -MNZ_LAST_OCTAVE, MNZ_LAST_OCTAVE,
                         b->logit);
}

/* The frequency of white, given the logit of ink. */
static uint32_t white_of(int32_t logit)
{
    const uint64_t weight = (uint64_t)mnz_octaves[logit < 0 ? -logit : logit];
    const uint32_t rarer = (uint32_t)((MNZ_TOTAL - 2) * weight / ((uint64_t)mnz_octaves[0] + weight)) + 1;
    return logit > 0 ? rarer : MNZ_TOTAL - rarer;
}

/* ---- Coding order ---- */

/* Collect the pixels of the next step that has any, or also of those behind it if `many`. Returns 0 at the end. */
static int collect(batch *b, int many)
{
    const int steps = b->width + ROW_STEPS * (b->height - 1);
    b->pixels = 0;
    while (b->step < steps && b->pixels <= (many ? TOGETHER - STEP_MAX : 0)) {
        const int step = b->step++, first = step < b->width ? 0 : (step - b->width) / ROW_STEPS + 1;
        const int last = smaller(step / ROW_STEPS, b->height - 1);
        for (int row = first; row <= last; row++) {
            b->row[b->pixels] = row;
            b->column[b->pixels++] = step - ROW_STEPS * row;
        }
    }
    return b->pixels;
}

/* ---- Sizes and shifts ---- */

/* The frequencies of the difference of the sides, given the longer one. */
static const int32_t *differences_of(const mnz_bitmap_net *net, int side)
{
    return net->differences + (side >> MNZ_BITMAP_SIDE_BITS) * (MNZ_BITMAP_DIFFERENCES + 1);
}

static mnz_interval interval_of(const int32_t *cumulative, int value)
{
    return (mnz_interval){(uint32_t)cumulative[value], (uint32_t)(cumulative[value + 1] - cumulative[value])};
}

static int decode_value(mnz_decoder *decoder, const int32_t *cumulative)
{
    const int32_t slot = (int32_t)mnz_slot(decoder);
    int value = 0;
    while (cumulative[value + 1] <= slot) value++;
    mnz_advance(decoder, interval_of(cumulative, value));
    return value;
}

/* ---- Streams ---- */

static mnz_status check(const mnz_model *model, const void *workspace, size_t size)
{
    if (model->kind != MNZ_KIND_BITMAP) return MNZ_ERROR_KIND;
    const int fits = size >= mnz_bitmap_coding_workspace(model) && workspace != NULL && (uintptr_t)workspace % MNZ_ALIGNMENT == 0;
    return fits ? MNZ_OK : MNZ_ERROR_MEMORY;
}

mnz_status mnz_bitmap_symbols(const mnz_model *model, const mnz_bitmap *bitmap, const uint8_t *ink, uint16_t *start,
                              uint16_t *freq_less_one, void *workspace, size_t size)
{
    const mnz_status status = check(model, workspace, size);
    if (status != MNZ_OK) return status;
    if (!mnz_bitmap_valid(bitmap)) return MNZ_ERROR_ARGUMENT;
    const mnz_bitmap_net *net = &model->bitmaps;
    const int height = bitmap->height, width = bitmap->width, side = height > width ? height : width;
    const mnz_interval extents[MNZ_BITMAP_EXTENT_SYMBOLS] = {
        interval_of(net->sides, side - MNZ_BITMAP_SIDE_MIN),
        interval_of(differences_of(net, side), 2 * (side - smaller(height, width)) + (width > height)),
        interval_of(net->shifts, bitmap->shift - MNZ_BITMAP_SHIFT_MIN),
    };
    for (int k = 0; k < MNZ_BITMAP_EXTENT_SYMBOLS; k++) {
        *start++ = (uint16_t)extents[k].start;
        *freq_less_one++ = (uint16_t)(extents[k].freq - 1);
    }
    batch b = begin(model, height, width, mnz_arena_of(workspace, size));
    for (int row = 0; row < height; row++)
        for (int column = 0; column < width; column++)
            if (ink[row * width + column]) set_ink(row_at(&b, row), column);
    while (collect(&b, 1)) {
        compute(&b);
        for (int k = 0; k < b.pixels; k++) {
            const uint32_t white = white_of(b.logit[k]);
            const int is_ink = ink[b.row[k] * width + b.column[k]] != 0;
            *start++ = (uint16_t)(is_ink ? white : 0);
            *freq_less_one++ = (uint16_t)((is_ink ? MNZ_TOTAL - white : white) - 1);
        }
    }
    return MNZ_OK;
}

/* Decode the next bitmap of a stream. Returns whether its size is possible; if it is not, the bitmap has another one. */
static int decode(const mnz_model *model, mnz_decoder *decoder, mnz_bitmap *bitmap, uint8_t *ink, mnz_arena arena)
{
    const mnz_bitmap_net *net = &model->bitmaps;
    const int side = decode_value(decoder, net->sides) + MNZ_BITMAP_SIDE_MIN;
    const int difference = decode_value(decoder, differences_of(net, side)), apart = difference / 2, is_wide = difference % 2;
    const int shorter = apart < side ? side - apart : 1;
    bitmap->height = is_wide ? shorter : side;
    bitmap->width = is_wide ? side : shorter;
    bitmap->shift = decode_value(decoder, net->shifts) + MNZ_BITMAP_SHIFT_MIN;
    memset(ink, 0, (size_t)bitmap->height * (size_t)bitmap->width);
    batch b = begin(model, bitmap->height, bitmap->width, arena);
    while (collect(&b, 0)) {
        compute(&b);
        for (int k = 0; k < b.pixels; k++) {
            const uint32_t white = white_of(b.logit[k]);
            const int is_ink = mnz_slot(decoder) >= white;
            mnz_advance(decoder, is_ink ? (mnz_interval){white, MNZ_TOTAL - white} : (mnz_interval){0, white});
            if (!is_ink) continue;
            set_ink(row_at(&b, b.row[k]), b.column[k]);
            ink[b.row[k] * b.width + b.column[k]] = 1;
        }
    }
    return apart < side && !(is_wide && apart == 0);
}

static mnz_status begin_stream(const mnz_model *model, const uint8_t *stream, size_t stream_size, int bitmaps, mnz_decoder *decoder,
                               const void *workspace, size_t size)
{
    const mnz_status status = check(model, workspace, size);
    if (status != MNZ_OK) return status;
    return bitmaps < 0 ? MNZ_ERROR_ARGUMENT : mnz_decoder_begin(decoder, stream, stream_size);
}

mnz_status mnz_decode_bitmaps(const mnz_model *model, const uint8_t *stream, size_t stream_size, int bitmaps, mnz_bitmap *bitmap,
                              uint8_t *ink, int *possible, mnz_final *final, void *workspace, size_t size)
{
    mnz_decoder decoder;
    const mnz_status status = begin_stream(model, stream, stream_size, bitmaps, &decoder, workspace, size);
    if (status != MNZ_OK) return status;
    *possible = 1;
    for (int k = 0; k < bitmaps; k++, bitmap++) {
        *possible &= decode(model, &decoder, bitmap, ink, mnz_arena_of(workspace, size));
        ink += bitmap->height * bitmap->width;
    }
    *final = mnz_decoder_end(&decoder);
    return MNZ_OK;
}

mnz_status mnz_decode_digits(const mnz_model *model, const uint8_t *stream, size_t stream_size, int digits, uint8_t *x, int *possible,
                             mnz_final *final, void *workspace, size_t size)
{
    mnz_decoder decoder;
    mnz_status status = begin_stream(model, stream, stream_size, digits, &decoder, workspace, size);
    if (status != MNZ_OK) return status;
    mnz_arena arena = mnz_arena_of(workspace, size);
    uint8_t *ink = mnz_take(&arena, MNZ_BITMAP_PIXELS_MAX, 1);
    *possible = 1;
    for (int k = 0; k < digits && status == MNZ_OK; k++, x += MNZ_TILE_PIXELS) {
        mnz_bitmap bitmap;
        *possible &= decode(model, &decoder, &bitmap, ink, arena);
        status = mnz_digit_of(&bitmap, ink, x);
    }
    *final = mnz_decoder_end(&decoder);
    return status;
}
