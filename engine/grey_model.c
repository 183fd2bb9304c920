/* Loading the prior and the pixel model of a model of the kind grey: checks of shapes, and the proof that no sum can exceed 2^24. */
#include "grey.h"

#include <string.h>

enum { CUMULATIVE_MAX = MNZ_TOTAL, INVERSE_MAX = 1 << 22, SCALE_SHIFT = 13, SEGMENT_BITS = 7, FACTOR_MAX = 1 << 24 };

const uint8_t mnz_logs[MNZ_SYMBOL_MAX + 1] = {
    0, 32, 51, 64, 74, 83, 90, 96, 101, 106, 111, 115, 118, 122, 125, 128, 131, 133, 136, 138, 141, 143, 145, 147, 149,
    150, 152, 154, 155, 157, 159, 160, 161, 163, 164, 165, 167, 168, 169, 170, 171, 173, 174, 175, 176, 177, 178, 179,
    180, 181, 182, 182, 183, 184, 185, 186, 187, 187, 188, 189, 190, 191, 191, 192, 193, 193, 194, 195, 195, 196, 197,
    197, 198, 199, 199, 200, 201, 201, 202, 202, 203, 203, 204, 205, 205, 206, 206, 207, 207, 208, 208, 209, 209, 210,
    210, 211, 211, 212, 212, 213, 213, 214, 214, 214, 215, 215, 216, 216, 217, 217, 217, 218, 218, 219, 219, 219, 220,
    220, 221, 221, 221, 222, 222, 223, 223, 223, 224, 224,
};

/* ---- Groups ---- */

/* The fields of the record of a group. */
enum { HIDDEN, NARROW, TAPS, LINEAR_TAPS, AROUND_WIDE, BEFORE_WIDE, LINEAR_AROUND_WIDE, LINEAR_BEFORE_WIDE, MIX_WIDE, HEAD_WIDE };

/* A matrix whose runs are some of 3 x 3 positions, given by the bits of a field. Without any it has no runs. */
static mnz_matrix read_before(mnz_reader *r, int32_t bits, int inputs, int outputs, int wide, int tap[MNZ_SQUARE])
{
    mnz_matrix nothing = {inputs, 0, (inputs + 1) / 2, outputs, (outputs + MNZ_BLOCK - 1) / MNZ_BLOCK, NULL, NULL};
    int runs = 0;
    for (int k = 0; k < MNZ_SQUARE; k++)
        if (bits >> k & 1) tap[runs++] = k;
    if (bits < 0 || bits >> MNZ_SQUARE || (runs && inputs == 0)) mnz_fail(r, MNZ_ERROR_MODEL);
    return runs && r->status == MNZ_OK ? mnz_read_matrix(r, runs, inputs, outputs, wide) : nothing;
}

/* A bias with a row for each quality, and shifts. */
static void read_biases(mnz_reader *r, const mnz_matrix *m, const int32_t **bias, const int32_t **shift)
{
    *bias = mnz_read_numbers(r, (size_t)MNZ_QUALITIES * mnz_stride(m));
    *shift = mnz_read_shifts(r, m->outputs);
}

/* Products of activations, a bias, and requantization. */
static mnz_matrix read_affine(mnz_reader *r, int inputs, int outputs, int wide, const int32_t **bias, const int32_t **shift,
                              int64_t *sums)
{
    mnz_matrix m = mnz_read_matrix(r, 1, inputs, outputs, wide);
    if (r->status != MNZ_OK) return m;
    read_biases(r, &m, bias, shift);
    memset(sums, 0, (size_t)outputs * sizeof *sums);
    mnz_bound_products(r, &m, (mnz_peaks){MNZ_ACTIVATION_MAX, NULL}, sums);
    mnz_bound_bias(r, *bias, MNZ_QUALITIES, mnz_stride(&m), outputs, sums);
    mnz_require_bounded(r, sums, outputs);
    return m;
}

/* What the networks of a group see. */
static void read_hidden(mnz_reader *r, mnz_group *g, const int32_t *fields, int channels, int64_t *sums)
{
    const mnz_peaks peaks = {MNZ_LOG_MAX, NULL};
    const int hidden = g->hidden;
    for (int k = 0; k < MNZ_TABLES; k++) g->around[k] = mnz_read_matrix(r, MNZ_AROUND, MNZ_SEEN, hidden, fields[AROUND_WIDE]);
    g->before = read_before(r, fields[TAPS], 2 * channels, hidden, fields[BEFORE_WIDE], g->before_tap);
    const size_t stride = mnz_stride(&g->around[0]);
    g->bias = mnz_read_numbers(r, (size_t)MNZ_QUALITIES * (1 + MNZ_TABLES) * stride);
    g->shift = mnz_read_shifts(r, hidden);
    int64_t *const shared = sums + hidden; /* of all tables; `sums` has room for more outputs than hidden and this */
    memset(shared, 0, (size_t)hidden * sizeof *shared);
    if (g->before.runs) mnz_bound_products(r, &g->before, peaks, shared);
    mnz_bound_bias(r, g->bias, (size_t)MNZ_QUALITIES * (1 + MNZ_TABLES), stride, hidden, shared);
    for (int k = 0; k < MNZ_TABLES && r->status == MNZ_OK; k++) {
        memcpy(sums, shared, (size_t)hidden * sizeof *sums);
        mnz_bound_products(r, &g->around[k], peaks, sums);
        mnz_require_bounded(r, sums, hidden);
    }
}

/* Whether means and scales can be summed in 32 bits. linear: the largest magnitudes of the linear sums of each channel. */
static int fits_32_bits(const mnz_group *g, int within_shift, const int64_t *linear)
{
    const int64_t most = (int64_t)1 << 29;
    for (int c = 0; c < 2 * MNZ_GROUP; c++) {
        int64_t gain = 0, within = (int64_t)1 << (within_shift - 1);
        for (int k = 0; k < 2 * MNZ_GROUP; k++)
            within += mnz_magnitude(g->within[k * 2 * MNZ_GROUP + c]) * (k < MNZ_GROUP ? MNZ_SYMBOL_MAX : MNZ_LOG_MAX);
        for (int q = 0; c < MNZ_GROUP && q < MNZ_QUALITIES; q++) {
            const int64_t of_quality = mnz_magnitude(g->linear_gain[q * MNZ_GROUP + c]);
            gain = of_quality > gain ? of_quality : gain;
        }
        if (within > most || (c < MNZ_GROUP && (linear[c] * gain) >> 16 > most)) return 0;
    }
    return 1;
}

/* The linear part. */
static void read_linear(mnz_reader *r, mnz_group *g, const int32_t *fields, int channels, int within_shift, int64_t *sums)
{
    int64_t largest[MNZ_GROUP] = {0};
    const mnz_peaks peaks = {MNZ_SYMBOL_MAX, NULL};
    for (int k = 0; k < MNZ_TABLES; k++)
        g->linear_around[k] = mnz_read_matrix(r, MNZ_AROUND, MNZ_GROUP, MNZ_GROUP, fields[LINEAR_AROUND_WIDE]);
    g->linear_before = read_before(r, fields[LINEAR_TAPS], channels, MNZ_GROUP, fields[LINEAR_BEFORE_WIDE], g->linear_before_tap);
    g->linear_gain = mnz_read_numbers(r, MNZ_QUALITIES * MNZ_GROUP);
    for (int k = 0; k < MNZ_TABLES && r->status == MNZ_OK; k++) {
        memset(sums, 0, MNZ_GROUP * sizeof *sums);
        mnz_bound_products(r, &g->linear_around[k], peaks, sums);
        if (g->linear_before.runs) mnz_bound_products(r, &g->linear_before, peaks, sums);
        mnz_require_bounded(r, sums, MNZ_GROUP);
        for (int c = 0; c < MNZ_GROUP; c++) largest[c] = sums[c] > largest[c] ? sums[c] : largest[c];
    }
    g->fits = r->status == MNZ_OK && fits_32_bits(g, within_shift, largest);
}

static void read_group(mnz_reader *r, mnz_group *g, int number, int within_shift, int64_t *sums)
{
    const int32_t *fields = mnz_read_record(r);
    const int channels = number * MNZ_GROUP;
    g->hidden = fields[HIDDEN], g->narrow = fields[NARROW];
    if (g->hidden < 1 || g->narrow < 1 || g->hidden > MNZ_SIGNAL_MAX / 2 || g->narrow > MNZ_SIGNAL_MAX) {
        mnz_fail(r, MNZ_ERROR_MODEL);
        return;
    }
    read_hidden(r, g, fields, channels, sums);
    g->mix = read_affine(r, g->hidden, g->narrow, fields[MIX_WIDE], &g->mix_bias, &g->mix_shift, sums);
    g->gain = mnz_read_numbers(r, (size_t)MNZ_QUALITIES * g->narrow);
    for (size_t k = 0; r->status == MNZ_OK && k < (size_t)MNZ_QUALITIES * g->narrow; k++)
        if (mnz_magnitude(g->gain[k]) * MNZ_ACTIVATION_MAX + 128 > MNZ_SUM_MAX) mnz_fail(r, MNZ_ERROR_INEXACT);
    g->head = read_affine(r, g->narrow, 2 * MNZ_GROUP, fields[HEAD_WIDE], &g->head_bias, &g->head_shift, sums);
    g->within = mnz_read_numbers(r, 4 * MNZ_GROUP * MNZ_GROUP);
    for (int k = 0; r->status == MNZ_OK && k < 4 * MNZ_GROUP * MNZ_GROUP; k++) { /* a symbol sees earlier ones only */
        const int seen = k / (2 * MNZ_GROUP) % MNZ_GROUP, channel = k % MNZ_GROUP;
        if (seen >= channel && g->within[k]) mnz_fail(r, MNZ_ERROR_MODEL);
    }
    read_linear(r, g, fields, channels, within_shift, sums);
}

/* ---- Distributions ---- */

/* What makes the search for a symbol short; it changes no result. */
static void prepare_guesses(mnz_grey *grey)
{
    const int step = MNZ_TOTAL / MNZ_GUESSES;
    for (int k = 0, segment = 0; k < MNZ_GUESSES; k++) {
        while (segment < MNZ_SEGMENTS - 1 && grey->cumulative[segment + 1] <= k * step + step / 2) segment++;
        grey->guess[k] = (segment - MNZ_SEGMENTS / 2) * (1 << SEGMENT_BITS) + (1 << (SEGMENT_BITS - 1));
    }
    for (int k = 0; k < MNZ_SCALES; k++) grey->scale[k] = ((int64_t)1 << (SCALE_SHIFT + 16)) / grey->inverse_scale[k];
}

/* The table of cumulative probabilities and the scales. */
static void read_shape(mnz_reader *r, const int32_t **cumulative, const int32_t **inverse_scale)
{
    const int32_t *table = *cumulative = mnz_read_numbers(r, MNZ_SEGMENTS + 1);
    const int32_t *scale = *inverse_scale = mnz_read_numbers(r, MNZ_SCALES);
    if (r->status != MNZ_OK) return;
    if (table[0] < 0 || table[MNZ_SEGMENTS] > CUMULATIVE_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
    for (int k = 0; k < MNZ_SEGMENTS; k++)
        if (table[k] > table[k + 1]) mnz_fail(r, MNZ_ERROR_MODEL);
    for (int k = 0; k < MNZ_SCALES; k++)
        if (scale[k] < 1 || scale[k] > INVERSE_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
}

void mnz_read_grey_prior(mnz_reader *r, mnz_grey *grey, int64_t *sums)
{
    read_shape(r, &grey->cumulative, &grey->inverse_scale);
    for (int k = 0; k < MNZ_GROUPS && r->status == MNZ_OK; k++) read_group(r, &grey->group[k], k, grey->within_shift, sums);
    if (r->status == MNZ_OK) prepare_guesses(grey);
}

/* ---- Pixel model ---- */

enum { ENTER, MIDDLE, HEAD = 3, LINEAR, LAYERS }; /* fields of its record: the outputs of each layer, then whether weights are wide */

/* A layer of the record. */
static mnz_affine read_dense(mnz_reader *r, const int32_t *fields, int number, int inputs, int peak, int64_t *sums)
{
    return mnz_read_dense(r, inputs, fields[number], fields[LAYERS + number], peak, sums);
}

/* Factors for each spread. */
static const int32_t *read_factors(mnz_reader *r)
{
    const int32_t *factor = mnz_read_numbers(r, MNZ_SPREADS);
    for (int k = 0; factor && k < MNZ_SPREADS; k++)
        if (factor[k] < 0 || factor[k] > FACTOR_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
    return factor;
}

void mnz_read_grey_pixels(mnz_reader *r, mnz_grey_pixels *p, int64_t *sums)
{
    const int32_t *fields = mnz_read_record(r);
    p->components = fields[LINEAR];
    for (int k = 0; k < HEAD; k++)
        if (fields[k] < 1 || fields[k] > MNZ_WIDTH_MAX) mnz_fail(r, MNZ_ERROR_MODEL);
    if (p->components < 1 || p->components > MNZ_COMPONENTS_MAX || fields[HEAD] != 3 * p->components) mnz_fail(r, MNZ_ERROR_MODEL);
    if (r->status != MNZ_OK) return;

    p->enter = read_dense(r, fields, ENTER, MNZ_WINDOW, MNZ_INPUT_MAX, sums);
    p->spread = mnz_read_rows(r, fields[ENTER], MNZ_SPREADS, sums);
    p->prediction = mnz_read_rows(r, fields[ENTER], MNZ_PREDICTIONS, sums);
    p->error = mnz_read_rows(r, fields[ENTER], MNZ_BOUNDS, sums);
    p->rows = mnz_read_rows(r, fields[ENTER], MNZ_DISTANCES, sums);
    p->left = mnz_read_rows(r, fields[ENTER], MNZ_DISTANCES, sums);
    p->right = mnz_read_rows(r, fields[ENTER], MNZ_DISTANCES, sums);
    mnz_require_bounded(r, sums, fields[ENTER]);
    for (int k = 0; k < 2; k++) {
        p->middle[k] = read_dense(r, fields, MIDDLE + k, fields[MIDDLE + k - 1], MNZ_ACTIVATION_MAX, sums);
        mnz_require_bounded(r, sums, fields[MIDDLE + k]);
    }
    p->head = read_dense(r, fields, HEAD, fields[HEAD - 1], MNZ_ACTIVATION_MAX, sums);
    p->head_spread = mnz_read_rows(r, fields[HEAD], MNZ_SPREADS, sums);
    p->head_error = mnz_read_rows(r, fields[HEAD], MNZ_BOUNDS, sums);
    mnz_require_bounded(r, sums, fields[HEAD]);
    p->linear = read_dense(r, fields, LINEAR, MNZ_WINDOW, MNZ_INPUT_MAX, sums);
    mnz_require_bounded(r, sums, fields[LINEAR]);
    p->magnify = read_factors(r);
    p->amplitude = read_factors(r);
    read_shape(r, &p->cumulative, &p->inverse_scale);
    for (int k = 0; k < LINEAR; k++) {
        const int stride = (fields[k] + MNZ_BLOCK - 1) / MNZ_BLOCK * MNZ_BLOCK;
        p->widest = stride > p->widest ? stride : p->widest;
    }
}
