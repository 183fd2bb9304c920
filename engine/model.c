/*
 * Loading a prepared model: its layout, checks of shapes, and the proof that no sum can exceed 2^24.
 *
 * A prepared model is a row of records and arrays, each aligned to 64 bytes, in the byte order of the machine. A record has 16
 * numbers of 32 bits. mnistzip.models.prepared writes it, in the order in which this file reads it.
 */
#include "grey.h"
#include "reader.h"

#include <string.h>

enum {
    MAGIC = 0x4d4e5a50,
    VERSION = 3,
    EXPONENT_MAX = 64,      /* of a gradient's unit; those of weights of 24 bits and shifts of 30 are smaller */
    CONV_INPUTS_MAX = 1 << 19,
    CURVATURE_MAX = 1 << 22,
    STATES_MAX = 1 << 12    /* near or far of a latent */
};

/* Products of rounded gradients: an exponent, and a matrix whose sums are bounded. */
static mnz_gradient read_gradient(mnz_reader *r, int runs, int inputs, int outputs, int wide, int exponent, int64_t *sums)
{
    mnz_gradient g = {mnz_read_matrix(r, runs, inputs, outputs, wide), exponent};
    if (exponent < -EXPONENT_MAX || exponent > EXPONENT_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
    memset(sums, 0, (size_t)(outputs > 0 ? outputs : 0) * sizeof *sums);
    mnz_bound_products(r, &g.weight, (mnz_peaks){MNZ_GRADIENT_MAX, NULL}, sums);
    mnz_require_bounded(r, sums, outputs);
    return g;
}

/* ---- Networks ---- */

static void read_conv(mnz_reader *r, mnz_layer *layer, const int32_t *fields, int with_gradient, int64_t *sums)
{
    const mnz_signal *in = &layer->in;
    const int outputs = fields[5];
    layer->kernel = fields[2];
    layer->places = fields[6];
    layer->out.channels = outputs;
    layer->out.range = (mnz_range){fields[3], fields[4]};
    if (layer->kernel < 1 || layer->kernel > 7 || layer->kernel % 2 == 0 || outputs < 1 || outputs > MNZ_SIGNAL_MAX ||
        (layer->places != 1 && layer->places != in->height * in->width) ||
        (size_t)layer->kernel * layer->kernel * mnz_size(in) > CONV_INPUTS_MAX) {
        mnz_fail(r, MNZ_ERROR_MODEL);
        return;
    }
    layer->weight = mnz_read_matrix(r, layer->kernel, layer->kernel * in->channels, outputs, fields[7]);
    layer->place = mnz_read_numbers(r, (size_t)layer->places * outputs);
    layer->quality = mnz_read_numbers(r, (size_t)MNZ_QUALITIES * outputs);
    layer->shift = mnz_read_shifts(r, outputs);
    memset(sums, 0, (size_t)outputs * sizeof *sums);
    mnz_bound_products(r, &layer->weight, (mnz_peaks){mnz_peak(in->range), NULL}, sums);
    mnz_bound_bias(r, layer->place, layer->places, outputs, outputs, sums);
    mnz_bound_bias(r, layer->quality, MNZ_QUALITIES, outputs, outputs, sums);
    mnz_require_bounded(r, sums, outputs);
    if (with_gradient)
        layer->gradient = read_gradient(r, layer->kernel, layer->kernel * outputs, in->channels, fields[8], fields[9], sums);
}

/* The weights of a depthwise convolution in pairs, and the largest magnitude of their products for each channel. */
static void read_paired(mnz_reader *r, mnz_layer *layer, int64_t *sums)
{
    const int channels = layer->in.channels, blocks = (channels + MNZ_BLOCK - 1) / MNZ_BLOCK;
    const int pairs = (layer->kernel + 1) / 2 * layer->kernel;
    const int64_t peak = mnz_peak(layer->in.range);
    const int16_t *w = layer->paired = mnz_read(r, (size_t)blocks * pairs * 4 * MNZ_BLOCK, sizeof *layer->paired);
    if (peak > INT16_MAX) mnz_fail(r, MNZ_ERROR_INEXACT);
    for (int block = 0; r->status == MNZ_OK && block < blocks; block++) {
        int32_t of_row[2][MNZ_BLOCK] = {{0}}; /* of the upper and the lower output row, which may differ if the model is damaged */
        for (int k = 0; k < 2 * pairs; k++, w += 2 * MNZ_BLOCK)
            for (int i = 0; i < 2 * MNZ_BLOCK; i++) of_row[k % 2][i / 2] += w[i] < 0 ? -w[i] : w[i];
        for (int o = 0; o < MNZ_BLOCK; o++) {
            const int32_t most = of_row[0][o] > of_row[1][o] ? of_row[0][o] : of_row[1][o];
            if (block * MNZ_BLOCK + o < channels)
                sums[block * MNZ_BLOCK + o] += most * peak;
            else if (most)
                mnz_fail(r, MNZ_ERROR_MODEL);
        }
    }
}

static void bound_depthwise(mnz_reader *r, const mnz_layer *layer, int64_t *sums)
{
    mnz_bound_bias(r, layer->place, 1, layer->in.channels, layer->in.channels, sums);
    mnz_bound_bias(r, layer->quality, MNZ_QUALITIES, layer->in.channels, layer->in.channels, sums);
    mnz_require_bounded(r, sums, layer->in.channels);
}

static void read_depthwise(mnz_reader *r, mnz_layer *layer, const int32_t *fields, int of_tiles, int with_gradient, int64_t *sums)
{
    const int channels = layer->in.channels, wide = fields[5];
    layer->kernel = fields[2];
    layer->out.range = (mnz_range){fields[3], fields[4]};
    if (layer->kernel < 3 || layer->kernel > 7 || layer->kernel % 2 == 0 || (of_tiles && !wide)) {
        mnz_fail(r, MNZ_ERROR_MODEL);
        return;
    }
    const size_t taps = (size_t)layer->kernel * layer->kernel;
    memset(sums, 0, (size_t)channels * sizeof *sums);
    if (!wide) read_paired(r, layer, sums);
    if (wide || with_gradient) layer->taps = mnz_read_numbers(r, taps * channels);
    layer->place = mnz_read_numbers(r, channels);
    layer->quality = mnz_read_numbers(r, (size_t)MNZ_QUALITIES * channels);
    layer->shift = mnz_read_shifts(r, channels);
    if (!wide) bound_depthwise(r, layer, sums);
    if (!layer->taps) return;
    memset(sums, 0, (size_t)channels * sizeof *sums);
    for (size_t k = 0; r->status == MNZ_OK && k < taps * channels; k++)
        if (sums[k % channels] <= MNZ_SUM_MAX) sums[k % channels] += mnz_magnitude(layer->taps[k]) * mnz_peak(layer->in.range);
    bound_depthwise(r, layer, sums);
}

static void read_layer(mnz_reader *r, mnz_layer *layer, const int32_t *fields, int of_tiles, int with_gradient, int64_t *sums)
{
    mnz_signal *in = &layer->in, *out = &layer->out;
    layer->op = fields[0];
    layer->inner = fields[1];
    *out = *in;
    if (layer->op != MNZ_RESIDUAL && layer->op != MNZ_PARALLEL && layer->inner) mnz_fail(r, MNZ_ERROR_MODEL);
    switch (layer->op) {
    case MNZ_CONV:
        read_conv(r, layer, fields, with_gradient, sums);
        if (!of_tiles && layer->places != 1) mnz_fail(r, MNZ_ERROR_MODEL);
        break;
    case MNZ_DEPTHWISE:
        read_depthwise(r, layer, fields, of_tiles, with_gradient, sums);
        break;
    case MNZ_GAIN:
        out->range = (mnz_range){fields[3], fields[4]};
        layer->factor = mnz_read_numbers(r, (size_t)MNZ_QUALITIES * in->channels);
        for (size_t k = 0; layer->factor && k < (size_t)MNZ_QUALITIES * in->channels; k++)
            if (mnz_magnitude(layer->factor[k]) * mnz_peak(in->range) + 128 > MNZ_SUM_MAX) mnz_fail(r, MNZ_ERROR_INEXACT);
        break;
    case MNZ_RESIDUAL: /* the inner layers follow */
        out->range = (mnz_range){fields[3], fields[4]};
        if (layer->inner < 1) mnz_fail(r, MNZ_ERROR_MODEL);
        break;
    case MNZ_PARALLEL: /* both chains follow */
        out->range = (mnz_range){fields[3], fields[4]};
        layer->split = fields[2];
        if (layer->split < 1 || layer->split >= layer->inner) mnz_fail(r, MNZ_ERROR_MODEL);
        break;
    case MNZ_SPACE_TO_DEPTH:
    case MNZ_DEPTH_TO_SPACE: {
        layer->size = fields[2];
        if (layer->size < 2 || layer->size > 4) {
            mnz_fail(r, MNZ_ERROR_MODEL);
            break;
        }
        const int square = layer->size * layer->size;
        if (layer->op == MNZ_SPACE_TO_DEPTH) {
            if (in->height % layer->size || in->width % layer->size) mnz_fail(r, MNZ_ERROR_MODEL);
            *out = (mnz_signal){in->height / layer->size, in->width / layer->size, in->channels * square, in->range};
        } else {
            if (in->channels % square) mnz_fail(r, MNZ_ERROR_MODEL);
            *out = (mnz_signal){in->height * layer->size, in->width * layer->size, in->channels / square, in->range};
        }
        break;
    }
    case MNZ_MAX_POOL:
        if (in->height % 2 || in->width % 2) mnz_fail(r, MNZ_ERROR_MODEL);
        out->height /= 2, out->width /= 2;
        break;
    case MNZ_UPSAMPLE:
        out->height *= 2, out->width *= 2;
        break;
    case MNZ_LOOKUP:
        layer->low = fields[2];
        layer->entries = fields[3];
        if (layer->entries < 1) {
            mnz_fail(r, MNZ_ERROR_MODEL);
            break;
        }
        layer->table = mnz_read_numbers(r, layer->entries);
        if (in->range.low < layer->low || in->range.high - (int64_t)layer->low >= layer->entries) mnz_fail(r, MNZ_ERROR_MODEL);
        out->range = (mnz_range){INT32_MAX, INT32_MIN};
        for (int k = 0; layer->table && k < layer->entries; k++) {
            if (layer->table[k] < out->range.low) out->range.low = layer->table[k];
            if (layer->table[k] > out->range.high) out->range.high = layer->table[k];
        }
        break;
    default:
        mnz_fail(r, MNZ_ERROR_MODEL);
    }
    /* ranges that a model file states hold 0; those of a table may be anything, and some layers pass them on */
    const int states_range = layer->op == MNZ_CONV || layer->op == MNZ_DEPTHWISE || layer->op == MNZ_GAIN ||
                             layer->op == MNZ_RESIDUAL || layer->op == MNZ_PARALLEL;
    if (states_range && (out->range.low > 0 || out->range.high < 0)) mnz_fail(r, MNZ_ERROR_MODEL);
    if (mnz_peak(out->range) > MNZ_SUM_MAX || mnz_size(out) == 0 || mnz_size(out) > MNZ_SIGNAL_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
}

size_t mnz_layer_scratch(const mnz_layer *layer)
{
    if (layer->op == MNZ_DEPTHWISE) return mnz_aligned(mnz_size(&layer->out) * 4);
    if (layer->op != MNZ_CONV) return 0;
    const int pad = layer->kernel / 2;
    const size_t places = (size_t)layer->in.height * layer->in.width;
    const size_t padded = (size_t)(layer->in.height + 2 * pad) * (layer->in.width + 2 * pad);
    const size_t inputs = layer->in.channels, outputs = layer->out.channels, most = inputs > outputs ? inputs : outputs;
    return mnz_aligned(places * (most + MNZ_BLOCK) * 4) + mnz_aligned(places * 4) + mnz_aligned((padded * most + 1) * 2) +
           mnz_aligned(places * outputs * 4) + MNZ_ALIGNMENT;
}

/* Two signals are added. */
static void require_sum(mnz_reader *r, const mnz_signal *one, const mnz_signal *other)
{
    if (one->height != other->height || one->width != other->width || one->channels != other->channels) mnz_fail(r, MNZ_ERROR_MODEL);
    if (mnz_peak(one->range) + mnz_peak(other->range) > MNZ_SUM_MAX) mnz_fail(r, MNZ_ERROR_INEXACT);
}

/* Layers from one to another, as one chain. Returns the last of the chain. */
static int read_chain(mnz_reader *r, mnz_network *network, int first, int end, mnz_signal *signal, int of_tiles, int with_gradient,
                      int64_t *sums)
{
    int before = -1;
    for (int i = first; i < end && r->status == MNZ_OK; i += 1 + network->layer[i].inner) {
        mnz_layer *layer = network->layer + i;
        memset(layer, 0, sizeof *layer);
        layer->in = *signal;
        layer->before = before;
        read_layer(r, layer, mnz_read_record(r), of_tiles, with_gradient, sums);
        if (layer->inner < 0 || layer->inner > end - i - 1) mnz_fail(r, MNZ_ERROR_MODEL);
        if (r->status != MNZ_OK) break; /* sizes may be anything */
        if (layer->op == MNZ_RESIDUAL) {
            mnz_signal change = *signal;
            layer->inner_last = read_chain(r, network, i + 1, i + 1 + layer->inner, &change, of_tiles, with_gradient, sums);
            require_sum(r, signal, &change);
        }
        if (layer->op == MNZ_PARALLEL) {
            const int middle = i + 1 + layer->split, last = i + 1 + layer->inner;
            mnz_signal one = *signal, other = *signal;
            layer->inner_last = read_chain(r, network, i + 1, middle, &one, of_tiles, with_gradient, sums);
            layer->other_last = read_chain(r, network, middle, last, &other, of_tiles, with_gradient, sums);
            require_sum(r, &one, &other);
            layer->out.height = one.height, layer->out.width = one.width, layer->out.channels = one.channels;
        }
        if (r->status != MNZ_OK) break;
        layer->tape = network->tape;
        network->tape += mnz_aligned(mnz_size(&layer->out) * sizeof(int32_t)) / sizeof(int32_t);
        if (mnz_layer_scratch(layer) > network->scratch) network->scratch = mnz_layer_scratch(layer);
        *signal = layer->out;
        before = i;
    }
    return before;
}

static void read_network(mnz_reader *r, mnz_network *network, mnz_signal *signal, int of_tiles, int with_gradient, int64_t *sums)
{
    network->tape = network->scratch = 0;
    network->last = read_chain(r, network, 0, network->count, signal, of_tiles, with_gradient, sums);
    if (network->count < 1) mnz_fail(r, MNZ_ERROR_MODEL);
}

/* ---- Prior ---- */

static void read_prior(mnz_reader *r, mnz_model *model, int64_t *sums)
{
    mnz_prior *p = &model->prior;
    const int32_t *fields = mnz_read_record(r), *exponents;
    const int a = fields[0], b = fields[1], symbol_peak = (int)mnz_peak((mnz_range){model->low, model->high});
    enum { NEAR_WIDE = 2, FAR_WIDE, SKIP_WIDE, HEAD_WIDE, FAR_NEAR_WIDE, NEAR_SYMBOLS_WIDE, FAR_SYMBOLS_WIDE, LOGITS_FAR_WIDE };
    p->low = model->low;
    p->values = model->high - model->low + 1;
    if (a < 1 || b < 1 || a > STATES_MAX / MNZ_POSITIONS || b > STATES_MAX / MNZ_SYMBOLS) {
        mnz_fail(r, MNZ_ERROR_MODEL);
        return;
    }
    p->near = a, p->far = b;
    p->near_stride = (a + 1) / 2 * 2, p->far_stride = (b + 1) / 2 * 2;
    exponents = fields + 10; /* far to near, near to symbols, far to symbols, logits to far */
    p->near_bias = mnz_read_numbers(r, (size_t)MNZ_QUALITIES * MNZ_POSITIONS * a);
    p->near_shift = mnz_read_shifts(r, (size_t)MNZ_POSITIONS * a);
    p->far_bias = mnz_read_numbers(r, (size_t)MNZ_QUALITIES * MNZ_SYMBOLS * b);
    p->far_shift = mnz_read_shifts(r, (size_t)MNZ_SYMBOLS * b);
    p->head_stride = (p->values + MNZ_BLOCK - 1) / MNZ_BLOCK * MNZ_BLOCK;
    p->head_bias = mnz_read_numbers(r, (size_t)MNZ_SYMBOLS * p->head_stride);
    p->head_shift = mnz_read_shifts(r, (size_t)MNZ_SYMBOLS * p->head_stride);
    for (int i = 0; i < MNZ_POSITIONS && r->status == MNZ_OK; i++) {
        const int symbols = MNZ_CHANNELS * i, far = MNZ_CHANNELS * b;
        p->near_weight[i] = mnz_read_matrix(r, 1, symbols, a, fields[NEAR_WIDE]);
        p->far_weight[i] = mnz_read_matrix(r, 1, (i + 1) * p->near_stride, far, fields[FAR_WIDE]);
        p->skip_weight[i] = mnz_read_matrix(r, 1, symbols + MNZ_CHANNELS, far, fields[SKIP_WIDE]);
        if (r->status != MNZ_OK) return;
        memset(sums, 0, sizeof *sums * a);
        mnz_bound_products(r, &p->near_weight[i], (mnz_peaks){symbol_peak, NULL}, sums);
        mnz_bound_bias(r, p->near_bias + (size_t)i * a, MNZ_QUALITIES, (size_t)MNZ_POSITIONS * a, a, sums);
        mnz_require_bounded(r, sums, a);
        memset(sums, 0, sizeof *sums * far);
        mnz_bound_products(r, &p->far_weight[i], (mnz_peaks){MNZ_ACTIVATION_MAX, NULL}, sums);
        mnz_bound_products(r, &p->skip_weight[i], (mnz_peaks){symbol_peak, NULL}, sums);
        mnz_bound_bias(r, p->far_bias + (size_t)i * far, MNZ_QUALITIES, (size_t)MNZ_POSITIONS * far, far, sums);
        for (int k = 0; k < far; k++)
            for (int c = k / b; c < MNZ_CHANNELS; c++) /* a symbol sees earlier ones only */
                if (mnz_weight(&p->skip_weight[i], 0, symbols + c, k)) mnz_fail(r, MNZ_ERROR_MODEL);
        mnz_require_bounded(r, sums, far);
    }
    for (int i = 0; i < MNZ_SYMBOLS && r->status == MNZ_OK; i++) {
        p->head_weight[i] = mnz_read_matrix(r, 1, b, p->values, fields[HEAD_WIDE]);
        memset(sums, 0, sizeof *sums * p->values);
        mnz_bound_products(r, &p->head_weight[i], (mnz_peaks){MNZ_ACTIVATION_MAX, NULL}, sums);
        mnz_bound_bias(r, p->head_bias + (size_t)i * p->head_stride, 1, 0, p->values, sums);
        for (int v = p->values; v < p->head_stride; v++) /* padding never has the largest logit */
            if (p->head_bias[i * p->head_stride + v] != MNZ_LOGIT_LOW || p->head_shift[i * p->head_stride + v]) mnz_fail(r, MNZ_ERROR_MODEL);
        mnz_require_bounded(r, sums, p->values);
    }
    for (int row = 0; row < MNZ_SIDE && r->status == MNZ_OK; row++) {
        const int far = (MNZ_SYMBOLS - row * MNZ_SIDE * MNZ_CHANNELS) * b, near = (MNZ_POSITIONS - row * MNZ_SIDE) * p->near_stride;
        const int symbols = MNZ_SIDE * MNZ_CHANNELS;
        p->far_to_near[row] = read_gradient(r, 1, far, MNZ_SIDE * a, fields[FAR_NEAR_WIDE], exponents[0], sums);
        p->near_to_symbols[row] = read_gradient(r, 1, near, symbols, fields[NEAR_SYMBOLS_WIDE], exponents[1], sums);
        p->far_to_symbols[row] = read_gradient(r, 1, far, symbols, fields[FAR_SYMBOLS_WIDE], exponents[2], sums);
    }
    for (int i = 0; i < MNZ_SYMBOLS && r->status == MNZ_OK; i++)
        p->logits_to_far[i] = read_gradient(r, 1, p->values, b, fields[LOGITS_FAR_WIDE], exponents[3], sums);
}

/* ---- Pixel model ---- */

/* Biases and shifts are padded to whole blocks by the bias of the least logit and shifts of 0. */
static mnz_affine read_affine(mnz_reader *r, int inputs, int outputs, int wide, mnz_peaks input, const int32_t *rows, const int32_t *columns,
                              int64_t *sums)
{
    mnz_affine layer;
    layer.weight = mnz_read_matrix(r, 1, inputs, outputs, wide);
    layer.bias = mnz_read_numbers(r, mnz_stride(&layer.weight));
    layer.shift = mnz_read_shifts(r, mnz_stride(&layer.weight));
    for (int o = outputs; r->status == MNZ_OK && o < mnz_stride(&layer.weight); o++)
        if (layer.bias[o] != MNZ_LOGIT_LOW || layer.shift[o]) mnz_fail(r, MNZ_ERROR_MODEL);
    memset(sums, 0, (size_t)outputs * sizeof *sums);
    mnz_bound_products(r, &layer.weight, input, sums);
    mnz_bound_bias(r, layer.bias, 1, 0, outputs, sums);
    if (rows) mnz_bound_bias(r, rows, MNZ_TILE, outputs, outputs, sums);
    if (columns) mnz_bound_bias(r, columns, MNZ_TILE, outputs, outputs, sums);
    mnz_require_bounded(r, sums, outputs);
    return layer;
}

static void read_pixels(mnz_reader *r, mnz_model *model, int64_t *sums)
{
    mnz_pixel_model *p = &model->pixels;
    const int32_t *fields = mnz_read_record(r); /* widths, then whether weights are wide: of each plane, of queries, of keys; key size */
    const mnz_peaks activations = {MNZ_ACTIVATION_MAX, NULL};
    for (int plane = 0; plane < MNZ_PLANES && r->status == MNZ_OK; plane++) {
        mnz_plane *net = &p->plane[plane];
        const int wide = fields[MNZ_PLANES + plane], last = plane == MNZ_PLANES - 1, heads = last ? MNZ_RANGES : 1;
        int64_t each[MNZ_PLANE_INPUTS_MAX];
        for (int k = 0; k < mnz_plane_inputs[plane]; k++) each[k] = mnz_plane_input_peak(plane, k);
        net->width = fields[plane];
        if (net->width < 1 || net->width > MNZ_WIDTH_MAX) {
            mnz_fail(r, MNZ_ERROR_MODEL);
            return;
        }
        net->rows = mnz_read_numbers(r, (size_t)MNZ_TILE * net->width);
        net->columns = mnz_read_numbers(r, (size_t)MNZ_TILE * net->width);
        net->layer[0] = read_affine(r, mnz_plane_inputs[plane], net->width, wide, (mnz_peaks){0, each}, net->rows, net->columns, sums);
        for (int k = 1; k < MNZ_HIDDEN; k++) net->layer[k] = read_affine(r, net->width, net->width, wide, activations, NULL, NULL, sums);
        for (int k = 0; k < heads; k++)
            net->head[k] = read_affine(r, net->width, mnz_plane_outputs[plane] / heads, wide, activations, NULL, NULL, sums);
    }
    p->key_size = fields[2 * MNZ_PLANES + 2];
    if (p->key_size < 1 || p->key_size > MNZ_KEY_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
    if (r->status != MNZ_OK) return;
    const int width = p->plane[MNZ_PLANES - 1].width;
    p->query = read_affine(r, width, p->key_size + 1, fields[2 * MNZ_PLANES], activations, NULL, NULL, sums);
    p->key = read_affine(r, width, p->key_size, fields[2 * MNZ_PLANES + 1], activations, NULL, NULL, sums);
    p->levels = mnz_read_numbers(r, (size_t)MNZ_RANGES * MNZ_SHADES * p->key_size);
    p->blank = mnz_read_numbers(r, MNZ_TILE_PIXELS);
    int64_t largest = 0;
    for (int k = 0; r->status == MNZ_OK && k < MNZ_RANGES * MNZ_SHADES * p->key_size; k++)
        largest = mnz_magnitude(p->levels[k]) > largest ? mnz_magnitude(p->levels[k]) : largest;
    if ((int64_t)p->key_size * 255 * (255 + largest) > MNZ_SUM_MAX) mnz_fail(r, MNZ_ERROR_INEXACT);
    for (int k = 0; r->status == MNZ_OK && k < MNZ_TILE_PIXELS; k++)
        if (p->blank[k] < 1 || p->blank[k] >= MNZ_TOTAL) mnz_fail(r, MNZ_ERROR_MODEL);
}

/* ---- The model ---- */

enum { SIZE = 2, LOW, HIGH, FINE_SHIFT, ANALYSIS, SYNTHESIS, PIXELS, KIND, STEP_SHIFT, WITHIN_SHIFT }; /* of the first record */

/* The first record, or NULL if this is no prepared model. */
static const int32_t *header_of(const void *prepared, size_t size)
{
    const int32_t *fields = prepared;
    if (prepared == NULL || (uintptr_t)prepared % MNZ_ALIGNMENT || size % MNZ_ALIGNMENT || size < MNZ_RECORD * sizeof(int32_t)) return NULL;
    if (fields[0] != MAGIC || fields[1] != VERSION || (uint32_t)fields[SIZE] != size) return NULL;
    if (fields[KIND] == MNZ_KIND_BITMAP) return fields[PIXELS] ? fields : NULL;
    if (fields[ANALYSIS] < 1 || fields[SYNTHESIS] < 1 || fields[ANALYSIS] > MNZ_LAYERS_MAX || fields[SYNTHESIS] > MNZ_LAYERS_MAX) return NULL;
    if (fields[LOW] < -127 || fields[LOW] > 0 || fields[HIGH] < 0 || fields[HIGH] > 127) return NULL;
    if (fields[FINE_SHIFT] < 1 || fields[FINE_SHIFT] > MNZ_SHIFT_MAX) return NULL;
    if (fields[KIND] == MNZ_KIND_TILES) return fields;
    if (fields[KIND] != MNZ_KIND_GREY) return NULL;
    if (fields[STEP_SHIFT] < 1 || fields[STEP_SHIFT] > MNZ_SHIFT_MAX) return NULL;
    if (fields[WITHIN_SHIFT] < 1 || fields[WITHIN_SHIFT] > MNZ_SHIFT_MAX) return NULL;
    return fields;
}

/* Numbers that a model of the kind bitmap keeps, beyond those of its prepared model. */
static size_t numbers_kept(const int32_t *fields)
{
    return fields[KIND] == MNZ_KIND_BITMAP ? (size_t)MNZ_SEEN_ALL * MNZ_WIDTH_MAX : 0;
}

/* Layers of a network; a model of the kind bitmap has other ones. */
static size_t layers_of(const int32_t *fields, int field)
{
    return fields[KIND] == MNZ_KIND_BITMAP ? 0 : (size_t)fields[field];
}

size_t mnz_model_memory(const void *prepared, size_t size)
{
    const int32_t *fields = header_of(prepared, size);
    if (!fields) return 0;
    return mnz_aligned(sizeof(mnz_model)) + mnz_aligned(layers_of(fields, ANALYSIS) * sizeof(mnz_layer)) +
           mnz_aligned(layers_of(fields, SYNTHESIS) * sizeof(mnz_layer)) + mnz_aligned(MNZ_SIGNAL_MAX * sizeof(int64_t)) +
           mnz_aligned(numbers_kept(fields) * sizeof(int32_t));
}

/* The largest magnitude of a symbol times its factor, for tiles and for whole images. */
static int64_t largest_step(mnz_reader *r, const mnz_model *m)
{
    int64_t peak = 0;
    const int grey = m->kind == MNZ_KIND_GREY;
    const int symbol = (int)mnz_peak((mnz_range){m->low, m->high});
    for (int k = 0; r->status == MNZ_OK && k < MNZ_QUALITIES * (grey ? MNZ_GREY_CHANNELS : MNZ_CHANNELS); k++) {
        const int64_t product = mnz_magnitude(m->step[k]) * (grey ? m->grey.bounds[k] : symbol);
        peak = product > peak ? product : peak;
    }
    return peak;
}

/* Everything behind the first record. */
static void read_tiles(mnz_reader *r, mnz_model *m, int64_t *sums)
{
    m->fine = mnz_read_numbers(r, MNZ_QUALITIES * MNZ_CHANNELS);
    m->step = mnz_read_numbers(r, MNZ_QUALITIES * MNZ_CHANNELS);
    m->lmbda = mnz_read_numbers(r, MNZ_QUALITIES);
    mnz_signal signal = {MNZ_TILE, MNZ_TILE, 1, {0, 255}};
    read_network(r, &m->analysis, &signal, 1, 0, sums);
    if (signal.height != MNZ_SIDE || signal.width != MNZ_SIDE || signal.channels != MNZ_CHANNELS) mnz_fail(r, MNZ_ERROR_MODEL);
    const int64_t peak = largest_step(r, m);
    if (peak > MNZ_SUM_MAX) mnz_fail(r, MNZ_ERROR_INEXACT);
    if (r->status != MNZ_OK) return;
    signal = (mnz_signal){MNZ_SIDE, MNZ_SIDE, MNZ_CHANNELS, {-(int32_t)peak, (int32_t)peak}};
    read_network(r, &m->synthesis, &signal, 1, 1, sums);
    if (signal.height != MNZ_TILE || signal.width != MNZ_TILE || signal.channels != 1) mnz_fail(r, MNZ_ERROR_MODEL);
    if (signal.range.low < 0 || signal.range.high > 255) mnz_fail(r, MNZ_ERROR_MODEL);
    if (r->status == MNZ_OK) read_prior(r, m, sums);
    if (r->status == MNZ_OK && m->has_pixels) read_pixels(r, m, sums);
}

static void read_grey(mnz_reader *r, mnz_model *m, int64_t *sums)
{
    m->fine = mnz_read_numbers(r, MNZ_QUALITIES * MNZ_GREY_CHANNELS);
    m->step = mnz_read_numbers(r, MNZ_QUALITIES * MNZ_GREY_CHANNELS);
    m->lmbda = mnz_read_numbers(r, MNZ_QUALITIES);
    m->grey.bounds = mnz_read_numbers(r, MNZ_QUALITIES * MNZ_GREY_CHANNELS);
    m->grey.curvature = mnz_read_numbers(r, MNZ_QUALITIES * MNZ_GREY_CHANNELS);
    for (int k = 0; r->status == MNZ_OK && k < MNZ_QUALITIES * MNZ_GREY_CHANNELS; k++) {
        if (m->grey.bounds[k] < 0 || m->grey.bounds[k] > MNZ_SYMBOL_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
        if (m->lmbda[k % MNZ_QUALITIES] < 0 || m->lmbda[k % MNZ_QUALITIES] > MNZ_GREY_LMBDA_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
        if (m->grey.curvature[k] < 1 || m->grey.curvature[k] > CURVATURE_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
    }
    mnz_signal signal = {MNZ_TILE, MNZ_TILE, 1, {0, 255}};
    read_network(r, &m->analysis, &signal, 0, 0, sums);
    if (signal.height != MNZ_SIDE || signal.width != MNZ_SIDE || signal.channels != MNZ_GREY_CHANNELS) mnz_fail(r, MNZ_ERROR_MODEL);
    const int64_t products = largest_step(r, m), peak = (products >> m->grey.step_shift) + 1;
    if (products + ((int64_t)1 << m->grey.step_shift) > MNZ_SUM_MAX) mnz_fail(r, MNZ_ERROR_INEXACT);
    if (r->status != MNZ_OK) return;
    signal = (mnz_signal){MNZ_SIDE, MNZ_SIDE, MNZ_GREY_CHANNELS, {-(int32_t)peak, (int32_t)peak}};
    read_network(r, &m->synthesis, &signal, 0, 1, sums);
    if (signal.height != MNZ_TILE || signal.width != MNZ_TILE || signal.channels != 1) mnz_fail(r, MNZ_ERROR_MODEL);
    if (signal.range.low < 0 || signal.range.high > 255) mnz_fail(r, MNZ_ERROR_MODEL);
    if (r->status == MNZ_OK) mnz_read_grey_prior(r, &m->grey, sums);
    if (r->status == MNZ_OK && m->has_pixels) mnz_read_grey_pixels(r, &m->grey_pixels, sums);
    if (r->status == MNZ_OK) m->grey.halo = mnz_grey_halo(m);
}

mnz_status mnz_model_load(const void *prepared, size_t size, const char *instructions, void *memory, size_t memory_size,
                          mnz_model **model)
{
    const int32_t *fields = header_of(prepared, size);
    const mnz_kernels *kernels = mnz_kernels_named(instructions);
    if (!fields) return MNZ_ERROR_MODEL;
    if (!kernels) return MNZ_ERROR_ARGUMENT;
    mnz_arena arena = mnz_arena_of(memory, memory_size);
    mnz_model *m = mnz_take(&arena, 1, sizeof *m);
    mnz_layer *analysis = mnz_take(&arena, layers_of(fields, ANALYSIS), sizeof *analysis);
    mnz_layer *synthesis = mnz_take(&arena, layers_of(fields, SYNTHESIS), sizeof *synthesis);
    int64_t *sums = mnz_take(&arena, MNZ_SIGNAL_MAX, sizeof *sums);
    int32_t *kept = mnz_take(&arena, numbers_kept(fields), sizeof *kept);
    if (arena.failed) return MNZ_ERROR_MEMORY;
    memset(m, 0, sizeof *m);
    m->kernels = kernels;
    m->kind = fields[KIND];
    m->low = fields[LOW], m->high = fields[HIGH], m->fine_shift = fields[FINE_SHIFT], m->has_pixels = fields[PIXELS] != 0;
    m->grey.step_shift = fields[STEP_SHIFT], m->grey.within_shift = fields[WITHIN_SHIFT];
    m->analysis.count = (int)layers_of(fields, ANALYSIS), m->analysis.layer = analysis;
    m->synthesis.count = (int)layers_of(fields, SYNTHESIS), m->synthesis.layer = synthesis;
    mnz_reader all = {prepared, (const unsigned char *)prepared + size, MNZ_OK}, *r = &all;
    mnz_read_record(r);
    if (m->kind == MNZ_KIND_BITMAP)
        mnz_read_bitmap_net(r, &m->bitmaps, kept, sums);
    else if (m->kind == MNZ_KIND_GREY)
        read_grey(r, m, sums);
    else
        read_tiles(r, m, sums);
    if (r->status == MNZ_OK && r->at != r->end) mnz_fail(r, MNZ_ERROR_MODEL);
    if (r->status == MNZ_OK) *model = m;
    return r->status;
}

const char *mnz_model_instructions(const mnz_model *model)
{
    return model->kernels->name;
}

int mnz_model_is_grey(const mnz_model *model)
{
    return model->kind == MNZ_KIND_GREY;
}

int mnz_model_has_pixels(const mnz_model *model)
{
    return model->has_pixels;
}

size_t mnz_lossy_workspace(const mnz_model *model)
{
    const size_t analysis = model->analysis.tape * 4 + model->analysis.scratch;
    const size_t synthesis = model->synthesis.tape * 4 + model->synthesis.scratch;
    const size_t networks = (analysis > synthesis ? analysis : synthesis) + mnz_aligned(MNZ_TILE_PIXELS * 4);
    const size_t streams = MNZ_TILES_PER_STREAM * mnz_prior_memory(model);
    return mnz_aligned(networks > streams ? networks : streams) + MNZ_ALIGNMENT;
}

const char *mnz_status_text(mnz_status status)
{
    switch (status) {
    case MNZ_OK: return "no error";
    case MNZ_ERROR_ARGUMENT: return "an argument is out of its range";
    case MNZ_ERROR_MEMORY: return "the workspace is too small or not aligned";
    case MNZ_ERROR_MODEL: return "the prepared model is damaged, or for another version or byte order";
    case MNZ_ERROR_INEXACT: return "a sum of the model could overflow";
    case MNZ_ERROR_NO_PIXEL_MODEL: return "the model cannot code images without loss";
    case MNZ_ERROR_STREAM: return "a stream is too short, or begins with an impossible state";
    case MNZ_ERROR_OUTPUT: return "the output is too small";
    case MNZ_ERROR_NO_FILE: return "the bytes do not begin like a file of mnistzip";
    case MNZ_ERROR_UNSUPPORTED: return "an archive, a stored image, or a file of a later version";
    case MNZ_ERROR_KIND: return "the model is of another kind: it codes tiles, whole images, or bitmaps";
    case MNZ_ERROR_IMAGE: return "the model cannot code this image";
    case MNZ_ERROR_DAMAGED: return "the file is cut short, or its content does not match its check";
    default: return "an unknown error";
    }
}
