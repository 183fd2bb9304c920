/* Loading a model of the kind bitmap: checks of shapes and frequencies, and the proof that no sum can exceed 2^24. */
#include "reader.h"

#include <string.h>

enum { ENTER, MIDDLE, LAYERS = 3 }; /* fields of its record: the outputs of each layer but the head, then whether weights are wide, but
                                       those of the first layer */

/* Rows of cumulative frequencies, each of which rises from 0 to 2^16. */
static const int32_t *read_frequencies(mnz_reader *r, size_t rows, size_t values)
{
    const int32_t *table = mnz_read_numbers(r, rows * (values + 1)), *at = table;
    for (size_t row = 0; table && row < rows; row++, at += values + 1) {
        if (at[0] != 0 || at[values] != MNZ_TOTAL) mnz_fail(r, MNZ_ERROR_MODEL);
        for (size_t k = 0; k < values; k++)
            if (at[k] >= at[k + 1]) mnz_fail(r, MNZ_ERROR_MODEL);
    }
    return table;
}

/* The weights of the first layer, summed along each row of the window. A sum that is too large is refused later. */
static void read_window(mnz_reader *r, mnz_bitmap_net *net, int32_t *reach, int64_t *sums)
{
    const size_t stride = (size_t)net->stride;
    const int32_t *weights = mnz_read_numbers(r, MNZ_SEEN_ALL * stride);
    if (!weights) return;
    memset(sums, 0, stride * sizeof *sums);
    for (size_t k = 0; k < MNZ_SEEN_ALL; k++)
        for (size_t o = 0; o < stride; o++) {
            const int32_t weight = weights[k * stride + o];
            sums[o] += mnz_magnitude(weight);
            if (sums[o] > MNZ_SUM_MAX) {
                mnz_fail(r, MNZ_ERROR_INEXACT);
                return;
            }
            reach[k * stride + o] = weight + (k % MNZ_SEEN_ROW ? reach[(k - 1) * stride + o] : 0);
        }
    for (size_t o = (size_t)net->width; o < stride; o++)
        if (sums[o]) mnz_fail(r, MNZ_ERROR_MODEL); /* padding */
    net->reach = reach;
}

void mnz_read_bitmap_net(mnz_reader *r, mnz_bitmap_net *net, int32_t *reach, int64_t *sums)
{
    const int32_t *fields = mnz_read_record(r);
    for (int k = 0; k < LAYERS; k++)
        if (fields[k] < 1 || fields[k] > MNZ_WIDTH_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
    if (r->status != MNZ_OK) return;
    net->sides = read_frequencies(r, 1, MNZ_BITMAP_SIDES);
    net->differences = read_frequencies(r, MNZ_BITMAP_CLASSES, MNZ_BITMAP_DIFFERENCES);
    net->shifts = read_frequencies(r, 1, MNZ_BITMAP_SHIFTS);

    const int width = net->width = fields[ENTER];
    net->stride = (width + MNZ_BLOCK - 1) / MNZ_BLOCK * MNZ_BLOCK;
    read_window(r, net, reach, sums);
    net->bias = mnz_read_rows(r, width, 1, sums);
    net->shift = mnz_read_shifts(r, (size_t)width);
    for (int k = 0; k < MNZ_BITMAP_EDGES; k++) net->edges[k] = mnz_read_rows(r, width, MNZ_BITMAP_DISTANCES, sums);
    net->heights = mnz_read_rows(r, width, MNZ_BITMAP_SIDE_MAX + 1, sums);
    net->widths = mnz_read_rows(r, width, MNZ_BITMAP_SIDE_MAX + 1, sums);
    mnz_require_bounded(r, sums, width);
    for (int k = 0; k < 2; k++) {
        net->middle[k] = mnz_read_dense(r, fields[k], fields[MIDDLE + k], fields[LAYERS + k], MNZ_ACTIVATION_MAX, sums);
        mnz_require_bounded(r, sums, fields[MIDDLE + k]);
    }
    net->head = mnz_read_dense(r, fields[MIDDLE + 1], 1, fields[LAYERS + 2], MNZ_ACTIVATION_MAX, sums);
    mnz_require_bounded(r, sums, 1);
    for (int k = 0; k < LAYERS; k++) {
        const int stride = (fields[k] + MNZ_BLOCK - 1) / MNZ_BLOCK * MNZ_BLOCK;
        net->widest = stride > net->widest ? stride : net->widest;
    }
}
