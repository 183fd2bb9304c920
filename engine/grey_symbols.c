/*
 * Models of the kind grey: the intervals of symbols, and streams of latents.
 *
 * A symbol k takes the probabilities between k - 1/2 and k + 1/2: a table of cumulative probabilities is moved to a mean, and stretched by
 * a scale.
 */
#include "grey.h"

#include <string.h>

/* ---- Distributions ---- */

enum { SCALE_SHIFT = 13, SEGMENT_BITS = 7, REACH = MNZ_SEGMENTS << (SEGMENT_BITS - 1) };

/* The cumulative frequency below a symbol. middle: twice the mean, and 256. */
static inline uint32_t below(const mnz_grey *grey, int32_t symbol, int32_t middle, int32_t inverse_scale, int bound)
{
    if (symbol <= -bound) return 0;
    if (symbol > bound) return MNZ_TOTAL;
    const int64_t distance = ((int64_t)(symbol * 512 - middle) * inverse_scale) >> SCALE_SHIFT;
    const int32_t at = (int32_t)mnz_clip64(distance, -REACH, REACH - 1) + REACH, rest = at & ((1 << SEGMENT_BITS) - 1);
    const int32_t *table = grey->cumulative + (at >> SEGMENT_BITS);
    const int64_t share = (int64_t)table[0] * (1 << SEGMENT_BITS) + (int64_t)(table[1] - table[0]) * rest;
    return (uint32_t)((share * (MNZ_TOTAL - 2 * bound - 1)) >> (MNZ_TOTAL_BITS + SEGMENT_BITS)) + (uint32_t)(symbol + bound);
}

typedef struct {
    uint16_t *start, *freq_less_one;
} intervals;

void mnz_edges_of(const mnz_walk *w, const int32_t *symbol, int more, int bound, int edges, size_t first, int count)
{
    const mnz_grey *grey = &w->model->grey;
    int32_t *out[MNZ_EDGES];
    for (int k = 0; k < edges; k++) out[k] = w->edge[k] + first;
    w->model->kernels->edges(grey->cumulative, grey->inverse_scale, w->centre + first, w->index + first, symbol + first, more, bound,
                             edges, count, out);
}

static void note(void *context, mnz_walk *w, int channel, int bound, size_t first, int count)
{
    intervals *out = context;
    const int32_t *start = w->edge[0] + first, *end = w->edge[1] + first;
    for (size_t k = first; k < first + (size_t)count; k++) w->near[k] = w->symbol[channel][k];
    mnz_edges_of(w, w->near, 0, bound, 2, first, count);
    for (int k = 0; k < count; k++) {
        out->start[k] = (uint16_t)start[k];
        out->freq_less_one[k] = (uint16_t)(end[k] - start[k] - 1);
    }
    out->start += count, out->freq_less_one += count;
}

/* The symbol whose interval holds a number, and the interval. From a guess on, steps double until they pass it, then halve. */
static int32_t find(const mnz_grey *grey, uint32_t slot, int32_t middle, int32_t scale, int bound, mnz_interval *interval)
{
    const int32_t inverse = grey->inverse_scale[scale];
    /* without the frequency of 1 that each symbol has, the number would be about this */
    int32_t plain = (int32_t)slot - bound - (middle >> 9);
    plain += (plain * (2 * bound + 1)) >> MNZ_TOTAL_BITS;
    plain = (int32_t)mnz_clip64(plain, 0, MNZ_TOTAL - 1);
    const int64_t moved = (grey->guess[plain / (MNZ_TOTAL / MNZ_GUESSES)] * grey->scale[scale]) >> 16;
    int32_t first = (int32_t)mnz_clip64((moved + middle) >> 9, -bound, bound), last = first;
    uint32_t start = below(grey, first, middle, inverse, bound), end = below(grey, first + 1, middle, inverse, bound);
    if (slot < start) { /* first is too large */
        int32_t stride = 1;
        do {
            last = first - 1, end = start;
            first -= stride, stride *= 2;
            start = below(grey, first, middle, inverse, bound);
        } while (slot < start);
    } else if (slot >= end) {
        int32_t stride = 1;
        last = first;
        do {
            first = last + 1, start = end;
            last += stride, stride *= 2;
            end = below(grey, last + 1, middle, inverse, bound);
        } while (slot >= end);
    }
    while (first < last) { /* below(first) <= slot < below(last + 1) */
        const int32_t half = first + (last - first + 1) / 2;
        const uint32_t edge = below(grey, half, middle, inverse, bound);
        if (edge <= slot)
            first = half, start = edge;
        else
            last = half - 1, end = edge;
    }
    *interval = (mnz_interval){start, end - start};
    return first;
}

static void decode(void *context, mnz_walk *w, int channel, int bound, size_t first, int count)
{
    mnz_decoder *decoder = context;
    int16_t *symbols = w->symbol[channel], *sizes = w->size[channel];
    mnz_edges_of(w, w->near, -1, bound, MNZ_EDGES, first, count);
    for (size_t k = first; k < first + (size_t)count; k++) {
        const uint32_t slot = mnz_slot(decoder), low = (uint32_t)w->edge[0][k], high = (uint32_t)w->edge[3][k];
        int32_t symbol;
        if (slot - low < high - low) { /* the symbol is next to the mean */
            const uint32_t one = (uint32_t)w->edge[1][k], two = (uint32_t)w->edge[2][k];
            const int above = slot >= one, far_above = slot >= two;
            const uint32_t start = far_above ? two : above ? one : low, end = far_above ? high : above ? two : one;
            symbol = w->near[k] - 1 + above + far_above;
            mnz_advance(decoder, (mnz_interval){start, end - start});
        } else {
            mnz_interval interval;
            symbol = find(&w->model->grey, slot, 2 * w->centre[k] + 256, w->index[k], bound, &interval);
            mnz_advance(decoder, interval);
        }
        symbols[k] = (int16_t)symbol;
        sizes[k] = mnz_logs[symbol < 0 ? -symbol : symbol];
    }
}

/* ---- Public functions ---- */

size_t mnz_grey_workspace(const mnz_model *model, int rows, int columns)
{
    if (model->kind != MNZ_KIND_GREY || rows < 1 || columns < 1 || rows > MNZ_GREY_SIDE_MAX || columns > MNZ_GREY_SIDE_MAX) return 0;
    const uint64_t networks = mnz_grey_network_memory(model, rows, columns), prior = mnz_grey_prior_memory(model, rows, columns);
    const uint64_t size = networks > prior ? networks : prior;
    return size > SIZE_MAX / 2 ? 0 : (size_t)size;
}

size_t mnz_grey_symbols(const mnz_model *model, int rows, int columns, int quality_index)
{
    if (!mnz_grey_workspace(model, rows, columns) || quality_index < 0 || quality_index >= MNZ_QUALITIES) return 0;
    size_t channels = 0;
    for (int c = 0; c < MNZ_GREY_CHANNELS; c++) channels += model->grey.bounds[quality_index * MNZ_GREY_CHANNELS + c] > 0;
    return (size_t)rows * columns * channels;
}

mnz_status mnz_grey_check(const mnz_model *model, int rows, int columns, int quality_index, const void *workspace, size_t size)
{
    if (model->kind != MNZ_KIND_GREY) return MNZ_ERROR_KIND;
    if (rows < 1 || columns < 1 || rows > MNZ_GREY_SIDE_MAX || columns > MNZ_GREY_SIDE_MAX) return MNZ_ERROR_ARGUMENT;
    if (quality_index < 0 || quality_index >= MNZ_QUALITIES) return MNZ_ERROR_ARGUMENT;
    const size_t needed = mnz_grey_workspace(model, rows, columns);
    if (!needed || size < needed || workspace == NULL || (uintptr_t)workspace % MNZ_ALIGNMENT) return MNZ_ERROR_MEMORY;
    return MNZ_OK;
}

int mnz_grey_within(const mnz_model *model, const int8_t *y, size_t positions, int quality_index)
{
    const int32_t *bounds = model->grey.bounds + (size_t)quality_index * MNZ_GREY_CHANNELS;
    for (size_t k = 0; k < positions; k++, y += MNZ_GREY_CHANNELS)
        for (int c = 0; c < MNZ_GREY_CHANNELS; c++)
            if (y[c] < -bounds[c] || y[c] > bounds[c]) return 0;
    return 1;
}

mnz_status mnz_image_symbols(const mnz_model *model, const int8_t *y, int rows, int columns, int quality_index, uint16_t *start,
                             uint16_t *freq_less_one, void *workspace, size_t size)
{
    const mnz_status status = mnz_grey_check(model, rows, columns, quality_index, workspace, size);
    if (status != MNZ_OK) return status;
    if (!mnz_grey_within(model, y, (size_t)rows * columns, quality_index)) return MNZ_ERROR_ARGUMENT;
    mnz_walk w = mnz_walk_begin(model, rows, columns, quality_index, workspace, size);
    intervals out = {start, freq_less_one};
    mnz_walk_latent(&w, y, NULL, note, &out);
    return MNZ_OK;
}

mnz_status mnz_decode_image_latents(const mnz_model *model, const uint8_t *stream, size_t stream_size, int quality_index, int images,
                                    const int32_t *shapes, int8_t *y, mnz_final *final, void *workspace, size_t size)
{
    if (images < 0) return MNZ_ERROR_ARGUMENT;
    for (int k = 0; k < images; k++) {
        const mnz_status status = mnz_grey_check(model, shapes[2 * k], shapes[2 * k + 1], quality_index, workspace, size);
        if (status != MNZ_OK) return status;
    }
    mnz_decoder decoder;
    const mnz_status status = mnz_decoder_begin(&decoder, stream, stream_size);
    if (status != MNZ_OK) return status;
    for (int k = 0; k < images; k++, shapes += 2) {
        const size_t symbols = (size_t)shapes[0] * shapes[1] * MNZ_GREY_CHANNELS;
        mnz_walk w = mnz_walk_begin(model, shapes[0], shapes[1], quality_index, workspace, size);
        memset(y, 0, symbols);
        mnz_walk_latent(&w, NULL, y, decode, &decoder);
        y += symbols;
    }
    *final = mnz_decoder_end(&decoder);
    return MNZ_OK;
}
