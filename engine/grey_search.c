/*
 * Models of the kind grey: the search of an encoder for a latent of less bits + lmbda * squared error.
 * mnistzip.engines.reference.grey_search explains the method. A decoder knows nothing of it.
 *
 * Costs are integers, and gradients are the same on every machine (gradients.c), so every machine finds the same latent.
 */
#include "gradients.h"
#include "grey.h"

#include <string.h>

enum {
    LMBDA_SHIFT = 14,       /* lmbda weighs squared grey levels against 1/256 bits in units of 2^-14 */
    CHANGES = 256,          /* tried together at most */
    TARGET_MAX = 1 << 12,   /* 256ths of a symbol between a symbol and its target */
    MEAN_BITS = 8,
    CURVATURE_SHIFT = 4,
    EFFORTS = 10
};

#define WORST (-((int64_t)1 << 62)) /* a saving */

static const int TRIALS[EFFORTS] = {0, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

/* The better change of a symbol by one, and what it is estimated to save. */
typedef struct {
    int64_t saving;
    uint32_t symbol;
    int8_t change;
} proposal;

typedef struct {
    const mnz_model *model;
    const uint8_t *x;
    int height, width, rows, columns, quality_index;
    int64_t lmbda;
    mnz_network synthesis;          /* of this size */
    int32_t *start, *tape;
    float *off, *gradient;          /* decoded minus original grey levels, and what follows from them for each symbol */
    uint8_t *decoded;
    proposal *proposals;
    int8_t *tried;
    void *inner;                    /* workspace of the networks and the prior */
    size_t inner_size;
    mnz_arena scratch;
} search;

/* A set of proposals that is to be tried: some that follow each other. */
typedef struct {
    int first, count;
} pending;

/* ---- Memory ---- */

static size_t symbols_of(const search *s)
{
    return (size_t)s->rows * s->columns * MNZ_GREY_CHANNELS;
}

/* The synthesis for a latent of another size than 7x7. */
static void resize(search *s, mnz_layer *layers)
{
    s->synthesis = s->model->synthesis;
    s->synthesis.layer = layers;
    memcpy(layers, s->model->synthesis.layer, (size_t)s->synthesis.count * sizeof *layers);
    s->synthesis.tape = s->synthesis.scratch = 0;
    for (int i = 0; i < s->synthesis.count; i++) {
        mnz_signal *signals[2] = {&layers[i].in, &layers[i].out};
        for (int k = 0; k < 2; k++) {
            signals[k]->height = signals[k]->height / MNZ_SIDE * s->rows;
            signals[k]->width = signals[k]->width / MNZ_SIDE * s->columns;
        }
        const size_t scratch = mnz_layer_scratch(&layers[i]);
        layers[i].tape = s->synthesis.tape;
        s->synthesis.tape += mnz_aligned(mnz_size(&layers[i].out) * sizeof(int32_t)) / sizeof(int32_t);
        if (scratch > s->synthesis.scratch) s->synthesis.scratch = scratch;
    }
}

/* Take the parts of a search from an arena. Returns whether there is room for all. */
static int begin(search *s, mnz_arena *arena)
{
    const size_t symbols = symbols_of(s), pixels = (size_t)MNZ_GREY_BLOCK * MNZ_GREY_BLOCK * s->rows * s->columns;
    mnz_layer *layers = mnz_take(arena, (size_t)s->model->synthesis.count, sizeof *layers);
    if (!layers) return 0;
    resize(s, layers);
    s->start = mnz_take(arena, symbols, sizeof *s->start);
    s->tape = mnz_take(arena, s->synthesis.tape, sizeof *s->tape);
    s->off = mnz_take(arena, pixels, sizeof *s->off);
    s->gradient = mnz_take(arena, symbols, sizeof *s->gradient);
    s->decoded = mnz_take(arena, pixels, 1);
    s->proposals = mnz_take(arena, 2 * symbols, sizeof *s->proposals);
    s->tried = mnz_take(arena, symbols, 1);
    s->inner_size = mnz_grey_workspace(s->model, s->rows, s->columns);
    s->inner = mnz_take(arena, s->inner_size, 1);
    s->scratch = *arena;
    return !arena->failed && arena->left >= mnz_layers_gradient_memory(&s->synthesis);
}

size_t mnz_image_search_workspace(const mnz_model *model, int rows, int columns)
{
    const size_t inner = mnz_grey_workspace(model, rows, columns);
    if (!inner || (int64_t)rows * columns > MNZ_GREY_SEARCHED) return 0;
    search s = {0};
    s.model = model, s.rows = rows, s.columns = columns;
    mnz_layer layers[MNZ_LAYERS_MAX];
    if (model->synthesis.count > MNZ_LAYERS_MAX) return 0;
    resize(&s, layers);
    const size_t symbols = symbols_of(&s), pixels = (size_t)MNZ_GREY_BLOCK * MNZ_GREY_BLOCK * rows * columns;
    return inner + sizeof layers + symbols * (sizeof *s.start + sizeof *s.gradient + 2 * sizeof *s.proposals + 1) +
           s.synthesis.tape * sizeof *s.tape + pixels * (sizeof *s.off + 1) + mnz_layers_gradient_memory(&s.synthesis) +
           16 * MNZ_ALIGNMENT;
}

/* ---- Cost ---- */

static void add_bits(void *context, mnz_walk *w, int channel, int bound, size_t first, int count)
{
    int64_t *bits = context;
    const int32_t *start = w->edge[0] + first, *end = w->edge[1] + first;
    for (size_t k = first; k < first + (size_t)count; k++) w->near[k] = w->symbol[channel][k];
    mnz_edges_of(w, w->near, 0, bound, 2, first, count);
    for (int k = 0; k < count; k++) *bits += mnz_cost((uint32_t)(end[k] - start[k]));
}

static int64_t cost_of(search *s, const int8_t *y)
{
    int64_t bits = 0, error = 0;
    mnz_walk w = mnz_walk_begin(s->model, s->rows, s->columns, s->quality_index, s->inner, s->inner_size);
    mnz_walk_latent(&w, y, NULL, add_bits, &bits);
    mnz_synthesize_image(s->model, y, s->height, s->width, s->quality_index, s->decoded, s->inner, s->inner_size);
    const size_t pixels = (size_t)s->height * s->width;
    for (size_t k = 0; k < pixels; k++) {
        const int32_t off = s->decoded[k] - s->x[k];
        error += (int64_t)off * off;
    }
    return bits * ((int64_t)1 << LMBDA_SHIFT) + s->lmbda * error;
}

/* ---- Proposals ---- */

/* How far each symbol lies above its target, in 256ths, as whole floats. */
static void find_distances(search *s, const int8_t *y)
{
    const size_t symbols = symbols_of(s);
    const int32_t *step = s->model->step + (size_t)s->quality_index * MNZ_GREY_CHANNELS;
    const int32_t *curvature = s->model->grey.curvature + (size_t)s->quality_index * MNZ_GREY_CHANNELS;
    const int shift = s->model->grey.step_shift;
    const int32_t half = (int32_t)1 << (shift - 1);
    for (size_t k = 0; k < symbols; k++) s->start[k] = (y[k] * step[k % MNZ_GREY_CHANNELS] + half) >> shift;
    const int32_t *grey = mnz_forward(s->model, &s->synthesis, s->start, s->quality_index, s->tape, s->scratch);
    const int wide = MNZ_GREY_BLOCK * s->columns;
    for (int i = 0; i < MNZ_GREY_BLOCK * s->rows; i++)
        for (int j = 0; j < wide; j++) {
            const int inside = i < s->height && j < s->width;
            const size_t at = (size_t)i * wide + j;
            s->off[at] = inside ? (float)(grey[at] - s->x[(size_t)i * s->width + j]) : 0.0f;
        }
    mnz_network_back(s->model, &s->synthesis, s->start, s->tape, s->off, s->quality_index, s->gradient, s->scratch);
    const float unit = mnz_power_of_two(-shift), scale = (float)(1 << (MEAN_BITS + CURVATURE_SHIFT));
    for (size_t k = 0; k < symbols; k++) {
        const int c = (int)(k % MNZ_GREY_CHANNELS);
        const float by_symbol = (float)((float)step[c] * unit), slope = (float)(s->gradient[k] * by_symbol);
        const float exact = (float)((float)(slope * scale) / (float)curvature[c]);
        const float distance = exact < -TARGET_MAX ? -TARGET_MAX : exact > TARGET_MAX ? TARGET_MAX : exact;
        const float moved = (float)(distance + 12582912.0f); /* 1.5 * 2^23: rounds to the nearest integer, half to even */
        s->gradient[k] = (float)(moved - 12582912.0f);
    }
}

typedef struct {
    search *search;
    const int8_t *y;
    int32_t *order;             /* positions of the walk's step, row by row */
} estimation;

/* What a value costs by itself, given its frequency. */
static int64_t estimate(const search *s, int32_t freq, int32_t value, int32_t target, int32_t curvature)
{
    const int64_t off = (int64_t)target - ((int64_t)value * (1 << MEAN_BITS));
    const int64_t error = (off * off) >> MEAN_BITS;
    return (int64_t)mnz_cost((uint32_t)freq) * ((int64_t)1 << LMBDA_SHIFT) +
           ((s->lmbda * curvature * error) >> (CURVATURE_SHIFT + MEAN_BITS));
}

static void propose(void *context, mnz_walk *w, int channel, int bound, size_t first, int count)
{
    search *s = context;
    const int c = w->group * MNZ_GROUP + channel;
    const int32_t curvature = s->model->grey.curvature[(size_t)s->quality_index * MNZ_GREY_CHANNELS + c];
    for (size_t k = first; k < first + (size_t)count; k++) w->near[k] = w->symbol[channel][k];
    mnz_edges_of(w, w->near, -1, bound, MNZ_EDGES, first, count);
    for (size_t k = first; k < first + (size_t)count; k++) {
        const size_t at = mnz_walk_position(w, k) * MNZ_GREY_CHANNELS + (size_t)c;
        const int32_t value = w->symbol[channel][k], target = value * (1 << MEAN_BITS) - (int32_t)s->gradient[at];
        const int64_t now = estimate(s, w->edge[2][k] - w->edge[1][k], value, target, curvature);
        proposal best = {WORST, (uint32_t)at, 1};
        for (int step = -1; step <= 1; step += 2) {
            const int32_t *low = w->edge[step < 0 ? 0 : 2], *high = w->edge[step < 0 ? 1 : 3];
            if (value + step < -bound || value + step > bound) continue;
            const int64_t saving = now - estimate(s, high[k] - low[k], value + step, target, curvature);
            if (saving > best.saving) best.saving = saving, best.change = (int8_t)step;
        }
        s->proposals[at] = best;
    }
}

/* Sort by merging: the largest saving first, of equal ones that of the first symbol. */
static void sort(proposal *all, proposal *spare, size_t count)
{
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t first = 0; first < count; first += 2 * width) {
            const size_t middle = first + width < count ? first + width : count, end = middle + width < count ? middle + width : count;
            for (size_t a = first, b = middle, k = first; k < end; k++)
                spare[k] = a < middle && (b >= end || all[a].saving >= all[b].saving) ? all[a++] : all[b++];
        }
        memcpy(all, spare, count * sizeof *all);
    }
}

/* The changes of most promise, sorted. Returns their number. */
static int propose_all(search *s, const int8_t *y)
{
    const size_t symbols = symbols_of(s);
    find_distances(s, y);
    for (size_t k = 0; k < symbols; k++) s->proposals[k] = (proposal){WORST, (uint32_t)k, 1};
    mnz_walk w = mnz_walk_begin(s->model, s->rows, s->columns, s->quality_index, s->inner, s->inner_size);
    mnz_walk_latent(&w, y, NULL, propose, s);
    size_t count = 0;
    for (size_t k = 0; k < symbols; k++)
        if (s->proposals[k].saving > 0) s->proposals[count++] = s->proposals[k];
    sort(s->proposals, s->proposals + symbols, count);
    return count < CHANGES ? (int)count : CHANGES;
}

/* ---- The search ---- */

static void run(search *s, int8_t *y, int left)
{
    const size_t symbols = symbols_of(s);
    int64_t least = cost_of(s, y);
    while (left > 0) {
        const int64_t before = least;
        pending stack[2 * CHANGES];
        int depth = 0;
        const int count = propose_all(s, y);
        if (count) stack[depth++] = (pending){0, count};
        while (depth && left > 0) {
            const pending now = stack[--depth];
            memcpy(s->tried, y, symbols);
            for (int k = now.first; k < now.first + now.count; k++)
                s->tried[s->proposals[k].symbol] = (int8_t)(s->tried[s->proposals[k].symbol] + s->proposals[k].change);
            left--;
            const int64_t total = cost_of(s, s->tried);
            if (total < least) {
                least = total;
                memcpy(y, s->tried, symbols);
            } else if (now.count > 1) {
                const int half = now.count / 2;
                stack[depth++] = (pending){now.first + half, now.count - half};
                stack[depth++] = (pending){now.first, half};
            }
        }
        if (least == before) break;
    }
}

mnz_status mnz_refine_image(const mnz_model *model, const uint8_t *x, int height, int width, int quality_index, int effort,
                            int32_t lmbda, int8_t *y, void *workspace, size_t size)
{
    if (height < 1 || width < 1 || effort < 0 || effort >= EFFORTS || lmbda < 0 || lmbda > MNZ_GREY_LMBDA_MAX) return MNZ_ERROR_ARGUMENT;
    search s = {0};
    s.model = model, s.x = x, s.height = height, s.width = width, s.quality_index = quality_index, s.lmbda = lmbda;
    s.rows = (height - 1) / MNZ_GREY_BLOCK + 1, s.columns = (width - 1) / MNZ_GREY_BLOCK + 1;
    const mnz_status status = mnz_grey_check(model, s.rows, s.columns, quality_index, workspace, size);
    if (status != MNZ_OK) return status;
    if (!mnz_grey_within(model, y, (size_t)s.rows * s.columns, quality_index)) return MNZ_ERROR_ARGUMENT;
    if ((int64_t)s.rows * s.columns > MNZ_GREY_SEARCHED) return MNZ_OK;
    mnz_arena arena = mnz_arena_of(workspace, size);
    if (!begin(&s, &arena)) return MNZ_ERROR_MEMORY;
    run(&s, y, TRIALS[effort]);
    return MNZ_OK;
}
