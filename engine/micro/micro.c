/* Bare streams on a bare machine: the networks, the prior and the coder of FORMAT.md for the constants of an exported model. */
#include "mnistzip_micro.h"

#include <string.h>

/* ---- Memory ---- */

typedef struct {
    uint8_t *at;
    size_t left;
} memory;

/* The next part of a workspace, aligned to 8 bytes; NULL if it is used up. */
static void *take(memory *m, size_t count, size_t item)
{
    const size_t size = (count * item + MNZ_MICRO_ALIGNMENT - 1) / MNZ_MICRO_ALIGNMENT * MNZ_MICRO_ALIGNMENT;
    if (m->at == NULL || size > m->left) {
        m->at = NULL;
        return NULL;
    }
    m->at += size;
    m->left -= size;
    return m->at - size;
}

/* ---- Products ---- */

/* The outputs of a block, whose sums stay in registers. */
#define ONE(DO) DO(0)
#define FOUR(DO) DO(0) DO(1) DO(2) DO(3)
#define EIGHT(DO) FOUR(DO) DO(4) DO(5) DO(6) DO(7)
#define LOAD(o) int32_t sum##o = sums[o];
#define ADD(o) sum##o += input * w[o];
#define STORE(o) sums[o] = sum##o;

/* sums[o] += the products of one block. An input of 0 takes one test, and most inputs are 0. Returns where the next block begins. */
#define MULTIPLY_BLOCK(name, type, width, OUTPUTS)                                                  \
    static const type *name(const type *w, const int16_t *x, int inputs, int32_t *sums)             \
    {                                                                                               \
        const int16_t *const end = x + inputs;                                                      \
        OUTPUTS(LOAD)                                                                               \
        for (; x < end; x++, w += width) {                                                          \
            const int32_t input = *x;                                                               \
            if (input == 0) continue;                                                               \
            OUTPUTS(ADD)                                                                            \
        }                                                                                           \
        OUTPUTS(STORE)                                                                              \
        return w;                                                                                   \
    }

MULTIPLY_BLOCK(narrow_by_8, int8_t, 8, EIGHT)
MULTIPLY_BLOCK(narrow_by_4, int8_t, 4, FOUR)
MULTIPLY_BLOCK(narrow_by_1, int8_t, 1, ONE)
MULTIPLY_BLOCK(wide_by_8, int16_t, 8, EIGHT)
MULTIPLY_BLOCK(wide_by_4, int16_t, 4, FOUR)
MULTIPLY_BLOCK(wide_by_1, int16_t, 1, ONE)

static const int8_t *multiply_narrow(const int8_t *w, const int16_t *x, int inputs, int width, int32_t *sums)
{
    return (width == 8 ? narrow_by_8 : width == 4 ? narrow_by_4 : narrow_by_1)(w, x, inputs, sums);
}

static const int16_t *multiply_wide(const int16_t *w, const int16_t *x, int inputs, int width, int32_t *sums)
{
    return (width == 8 ? wide_by_8 : width == 4 ? wide_by_4 : wide_by_1)(w, x, inputs, sums);
}

/* sums[o] += the products of the first matrix of `weights`, which then begin with the matrix behind it. */
static void multiply(mnz_micro_weights *weights, const int16_t *x, int inputs, int outputs, int32_t *sums)
{
    for (int o = 0, width; o < outputs; o += width) {
        width = outputs - o >= 8 ? 8 : outputs - o >= 4 ? 4 : 1;
        if (weights->wide)
            weights->wide = multiply_wide(weights->wide, x, inputs, width, sums + o);
        else
            weights->narrow = multiply_narrow(weights->narrow, x, inputs, width, sums + o);
    }
    if (weights->wide) return;
    for (int k = *weights->excesses++; k > 0; k--) {
        const mnz_micro_excess more = *weights->excess++;
        sums[more.output] += x[more.input] * (more.high * 256);
    }
}

/* ---- Section 4: networks ---- */

typedef struct {
    int16_t *numbers, *patch;
    int32_t *sums;
    int quality_index;
} network_state;

/* The inputs of a convolution at one position; 0 beyond the edges. */
static void gather(const mnz_micro_layer *layer, const int16_t *x, int row, int column, int16_t *patch)
{
    const int pad = layer->size / 2, channels = layer->channels;
    for (int r = row - pad; r <= row + pad; r++)
        for (int c = column - pad; c <= column + pad; c++, patch += channels) {
            const size_t bytes = (size_t)channels * sizeof *patch;
            if (r < 0 || r >= layer->height || c < 0 || c >= layer->width)
                memset(patch, 0, bytes);
            else
                memcpy(patch, x + (r * layer->width + c) * channels, bytes);
        }
}

static void convolve(const network_state *state, const mnz_micro_layer *layer, const int16_t *x, int16_t *out)
{
    const int outputs = layer->outputs, inputs = layer->size * layer->size * layer->channels;
    const int32_t *place = layer->place, *quality = layer->quality + state->quality_index * outputs;
    for (int row = 0; row < layer->height; row++)
        for (int column = 0; column < layer->width; column++, out += outputs) {
            mnz_micro_weights weights = layer->weights;
            gather(layer, x, row, column, state->patch);
            for (int o = 0; o < outputs; o++) state->sums[o] = place[o] + quality[o];
            multiply(&weights, state->patch, inputs, outputs, state->sums);
            for (int o = 0; o < outputs; o++) out[o] = (int16_t)mnz_clip(state->sums[o] >> layer->shift[o], layer->low, layer->high);
            if (!layer->everywhere) place += outputs;
        }
}

/* Space to depth, or its inverse. height, width and channels: of the array of squares. */
static void fold(int height, int width, int channels, int size, const int16_t *from, int16_t *to, int inverse)
{
    size_t deep = 0; /* channels are in the order input channel, row, column */
    for (int row = 0; row < height; row += size)
        for (int column = 0; column < width; column += size)
            for (int c = 0; c < channels; c++)
                for (int i = 0; i < size; i++)
                    for (int j = 0; j < size; j++, deep++) {
                        const size_t flat = ((size_t)(row + i) * width + column + j) * channels + c;
                        if (inverse)
                            to[flat] = from[deep];
                        else
                            to[deep] = from[flat];
                    }
}

static void max_pool(const mnz_micro_layer *layer, const int16_t *x, int16_t *out)
{
    const int channels = layer->channels, row = layer->width * channels;
    for (int i = 0; i < layer->height / 2; i++, x += row)
        for (int j = 0; j < layer->width / 2; j++, x += channels)
            for (int c = 0; c < channels; c++, x++) {
                const int16_t top = x[0] > x[channels] ? x[0] : x[channels];
                const int16_t bottom = x[row] > x[row + channels] ? x[row] : x[row + channels];
                *out++ = top > bottom ? top : bottom;
            }
}

static void upsample(const mnz_micro_layer *layer, const int16_t *x, int16_t *out)
{
    const int channels = layer->channels;
    for (int i = 0; i < 2 * layer->height; i++)
        for (int j = 0; j < 2 * layer->width; j++, out += channels)
            memcpy(out, x + ((i / 2) * layer->width + j / 2) * channels, (size_t)channels * sizeof *out);
}

/* A chain of layers. Returns its output. */
static const int16_t *forward(const network_state *state, const mnz_micro_layer *layer, int count, const int16_t *x)
{
    for (const mnz_micro_layer *end = layer + count; layer < end; layer += 1 + layer->inner) {
        const int channels = layer->channels, size = layer->height * layer->width * channels;
        int16_t *out = state->numbers + layer->to;
        switch (layer->op) {
        case MNZ_CONV:
            convolve(state, layer, x, out);
            break;
        case MNZ_GAIN: {
            const int16_t *factor = layer->factor + state->quality_index * channels;
            for (int k = 0; k < size; k++)
                out[k] = (int16_t)mnz_clip((x[k] * factor[k % channels] + 128) >> 8, layer->low, layer->high);
            break;
        }
        case MNZ_RESIDUAL: {
            const int16_t *change = forward(state, layer + 1, layer->inner, x);
            for (int k = 0; k < size; k++) out[k] = (int16_t)mnz_clip(x[k] + change[k], layer->low, layer->high);
            break;
        }
        case MNZ_SPACE_TO_DEPTH:
            fold(layer->height, layer->width, channels, layer->size, x, out, 0);
            break;
        case MNZ_DEPTH_TO_SPACE:
            fold(layer->height * layer->size, layer->width * layer->size, layer->outputs, layer->size, x, out, 1);
            break;
        case MNZ_MAX_POOL:
            max_pool(layer, x, out);
            break;
        case MNZ_UPSAMPLE:
            upsample(layer, x, out);
            break;
        default: /* MNZ_LOOKUP */
            for (int k = 0; k < size; k++) out[k] = layer->table[x[k] - layer->table_low];
            break;
        }
        x = out;
    }
    return x;
}

/* The memory that a network works in; 0 if there is too little. */
static int take_network(memory m, const mnz_micro_network *network, int quality_index, network_state *state)
{
    state->quality_index = quality_index;
    state->numbers = take(&m, network->memory, sizeof *state->numbers);
    state->patch = take(&m, network->patch, sizeof *state->patch);
    state->sums = take(&m, network->outputs, sizeof *state->sums);
    return m.at != NULL;
}

static int analyse(const mnz_micro_model *model, int quality_index, const uint8_t *pixels, int16_t *y, memory m)
{
    network_state state;
    if (!take_network(m, &model->analysis, quality_index, &state)) return 0;
    for (int k = 0; k < MNZ_TILE_PIXELS; k++) state.numbers[k] = pixels[k];
    const int16_t *value = forward(&state, model->analysis.layer, model->analysis.count, state.numbers);
    const int32_t *fine = model->fine + quality_index * MNZ_CHANNELS;
    for (int k = 0; k < MNZ_SYMBOLS; k++) {
        const int64_t symbol = ((int64_t)value[k] * fine[k % MNZ_CHANNELS] + ((int64_t)1 << (model->fine_shift - 1))) >> model->fine_shift;
        const int high = model->low + model->values - 1;
        y[k] = (int16_t)(symbol < model->low ? model->low : symbol > high ? high : symbol);
    }
    return 1;
}

static int synthesize(const mnz_micro_model *model, int quality_index, const int16_t *y, uint8_t *pixels, memory m)
{
    network_state state;
    if (!take_network(m, &model->synthesis, quality_index, &state)) return 0;
    const int32_t *step = model->step + quality_index * MNZ_CHANNELS;
    for (int k = 0; k < MNZ_SYMBOLS; k++) state.numbers[k] = (int16_t)(y[k] * step[k % MNZ_CHANNELS]);
    const int16_t *grey = forward(&state, model->synthesis.layer, model->synthesis.count, state.numbers);
    for (int k = 0; k < MNZ_TILE_PIXELS; k++) pixels[k] = (uint8_t)grey[k];
    return 1;
}

/* ---- Section 3.2: the prior ---- */

/* sums >> shift, as activations. */
static void activate(const int32_t *sums, const uint8_t *shift, int count, int16_t *out)
{
    for (int k = 0; k < count; k++) out[k] = (int16_t)mnz_clip(sums[k] >> shift[k], 0, MNZ_ACTIVATION_MAX);
}

/* Logits, which are sums >> shift, to the weights of an alphabet. The logits take the place of the sums. */
static void weigh(int32_t *sums, const uint8_t *shift, int values, mnz_cdf *cdf)
{
    int32_t largest = MNZ_LOGIT_LOW;
    cdf->values = values;
    cdf->total = 0;
    for (int v = 0; v < values; v++) {
        sums[v] = mnz_clip(sums[v] >> shift[v], MNZ_LOGIT_LOW, MNZ_LOGIT_HIGH);
        if (sums[v] > largest) largest = sums[v];
    }
    for (int v = 0; v < values; v++) {
        const int32_t behind = largest - sums[v];
        cdf->weight[v] = (uint32_t)mnz_octaves[behind < MNZ_LAST_OCTAVE ? behind : MNZ_LAST_OCTAVE];
        cdf->total += cdf->weight[v];
    }
}

/* Where symbols go to or come from: intervals if there is no decoder. */
typedef struct {
    mnz_decoder *decoder;
    uint16_t *start, *freq_less_one;
} coder;

/* The number of a symbol in its alphabet. */
static int code(const coder *coder, int symbol, int value, const mnz_cdf *cdf)
{
    if (coder->decoder) return mnz_decode_symbol(coder->decoder, cdf);
    const mnz_interval interval = mnz_interval_of(cdf, value);
    coder->start[symbol] = (uint16_t)interval.start;
    coder->freq_less_one[symbol] = (uint16_t)(interval.freq - 1);
    return value;
}

/* Visit the symbols of a latent in coding order: those of y, or those that the decoder writes there. Returns 0 if there is too
   little memory. */
static int code_latent(const mnz_micro_model *model, int quality_index, const coder *coder, int16_t *y, memory m)
{
    const mnz_micro_prior *prior = &model->prior;
    const int a = prior->near, b = prior->far, outputs = MNZ_CHANNELS * b;
    const int32_t *near_bias = prior->near_bias + (size_t)quality_index * MNZ_POSITIONS * a;
    const int32_t *far_bias = prior->far_bias + (size_t)quality_index * MNZ_SYMBOLS * b, *head_bias = prior->head_bias;
    const uint8_t *near_shift = prior->near_shift, *far_shift = prior->far_shift, *head_shift = prior->head_shift;
    mnz_micro_weights near_weight = prior->near_weight, far_weight = prior->far_weight, skip_weight = prior->skip_weight;
    mnz_micro_weights own_weight = prior->own_weight, head_weight = prior->head_weight;
    int16_t *near = take(&m, (size_t)MNZ_POSITIONS * a, sizeof *near), *far = take(&m, b, sizeof *far);
    int32_t *near_sums = take(&m, a, sizeof *near_sums), *far_sums = take(&m, outputs, sizeof *far_sums);
    int32_t *logits = take(&m, model->values, sizeof *logits);
    mnz_cdf *cdf = take(&m, 1, sizeof *cdf);
    if (m.at == NULL) return 0;
    for (int symbol = 0; symbol < MNZ_SYMBOLS;) {
        const int position = symbol / MNZ_CHANNELS;
        memcpy(near_sums, near_bias + position * a, (size_t)a * sizeof *near_sums);
        multiply(&near_weight, y, symbol, a, near_sums);
        activate(near_sums, near_shift + position * a, a, near + position * a);
        memcpy(far_sums, far_bias + symbol * b, (size_t)outputs * sizeof *far_sums);
        multiply(&far_weight, near, (position + 1) * a, outputs, far_sums);
        multiply(&skip_weight, y, symbol, outputs, far_sums);
        for (int channel = 0; channel < MNZ_CHANNELS; channel++, symbol++) {
            activate(far_sums + channel * b, far_shift + symbol * b, b, far);
            memcpy(logits, head_bias + symbol * model->values, model->values * sizeof *logits);
            multiply(&head_weight, far, b, model->values, logits);
            weigh(logits, head_shift + symbol * model->values, model->values, cdf);
            y[symbol] = (int16_t)(model->low + code(coder, symbol, y[symbol] - model->low, cdf));
            const int behind = MNZ_CHANNELS - 1 - channel; /* channels of this position that see the symbol */
            if (behind) multiply(&own_weight, y + symbol, 1, behind * b, far_sums + (channel + 1) * b);
        }
    }
    return 1;
}

/* ---- Section 8: bare streams ---- */

/* The check of a latent: the CRC-32 goes on with its symbols, by half bytes. */
static uint32_t check_of(uint32_t crc, const int16_t *y)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    crc = ~crc;
    for (int k = 0; k < MNZ_SYMBOLS; k++) {
        const uint8_t symbol = (uint8_t)y[k];
        crc = table[(crc ^ symbol) & 15] ^ (crc >> 4);
        crc = table[(crc ^ (symbol >> 4)) & 15] ^ (crc >> 4);
    }
    return ~crc;
}

/* The workspace as memory; without any if it is not aligned. */
static memory memory_of(void *workspace, size_t size)
{
    return (memory){(uintptr_t)workspace % MNZ_MICRO_ALIGNMENT == 0 ? workspace : NULL, size};
}

static int is_valid(const mnz_micro_model *model, int quality, int check_bits)
{
    return model && quality >= model->quality_low && quality <= model->quality_high && check_bits >= 0 && check_bits <= MNZ_CHECK_BITS_MAX;
}

mnz_status mnz_micro_encode(const mnz_micro_model *model, int quality, int check_bits, const uint8_t *pixels, uint8_t *out,
                            size_t capacity, size_t *size, void *workspace, size_t workspace_size)
{
    if (!is_valid(model, quality, check_bits) || !model->analysis.layer || !pixels || !out || !size) return MNZ_ERROR_ARGUMENT;
    const int quality_index = quality - model->quality_low;
    const size_t bound = mnz_stream_bound(MNZ_SYMBOLS);
    memory m = memory_of(workspace, workspace_size);
    int16_t *y = take(&m, MNZ_SYMBOLS, sizeof *y);
    if (m.at == NULL || !analyse(model, quality_index, pixels, y, m)) return MNZ_ERROR_MEMORY;
    uint8_t *stream = take(&m, bound, 1);
    const coder intervals = {NULL, take(&m, MNZ_SYMBOLS, sizeof(uint16_t)), take(&m, MNZ_SYMBOLS, sizeof(uint16_t))};
    if (m.at == NULL || !code_latent(model, quality_index, &intervals, y, m)) return MNZ_ERROR_MEMORY;
    const uint32_t check = check_of(model->check[quality_index], y);
    const mnz_status status =
        mnz_encode_intervals(intervals.start, intervals.freq_less_one, MNZ_SYMBOLS, check, check_bits, stream, bound, size);
    if (status != MNZ_OK) return status;
    if (*size > capacity) return MNZ_ERROR_OUTPUT;
    memcpy(out, stream, *size);
    return MNZ_OK;
}

mnz_status mnz_micro_decode(const mnz_micro_model *model, int quality, int check_bits, const uint8_t *stream, size_t size,
                            uint8_t *pixels, void *workspace, size_t workspace_size)
{
    if (!is_valid(model, quality, check_bits) || !model->synthesis.layer || !stream || !pixels) return MNZ_ERROR_ARGUMENT;
    const int quality_index = quality - model->quality_low;
    memory m = memory_of(workspace, workspace_size);
    int16_t *y = take(&m, MNZ_SYMBOLS, sizeof *y);
    if (m.at == NULL) return MNZ_ERROR_MEMORY;
    mnz_decoder decoder;
    if (mnz_decoder_begin(&decoder, stream, size) != MNZ_OK) return MNZ_ERROR_DAMAGED;
    const coder from_stream = {&decoder, NULL, NULL};
    memset(y, 0, MNZ_SYMBOLS * sizeof *y);
    if (!code_latent(model, quality_index, &from_stream, y, m)) return MNZ_ERROR_MEMORY;
    if (!mnz_check_passed(mnz_decoder_end(&decoder), check_of(model->check[quality_index], y), check_bits)) return MNZ_ERROR_DAMAGED;
    return synthesize(model, quality_index, y, pixels, m) ? MNZ_OK : MNZ_ERROR_MEMORY;
}
