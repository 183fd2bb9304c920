/* Reading prepared models, and bounding the sums of their matrices. */
#include "reader.h"

#include <string.h>

enum { INPUTS_MAX = 1 << 20 }; /* of a matrix; those of valid models have fewer */

void mnz_fail(mnz_reader *r, mnz_status status)
{
    if (r->status == MNZ_OK) r->status = status;
}

const void *mnz_read(mnz_reader *r, size_t count, size_t item)
{
    if (r->status != MNZ_OK || count > (size_t)(r->end - r->at) / item || mnz_aligned(count * item) > (size_t)(r->end - r->at)) {
        mnz_fail(r, MNZ_ERROR_MODEL);
        return NULL;
    }
    const void *taken = r->at;
    r->at += mnz_aligned(count * item);
    return taken;
}

const int32_t *mnz_read_numbers(mnz_reader *r, size_t count)
{
    return mnz_read(r, count, sizeof(int32_t));
}

const int32_t *mnz_read_record(mnz_reader *r)
{
    static const int32_t nothing[MNZ_RECORD] = {0};
    const int32_t *taken = mnz_read_numbers(r, MNZ_RECORD);
    return taken ? taken : nothing;
}

const int32_t *mnz_read_shifts(mnz_reader *r, size_t count)
{
    const int32_t *shift = mnz_read_numbers(r, count);
    for (size_t k = 0; shift && k < count; k++)
        if (shift[k] < 0 || shift[k] > MNZ_SHIFT_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
    return shift;
}

/* ---- Matrices and sums ---- */

mnz_matrix mnz_read_matrix(mnz_reader *r, int runs, int inputs, int outputs, int wide)
{
    mnz_matrix m = {inputs, runs, (inputs + 1) / 2, outputs, (outputs + MNZ_BLOCK - 1) / MNZ_BLOCK, NULL, NULL};
    if (inputs < 0 || outputs < 1 || runs < 1 || inputs > INPUTS_MAX || outputs > MNZ_SIGNAL_MAX || runs > INPUTS_MAX) {
        mnz_fail(r, MNZ_ERROR_MODEL);
        return m;
    }
    const uint64_t rows = (uint64_t)m.blocks * MNZ_BLOCK * (uint64_t)runs, columns = (uint64_t)(wide ? m.inputs : 2 * m.pairs);
    if (columns && rows > (uint64_t)(r->end - r->at) / columns) {
        mnz_fail(r, MNZ_ERROR_MODEL);
    } else if (wide) {
        m.wide = mnz_read_numbers(r, (size_t)(rows * columns));
    } else {
        m.narrow = mnz_read(r, (size_t)(rows * columns), sizeof(int16_t));
    }
    return m;
}

int32_t mnz_weight(const mnz_matrix *m, int run, int input, int output)
{
    if (m->wide) return m->wide[((size_t)run * m->inputs + input) * m->blocks * MNZ_BLOCK + output];
    size_t pair = (size_t)run * m->pairs + input / 2, block = output / MNZ_BLOCK;
    return m->narrow[((block * m->runs * m->pairs + pair) * MNZ_BLOCK + output % MNZ_BLOCK) * 2 + input % 2];
}

static int64_t peak_at(mnz_peaks input, int k)
{
    return input.each ? input.each[k] : input.all;
}

static void add_wide(mnz_reader *r, const mnz_matrix *m, mnz_peaks input, int64_t *sums)
{
    for (int run = 0; run < m->runs; run++)
        for (int k = 0; k < m->inputs; k++) {
            for (int o = 0; o < m->outputs; o++) /* a sum that is too large stays so, and cannot overflow */
                if (sums[o] <= MNZ_SUM_MAX) sums[o] += peak_at(input, k) * mnz_magnitude(mnz_weight(m, run, k, o));
            for (int o = m->outputs; o < m->blocks * MNZ_BLOCK; o++)
                if (mnz_weight(m, run, k, o)) mnz_fail(r, MNZ_ERROR_MODEL);
        }
}

/* Add the magnitudes of the weights of some pairs, by output and by which input of the pair it is. */
static void add_magnitudes(const int16_t *restrict weights, size_t pairs, uint32_t *restrict sums)
{
    for (size_t pair = 0; pair < pairs; pair++, weights += 2 * MNZ_BLOCK)
        for (int i = 0; i < 2 * MNZ_BLOCK; i++) sums[i] += (uint32_t)(weights[i] < 0 ? -(int32_t)weights[i] : weights[i]);
}

static void add_narrow(mnz_reader *r, const mnz_matrix *m, mnz_peaks input, int64_t *sums)
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
            if (peak[0] > INT16_MAX || peak[1] > INT16_MAX) mnz_fail(r, MNZ_ERROR_INEXACT);
            for (int i = 0; i < 2 * MNZ_BLOCK; i++) of_block[i] += peak[i % 2] * part[i];
        }
        for (int o = 0; o < MNZ_BLOCK; o++) {
            const int64_t sum = of_block[2 * o] + of_block[2 * o + 1];
            if (block * MNZ_BLOCK + o < m->outputs)
                sums[block * MNZ_BLOCK + o] += sum;
            else if (sum) /* else the padding of logits could have the largest one */
                mnz_fail(r, MNZ_ERROR_MODEL);
        }
        for (size_t pair = m->pairs - 1; m->inputs % 2 && pair < pairs; pair += m->pairs)
            for (int o = 0; o < MNZ_BLOCK; o++)
                if (weights[(pair * MNZ_BLOCK + o) * 2 + 1]) mnz_fail(r, MNZ_ERROR_MODEL); /* padding of an odd number of inputs */
    }
}

void mnz_bound_products(mnz_reader *r, const mnz_matrix *m, mnz_peaks input, int64_t *sums)
{
    if (r->status != MNZ_OK) return;
    if (m->wide)
        add_wide(r, m, input, sums);
    else if (m->inputs)
        add_narrow(r, m, input, sums);
}

void mnz_bound_bias(mnz_reader *r, const int32_t *bias, size_t rows, size_t stride, int outputs, int64_t *sums)
{
    enum { TOGETHER = 64 }; /* columns, row by row */
    if (r->status != MNZ_OK) return;
    for (int first = 0; first < outputs; first += TOGETHER) {
        const int count = outputs - first < TOGETHER ? outputs - first : TOGETHER;
        uint32_t largest[TOGETHER] = {0};
        const int32_t *at = bias + first;
        for (size_t row = 0; row < rows; row++, at += stride)
            for (int o = 0; o < count; o++) {
                const uint32_t value = at[o] < 0 ? 0 - (uint32_t)at[o] : (uint32_t)at[o];
                largest[o] = value > largest[o] ? value : largest[o];
            }
        for (int o = 0; o < count; o++) sums[first + o] += largest[o];
    }
}

void mnz_require_bounded(mnz_reader *r, const int64_t *sums, int outputs)
{
    for (int o = 0; o < outputs && r->status == MNZ_OK; o++)
        if (sums[o] > MNZ_SUM_MAX) mnz_fail(r, MNZ_ERROR_INEXACT);
}

const int32_t *mnz_read_rows(mnz_reader *r, int outputs, size_t rows, int64_t *sums)
{
    const size_t stride = ((size_t)outputs + MNZ_BLOCK - 1) / MNZ_BLOCK * MNZ_BLOCK;
    const int32_t *table = mnz_read_numbers(r, rows * stride);
    if (!table) return NULL;
    mnz_bound_bias(r, table, rows, stride, outputs, sums);
    for (size_t row = 0; row < rows; row++)
        for (size_t o = (size_t)outputs; o < stride; o++)
            if (table[row * stride + o]) mnz_fail(r, MNZ_ERROR_MODEL);
    return table;
}

mnz_affine mnz_read_dense(mnz_reader *r, int inputs, int outputs, int wide, int peak, int64_t *sums)
{
    mnz_affine layer = {mnz_read_matrix(r, 1, inputs, outputs, wide), NULL, NULL};
    if (r->status != MNZ_OK) return layer;
    memset(sums, 0, (size_t)outputs * sizeof *sums);
    mnz_bound_products(r, &layer.weight, (mnz_peaks){peak, NULL}, sums);
    layer.bias = mnz_read_rows(r, outputs, 1, sums);
    layer.shift = mnz_read_shifts(r, (size_t)outputs);
    return layer;
}
