/*
 * Models of the kind grey: analysis, quantizer and synthesis.
 *
 * A large latent is computed in patches: each with as many positions around it as the networks see, so that what lies beyond does not
 * count.
 */
#include "grey.h"

#include <string.h>

enum { PATCH = 128 }; /* positions of a side; more if the networks see far */

/* ---- Memory ---- */

static void *take(mnz_arena *arena, uint64_t bytes)
{
    return mnz_take(arena, (size_t)bytes, 1);
}

static uint64_t chain_memory(const mnz_pass *p, int first, int end);

/* What a layer takes beyond its input and output. */
static uint64_t layer_memory(const mnz_pass *p, int i)
{
    const mnz_layer *layers = p->network->layer, *layer = layers + i;
    if (layer->op == MNZ_RESIDUAL)
        return mnz_signal_bytes(p, &layers[layer->inner_last].out) + chain_memory(p, i + 1, i + 1 + layer->inner);
    if (layer->op != MNZ_PARALLEL) return mnz_layer_memory(p, layer);
    const uint64_t one = chain_memory(p, i + 1, i + 1 + layer->split);
    const uint64_t other = chain_memory(p, i + 1 + layer->split, i + 1 + layer->inner);
    return mnz_signal_bytes(p, &layers[layer->inner_last].out) + mnz_signal_bytes(p, &layers[layer->other_last].out) +
           (one > other ? one : other);
}

/* The largest output of a chain but its last, which goes elsewhere. */
static uint64_t largest_of(const mnz_pass *p, int first, int end)
{
    uint64_t most = 0;
    for (int i = first, next; (next = i + 1 + p->network->layer[i].inner) < end; i = next) {
        const uint64_t bytes = mnz_signal_bytes(p, &p->network->layer[i].out);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static uint64_t chain_memory(const mnz_pass *p, int first, int end)
{
    uint64_t most = 0;
    for (int i = first; i < end; i += 1 + p->network->layer[i].inner) {
        const uint64_t bytes = layer_memory(p, i);
        most = bytes > most ? bytes : most;
    }
    return 2 * largest_of(p, first, end) + most;
}

/* Positions that a chain of layers sees in each direction at most. */
static int halo_of(const mnz_network *network, int first, int end)
{
    int halo = 0;
    for (int i = first; i < end; i += 1 + network->layer[i].inner) {
        const mnz_layer *layer = network->layer + i;
        const int scale = layer->in.height / MNZ_SIDE;
        if (layer->op == MNZ_CONV || layer->op == MNZ_DEPTHWISE) halo += (layer->kernel / 2 + scale - 1) / scale;
        if (layer->op == MNZ_RESIDUAL) halo += halo_of(network, i + 1, i + 1 + layer->inner);
        if (layer->op == MNZ_PARALLEL) {
            const int one = halo_of(network, i + 1, i + 1 + layer->split);
            const int other = halo_of(network, i + 1 + layer->split, i + 1 + layer->inner);
            halo += one > other ? one : other;
        }
    }
    return halo;
}

int mnz_grey_halo(const mnz_model *model)
{
    const int analysis = halo_of(&model->analysis, 0, model->analysis.count);
    const int synthesis = halo_of(&model->synthesis, 0, model->synthesis.count);
    return analysis > synthesis ? analysis : synthesis;
}

static int patch_side(const mnz_model *model)
{
    return 4 * model->grey.halo > PATCH ? 4 * model->grey.halo : PATCH;
}

uint64_t mnz_grey_network_memory(const mnz_model *model, int rows, int columns)
{
    const int side = patch_side(model) + 2 * model->grey.halo;
    uint64_t most = 0;
    for (int k = 0; k < 2; k++) {
        const mnz_network *network = k ? &model->synthesis : &model->analysis;
        const mnz_pass p = {model, network, 0, mnz_smaller(rows, side), mnz_smaller(columns, side)};
        const uint64_t bytes = mnz_signal_bytes(&p, &network->layer[0].in) + mnz_signal_bytes(&p, &network->layer[network->last].out) +
                               chain_memory(&p, 0, network->count);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* ---- Networks ---- */

static void run(const mnz_pass *p, int first, int end, const void *x, void *out, mnz_arena arena);

static void run_layer(const mnz_pass *p, int i, const void *x, void *out, mnz_arena arena)
{
    const mnz_layer *layers = p->network->layer, *layer = layers + i;
    const int inner = i + 1, end = inner + layer->inner;
    if (layer->op == MNZ_RESIDUAL) {
        const mnz_signal *of_change = &layers[layer->inner_last].out;
        void *change = take(&arena, mnz_signal_bytes(p, of_change));
        run(p, inner, end, x, change, arena);
        mnz_add_signals(p, &layer->in, x, of_change, change, &layer->out, out);
    } else if (layer->op == MNZ_PARALLEL) {
        const mnz_signal *of_one = &layers[layer->inner_last].out, *of_other = &layers[layer->other_last].out;
        void *one = take(&arena, mnz_signal_bytes(p, of_one)), *other = take(&arena, mnz_signal_bytes(p, of_other));
        run(p, inner, inner + layer->split, x, one, arena);
        run(p, inner + layer->split, end, x, other, arena);
        mnz_add_signals(p, of_one, one, of_other, other, &layer->out, out);
    } else {
        mnz_run_layer(p, layer, x, out, arena);
    }
}

/* A chain of layers, from one to another. */
static void run(const mnz_pass *p, int first, int end, const void *x, void *out, mnz_arena arena)
{
    const uint64_t largest = largest_of(p, first, end);
    void *turns[2] = {take(&arena, largest), take(&arena, largest)};
    for (int i = first, turn = 0; i < end; i += 1 + p->network->layer[i].inner, turn = !turn) {
        void *to = i + 1 + p->network->layer[i].inner < end ? turns[turn] : out;
        run_layer(p, i, x, to, arena);
        x = to;
    }
}

/* ---- Images ---- */

/* A part of a latent, and the part of it that counts. */
typedef struct {
    int top, left, rows, columns;               /* with what the networks see around it */
    int first_row, first_column, end_row, end_column;
} patch;

/* The patch behind another; at first one whose end is 0. Returns whether there is one. */
static int next_patch(const mnz_model *model, int rows, int columns, patch *at)
{
    const int side = patch_side(model), halo = model->grey.halo;
    const int more = at->end_column > 0 && at->end_column < columns; /* in the same rows */
    if (!more) at->first_row = at->end_row;
    if (at->first_row >= rows) return 0;
    at->first_column = more ? at->end_column : 0;
    at->end_row = mnz_smaller(at->first_row + side, rows), at->end_column = mnz_smaller(at->first_column + side, columns);
    at->top = at->first_row > halo ? at->first_row - halo : 0, at->left = at->first_column > halo ? at->first_column - halo : 0;
    at->rows = mnz_smaller(at->end_row + halo, rows) - at->top, at->columns = mnz_smaller(at->end_column + halo, columns) - at->left;
    return 1;
}

mnz_status mnz_analyse_image(const mnz_model *model, const uint8_t *x, int height, int width, int quality_index, int8_t *y,
                             void *workspace, size_t size)
{
    if (height < 1 || width < 1) return MNZ_ERROR_ARGUMENT;
    const int rows = (height - 1) / MNZ_GREY_BLOCK + 1, columns = (width - 1) / MNZ_GREY_BLOCK + 1;
    const mnz_status status = mnz_grey_check(model, rows, columns, quality_index, workspace, size);
    if (status != MNZ_OK) return status;
    const mnz_network *network = &model->analysis;
    const mnz_signal *latent = &network->layer[network->last].out;
    const int32_t *fine = model->fine + (size_t)quality_index * MNZ_GREY_CHANNELS;
    const int32_t *bounds = model->grey.bounds + (size_t)quality_index * MNZ_GREY_CHANNELS;
    const int64_t half = (int64_t)1 << (model->fine_shift - 1);
    patch at = {0};
    while (next_patch(model, rows, columns, &at)) {
        const mnz_pass p = {model, network, quality_index, at.rows, at.columns};
        mnz_arena arena = mnz_arena_of(workspace, size);
        int16_t *input = take(&arena, mnz_signal_bytes(&p, &network->layer[0].in)), *grey = input;
        void *out = take(&arena, mnz_signal_bytes(&p, latent));
        for (int i = 0; i < MNZ_GREY_BLOCK * at.rows; i++) {
            const uint8_t *row = x + (size_t)mnz_smaller(MNZ_GREY_BLOCK * at.top + i, height - 1) * width;
            for (int j = 0; j < MNZ_GREY_BLOCK * at.columns; j++) *grey++ = row[mnz_smaller(MNZ_GREY_BLOCK * at.left + j, width - 1)];
        }
        run(&p, 0, network->count, input, out, arena);
        for (int i = at.first_row; i < at.end_row; i++)
            for (int j = at.first_column; j < at.end_column; j++) {
                const size_t from = ((size_t)(i - at.top) * at.columns + (j - at.left)) * MNZ_GREY_CHANNELS;
                int8_t *to = y + ((size_t)i * columns + j) * MNZ_GREY_CHANNELS;
                for (int c = 0; c < MNZ_GREY_CHANNELS; c++) {
                    const int64_t product = (int64_t)mnz_number_at(out, mnz_is_narrow(latent->range), from + c) * fine[c];
                    const int64_t symbol = (product + half) >> model->fine_shift;
                    to[c] = (int8_t)(symbol < -bounds[c] ? -bounds[c] : symbol > bounds[c] ? bounds[c] : symbol);
                }
            }
    }
    return MNZ_OK;
}

mnz_status mnz_synthesize_image(const mnz_model *model, const int8_t *y, int height, int width, int quality_index, uint8_t *x_hat,
                                void *workspace, size_t size)
{
    if (height < 1 || width < 1) return MNZ_ERROR_ARGUMENT;
    const int rows = (height - 1) / MNZ_GREY_BLOCK + 1, columns = (width - 1) / MNZ_GREY_BLOCK + 1;
    const mnz_status status = mnz_grey_check(model, rows, columns, quality_index, workspace, size);
    if (status != MNZ_OK) return status;
    if (!mnz_grey_within(model, y, (size_t)rows * columns, quality_index)) return MNZ_ERROR_ARGUMENT;
    const mnz_network *network = &model->synthesis;
    const mnz_signal *latent = &network->layer[0].in, *image = &network->layer[network->last].out;
    const int32_t *step = model->step + (size_t)quality_index * MNZ_GREY_CHANNELS;
    const int shift = model->grey.step_shift;
    const int32_t half = (int32_t)1 << (shift - 1);
    patch at = {0};
    while (next_patch(model, rows, columns, &at)) {
        const mnz_pass p = {model, network, quality_index, at.rows, at.columns};
        mnz_arena arena = mnz_arena_of(workspace, size);
        void *scaled = take(&arena, mnz_signal_bytes(&p, latent)), *out = take(&arena, mnz_signal_bytes(&p, image));
        size_t k = 0;
        for (int i = 0; i < at.rows; i++) {
            const int8_t *from = y + ((size_t)(at.top + i) * columns + at.left) * MNZ_GREY_CHANNELS;
            for (int j = 0; j < at.columns * MNZ_GREY_CHANNELS; j++, k++) {
                const int32_t value = (from[j] * step[j % MNZ_GREY_CHANNELS] + half) >> shift;
                if (mnz_is_narrow(latent->range))
                    ((int16_t *)scaled)[k] = (int16_t)value;
                else
                    ((int32_t *)scaled)[k] = value;
            }
        }
        run(&p, 0, network->count, scaled, out, arena);
        const int left = MNZ_GREY_BLOCK * at.first_column, right = mnz_smaller(MNZ_GREY_BLOCK * at.end_column, width);
        for (int i = MNZ_GREY_BLOCK * at.first_row; i < mnz_smaller(MNZ_GREY_BLOCK * at.end_row, height); i++) {
            const int16_t *grey = out; /* 0 to 255 */
            grey += (size_t)(i - MNZ_GREY_BLOCK * at.top) * at.columns * MNZ_GREY_BLOCK + (left - MNZ_GREY_BLOCK * at.left);
            for (int j = left; j < right; j++) x_hat[(size_t)i * width + j] = (uint8_t)*grey++;
        }
    }
    return MNZ_OK;
}
