/* FORMAT.md, section 3.2: the frequencies of the symbols of a latent, and streams of latents. */
#include "engine.h"

#include <string.h>

size_t mnz_prior_memory(const mnz_model *model)
{
    const mnz_prior *prior = &model->prior;
    size_t near = (size_t)MNZ_POSITIONS * prior->near_stride, far = (size_t)MNZ_SYMBOLS * prior->far_stride;
    size_t pairs = MNZ_SYMBOLS / 2 + near / 2 + 2;
    return mnz_aligned(MNZ_SYMBOLS * 2) + mnz_aligned(2 * near) + mnz_aligned(2 * far) + mnz_aligned(4 * MNZ_OUTPUTS_MAX) +
           6 * pairs + 4 * MNZ_ALIGNMENT;
}

static void begin_sparse(mnz_sparse *sparse, size_t pairs, mnz_arena *arena)
{
    sparse->count = 0;
    sparse->pair = mnz_take(arena, pairs + 1, sizeof *sparse->pair);
    sparse->value = mnz_take(arena, pairs + 1, sizeof *sparse->value);
}

void mnz_prior_begin(mnz_prior_state *state, const mnz_model *model, int quality_index, mnz_arena *arena)
{
    const mnz_prior *prior = &model->prior;
    size_t near = (size_t)MNZ_POSITIONS * prior->near_stride, far = (size_t)MNZ_SYMBOLS * prior->far_stride;
    state->model = model;
    state->quality_index = quality_index;
    state->y = mnz_take(arena, MNZ_SYMBOLS, sizeof *state->y);
    state->near = mnz_take(arena, near, sizeof *state->near);
    state->far = mnz_take(arena, far, sizeof *state->far);
    state->far_sums = mnz_take(arena, MNZ_OUTPUTS_MAX, sizeof *state->far_sums);
    begin_sparse(&state->symbols, MNZ_SYMBOLS / 2, arena);
    begin_sparse(&state->active, near / 2, arena);
    if (arena->failed) return;
    memset(state->y, 0, MNZ_SYMBOLS * sizeof *state->y);
    memset(state->near, 0, near * sizeof *state->near);
    memset(state->far, 0, far * sizeof *state->far);
}

/* (sums + bias) >> shift, as activations. */
static void activate(const mnz_model *model, const int32_t *sums, const int32_t *bias, const int32_t *shift, int count, int16_t *out)
{
    int32_t value[MNZ_OUTPUTS_MAX];
    model->kernels->requantize(sums, bias, mnz_zeros, shift, count, 0, MNZ_ACTIVATION_MAX, value);
    for (int k = 0; k < count; k++) out[k] = (int16_t)value[k];
}

/* Begin a position: everything that earlier positions decide. */
static void begin_position(mnz_prior_state *state, int position)
{
    const mnz_model *model = state->model;
    const mnz_prior *prior = &model->prior;
    const int near = prior->near, far = MNZ_CHANNELS * prior->far;
    int32_t sums[MNZ_OUTPUTS_MAX];
    memset(sums, 0, sizeof *sums * (size_t)mnz_stride(&prior->near_weight[position]));
    mnz_sparse_products(model, &state->symbols, &prior->near_weight[position], sums);
    int16_t *out = state->near + position * prior->near_stride;
    activate(model, sums, prior->near_bias + ((size_t)state->quality_index * MNZ_POSITIONS + position) * near,
             prior->near_shift + position * near, near, out);
    mnz_sparse_add(&state->active, out, position * prior->near_stride / 2, prior->near_stride / 2);
    const int32_t *bias = prior->far_bias + ((size_t)state->quality_index * MNZ_POSITIONS + position) * far;
    memset(state->far_sums, 0, sizeof *sums * (size_t)mnz_stride(&prior->far_weight[position]));
    memcpy(state->far_sums, bias, sizeof *sums * (size_t)far);
    mnz_sparse_products(model, &state->active, &prior->far_weight[position], state->far_sums);
    mnz_sparse_products(model, &state->symbols, &prior->skip_weight[position], state->far_sums);
}

/* The frequencies of a channel of the position, once the channels before it are known. */
static void weigh(mnz_prior_state *state, int position, int channel, mnz_cdf *cdf)
{
    const mnz_model *model = state->model;
    const mnz_prior *prior = &model->prior;
    const int symbol = MNZ_CHANNELS * position + channel, first = channel * prior->far;
    const size_t head = (size_t)symbol * prior->head_stride;
    const int32_t offset = 0;
    int16_t *far = state->far + symbol * prior->far_stride;
    int32_t sums[MNZ_WEIGHED_MAX];
    activate(model, state->far_sums + first, mnz_zeros, prior->far_shift + symbol * prior->far, prior->far, far);
    mnz_products(model, far, &offset, 1, 0, &prior->head_weight[symbol], sums);
    cdf->values = prior->values;
    cdf->total = model->kernels->weigh(sums, prior->head_bias + head, prior->head_shift + head, prior->values, mnz_octaves,
                                       MNZ_LAST_OCTAVE, cdf->weight);
}

/* A channel of the position is known. */
static void know(mnz_prior_state *state, int position, int channel, int symbol)
{
    const int index = MNZ_CHANNELS * position + channel;
    int16_t pair[2] = {0, 0};
    state->y[index] = pair[channel % 2] = (int16_t)symbol;
    if (symbol == 0 || channel == MNZ_CHANNELS - 1) return;
    uint16_t number = (uint16_t)(index / 2);
    int32_t both;
    memcpy(&both, pair, sizeof both);
    mnz_sparse one = {1, &number, &both};
    mnz_sparse_products(state->model, &one, &state->model->prior.skip_weight[position], state->far_sums);
}

/* End a position: its symbols are known. */
static void end_position(mnz_prior_state *state, int position)
{
    const int first = MNZ_CHANNELS * position;
    mnz_sparse_add(&state->symbols, state->y + first, first / 2, MNZ_CHANNELS / 2);
}

/* ---- Latents symbol by symbol ---- */

void mnz_prior_visit(mnz_prior_state *states, int tiles, mnz_visit visit, void *context)
{
    const mnz_prior *prior = &states->model->prior;
    mnz_cdf cdf;
    for (int position = 0; position < MNZ_POSITIONS; position++) {
        for (int tile = 0; tile < tiles; tile++) begin_position(&states[tile], position);
        for (int channel = 0; channel < MNZ_CHANNELS; channel++)
            for (int tile = 0; tile < tiles; tile++) {
                weigh(&states[tile], position, channel, &cdf);
                int value = visit(context, tile, MNZ_CHANNELS * position + channel, &cdf);
                know(&states[tile], position, channel, value + prior->low);
            }
        for (int tile = 0; tile < tiles; tile++) end_position(&states[tile], position);
    }
}

int mnz_within(const mnz_model *model, const int8_t *y, size_t symbols)
{
    for (size_t k = 0; k < symbols; k++)
        if (y[k] < model->low || y[k] > model->high) return 0;
    return 1;
}

typedef struct {
    const int8_t *y;
    int low;
    uint16_t *start, *freq_less_one;
} coding;

static int code_symbol(void *context, int tile, int symbol, const mnz_cdf *cdf)
{
    coding *code = context;
    (void)tile;
    const int value = code->y[symbol] - code->low;
    const mnz_interval interval = mnz_interval_of(cdf, value);
    code->start[symbol] = (uint16_t)interval.start;
    code->freq_less_one[symbol] = (uint16_t)(interval.freq - 1);
    return value;
}

mnz_status mnz_latent_symbols(const mnz_model *model, const int8_t *y, int quality_index, uint16_t *start, uint16_t *freq_less_one,
                              void *workspace, size_t size)
{
    if (model->kind != MNZ_KIND_TILES) return MNZ_ERROR_KIND;
    if (quality_index < 0 || quality_index >= MNZ_QUALITIES || !mnz_within(model, y, MNZ_SYMBOLS)) return MNZ_ERROR_ARGUMENT;
    mnz_arena arena = mnz_arena_of(workspace, size);
    mnz_prior_state state;
    coding code = {y, model->low, start, freq_less_one};
    mnz_prior_begin(&state, model, quality_index, &arena);
    if (arena.failed) return MNZ_ERROR_MEMORY;
    mnz_prior_visit(&state, 1, code_symbol, &code);
    return MNZ_OK;
}

/* ---- Streams of latents ---- */

mnz_status mnz_encode_latents(const uint16_t *start, const uint16_t *freq_less_one, int tiles, int interleaved, uint32_t check,
                              int check_bits, uint8_t *out, size_t capacity, size_t *out_size, void *workspace, size_t size)
{
    if (tiles < 1 || tiles > MNZ_TILES_PER_STREAM) return MNZ_ERROR_ARGUMENT;
    const size_t symbols = (size_t)tiles * MNZ_SYMBOLS;
    if (!interleaved || tiles == 1)
        return mnz_encode_intervals(start, freq_less_one, symbols, check, check_bits, out, capacity, out_size);
    mnz_arena arena = mnz_arena_of(workspace, size);
    uint16_t *starts = mnz_take(&arena, symbols, sizeof *starts), *freqs = mnz_take(&arena, symbols, sizeof *freqs);
    if (arena.failed) return MNZ_ERROR_MEMORY;
    for (int symbol = 0; symbol < MNZ_SYMBOLS; symbol++)
        for (int tile = 0; tile < tiles; tile++) {
            starts[symbol * tiles + tile] = start[tile * MNZ_SYMBOLS + symbol];
            freqs[symbol * tiles + tile] = freq_less_one[tile * MNZ_SYMBOLS + symbol];
        }
    return mnz_encode_intervals(starts, freqs, symbols, check, check_bits, out, capacity, out_size);
}

typedef struct {
    mnz_decoder decoder;
    int8_t *y;
    int low;
} decoding;

static int decode_symbol(void *context, int tile, int symbol, const mnz_cdf *cdf)
{
    decoding *decode = context;
    int value = mnz_decode_symbol(&decode->decoder, cdf);
    decode->y[tile * MNZ_SYMBOLS + symbol] = (int8_t)(value + decode->low);
    return value;
}

mnz_status mnz_decode_latents(const mnz_model *model, const uint8_t *stream, size_t stream_size, int quality_index, int tiles,
                              int interleaved, int8_t *y, mnz_final *final, void *workspace, size_t size)
{
    if (model->kind != MNZ_KIND_TILES) return MNZ_ERROR_KIND;
    if (tiles < 1 || tiles > MNZ_TILES_PER_STREAM || quality_index < 0 || quality_index >= MNZ_QUALITIES)
        return MNZ_ERROR_ARGUMENT;
    decoding decode = {{0, NULL, NULL}, y, model->low};
    mnz_status status = mnz_decoder_begin(&decode.decoder, stream, stream_size);
    if (status != MNZ_OK) return status;
    const int together = interleaved ? tiles : 1;
    for (int done = 0; done < tiles; done += together, decode.y += together * MNZ_SYMBOLS) {
        mnz_arena arena = mnz_arena_of(workspace, size);
        mnz_prior_state states[MNZ_TILES_PER_STREAM];
        for (int tile = 0; tile < together; tile++) mnz_prior_begin(&states[tile], model, quality_index, &arena);
        if (arena.failed) return MNZ_ERROR_MEMORY;
        mnz_prior_visit(states, together, decode_symbol, &decode);
    }
    *final = mnz_decoder_end(&decode.decoder);
    return MNZ_OK;
}
