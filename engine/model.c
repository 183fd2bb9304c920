/*
 * Loading a prepared model: its layout, checks of shapes, and the proof that no sum can exceed 2^24.
 *
 * A prepared model is a row of records and arrays, each aligned to 64 bytes, in the byte order of the machine. A record has 16
 * numbers of 32 bits. mnistzip.models.prepared writes it, in the order in which this file reads it.
 */
#include "engine.h"

#include <string.h>

enum {
    MAGIC = 0x4d4e5a50,
    VERSION = 1,
    RECORD = 16,
    LAYERS_MAX = 200,
    SIGNAL_MAX = 1 << 17,
    SHIFT_MAX = 30,
    EXPONENT_MAX = 64,      /* of a gradient's unit; those of weights of 24 bits and shifts of 30 are smaller */
    CONV_INPUTS_MAX = 1 << 19,
    STATES_MAX = 1 << 12    /* near or far of a latent */
};

typedef struct {
    const unsigned char *at, *end;
    mnz_status status;
} reader;

static void fail(reader *r, mnz_status status)
{
    if (r->status == MNZ_OK) r->status = status;
}

/* The next array, or NULL. Once something failed, everything is NULL. */
static const void *take(reader *r, size_t count, size_t item)
{
    if (r->status != MNZ_OK || count > (size_t)(r->end - r->at) / item || mnz_aligned(count * item) > (size_t)(r->end - r->at)) {
        fail(r, MNZ_ERROR_MODEL);
        return NULL;
    }
    const void *taken = r->at;
    r->at += mnz_aligned(count * item);
    return taken;
}

static const int32_t *numbers(reader *r, size_t count)
{
    return take(r, count, sizeof(int32_t));
}

static const int32_t *record(reader *r)
{
    static const int32_t nothing[RECORD] = {0};
    const int32_t *taken = numbers(r, RECORD);
    return taken ? taken : nothing;
}

static int64_t magnitude(int32_t value)
{
    return value < 0 ? -(int64_t)value : value;
}

static int64_t peak_of(mnz_range range)
{
    int64_t low = magnitude(range.low), high = magnitude(range.high);
    return low > high ? low : high;
}

static const int32_t *shifts(reader *r, size_t count)
{
    const int32_t *shift = numbers(r, count);
    for (size_t k = 0; shift && k < count; k++)
        if (shift[k] < 0 || shift[k] > SHIFT_MAX) fail(r, MNZ_ERROR_MODEL);
    return shift;
}

/* ---- Matrices and sums ---- */

static mnz_matrix read_matrix(reader *r, int runs, int inputs, int outputs, int wide)
{
    mnz_matrix m = {inputs, runs, (inputs + 1) / 2, outputs, (outputs + MNZ_BLOCK - 1) / MNZ_BLOCK, NULL, NULL};
    if (inputs < 0 || outputs < 1 || runs < 1) {
        fail(r, MNZ_ERROR_MODEL);
    } else if (wide) {
        m.wide = numbers(r, (size_t)runs * inputs * m.blocks * MNZ_BLOCK);
    } else {
        m.narrow = take(r, (size_t)m.blocks * runs * m.pairs * 2 * MNZ_BLOCK, sizeof(int16_t));
    }
    return m;
}

static int32_t weight_of(const mnz_matrix *m, int run, int input, int output)
{
    if (m->wide) return m->wide[((size_t)run * m->inputs + input) * m->blocks * MNZ_BLOCK + output];
    size_t pair = (size_t)run * m->pairs + input / 2, block = output / MNZ_BLOCK;
    return m->narrow[((block * m->runs * m->pairs + pair) * MNZ_BLOCK + output % MNZ_BLOCK) * 2 + input % 2];
}

/* The largest magnitude of each input of a run, or of all inputs. */
typedef struct {
    int64_t all;
    const int64_t *each;
} peaks;

static int64_t peak_at(peaks input, int k)
{
    return input.each ? input.each[k] : input.all;
}

static void add_wide(reader *r, const mnz_matrix *m, peaks input, int64_t *sums)
{
    for (int run = 0; run < m->runs; run++)
        for (int k = 0; k < m->inputs; k++) {
            for (int o = 0; o < m->outputs; o++) /* a sum that is too large stays so, and cannot overflow */
                if (sums[o] <= MNZ_SUM_MAX) sums[o] += peak_at(input, k) * magnitude(weight_of(m, run, k, o));
            for (int o = m->outputs; o < m->blocks * MNZ_BLOCK; o++)
                if (weight_of(m, run, k, o)) fail(r, MNZ_ERROR_MODEL);
        }
}

/* Add the magnitudes of the weights of some pairs, by output and by which input of the pair it is. */
static void add_magnitudes(const int16_t *restrict weights, size_t pairs, uint32_t *restrict sums)
{
    for (size_t pair = 0; pair < pairs; pair++, weights += 2 * MNZ_BLOCK)
        for (int i = 0; i < 2 * MNZ_BLOCK; i++) sums[i] += (uint32_t)(weights[i] < 0 ? -(int32_t)weights[i] : weights[i]);
}

static void add_narrow(reader *r, const mnz_matrix *m, peaks input, int64_t *sums)
{
    enum { TOGETHER = 1 << 16 }; /* pairs, whose magnitudes fit a sum of 32 bits */
    const size_t pairs = (size_t)m->runs * m->pairs;
    for (int block = 0; block < m->blocks; block++) {
        const int16_t *weights = m->narrow + block * pairs * 2 * MNZ_BLOCK;
        int64_t of_block[2 * MNZ_BLOCK] = {0};
        for (size_t pair = 0, count; pair < pairs; pair += count) {
            const int k = (int)(2 * (pair % m->pairs));
            const int64_t peak[2] = {peak_at(input, k), k + 1 < m->inputs ? peak_at(input, k + 1) : peak_at(input, k)};
            uint32_t part[2 * MNZ_BLOCK] = {0};
            count = input.each ? 1 : pairs - pair < TOGETHER ? pairs - pair : TOGETHER;
            add_magnitudes(weights + pair * 2 * MNZ_BLOCK, count, part);
            if (peak[0] > INT16_MAX || peak[1] > INT16_MAX) fail(r, MNZ_ERROR_INEXACT);
            for (int i = 0; i < 2 * MNZ_BLOCK; i++) of_block[i] += peak[i % 2] * part[i];
        }
        for (int o = 0; o < MNZ_BLOCK; o++) {
            const int64_t sum = of_block[2 * o] + of_block[2 * o + 1];
            if (block * MNZ_BLOCK + o < m->outputs)
                sums[block * MNZ_BLOCK + o] += sum;
            else if (sum) /* else the padding of logits could have the largest one */
                fail(r, MNZ_ERROR_MODEL);
        }
        for (size_t pair = m->pairs - 1; m->inputs % 2 && pair < pairs; pair += m->pairs)
            for (int o = 0; o < MNZ_BLOCK; o++)
                if (weights[(pair * MNZ_BLOCK + o) * 2 + 1]) fail(r, MNZ_ERROR_MODEL); /* padding of an odd number of inputs */
    }
}

/* Add the largest magnitude of the products for each output. Narrow matrices need inputs of 16 bits. Padding must be 0. */
static void add_products(reader *r, const mnz_matrix *m, peaks input, int64_t *sums)
{
    if (r->status != MNZ_OK) return;
    if (m->wide)
        add_wide(r, m, input, sums);
    else if (m->inputs)
        add_narrow(r, m, input, sums);
}

/* Add the largest magnitudes of the columns of a bias, whose rows are stride numbers apart. */
static void add_bias(reader *r, const int32_t *bias, size_t rows, size_t stride, int outputs, int64_t *sums)
{
    if (r->status != MNZ_OK) return;
    for (int o = 0; o < outputs; o++) {
        int64_t largest = 0;
        for (size_t row = 0; row < rows; row++) {
            int64_t value = magnitude(bias[row * stride + o]);
            largest = value > largest ? value : largest;
        }
        sums[o] += largest;
    }
}

static void require_bounded(reader *r, const int64_t *sums, int outputs)
{
    for (int o = 0; o < outputs && r->status == MNZ_OK; o++)
        if (sums[o] > MNZ_SUM_MAX) fail(r, MNZ_ERROR_INEXACT);
}

/* Products of rounded gradients: an exponent, and a matrix whose sums are bounded. */
static mnz_gradient read_gradient(reader *r, int runs, int inputs, int outputs, int wide, int exponent, int64_t *sums)
{
    mnz_gradient g = {read_matrix(r, runs, inputs, outputs, wide), exponent};
    if (exponent < -EXPONENT_MAX || exponent > EXPONENT_MAX) fail(r, MNZ_ERROR_MODEL);
    memset(sums, 0, (size_t)(outputs > 0 ? outputs : 0) * sizeof *sums);
    add_products(r, &g.weight, (peaks){MNZ_GRADIENT_MAX, NULL}, sums);
    require_bounded(r, sums, outputs);
    return g;
}

/* ---- Networks ---- */

static void read_conv(reader *r, mnz_layer *layer, const int32_t *fields, int with_gradient, int64_t *sums)
{
    const mnz_signal *in = &layer->in;
    const int outputs = fields[5];
    layer->kernel = fields[2];
    layer->places = fields[6];
    layer->out.channels = outputs;
    layer->out.range = (mnz_range){fields[3], fields[4]};
    if (layer->kernel < 1 || layer->kernel > 7 || layer->kernel % 2 == 0 || outputs < 1 || outputs > SIGNAL_MAX ||
        (layer->places != 1 && layer->places != in->height * in->width) ||
        (size_t)layer->kernel * layer->kernel * mnz_size(in) > CONV_INPUTS_MAX) {
        fail(r, MNZ_ERROR_MODEL);
        return;
    }
    layer->weight = read_matrix(r, layer->kernel, layer->kernel * in->channels, outputs, fields[7]);
    layer->place = numbers(r, (size_t)layer->places * outputs);
    layer->quality = numbers(r, (size_t)MNZ_QUALITIES * outputs);
    layer->shift = shifts(r, outputs);
    memset(sums, 0, (size_t)outputs * sizeof *sums);
    add_products(r, &layer->weight, (peaks){peak_of(in->range), NULL}, sums);
    add_bias(r, layer->place, layer->places, outputs, outputs, sums);
    add_bias(r, layer->quality, MNZ_QUALITIES, outputs, outputs, sums);
    require_bounded(r, sums, outputs);
    if (with_gradient)
        layer->gradient = read_gradient(r, layer->kernel, layer->kernel * outputs, in->channels, fields[8], fields[9], sums);
}

static void read_layer(reader *r, mnz_layer *layer, const int32_t *fields, int with_gradient, int64_t *sums)
{
    mnz_signal *in = &layer->in, *out = &layer->out;
    layer->op = fields[0];
    layer->inner = fields[1];
    *out = *in;
    if (layer->op != MNZ_RESIDUAL && layer->inner) fail(r, MNZ_ERROR_MODEL);
    switch (layer->op) {
    case MNZ_CONV:
        read_conv(r, layer, fields, with_gradient, sums);
        break;
    case MNZ_GAIN:
        out->range = (mnz_range){fields[3], fields[4]};
        layer->factor = numbers(r, (size_t)MNZ_QUALITIES * in->channels);
        for (size_t k = 0; layer->factor && k < (size_t)MNZ_QUALITIES * in->channels; k++)
            if (magnitude(layer->factor[k]) * peak_of(in->range) + 128 > MNZ_SUM_MAX) fail(r, MNZ_ERROR_INEXACT);
        break;
    case MNZ_RESIDUAL: /* the inner layers follow */
        out->range = (mnz_range){fields[3], fields[4]};
        if (layer->inner < 1) fail(r, MNZ_ERROR_MODEL);
        break;
    case MNZ_SPACE_TO_DEPTH:
    case MNZ_DEPTH_TO_SPACE: {
        layer->size = fields[2];
        if (layer->size < 2 || layer->size > 4) {
            fail(r, MNZ_ERROR_MODEL);
            break;
        }
        const int square = layer->size * layer->size;
        if (layer->op == MNZ_SPACE_TO_DEPTH) {
            if (in->height % layer->size || in->width % layer->size) fail(r, MNZ_ERROR_MODEL);
            *out = (mnz_signal){in->height / layer->size, in->width / layer->size, in->channels * square, in->range};
        } else {
            if (in->channels % square) fail(r, MNZ_ERROR_MODEL);
            *out = (mnz_signal){in->height * layer->size, in->width * layer->size, in->channels / square, in->range};
        }
        break;
    }
    case MNZ_MAX_POOL:
        if (in->height % 2 || in->width % 2) fail(r, MNZ_ERROR_MODEL);
        out->height /= 2, out->width /= 2;
        break;
    case MNZ_UPSAMPLE:
        out->height *= 2, out->width *= 2;
        break;
    case MNZ_LOOKUP:
        layer->low = fields[2];
        layer->entries = fields[3];
        if (layer->entries < 1) {
            fail(r, MNZ_ERROR_MODEL);
            break;
        }
        layer->table = numbers(r, layer->entries);
        if (in->range.low < layer->low || in->range.high - (int64_t)layer->low >= layer->entries) fail(r, MNZ_ERROR_MODEL);
        out->range = (mnz_range){INT32_MAX, INT32_MIN};
        for (int k = 0; layer->table && k < layer->entries; k++) {
            if (layer->table[k] < out->range.low) out->range.low = layer->table[k];
            if (layer->table[k] > out->range.high) out->range.high = layer->table[k];
        }
        break;
    default:
        fail(r, MNZ_ERROR_MODEL);
    }
    /* ranges that a model file states hold 0; those of a table may be anything, and some layers pass them on */
    const int states_range = layer->op == MNZ_CONV || layer->op == MNZ_GAIN || layer->op == MNZ_RESIDUAL;
    if (states_range && (out->range.low > 0 || out->range.high < 0)) fail(r, MNZ_ERROR_MODEL);
    if (peak_of(out->range) > MNZ_SUM_MAX || mnz_size(out) == 0 || mnz_size(out) > SIGNAL_MAX) fail(r, MNZ_ERROR_MODEL);
}

/* What a convolution takes at most, forward or back. */
static size_t scratch_of(const mnz_layer *layer)
{
    if (layer->op != MNZ_CONV) return 0;
    const int pad = layer->kernel / 2;
    const size_t places = (size_t)layer->in.height * layer->in.width;
    const size_t padded = (size_t)(layer->in.height + 2 * pad) * (layer->in.width + 2 * pad);
    const size_t inputs = layer->in.channels, outputs = layer->out.channels, most = inputs > outputs ? inputs : outputs;
    return mnz_aligned(places * (most + MNZ_BLOCK) * 4) + mnz_aligned(places * 4) + mnz_aligned((padded * most + 1) * 2) +
           mnz_aligned(places * outputs * 4) + MNZ_ALIGNMENT;
}

/* Layers from one to another, as one chain. Returns the last of the chain. */
static int read_chain(reader *r, mnz_network *network, int first, int end, mnz_signal *signal, int with_gradient, int64_t *sums)
{
    int before = -1;
    for (int i = first; i < end && r->status == MNZ_OK; i += 1 + network->layer[i].inner) {
        mnz_layer *layer = network->layer + i;
        memset(layer, 0, sizeof *layer);
        layer->in = *signal;
        layer->before = before;
        read_layer(r, layer, record(r), with_gradient, sums);
        if (layer->inner < 0 || layer->inner > end - i - 1) fail(r, MNZ_ERROR_MODEL);
        if (r->status != MNZ_OK) break; /* sizes may be anything */
        if (layer->op == MNZ_RESIDUAL) {
            mnz_signal change = *signal;
            layer->inner_last = read_chain(r, network, i + 1, i + 1 + layer->inner, &change, with_gradient, sums);
            if (change.height != signal->height || change.width != signal->width || change.channels != signal->channels)
                fail(r, MNZ_ERROR_MODEL);
            if (peak_of(signal->range) + peak_of(change.range) > MNZ_SUM_MAX) fail(r, MNZ_ERROR_INEXACT);
        }
        layer->tape = network->tape;
        network->tape += mnz_aligned(mnz_size(&layer->out) * sizeof(int32_t)) / sizeof(int32_t);
        if (scratch_of(layer) > network->scratch) network->scratch = scratch_of(layer);
        *signal = layer->out;
        before = i;
    }
    return before;
}

static void read_network(reader *r, mnz_network *network, mnz_signal *signal, int with_gradient, int64_t *sums)
{
    network->tape = network->scratch = 0;
    network->last = read_chain(r, network, 0, network->count, signal, with_gradient, sums);
    if (network->count < 1) fail(r, MNZ_ERROR_MODEL);
}

/* ---- Prior ---- */

static void read_prior(reader *r, mnz_model *model, int64_t *sums)
{
    mnz_prior *p = &model->prior;
    const int32_t *fields = record(r), *exponents;
    const int a = fields[0], b = fields[1], symbol_peak = (int)peak_of((mnz_range){model->low, model->high});
    enum { NEAR_WIDE = 2, FAR_WIDE, SKIP_WIDE, HEAD_WIDE, FAR_NEAR_WIDE, NEAR_SYMBOLS_WIDE, FAR_SYMBOLS_WIDE, LOGITS_FAR_WIDE };
    p->low = model->low;
    p->values = model->high - model->low + 1;
    if (a < 1 || b < 1 || a > STATES_MAX / MNZ_POSITIONS || b > STATES_MAX / MNZ_SYMBOLS) {
        fail(r, MNZ_ERROR_MODEL);
        return;
    }
    p->near = a, p->far = b;
    p->near_stride = (a + 1) / 2 * 2, p->far_stride = (b + 1) / 2 * 2;
    exponents = fields + 10; /* far to near, near to symbols, far to symbols, logits to far */
    p->near_bias = numbers(r, (size_t)MNZ_QUALITIES * MNZ_POSITIONS * a);
    p->near_shift = shifts(r, (size_t)MNZ_POSITIONS * a);
    p->far_bias = numbers(r, (size_t)MNZ_QUALITIES * MNZ_SYMBOLS * b);
    p->far_shift = shifts(r, (size_t)MNZ_SYMBOLS * b);
    p->head_stride = (p->values + MNZ_BLOCK - 1) / MNZ_BLOCK * MNZ_BLOCK;
    p->head_bias = numbers(r, (size_t)MNZ_SYMBOLS * p->head_stride);
    p->head_shift = shifts(r, (size_t)MNZ_SYMBOLS * p->head_stride);
    for (int i = 0; i < MNZ_POSITIONS && r->status == MNZ_OK; i++) {
        const int symbols = MNZ_CHANNELS * i, far = MNZ_CHANNELS * b;
        p->near_weight[i] = read_matrix(r, 1, symbols, a, fields[NEAR_WIDE]);
        p->far_weight[i] = read_matrix(r, 1, (i + 1) * p->near_stride, far, fields[FAR_WIDE]);
        p->skip_weight[i] = read_matrix(r, 1, symbols + MNZ_CHANNELS, far, fields[SKIP_WIDE]);
        if (r->status != MNZ_OK) return;
        memset(sums, 0, sizeof *sums * a);
        add_products(r, &p->near_weight[i], (peaks){symbol_peak, NULL}, sums);
        add_bias(r, p->near_bias + (size_t)i * a, MNZ_QUALITIES, (size_t)MNZ_POSITIONS * a, a, sums);
        require_bounded(r, sums, a);
        memset(sums, 0, sizeof *sums * far);
        add_products(r, &p->far_weight[i], (peaks){MNZ_ACTIVATION_MAX, NULL}, sums);
        add_products(r, &p->skip_weight[i], (peaks){symbol_peak, NULL}, sums);
        add_bias(r, p->far_bias + (size_t)i * far, MNZ_QUALITIES, (size_t)MNZ_POSITIONS * far, far, sums);
        for (int k = 0; k < far; k++)
            for (int c = k / b; c < MNZ_CHANNELS; c++) /* a symbol sees earlier ones only */
                if (weight_of(&p->skip_weight[i], 0, symbols + c, k)) fail(r, MNZ_ERROR_MODEL);
        require_bounded(r, sums, far);
    }
    for (int i = 0; i < MNZ_SYMBOLS && r->status == MNZ_OK; i++) {
        p->head_weight[i] = read_matrix(r, 1, b, p->values, fields[HEAD_WIDE]);
        memset(sums, 0, sizeof *sums * p->values);
        add_products(r, &p->head_weight[i], (peaks){MNZ_ACTIVATION_MAX, NULL}, sums);
        add_bias(r, p->head_bias + (size_t)i * p->head_stride, 1, 0, p->values, sums);
        for (int v = p->values; v < p->head_stride; v++) /* padding never has the largest logit */
            if (p->head_bias[i * p->head_stride + v] != MNZ_LOGIT_LOW || p->head_shift[i * p->head_stride + v]) fail(r, MNZ_ERROR_MODEL);
        require_bounded(r, sums, p->values);
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
static mnz_affine read_affine(reader *r, int inputs, int outputs, int wide, peaks input, const int32_t *rows, const int32_t *columns,
                              int64_t *sums)
{
    mnz_affine layer;
    layer.weight = read_matrix(r, 1, inputs, outputs, wide);
    layer.bias = numbers(r, mnz_stride(&layer.weight));
    layer.shift = shifts(r, mnz_stride(&layer.weight));
    for (int o = outputs; r->status == MNZ_OK && o < mnz_stride(&layer.weight); o++)
        if (layer.bias[o] != MNZ_LOGIT_LOW || layer.shift[o]) fail(r, MNZ_ERROR_MODEL);
    memset(sums, 0, (size_t)outputs * sizeof *sums);
    add_products(r, &layer.weight, input, sums);
    add_bias(r, layer.bias, 1, 0, outputs, sums);
    if (rows) add_bias(r, rows, MNZ_TILE, outputs, outputs, sums);
    if (columns) add_bias(r, columns, MNZ_TILE, outputs, outputs, sums);
    require_bounded(r, sums, outputs);
    return layer;
}

static void read_pixels(reader *r, mnz_model *model, int64_t *sums)
{
    mnz_pixel_model *p = &model->pixels;
    const int32_t *fields = record(r); /* widths, then whether weights are wide: of each plane, of queries, of keys; key size */
    const peaks activations = {MNZ_ACTIVATION_MAX, NULL};
    for (int plane = 0; plane < MNZ_PLANES && r->status == MNZ_OK; plane++) {
        mnz_plane *net = &p->plane[plane];
        const int wide = fields[MNZ_PLANES + plane], last = plane == MNZ_PLANES - 1, heads = last ? MNZ_RANGES : 1;
        int64_t each[MNZ_PLANE_INPUTS_MAX];
        for (int k = 0; k < mnz_plane_inputs[plane]; k++) each[k] = mnz_plane_input_peak(plane, k);
        net->width = fields[plane];
        if (net->width < 1 || net->width > MNZ_WIDTH_MAX) {
            fail(r, MNZ_ERROR_MODEL);
            return;
        }
        net->rows = numbers(r, (size_t)MNZ_TILE * net->width);
        net->columns = numbers(r, (size_t)MNZ_TILE * net->width);
        net->layer[0] = read_affine(r, mnz_plane_inputs[plane], net->width, wide, (peaks){0, each}, net->rows, net->columns, sums);
        for (int k = 1; k < MNZ_HIDDEN; k++) net->layer[k] = read_affine(r, net->width, net->width, wide, activations, NULL, NULL, sums);
        for (int k = 0; k < heads; k++)
            net->head[k] = read_affine(r, net->width, mnz_plane_outputs[plane] / heads, wide, activations, NULL, NULL, sums);
    }
    p->key_size = fields[2 * MNZ_PLANES + 2];
    if (p->key_size < 1 || p->key_size > MNZ_KEY_MAX) fail(r, MNZ_ERROR_MODEL);
    if (r->status != MNZ_OK) return;
    const int width = p->plane[MNZ_PLANES - 1].width;
    p->query = read_affine(r, width, p->key_size + 1, fields[2 * MNZ_PLANES], activations, NULL, NULL, sums);
    p->key = read_affine(r, width, p->key_size, fields[2 * MNZ_PLANES + 1], activations, NULL, NULL, sums);
    p->levels = numbers(r, (size_t)MNZ_RANGES * MNZ_SHADES * p->key_size);
    p->blank = numbers(r, MNZ_TILE_PIXELS);
    int64_t largest = 0;
    for (int k = 0; r->status == MNZ_OK && k < MNZ_RANGES * MNZ_SHADES * p->key_size; k++)
        largest = magnitude(p->levels[k]) > largest ? magnitude(p->levels[k]) : largest;
    if ((int64_t)p->key_size * 255 * (255 + largest) > MNZ_SUM_MAX) fail(r, MNZ_ERROR_INEXACT);
    for (int k = 0; r->status == MNZ_OK && k < MNZ_TILE_PIXELS; k++)
        if (p->blank[k] < 1 || p->blank[k] >= MNZ_TOTAL) fail(r, MNZ_ERROR_MODEL);
}

/* ---- The model ---- */

enum { SIZE = 2, LOW, HIGH, FINE_SHIFT, ANALYSIS, SYNTHESIS, PIXELS }; /* fields of the first record */

/* The first record, or NULL if this is no prepared model. */
static const int32_t *header_of(const void *prepared, size_t size)
{
    const int32_t *fields = prepared;
    if (prepared == NULL || (uintptr_t)prepared % MNZ_ALIGNMENT || size < RECORD * sizeof(int32_t)) return NULL;
    if (fields[0] != MAGIC || fields[1] != VERSION || (uint32_t)fields[SIZE] != size) return NULL;
    if (fields[ANALYSIS] < 1 || fields[SYNTHESIS] < 1 || fields[ANALYSIS] > LAYERS_MAX || fields[SYNTHESIS] > LAYERS_MAX) return NULL;
    if (fields[LOW] < -127 || fields[LOW] > 0 || fields[HIGH] < 0 || fields[HIGH] > 127) return NULL;
    if (fields[FINE_SHIFT] < 1 || fields[FINE_SHIFT] > SHIFT_MAX) return NULL;
    return fields;
}

size_t mnz_model_memory(const void *prepared, size_t size)
{
    const int32_t *fields = header_of(prepared, size);
    if (!fields) return 0;
    return mnz_aligned(sizeof(mnz_model)) + mnz_aligned((size_t)fields[ANALYSIS] * sizeof(mnz_layer)) +
           mnz_aligned((size_t)fields[SYNTHESIS] * sizeof(mnz_layer)) + mnz_aligned(SIGNAL_MAX * sizeof(int64_t));
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
    mnz_layer *analysis = mnz_take(&arena, fields[ANALYSIS], sizeof *analysis);
    mnz_layer *synthesis = mnz_take(&arena, fields[SYNTHESIS], sizeof *synthesis);
    int64_t *sums = mnz_take(&arena, SIGNAL_MAX, sizeof *sums);
    if (arena.failed) return MNZ_ERROR_MEMORY;
    memset(m, 0, sizeof *m);
    m->kernels = kernels;
    m->low = fields[LOW], m->high = fields[HIGH], m->fine_shift = fields[FINE_SHIFT], m->has_pixels = fields[PIXELS] != 0;
    m->analysis.count = fields[ANALYSIS], m->analysis.layer = analysis;
    m->synthesis.count = fields[SYNTHESIS], m->synthesis.layer = synthesis;
    reader all = {prepared, (const unsigned char *)prepared + size, MNZ_OK}, *r = &all;
    record(r);
    m->fine = numbers(r, MNZ_QUALITIES * MNZ_CHANNELS);
    m->step = numbers(r, MNZ_QUALITIES * MNZ_CHANNELS);
    m->lmbda = numbers(r, MNZ_QUALITIES);

    mnz_signal signal = {MNZ_TILE, MNZ_TILE, 1, {0, 255}};
    read_network(r, &m->analysis, &signal, 0, sums);
    if (signal.height != MNZ_SIDE || signal.width != MNZ_SIDE || signal.channels != MNZ_CHANNELS) fail(r, MNZ_ERROR_MODEL);
    int64_t peak = 0;
    for (int k = 0; r->status == MNZ_OK && k < MNZ_QUALITIES * MNZ_CHANNELS; k++)
        peak = magnitude(m->step[k]) > peak ? magnitude(m->step[k]) : peak;
    peak *= peak_of((mnz_range){m->low, m->high});
    if (peak > MNZ_SUM_MAX) fail(r, MNZ_ERROR_INEXACT);
    if (r->status != MNZ_OK) return r->status;
    signal = (mnz_signal){MNZ_SIDE, MNZ_SIDE, MNZ_CHANNELS, {-(int32_t)peak, (int32_t)peak}};
    read_network(r, &m->synthesis, &signal, 1, sums);
    if (signal.height != MNZ_TILE || signal.width != MNZ_TILE || signal.channels != 1) fail(r, MNZ_ERROR_MODEL);
    if (signal.range.low < 0 || signal.range.high > 255) fail(r, MNZ_ERROR_MODEL);
    if (r->status == MNZ_OK) read_prior(r, m, sums);
    if (r->status == MNZ_OK && m->has_pixels) read_pixels(r, m, sums);
    if (r->status == MNZ_OK && r->at != r->end) fail(r, MNZ_ERROR_MODEL);
    if (r->status == MNZ_OK) *model = m;
    return r->status;
}

const char *mnz_model_instructions(const mnz_model *model)
{
    return model->kernels->name;
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
    case MNZ_ERROR_DAMAGED: return "the file is cut short, or its content does not match its check";
    default: return "an unknown error";
    }
}
