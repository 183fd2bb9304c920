/*
 * FORMAT.md, section 13: the grey levels of images as mixtures of logistic distributions, their intervals, and streams.
 *
 * A grey level takes the probabilities between the middles of itself and the grey levels next to it.
 */
#include "grey.h"

enum {
    SIDE_MAX = 65535,
    MEAN_LOW = -32768,
    MEAN_HIGH = 98047,
    MEAN_BITS = 8,
    AMPLITUDE_BITS = 8,
    SCALE_BITS = 4,
    WEIGHT_BITS = 16,
    SCALE_SHIFT = 13,
    SEGMENT_BITS = 7,
    REACH = MNZ_SEGMENTS << (SEGMENT_BITS - 1)
};

/* A mixture of logistic distributions. */
typedef struct {
    int32_t weight[MNZ_COMPONENTS_MAX], mean[MNZ_COMPONENTS_MAX], inverse_scale[MNZ_COMPONENTS_MAX];
} mixture;

static mixture mixture_of(const mnz_pixel_batch *b, int pixel)
{
    const mnz_grey_pixels *p = &b->model->grey_pixels;
    const int components = p->components, spread = b->spread[pixel];
    const int32_t *logit = b->out + (ptrdiff_t)pixel * 3 * components, *move = logit + components, *scale = move + components;
    const int32_t *linear = b->moved + (ptrdiff_t)pixel * components;
    mixture m;
    int32_t largest = logit[0];
    uint32_t total = 0;
    for (int c = 1; c < components; c++) largest = logit[c] > largest ? logit[c] : largest;
    for (int c = 0; c < components; c++) {
        const int64_t moved = ((int64_t)move[c] + linear[c]) * p->amplitude[spread] + (1 << (AMPLITUDE_BITS - 1));
        const int64_t mean = (b->prediction[pixel] << MEAN_BITS) + (moved >> AMPLITUDE_BITS);
        const int32_t index = (scale[c] + (1 << (SCALE_BITS - 1))) >> SCALE_BITS;
        m.mean[c] = (int32_t)mnz_clip64(mean, MEAN_LOW, MEAN_HIGH);
        m.inverse_scale[c] = p->inverse_scale[mnz_clip(index, 0, MNZ_SCALES - 1)];
        m.weight[c] = mnz_octaves[mnz_smaller(largest - logit[c], MNZ_LAST_OCTAVE)];
        total += (uint32_t)m.weight[c];
    }
    for (int c = 0; c < components; c++) m.weight[c] = (int32_t)(((uint64_t)m.weight[c] << WEIGHT_BITS) / total);
    return m;
}

/* The cumulative frequency below a symbol. */
static uint32_t below(const mnz_pixel_batch *b, const mixture *m, int symbol)
{
    const mnz_grey_pixels *p = &b->model->grey_pixels;
    const int count = b->levels.count;
    if (symbol <= 0) return 0;
    if (symbol >= count) return MNZ_TOTAL;
    const int32_t edge = b->levels.edge[symbol];
    int64_t share = 0;
    for (int c = 0; c < p->components; c++) {
        const int64_t distance = ((int64_t)(edge - 2 * m->mean[c]) * m->inverse_scale[c]) >> SCALE_SHIFT;
        const int32_t at = (int32_t)mnz_clip64(distance, -REACH, REACH - 1) + REACH, rest = at & ((1 << SEGMENT_BITS) - 1);
        const int32_t *table = p->cumulative + (at >> SEGMENT_BITS);
        share += (int64_t)(table[0] * (1 << SEGMENT_BITS) + (table[1] - table[0]) * rest) * m->weight[c];
    }
    return (uint32_t)(((share >> WEIGHT_BITS) * (MNZ_TOTAL - count)) >> (MNZ_TOTAL_BITS + SEGMENT_BITS)) + (uint32_t)symbol;
}

/* The symbol next to the mean of the component of the largest weight. */
static int guess(const mnz_pixel_batch *b, const mixture *m)
{
    int heaviest = 0;
    for (int c = 1; c < b->model->grey_pixels.components; c++) heaviest = m->weight[c] > m->weight[heaviest] ? c : heaviest;
    return b->levels.symbol[mnz_clip((m->mean[heaviest] + (1 << (MEAN_BITS - 1))) >> MEAN_BITS, 0, 255)];
}

/* The symbol whose interval holds a number, and the interval. From a guess on, steps double until they pass it, then halve. */
static int find(const mnz_pixel_batch *b, const mixture *m, uint32_t slot, mnz_interval *interval)
{
    int first = guess(b, m), last = first;
    uint32_t start = below(b, m, first), end = below(b, m, first + 1);
    if (slot < start) { /* first is too large */
        int stride = 1;
        do {
            last = first - 1, end = start;
            first -= stride, stride *= 2;
            start = below(b, m, first);
        } while (slot < start);
    } else if (slot >= end) {
        int stride = 1;
        do {
            first = last + 1, start = end;
            last += stride, stride *= 2;
            end = below(b, m, last + 1);
        } while (slot >= end);
    }
    while (first < last) { /* below(first) <= slot < below(last + 1) */
        const int half = first + (last - first + 1) / 2;
        const uint32_t edge = below(b, m, half);
        if (edge <= slot)
            first = half, start = edge;
        else
            last = half - 1, end = edge;
    }
    *interval = (mnz_interval){start, end - start};
    return first;
}

/* ---- Public functions ---- */

size_t mnz_image_pixels_workspace(const mnz_model *model, int height, int width)
{
    if (model->kind != MNZ_KIND_GREY || !model->has_pixels) return 0;
    if (height < 1 || width < 1 || height > SIDE_MAX || width > SIDE_MAX) return 0;
    const uint64_t size = mnz_pixels_memory(model, height, width);
    return size > SIZE_MAX / 2 ? 0 : (size_t)size;
}

static mnz_status check(const mnz_model *model, int height, int width, int max_error, const void *workspace, size_t size)
{
    if (model->kind != MNZ_KIND_GREY) return MNZ_ERROR_KIND;
    if (!model->has_pixels) return MNZ_ERROR_NO_PIXEL_MODEL;
    if (height < 1 || width < 1 || height > SIDE_MAX || width > SIDE_MAX) return MNZ_ERROR_ARGUMENT;
    if (max_error < 0 || max_error > MNZ_ERROR_MAX) return MNZ_ERROR_ARGUMENT;
    const size_t needed = mnz_image_pixels_workspace(model, height, width);
    if (!needed || size < needed || workspace == NULL || (uintptr_t)workspace % MNZ_ALIGNMENT) return MNZ_ERROR_MEMORY;
    return MNZ_OK;
}

typedef struct {
    uint16_t *start, *freq_less_one;
} intervals;

static void note(void *context, mnz_pixel_batch *b, int pixel)
{
    intervals *out = context;
    const mixture m = mixture_of(b, pixel);
    const int symbol = b->levels.symbol[*mnz_canvas_at(b, b->row[pixel], b->column[pixel])];
    const uint32_t start = below(b, &m, symbol);
    *out->start++ = (uint16_t)start;
    *out->freq_less_one++ = (uint16_t)(below(b, &m, symbol + 1) - start - 1);
}

mnz_status mnz_image_pixel_symbols(const mnz_model *model, const uint8_t *x, int height, int width, int max_error, uint16_t *start,
                                   uint16_t *freq_less_one, void *workspace, size_t size)
{
    const mnz_status status = check(model, height, width, max_error, workspace, size);
    if (status != MNZ_OK) return status;
    mnz_pixel_batch b = mnz_pixels_begin(model, height, width, max_error, workspace, size);
    for (int row = 0; row < height; row++) {
        int16_t *to = mnz_canvas_at(&b, row, 0);
        for (int column = 0; column < width; column++, x++) {
            if (b.levels.level[b.levels.symbol[*x]] != *x) return MNZ_ERROR_ARGUMENT;
            to[column] = *x;
        }
    }
    intervals out = {start, freq_less_one};
    mnz_pixels_visit(&b, 1, note, &out);
    return MNZ_OK;
}

typedef struct {
    mnz_decoder decoder;
    uint8_t *x;
} decoding;

static void decode(void *context, mnz_pixel_batch *b, int pixel)
{
    decoding *d = context;
    const mixture m = mixture_of(b, pixel);
    mnz_interval interval;
    const int grey = b->levels.level[find(b, &m, mnz_slot(&d->decoder), &interval)];
    mnz_advance(&d->decoder, interval);
    *mnz_canvas_at(b, b->row[pixel], b->column[pixel]) = (int16_t)grey;
    d->x[(size_t)b->row[pixel] * (size_t)b->width + (size_t)b->column[pixel]] = (uint8_t)grey;
}

mnz_status mnz_decode_pixel_images(const mnz_model *model, const uint8_t *stream, size_t stream_size, int max_error, int images,
                                   const int32_t *shapes, uint8_t *x, mnz_final *final, void *workspace, size_t size)
{
    if (images < 0) return MNZ_ERROR_ARGUMENT;
    for (int k = 0; k < images; k++) {
        const mnz_status status = check(model, shapes[2 * k], shapes[2 * k + 1], max_error, workspace, size);
        if (status != MNZ_OK) return status;
    }
    decoding d = {{0, NULL, NULL}, x};
    const mnz_status status = mnz_decoder_begin(&d.decoder, stream, stream_size);
    if (status != MNZ_OK) return status;
    for (int k = 0; k < images; k++, shapes += 2) {
        mnz_pixel_batch b = mnz_pixels_begin(model, shapes[0], shapes[1], max_error, workspace, size);
        mnz_pixels_visit(&b, 0, decode, &d);
        d.x += (size_t)shapes[0] * (size_t)shapes[1];
    }
    *final = mnz_decoder_end(&d.decoder);
    return MNZ_OK;
}
