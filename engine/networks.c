/* FORMAT.md, section 4: the layers of analysis and synthesis, and the quantizer between them. */
#include "engine.h"

#include <string.h>

/* ---- Convolution ---- */

/* Copy an array into the middle of one with zeros around it, narrow. */
static void pad_narrow(const mnz_kernels *kernels, const int32_t *x, const mnz_signal *in, int pad, int16_t *padded)
{
    size_t row = (size_t)in->width * in->channels, border = (size_t)pad * in->channels;
    for (int i = 0; i < pad; i++, padded += row + 2 * border) memset(padded, 0, (row + 2 * border) * sizeof *padded);
    for (int i = 0; i < in->height; i++) {
        memset(padded, 0, border * sizeof *padded);
        padded += border;
        kernels->narrow(x, (int)row, padded);
        padded += row;
        x += row;
        memset(padded, 0, border * sizeof *padded);
        padded += border;
    }
    for (int i = 0; i < pad; i++, padded += row + 2 * border) memset(padded, 0, (row + 2 * border) * sizeof *padded);
}

/* The same sums as of a narrow matrix, number by number, for weights or inputs of more than 16 bits. */
static void convolve_wide(const mnz_kernels *kernels, const int32_t *x, const mnz_layer *layer, int32_t *sums)
{
    const mnz_signal *in = &layer->in;
    const int pad = layer->kernel / 2, stride = mnz_stride(&layer->weight), channels = in->channels;
    for (int row = 0; row < in->height; row++)
        for (int column = 0; column < in->width; column++, sums += stride) {
            memset(sums, 0, (size_t)stride * sizeof *sums);
            for (int i = 0; i < layer->kernel; i++)
                for (int j = 0; j < layer->kernel; j++) {
                    int r = row + i - pad, c = column + j - pad;
                    if (r < 0 || r >= in->height || c < 0 || c >= in->width) continue;
                    const int32_t *input = x + ((size_t)r * in->width + c) * channels;
                    const int32_t *w = layer->weight.wide + ((size_t)i * layer->kernel + j) * channels * stride;
                    for (int k = 0; k < channels; k++, w += stride)
                        if (input[k]) kernels->accumulate(input[k], w, stride, sums);
                }
        }
}

static void convolve(const mnz_model *model, const mnz_layer *layer, const int32_t *x, int quality_index, int32_t *out,
                     mnz_arena scratch)
{
    const mnz_signal *in = &layer->in;
    const int pad = layer->kernel / 2, places = in->height * in->width, outputs = layer->weight.outputs;
    const int stride = mnz_stride(&layer->weight), padded_row = (in->width + 2 * pad) * in->channels;
    int32_t *sums = mnz_take(&scratch, (size_t)places * stride, sizeof *sums);
    if (layer->weight.narrow) {
        int32_t *offset = mnz_take(&scratch, places, sizeof *offset);
        int16_t *padded = mnz_take(&scratch, (size_t)(in->height + 2 * pad) * padded_row + 1, sizeof *padded);
        pad_narrow(model->kernels, x, in, pad, padded);
        for (int place = 0; place < places; place++)
            offset[place] = place / in->width * padded_row + place % in->width * in->channels;
        model->kernels->products(padded, offset, places, padded_row, &layer->weight, sums);
    } else {
        convolve_wide(model->kernels, x, layer, sums);
    }
    const int32_t *quality = layer->quality + (size_t)quality_index * outputs;
    for (int place = 0; place < places; place++) {
        const int32_t *bias = layer->place + (layer->places == 1 ? 0 : (size_t)place * outputs);
        model->kernels->requantize(sums + (size_t)place * stride, bias, quality, layer->shift, outputs, layer->out.range.low,
                                   layer->out.range.high, out + (size_t)place * outputs);
    }
}

/* A convolution of each channel by itself. */
static void depthwise(const mnz_model *model, const mnz_layer *layer, const int32_t *x, int quality_index, int32_t *out,
                      mnz_arena scratch)
{
    const mnz_signal *in = &layer->in;
    const int around = layer->kernel / 2, channels = in->channels;
    const int32_t *quality = layer->quality + (size_t)quality_index * channels;
    int32_t *sums = mnz_take(&scratch, channels, sizeof *sums);
    for (int row = 0; row < in->height; row++)
        for (int column = 0; column < in->width; column++, out += channels) {
            memset(sums, 0, (size_t)channels * sizeof *sums);
            for (int tap = 0; tap < layer->kernel * layer->kernel; tap++) {
                const int r = row + tap / layer->kernel - around, c = column + tap % layer->kernel - around;
                if (r < 0 || r >= in->height || c < 0 || c >= in->width) continue;
                const int32_t *input = x + ((size_t)r * in->width + c) * channels, *w = layer->taps + (size_t)tap * channels;
                for (int k = 0; k < channels; k++) sums[k] += input[k] * w[k];
            }
            model->kernels->requantize(sums, layer->place, quality, layer->shift, channels, layer->out.range.low,
                                       layer->out.range.high, out);
        }
}

/* ---- The other layers ---- */

void mnz_fold(const mnz_signal *deep, int size, const void *from, void *to, int inverse)
{
    const int channels = deep->channels / (size * size), width = deep->width * size;
    size_t folded = 0; /* channels are in the order input channel, row, column */
    for (int row = 0; row < deep->height; row++)
        for (int column = 0; column < deep->width; column++)
            for (int c = 0; c < channels; c++)
                for (int i = 0; i < size; i++)
                    for (int j = 0; j < size; j++, folded++) {
                        const size_t flat = ((size_t)(row * size + i) * width + column * size + j) * channels + c;
                        const size_t source = inverse ? folded : flat, target = inverse ? flat : folded;
                        memcpy((char *)to + 4 * target, (const char *)from + 4 * source, 4);
                    }
}

static void max_pool(const mnz_signal *in, const int32_t *x, int32_t *out)
{
    const size_t channels = in->channels, row = in->width * channels;
    for (int i = 0; i < in->height / 2; i++, x += row)
        for (int j = 0; j < in->width / 2; j++, x += channels)
            for (size_t c = 0; c < channels; c++, x++) {
                int32_t top = x[0] > x[channels] ? x[0] : x[channels];
                int32_t bottom = x[row] > x[row + channels] ? x[row] : x[row + channels];
                *out++ = top > bottom ? top : bottom;
            }
}

static void upsample(const mnz_signal *in, const int32_t *x, int32_t *out)
{
    const size_t channels = in->channels;
    for (int i = 0; i < 2 * in->height; i++)
        for (int j = 0; j < 2 * in->width; j++, out += channels)
            memcpy(out, x + ((size_t)(i / 2) * in->width + j / 2) * channels, channels * sizeof *out);
}

/* A chain of layers, from one to another. */
static const int32_t *forward(const mnz_model *model, const mnz_network *network, int first, int end, const int32_t *x,
                              int quality_index, int32_t *tape, mnz_arena scratch)
{
    for (int i = first; i < end; i += 1 + network->layer[i].inner) {
        const mnz_layer *layer = network->layer + i;
        const mnz_range to = layer->out.range;
        const size_t size = mnz_size(&layer->out);
        int32_t *out = tape + layer->tape;
        switch (layer->op) {
        case MNZ_CONV:
            convolve(model, layer, x, quality_index, out, scratch);
            break;
        case MNZ_GAIN: {
            const int channels = layer->in.channels;
            const int32_t *factor = layer->factor + (size_t)quality_index * channels;
            for (size_t k = 0; k < size; k += channels)
                model->kernels->gain(x + k, factor, channels, to.low, to.high, out + k);
            break;
        }
        case MNZ_RESIDUAL: {
            const int32_t *change = forward(model, network, i + 1, i + 1 + layer->inner, x, quality_index, tape, scratch);
            model->kernels->add(x, change, (int)size, to.low, to.high, out);
            break;
        }
        case MNZ_PARALLEL: {
            const int middle = i + 1 + layer->split;
            const int32_t *one = forward(model, network, i + 1, middle, x, quality_index, tape, scratch);
            const int32_t *other = forward(model, network, middle, i + 1 + layer->inner, x, quality_index, tape, scratch);
            model->kernels->add(one, other, (int)size, to.low, to.high, out);
            break;
        }
        case MNZ_DEPTHWISE:
            depthwise(model, layer, x, quality_index, out, scratch);
            break;
        case MNZ_SPACE_TO_DEPTH:
            mnz_fold(&layer->out, layer->size, x, out, 0);
            break;
        case MNZ_DEPTH_TO_SPACE:
            mnz_fold(&layer->in, layer->size, x, out, 1);
            break;
        case MNZ_MAX_POOL:
            max_pool(&layer->in, x, out);
            break;
        case MNZ_UPSAMPLE:
            upsample(&layer->in, x, out);
            break;
        default: /* MNZ_LOOKUP */
            for (size_t k = 0; k < size; k++) out[k] = layer->table[x[k] - layer->low];
            break;
        }
        x = out;
    }
    return x;
}

const int32_t *mnz_forward(const mnz_model *model, const mnz_network *network, const int32_t *x, int quality_index, int32_t *tape,
                           mnz_arena scratch)
{
    return forward(model, network, 0, network->count, x, quality_index, tape, scratch);
}

/* ---- Analysis, quantizer, synthesis ---- */

mnz_status mnz_analyse(const mnz_model *model, const uint8_t *x, int quality_index, int8_t *y, void *workspace, size_t size)
{
    if (model->kind != MNZ_KIND_TILES) return MNZ_ERROR_KIND;
    if (quality_index < 0 || quality_index >= MNZ_QUALITIES) return MNZ_ERROR_ARGUMENT;
    mnz_arena arena = mnz_arena_of(workspace, size);
    int32_t *input = mnz_take(&arena, MNZ_TILE_PIXELS, sizeof *input);
    int32_t *tape = mnz_take(&arena, model->analysis.tape, sizeof *tape);
    if (arena.left < model->analysis.scratch || arena.failed) return MNZ_ERROR_MEMORY;
    for (int k = 0; k < MNZ_TILE_PIXELS; k++) input[k] = x[k];
    const int32_t *value = mnz_forward(model, &model->analysis, input, quality_index, tape, arena);
    const int32_t *fine = model->fine + (size_t)quality_index * MNZ_CHANNELS;
    const int64_t half = (int64_t)1 << (model->fine_shift - 1);
    for (int k = 0; k < MNZ_SYMBOLS; k++) {
        int64_t symbol = ((int64_t)value[k] * fine[k % MNZ_CHANNELS] + half) >> model->fine_shift;
        y[k] = (int8_t)(symbol < model->low ? model->low : symbol > model->high ? model->high : symbol);
    }
    return MNZ_OK;
}

mnz_status mnz_synthesize(const mnz_model *model, const int8_t *y, int quality_index, uint8_t *x_hat, void *workspace, size_t size)
{
    if (model->kind != MNZ_KIND_TILES) return MNZ_ERROR_KIND;
    if (quality_index < 0 || quality_index >= MNZ_QUALITIES || !mnz_within(model, y, MNZ_SYMBOLS)) return MNZ_ERROR_ARGUMENT;
    mnz_arena arena = mnz_arena_of(workspace, size);
    int32_t *start = mnz_take(&arena, MNZ_SYMBOLS, sizeof *start);
    int32_t *tape = mnz_take(&arena, model->synthesis.tape, sizeof *tape);
    if (arena.left < model->synthesis.scratch || arena.failed) return MNZ_ERROR_MEMORY;
    const int32_t *step = model->step + (size_t)quality_index * MNZ_CHANNELS;
    for (int k = 0; k < MNZ_SYMBOLS; k++) start[k] = y[k] * step[k % MNZ_CHANNELS];
    const int32_t *grey = mnz_forward(model, &model->synthesis, start, quality_index, tape, arena);
    for (int k = 0; k < MNZ_TILE_PIXELS; k++) x_hat[k] = (uint8_t)grey[k];
    return MNZ_OK;
}
