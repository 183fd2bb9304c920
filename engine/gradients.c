/*
 * Gradients through the networks, to first order and equal on every machine. mnistzip.nn.backward explains them.
 *
 * Before each product, gradients are rounded to integers of 9 bits times a power of two. Everything else is done number by
 * number in float32. Each result is therefore the one number that IEEE arithmetic allows; compile without contraction. Casts
 * round each product where a compiler computes float in double (FLT_EVAL_METHOD 1, as gcc does for s390x with -std=c11).
 */
#include "gradients.h"

#include <string.h>

/* ---- Powers of two ---- */

/* The e with 2^(e-1) <= x < 2^e, for x > 0; 0 for 0. */
static int exponent_of(float x)
{
    int32_t bits, below = 0;
    if (x == 0) return 0;
    for (; x < 1.17549435e-38f; below += 24) x *= 16777216.0f;
    memcpy(&bits, &x, sizeof bits);
    return (bits >> 23) - 126 - below;
}

float mnz_power_of_two(int e)
{
    int32_t bits = e > 127 ? 255 << 23 : e >= -126 ? (e + 127) << 23 : e >= -149 ? 1 << (e + 149) : 0;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* The power of two that gradients are divided by, so that they fit 9 bits. */
static int gradient_exponent(const mnz_model *model, const float *g, size_t count)
{
    return exponent_of(model->kernels->largest(g, (int)count) / (float)MNZ_GRADIENT_MAX);
}

static int unclipped(int32_t value, mnz_range range)
{
    return value > range.low && value < range.high;
}

/* ---- Layers ---- */

static void convolve_back(const mnz_model *model, const mnz_layer *layer, const int32_t *out, const float *g, float *g_in,
                          mnz_arena scratch)
{
    const int height = layer->out.height, width = layer->out.width, outputs = layer->out.channels, inputs = layer->in.channels;
    const int pad = layer->kernel / 2, places = height * width, stride = mnz_stride(&layer->gradient.weight);
    const size_t row = (size_t)(width + 2 * pad) * outputs, size = mnz_size(&layer->out);
    float *masked = mnz_take(&scratch, size, sizeof *masked);
    int16_t *padded = mnz_take(&scratch, (height + 2 * pad) * row + 1, sizeof *padded);
    int32_t *offset = mnz_take(&scratch, places, sizeof *offset);
    int32_t *sums = mnz_take(&scratch, (size_t)places * stride, sizeof *sums);
    model->kernels->mask(g, out, (int)size, layer->out.range.low, layer->out.range.high, masked);
    const int exponent = gradient_exponent(model, masked, size);
    memset(padded, 0, ((height + 2 * pad) * row + 1) * sizeof *padded);
    for (int i = 0; i < height; i++)
        model->kernels->round_scaled(masked + (size_t)i * width * outputs, width * outputs, mnz_power_of_two(-exponent),
                                     padded + (i + pad) * row + (size_t)pad * outputs);
    for (int place = 0; place < places; place++)
        offset[place] = (int32_t)(place / width * row + (size_t)(place % width) * outputs);
    mnz_products(model, padded, offset, places, (ptrdiff_t)row, &layer->gradient.weight, sums);
    const float scale = mnz_power_of_two(layer->gradient.exponent + exponent);
    for (int place = 0; place < places; place++)
        model->kernels->scale_sums(sums + (size_t)place * stride, inputs, scale, g_in + (size_t)place * inputs);
}

/* Products are added in the order of the taps, each rounded to float32, as numpy does. */
static void depthwise_back(const mnz_model *model, const mnz_layer *layer, const int32_t *out, const float *g, float *g_in,
                           mnz_arena scratch)
{
    const int height = layer->in.height, width = layer->in.width, channels = layer->in.channels;
    const int kernel = layer->kernel, around = kernel / 2, last = kernel * kernel - 1;
    float *masked = mnz_take(&scratch, mnz_size(&layer->out), sizeof *masked);
    model->kernels->mask(g, out, (int)mnz_size(&layer->out), layer->out.range.low, layer->out.range.high, masked);
    for (int row = 0; row < height; row++)
        for (int column = 0; column < width; column++, g_in += channels) {
            memset(g_in, 0, (size_t)channels * sizeof *g_in);
            for (int tap = 0; tap <= last; tap++) {
                const int r = row + tap / kernel - around, c = column + tap % kernel - around;
                if (r < 0 || r >= height || c < 0 || c >= width) continue;
                const float *from = masked + ((size_t)r * width + c) * channels;
                const int32_t *w = layer->taps + (size_t)(last - tap) * channels;
                for (int k = 0; k < channels; k++)
                    g_in[k] += (float)(from[k] * (float)((float)w[k] * mnz_power_of_two(-layer->shift[k])));
            }
        }
}

static void gain_back(const mnz_model *model, const mnz_layer *layer, const int32_t *out, int quality_index, const float *g,
                      float *g_in)
{
    const int channels = layer->in.channels;
    const int32_t *factor = layer->factor + (size_t)quality_index * channels;
    const size_t size = mnz_size(&layer->in);
    model->kernels->mask(g, out, (int)size, layer->out.range.low, layer->out.range.high, g_in);
    for (size_t k = 0; k < size; k += channels)
        for (int c = 0; c < channels; c++) g_in[k + c] *= (float)((float)factor[c] * 0.00390625f);
}

static void lookup_back(const mnz_layer *layer, const int32_t *x, const float *g, float *g_in)
{
    const int last = layer->entries - 1;
    for (size_t k = 0, size = mnz_size(&layer->in); k < size; k++) {
        int index = x[k] - layer->low;
        float rise = (float)layer->table[index < last ? index + 1 : last] - (float)layer->table[index > 0 ? index - 1 : 0];
        g_in[k] = g[k] * (float)(rise * 0.5f);
    }
}

/* Each of the numbers of a square that is its largest takes the gradient. */
static void max_pool_back(const mnz_layer *layer, const int32_t *x, const int32_t *out, const float *g, float *g_in)
{
    const int width = layer->in.width, channels = layer->in.channels;
    for (int i = 0; i < layer->in.height; i++)
        for (int j = 0; j < width; j++)
            for (int c = 0; c < channels; c++) {
                size_t at = ((size_t)i * width + j) * channels + c;
                size_t pooled = ((size_t)(i / 2) * (width / 2) + j / 2) * channels + c;
                g_in[at] = g[pooled] * (float)(out[pooled] == x[at]);
            }
}

static void upsample_back(const mnz_layer *layer, const float *g, float *g_in)
{
    const int width = layer->in.width, channels = layer->in.channels;
    const size_t row = (size_t)2 * width * channels;
    for (int i = 0; i < layer->in.height; i++)
        for (int j = 0; j < width; j++)
            for (int c = 0; c < channels; c++) {
                const float *top = g + (size_t)2 * i * row + (size_t)2 * j * channels + c;
                float left = top[0] + top[row], right = top[channels] + top[row + channels];
                g_in[((size_t)i * width + j) * channels + c] = left + right;
            }
}

/* Back through a chain of layers, whose last is at `last`, to the input x of the chain. */
static const float *backward(const mnz_model *model, const mnz_network *network, int last, const int32_t *x, const int32_t *tape,
                             const float *g, int quality_index, mnz_arena *arena)
{
    for (int i = last; i >= 0; i = network->layer[i].before) {
        const mnz_layer *layer = network->layer + i;
        const int32_t *out = tape + layer->tape;
        const int32_t *in = layer->before < 0 ? x : tape + network->layer[layer->before].tape;
        const size_t size = mnz_size(&layer->in);
        float *g_in = mnz_take(arena, size, sizeof *g_in);
        switch (layer->op) {
        case MNZ_CONV:
            convolve_back(model, layer, out, g, g_in, *arena);
            break;
        case MNZ_GAIN:
            gain_back(model, layer, out, quality_index, g, g_in);
            break;
        case MNZ_RESIDUAL: {
            float *masked = mnz_take(arena, size, sizeof *masked);
            model->kernels->mask(g, out, (int)size, layer->out.range.low, layer->out.range.high, masked);
            const float *inner = backward(model, network, layer->inner_last, in, tape, masked, quality_index, arena);
            for (size_t k = 0; k < size; k++) g_in[k] = masked[k] + inner[k];
            break;
        }
        case MNZ_PARALLEL: {
            float *masked = mnz_take(arena, mnz_size(&layer->out), sizeof *masked);
            model->kernels->mask(g, out, (int)mnz_size(&layer->out), layer->out.range.low, layer->out.range.high, masked);
            const float *one = backward(model, network, layer->inner_last, in, tape, masked, quality_index, arena);
            const float *other = backward(model, network, layer->other_last, in, tape, masked, quality_index, arena);
            for (size_t k = 0; k < size; k++) g_in[k] = one[k] + other[k];
            break;
        }
        case MNZ_DEPTHWISE:
            depthwise_back(model, layer, out, g, g_in, *arena);
            break;
        case MNZ_SPACE_TO_DEPTH:
            mnz_fold(&layer->out, layer->size, g, g_in, 1);
            break;
        case MNZ_DEPTH_TO_SPACE:
            mnz_fold(&layer->in, layer->size, g, g_in, 0);
            break;
        case MNZ_MAX_POOL:
            max_pool_back(layer, in, out, g, g_in);
            break;
        case MNZ_UPSAMPLE:
            upsample_back(layer, g, g_in);
            break;
        default: /* MNZ_LOOKUP */
            lookup_back(layer, in, g, g_in);
            break;
        }
        g = g_in;
    }
    return g;
}

void mnz_synthesis_back(const mnz_model *model, const int32_t *start, const int32_t *tape, const float *g_grey,
                        int quality_index, float *g_symbol, mnz_arena scratch)
{
    const int32_t *step = model->step + (size_t)quality_index * MNZ_CHANNELS;
    const float *g = backward(model, &model->synthesis, model->synthesis.last, start, tape, g_grey, quality_index, &scratch);
    for (int k = 0; k < MNZ_SYMBOLS; k++) g_symbol[k] = g[k] * (float)step[k % MNZ_CHANNELS];
}

/* ---- The prior ---- */

/* Products of rounded gradients from position or symbol `first` on with the matrix of a row. */
static void row_products(const mnz_model *model, const int16_t *g, int numbers, const mnz_matrix *matrix, mnz_sparse *sparse,
                         int32_t *sums)
{
    sparse->count = 0;
    mnz_sparse_add(sparse, g, 0, (numbers + 1) / 2);
    memset(sums, 0, (size_t)mnz_stride(matrix) * sizeof *sums);
    mnz_sparse_products(model, sparse, matrix, sums);
}

void mnz_prior_back(const mnz_prior_state *state, const int32_t *freq, float *g_symbol, mnz_arena scratch)
{
    const mnz_model *model = state->model;
    const mnz_prior *prior = &model->prior;
    const int values = prior->values, b = prior->far, near_stride = prior->near_stride;
    const int far_size = MNZ_SYMBOLS * b, near_size = MNZ_POSITIONS * near_stride;
    const int longest = far_size > near_size ? far_size : near_size;
    const mnz_range activations = {0, MNZ_ACTIVATION_MAX};
    float *g_logit = mnz_take(&scratch, (size_t)MNZ_SYMBOLS * values, sizeof *g_logit);
    float *g_far = mnz_take(&scratch, far_size, sizeof *g_far), *g_near = mnz_take(&scratch, near_size, sizeof *g_near);
    int16_t *rounded = mnz_take(&scratch, (size_t)longest + MNZ_VALUES_MAX + 2, sizeof *rounded);
    int32_t *sums = mnz_take(&scratch, (size_t)MNZ_SIDE * MNZ_OUTPUTS_MAX, sizeof *sums);
    mnz_sparse sparse = {0, NULL, NULL};
    sparse.pair = mnz_take(&scratch, (size_t)longest / 2 + 2, sizeof *sparse.pair);
    sparse.value = mnz_take(&scratch, (size_t)longest / 2 + 2, sizeof *sparse.value);

    /* The gradient of a symbol's bits by its logits is probability minus one-hot, over 64 logits a bit. */
    for (int i = 0; i < MNZ_SYMBOLS; i++)
        for (int v = 0; v < values; v++) {
            int32_t hit = v == state->y[i] - prior->low ? MNZ_TOTAL : 0;
            g_logit[i * values + v] = (float)(freq[i * values + v] - hit) * (1.0f / (MNZ_TOTAL * 64.0f));
        }
    int exponent = gradient_exponent(model, g_logit, (size_t)MNZ_SYMBOLS * values);
    for (int i = 0; i < MNZ_SYMBOLS; i++) {
        const mnz_gradient *head = &prior->logits_to_far[i];
        const float scale = mnz_power_of_two(head->exponent + exponent);
        const int32_t offset = 0;
        rounded[values] = 0;
        model->kernels->round_scaled(g_logit + (size_t)i * values, values, mnz_power_of_two(-exponent), rounded);
        mnz_products(model, rounded, &offset, 1, 0, &head->weight, sums);
        for (int m = 0; m < b; m++)
            g_far[i * b + m] = (float)((float)sums[m] * scale) * (float)unclipped(state->far[i * prior->far_stride + m], activations);
    }

    exponent = gradient_exponent(model, g_far, far_size);
    model->kernels->round_scaled(g_far, far_size, mnz_power_of_two(-exponent), rounded);
    memset(g_near, 0, (size_t)near_size * sizeof *g_near);
    for (int row = 0; row < MNZ_SIDE; row++) {
        const int first = row * MNZ_SIDE * MNZ_CHANNELS;
        const mnz_gradient *to_near = &prior->far_to_near[row], *to_symbols = &prior->far_to_symbols[row];
        row_products(model, rounded + first * b, far_size - first * b, &to_near->weight, &sparse, sums);
        float scale = mnz_power_of_two(to_near->exponent + exponent);
        for (int k = 0; k < MNZ_SIDE * prior->near; k++) {
            int at = (row * MNZ_SIDE + k / prior->near) * near_stride + k % prior->near;
            g_near[at] = (float)((float)sums[k] * scale) * (float)unclipped(state->near[at], activations);
        }
        memset(sums, 0, (size_t)mnz_stride(&to_symbols->weight) * sizeof *sums);
        mnz_sparse_products(model, &sparse, &to_symbols->weight, sums);
        scale = mnz_power_of_two(to_symbols->exponent + exponent);
        for (int k = 0; k < MNZ_SIDE * MNZ_CHANNELS; k++) g_symbol[first + k] = (float)sums[k] * scale;
    }

    exponent = gradient_exponent(model, g_near, near_size);
    model->kernels->round_scaled(g_near, near_size, mnz_power_of_two(-exponent), rounded);
    for (int row = 0; row < MNZ_SIDE; row++) {
        const mnz_gradient *to_symbols = &prior->near_to_symbols[row];
        const int first = row * MNZ_SIDE;
        row_products(model, rounded + first * near_stride, near_size - first * near_stride, &to_symbols->weight, &sparse, sums);
        const float scale = mnz_power_of_two(to_symbols->exponent + exponent);
        for (int k = 0; k < MNZ_SIDE * MNZ_CHANNELS; k++) g_symbol[first * MNZ_CHANNELS + k] += (float)((float)sums[k] * scale);
    }
}

size_t mnz_layers_gradient_memory(const mnz_network *network)
{
    size_t layers = network->scratch;
    for (int i = 0; i < network->count; i++) {
        const mnz_layer *layer = &network->layer[i];
        layers += 2 * mnz_aligned(mnz_size(&layer->in) * sizeof(float));
        if (layer->op == MNZ_PARALLEL) layers += mnz_aligned(mnz_size(&layer->out) * sizeof(float));
    }
    return layers;
}

void mnz_network_back(const mnz_model *model, const mnz_network *network, const int32_t *x, const int32_t *tape, const float *g,
                      int quality_index, float *g_in, mnz_arena scratch)
{
    const float *result = backward(model, network, network->last, x, tape, g, quality_index, &scratch);
    memcpy(g_in, result, mnz_size(&network->layer[0].in) * sizeof *g_in);
}

size_t mnz_gradient_memory(const mnz_model *model)
{
    const mnz_prior *prior = &model->prior;
    size_t longest = (size_t)MNZ_SYMBOLS * prior->far + (size_t)MNZ_POSITIONS * prior->near_stride;
    size_t of_prior = (size_t)MNZ_SYMBOLS * prior->values * 4 + longest * 12 + (size_t)MNZ_SIDE * MNZ_OUTPUTS_MAX * 4 + 8192;
    size_t of_layers = mnz_layers_gradient_memory(&model->synthesis);
    return mnz_aligned(of_prior > of_layers ? of_prior : of_layers);
}
