/*
 * Models of the kind grey: the layers of analysis and synthesis.
 *
 * Signals are numbers of 16 bits if their range allows, otherwise of 32.
 */
#include "grey.h"

#include <string.h>

enum {
    CHUNK = 256,        /* numbers that are converted together */
    COLUMNS = 32        /* of a depthwise convolution that are computed together */
};

/* ---- Memory ---- */

static uint64_t aligned(uint64_t size)
{
    return (size + MNZ_ALIGNMENT - 1) / MNZ_ALIGNMENT * MNZ_ALIGNMENT;
}

static void *take(mnz_arena *arena, uint64_t bytes)
{
    return mnz_take(arena, (size_t)bytes, 1);
}

static int padded_channels(int channels)
{
    return (channels + MNZ_BLOCK - 1) / MNZ_BLOCK * MNZ_BLOCK;
}

static uint64_t padded_row(const mnz_pass *p, const mnz_layer *layer)
{
    return ((uint64_t)mnz_width(p, &layer->in) + (uint64_t)layer->kernel - 1) * (uint64_t)layer->in.channels;
}

static uint64_t padded_bytes(const mnz_pass *p, const mnz_layer *layer)
{
    return aligned((((uint64_t)mnz_height(p, &layer->in) + (uint64_t)layer->kernel - 1) * padded_row(p, layer) + 1) * 2);
}

/* Numbers of a row of pairs of a depthwise convolution. */
static uint64_t paired_row(const mnz_pass *p, const mnz_layer *layer)
{
    return 2 * ((uint64_t)mnz_width(p, &layer->in) + (uint64_t)layer->kernel - 1) * (uint64_t)padded_channels(layer->in.channels);
}

uint64_t mnz_layer_memory(const mnz_pass *p, const mnz_layer *layer)
{
    const uint64_t channels = (uint64_t)padded_channels(layer->out.channels);
    switch (layer->op) {
    case MNZ_CONV:
        return aligned(4 * channels) + aligned(4 * MNZ_TOGETHER * channels) + (layer->kernel > 1 ? padded_bytes(p, layer) : 0);
    case MNZ_DEPTHWISE:
        return aligned(4 * channels) + aligned(8 * COLUMNS * channels) +
               aligned((uint64_t)(layer->kernel + 1) / 2 * paired_row(p, layer) * 2) +
               aligned(2 * (uint64_t)mnz_width(p, &layer->in) * (uint64_t)layer->in.channels);
    case MNZ_GAIN:
        return 2 * aligned(4 * channels);
    default:
        return 0;
    }
}

/* ---- Numbers of 16 and 32 bits ---- */

static const void *at(const void *x, int narrow, size_t k)
{
    return (const char *)x + k * (narrow ? sizeof(int16_t) : sizeof(int32_t));
}

static void *target(void *x, int narrow, size_t k)
{
    return (char *)x + k * (narrow ? sizeof(int16_t) : sizeof(int32_t));
}

static void load_numbers(const void *x, int narrow, size_t first, size_t count, int32_t *out)
{
    for (size_t k = 0; k < count; k++) out[k] = mnz_number_at(x, narrow, first + k);
}

static void store_numbers(const mnz_kernels *kernels, const int32_t *x, size_t count, int narrow, void *out, size_t first)
{
    if (narrow)
        kernels->narrow(x, (int)count, (int16_t *)out + first);
    else
        memcpy((int32_t *)out + first, x, count * sizeof *x);
}

/* ---- Convolutions ---- */

/* The bias of all places, in whole blocks. */
static int32_t *bias_of(const mnz_pass *p, const mnz_layer *layer, mnz_arena *scratch)
{
    const int outputs = layer->out.channels, stride = padded_channels(outputs);
    const int32_t *quality = layer->quality + (size_t)p->quality_index * outputs;
    int32_t *bias = take(scratch, 4 * (uint64_t)stride);
    for (int o = 0; o < outputs; o++) bias[o] = layer->place[o] + quality[o];
    memset(bias + outputs, 0, (size_t)(stride - outputs) * sizeof *bias);
    return bias;
}

static void settle(const mnz_pass *p, const mnz_layer *layer, const int32_t *sums, int places, void *out, size_t place)
{
    const mnz_kernels *kernels = p->model->kernels;
    const mnz_range to = layer->out.range;
    const int outputs = layer->out.channels, narrow = mnz_is_narrow(to);
    void *begin = target(out, narrow, place * (size_t)outputs);
    if (narrow)
        kernels->settle(sums, padded_channels(outputs), places, layer->shift, outputs, to.low, to.high, begin);
    else
        kernels->settle_wide(sums, padded_channels(outputs), places, layer->shift, outputs, to.low, to.high, begin);
}

/* A copy with zeros around it. */
static const int16_t *pad(const int16_t *x, int height, size_t row, size_t border, int rows, int16_t *padded)
{
    int16_t *to = padded;
    memset(to, 0, (size_t)rows * (row + 2 * border) * sizeof *to);
    to += (size_t)rows * (row + 2 * border);
    for (int i = 0; i < height; i++, x += row) {
        memset(to, 0, border * sizeof *to);
        memcpy(to + border, x, row * sizeof *to);
        memset(to + border + row, 0, border * sizeof *to);
        to += row + 2 * border;
    }
    memset(to, 0, ((size_t)rows * (row + 2 * border) + 1) * sizeof *to);
    return padded;
}

static void convolve(const mnz_pass *p, const mnz_layer *layer, const void *in, void *out, mnz_arena scratch)
{
    const int16_t *x = in;
    const int height = mnz_height(p, &layer->in), width = mnz_width(p, &layer->in), channels = layer->in.channels;
    const ptrdiff_t row = (ptrdiff_t)padded_row(p, layer);
    const size_t places = (size_t)mnz_places(p, &layer->in);
    const int32_t *bias = bias_of(p, layer, &scratch);
    int32_t *sums = take(&scratch, 4 * MNZ_TOGETHER * (uint64_t)mnz_stride(&layer->weight)), offset[MNZ_TOGETHER];
    ptrdiff_t start[8];
    if (layer->kernel > 1) {
        const size_t border = (size_t)(layer->kernel / 2) * channels;
        x = pad(x, height, (size_t)width * channels, border, layer->kernel / 2, take(&scratch, padded_bytes(p, layer)));
    }
    for (int run = 0; run < layer->kernel; run++) start[run] = run * row;
    int column = 0;
    for (size_t place = 0; place < places; place += MNZ_TOGETHER) {
        const int count = places - place < MNZ_TOGETHER ? (int)(places - place) : MNZ_TOGETHER;
        const int16_t *from = x;
        for (int k = 0; k < count; k++) {
            offset[k] = (int32_t)(x - from) + column * channels;
            if (++column == width) column = 0, x += row;
        }
        p->model->kernels->products_at(from, offset, count, start, &layer->weight, bias, 0, sums);
        settle(p, layer, sums, count, out, place);
    }
}

/* The same sums number by number, for weights or inputs of more than 16 bits. */
static void convolve_wide(const mnz_pass *p, const mnz_layer *layer, const void *x, void *out, mnz_arena scratch)
{
    const int height = mnz_height(p, &layer->in), width = mnz_width(p, &layer->in), channels = layer->in.channels;
    const int around = layer->kernel / 2, stride = mnz_stride(&layer->weight), narrow = mnz_is_narrow(layer->in.range);
    const int32_t *bias = bias_of(p, layer, &scratch);
    int32_t *sums = take(&scratch, 4 * (uint64_t)stride);
    for (int row = 0; row < height; row++)
        for (int column = 0; column < width; column++) {
            memcpy(sums, bias, (size_t)stride * sizeof *sums);
            for (int i = 0; i < layer->kernel; i++)
                for (int j = 0; j < layer->kernel; j++) {
                    const int r = row + i - around, c = column + j - around;
                    if (r < 0 || r >= height || c < 0 || c >= width) continue;
                    const size_t first = ((size_t)r * width + c) * channels;
                    const int32_t *w = layer->weight.wide + ((size_t)i * layer->kernel + j) * channels * stride;
                    for (int k = 0; k < channels; k++, w += stride) {
                        const int32_t input = mnz_number_at(x, narrow, first + k);
                        if (input) p->model->kernels->accumulate(input, w, stride, sums);
                    }
                }
            settle(p, layer, sums, 1, out, (size_t)row * width + column);
        }
}

/* A row of pairs of input rows; those outside the input are zero. */
static void pair_rows(const mnz_pass *p, const mnz_layer *layer, const int16_t *x, int upper, const int16_t *zeros, int16_t *out)
{
    const int height = mnz_height(p, &layer->in), width = mnz_width(p, &layer->in), channels = layer->in.channels;
    const int stride = padded_channels(channels);
    const size_t row = (size_t)width * channels;
    const int16_t *one = upper >= 0 && upper < height ? x + (size_t)upper * row : zeros;
    const int16_t *other = upper + 1 >= 0 && upper + 1 < height ? x + (size_t)(upper + 1) * row : zeros;
    out += (size_t)2 * (layer->kernel / 2) * stride;
    if (stride == channels) {
        p->model->kernels->pair_rows(one, other, (int)row, out);
        return;
    }
    for (int column = 0; column < width; column++, one += channels, other += channels, out += (size_t)2 * stride)
        p->model->kernels->pair_rows(one, other, channels, out);
}

static void depthwise(const mnz_pass *p, const mnz_layer *layer, const void *x, void *out, mnz_arena scratch)
{
    const int height = mnz_height(p, &layer->in), width = mnz_width(p, &layer->in), channels = layer->in.channels;
    const int pairs = (layer->kernel + 1) / 2, stride = padded_channels(channels), around = layer->kernel / 2;
    const size_t row = (size_t)paired_row(p, layer);
    const int32_t *bias = bias_of(p, layer, &scratch);
    int32_t *sums = take(&scratch, 8 * COLUMNS * (uint64_t)stride);
    int16_t *ring = take(&scratch, (uint64_t)pairs * row * 2);
    int16_t *zeros = take(&scratch, 2 * (uint64_t)width * (uint64_t)channels);
    memset(ring, 0, (size_t)pairs * row * sizeof *ring); /* borders and padding stay 0 */
    memset(zeros, 0, (size_t)width * channels * sizeof *zeros);
    for (int r = 0; r < pairs - 1; r++) pair_rows(p, layer, x, 2 * r - around, zeros, ring + (size_t)r * row);
    for (int upper = 0; upper < height; upper += 2) {
        const int16_t *rows[4];
        const int last = upper / 2 + pairs - 1;
        pair_rows(p, layer, x, 2 * last - around, zeros, ring + (size_t)(last % pairs) * row);
        for (int column = 0; column < width; column += COLUMNS) {
            const int columns = mnz_smaller(COLUMNS, width - column);
            for (int r = 0; r < pairs; r++)
                rows[r] = ring + (size_t)((upper / 2 + r) % pairs) * row + (size_t)2 * column * stride;
            p->model->kernels->depthwise(rows, layer->kernel, stride, layer->paired, columns, bias, sums);
            settle(p, layer, sums, columns, out, (size_t)upper * width + column);
            if (upper + 1 < height)
                settle(p, layer, sums + (size_t)columns * stride, columns, out, (size_t)(upper + 1) * width + column);
        }
    }
}

static void depthwise_wide(const mnz_pass *p, const mnz_layer *layer, const void *x, void *out, mnz_arena scratch)
{
    const int height = mnz_height(p, &layer->in), width = mnz_width(p, &layer->in), channels = layer->in.channels;
    const int around = layer->kernel / 2, narrow = mnz_is_narrow(layer->in.range);
    const int32_t *bias = bias_of(p, layer, &scratch);
    int32_t *sums = take(&scratch, 4 * (uint64_t)padded_channels(channels));
    for (int row = 0; row < height; row++)
        for (int column = 0; column < width; column++) {
            memcpy(sums, bias, (size_t)channels * sizeof *sums);
            for (int tap = 0; tap < layer->kernel * layer->kernel; tap++) {
                const int r = row + tap / layer->kernel - around, c = column + tap % layer->kernel - around;
                if (r < 0 || r >= height || c < 0 || c >= width) continue;
                const size_t first = ((size_t)r * width + c) * channels;
                const int32_t *w = layer->taps + (size_t)tap * channels;
                for (int k = 0; k < channels; k++) sums[k] += mnz_number_at(x, narrow, first + k) * w[k];
            }
            settle(p, layer, sums, 1, out, (size_t)row * width + column);
        }
}

/* ---- The other layers ---- */

static void gain(const mnz_pass *p, const mnz_layer *layer, const void *x, void *out, mnz_arena scratch)
{
    const mnz_kernels *kernels = p->model->kernels;
    const mnz_range to = layer->out.range;
    const int channels = layer->in.channels, from_narrow = mnz_is_narrow(layer->in.range), to_narrow = mnz_is_narrow(to);
    const int32_t *factor = layer->factor + (size_t)p->quality_index * channels;
    const size_t places = (size_t)mnz_places(p, &layer->in);
    if (from_narrow && to_narrow) {
        for (size_t k = 0; k < places; k += CHUNK) {
            const int count = places - k < CHUNK ? (int)(places - k) : CHUNK;
            kernels->gain_narrow((const int16_t *)x + k * channels, factor, count, channels, to.low, to.high,
                                 (int16_t *)out + k * channels);
        }
        return;
    }
    int32_t *numbers = take(&scratch, 4 * (uint64_t)channels), *results = take(&scratch, 4 * (uint64_t)channels);
    for (size_t k = 0; k < places; k++) {
        load_numbers(x, from_narrow, k * channels, (size_t)channels, numbers);
        kernels->gain(numbers, factor, channels, to.low, to.high, results);
        store_numbers(kernels, results, (size_t)channels, to_narrow, out, k * channels);
    }
}

void mnz_add_signals(const mnz_pass *p, const mnz_signal *one, const void *x, const mnz_signal *other, const void *change,
                const mnz_signal *sum, void *out)
{
    const mnz_kernels *kernels = p->model->kernels;
    const mnz_range to = sum->range;
    const int narrow[3] = {mnz_is_narrow(one->range), mnz_is_narrow(other->range), mnz_is_narrow(to)};
    const size_t size = (size_t)mnz_places(p, sum) * sum->channels;
    int32_t numbers[3][CHUNK];
    for (size_t k = 0; k < size; k += CHUNK) {
        const int count = size - k < CHUNK ? (int)(size - k) : CHUNK;
        const void *a = at(x, narrow[0], k), *b = at(change, narrow[1], k);
        if (narrow[0] && narrow[1] && narrow[2]) {
            kernels->add_narrow(a, b, count, to.low, to.high, target(out, 1, k));
            continue;
        }
        load_numbers(x, narrow[0], k, (size_t)count, numbers[0]);
        load_numbers(change, narrow[1], k, (size_t)count, numbers[1]);
        kernels->add(numbers[0], numbers[1], count, to.low, to.high, numbers[2]);
        store_numbers(kernels, numbers[2], (size_t)count, narrow[2], out, k);
    }
}

/* Between squares and channels, whose order is input channel, row, column. deep: the signal of the channels. */
static void fold(const mnz_pass *p, const mnz_signal *deep, int size, const void *from, void *to, int inverse)
{
    const int height = mnz_height(p, deep), width = mnz_width(p, deep);
    const int channels = deep->channels / (size * size), together = channels == 1 ? size : 1;
    const size_t item = mnz_is_narrow(deep->range) ? 2 : 4, bytes = item * (size_t)together, flat_row = (size_t)width * size * channels;
    const char *source = from;
    char *sink = to;
    for (int row = 0; row < height; row++)
        for (int column = 0; column < width; column++)
            for (int c = 0; c < channels; c++)
                for (int i = 0; i < size; i++)
                    for (int j = 0; j < size; j += together) {
                        const size_t folded = (((size_t)row * width + column) * channels + c) * size * size + (size_t)i * size + j;
                        const size_t flat = ((size_t)row * size + i) * flat_row + ((size_t)column * size + j) * channels + c;
                        const char *a = source + item * (inverse ? folded : flat);
                        char *b = sink + item * (inverse ? flat : folded);
                        if (bytes == 8)
                            memcpy(b, a, 8); /* four pixels */
                        else
                            memcpy(b, a, bytes);
                    }
}

static void max_pool(const mnz_pass *p, const mnz_layer *layer, const void *x, void *out)
{
    const int width = mnz_width(p, &layer->in), channels = layer->in.channels, narrow = mnz_is_narrow(layer->in.range);
    const size_t row = (size_t)width * channels;
    size_t k = 0;
    for (int i = 0; i < mnz_height(p, &layer->in) / 2; i++)
        for (int j = 0; j < width / 2; j++)
            for (int c = 0; c < channels; c++, k++) {
                const size_t first = (size_t)2 * i * row + (size_t)2 * j * channels + c;
                int32_t largest = INT32_MIN;
                for (int n = 0; n < 4; n++) {
                    const int32_t value = mnz_number_at(x, narrow, first + (size_t)(n / 2) * row + (size_t)(n % 2) * channels);
                    largest = value > largest ? value : largest;
                }
                if (narrow)
                    ((int16_t *)out)[k] = (int16_t)largest;
                else
                    ((int32_t *)out)[k] = largest;
            }
}

static void upsample(const mnz_pass *p, const mnz_layer *layer, const void *x, void *out)
{
    const int width = mnz_width(p, &layer->in), narrow = mnz_is_narrow(layer->in.range);
    const size_t channels = (size_t)layer->in.channels, bytes = channels * (narrow ? 2 : 4);
    char *to = out;
    for (int i = 0; i < 2 * mnz_height(p, &layer->in); i++)
        for (int j = 0; j < 2 * width; j++, to += bytes)
            memcpy(to, at(x, narrow, ((size_t)(i / 2) * width + j / 2) * channels), bytes);
}

static void lookup(const mnz_pass *p, const mnz_layer *layer, const void *x, void *out)
{
    const int from_narrow = mnz_is_narrow(layer->in.range), to_narrow = mnz_is_narrow(layer->out.range);
    const size_t size = (size_t)mnz_places(p, &layer->in) * layer->in.channels;
    for (size_t k = 0; k < size; k++) {
        const int32_t value = layer->table[mnz_number_at(x, from_narrow, k) - layer->low];
        if (to_narrow)
            ((int16_t *)out)[k] = (int16_t)value;
        else
            ((int32_t *)out)[k] = value;
    }
}

void mnz_run_layer(const mnz_pass *p, const mnz_layer *layer, const void *x, void *out, mnz_arena scratch)
{
    switch (layer->op) {
    case MNZ_CONV: (layer->weight.narrow ? convolve : convolve_wide)(p, layer, x, out, scratch); break;
    case MNZ_DEPTHWISE: (layer->paired ? depthwise : depthwise_wide)(p, layer, x, out, scratch); break;
    case MNZ_GAIN: gain(p, layer, x, out, scratch); break;
    case MNZ_SPACE_TO_DEPTH: fold(p, &layer->out, layer->size, x, out, 0); break;
    case MNZ_DEPTH_TO_SPACE: fold(p, &layer->in, layer->size, x, out, 1); break;
    case MNZ_MAX_POOL: max_pool(p, layer, x, out); break;
    case MNZ_UPSAMPLE: upsample(p, layer, x, out); break;
    default: lookup(p, layer, x, out); break;
    }
}
