/*
 * The search of an encoder for a latent of less bits + lmbda * squared error, or of least error within a number of bits.
 * mnistzip.engines.reference.rdo explains the method. A decoder knows nothing of it.
 *
 * Costs are integers, and gradients are the same on every machine (gradients.c), so every machine finds the same latent.
 */
#include "gradients.h"

#include <math.h>
#include <string.h>

#define LIMIT_MAX ((int64_t)1 << 40) /* on bits: more than any latent takes, and small enough for sums of costs */
#define EFFECT_MAX 1048576.0f /* of a symbol on the image, so that the sum of all squares fits; trained models stay far below */

enum {
    LMBDA_SHIFT = 14,       /* lmbda weighs squared grey levels against 1/256 bits in units of 2^-14 */
    FIRST_MOVES = 8,        /* symbols moved at once in the first pass */
    MOVES_MAX = 40,
    PERTURBED_MOVES = 3,    /* first moves and passes after a perturbation */
    PERTURBED_PASSES = 4,   /* without a budget */
    BUDGET_MOVES = 4,       /* moves after lmbda was lowered because no move was left */
    LATE_PASSES = 80,       /* further ones for tiles above their limit; each lowers lmbda */
    LATE_PERTURBATIONS = 20,
    STARTS_MAX = 8,
    EFFORTS = 10
};

static const int PASSES[EFFORTS] = {0, 2, 5, 9, 15, 25, 40, 70, 120, 200};
static const int PERTURBATIONS[EFFORTS] = {0, 0, 0, 0, 0, 0, 0, 0, 20, 100};
static const int BUDGET_PASSES[EFFORTS] = {0, 15, 20, 30, 40, 60, 60, 80, 100, 120};
static const int BUDGET_PERTURBATIONS[EFFORTS] = {0, 0, 0, 0, 0, 0, 10, 25, 60, 150};
static const int BUDGET_PERTURBED_PASSES[EFFORTS] = {0, 4, 4, 4, 4, 4, 4, 4, 4, 16};
static const int BUDGET_STARTS[EFFORTS] = {0, 3, 3, 3, 3, 3, 3, 3, 3, 8};
static const int START_PERTURBATIONS[EFFORTS] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 40}; /* of each start, before the best one is taken */
static const int LOWER[STARTS_MAX] = {0, 4, 8, 2, 6, 11, -4, 14}; /* qualities below the one asked for, whose analysis begins a search */

/* The symbols of a tile, their cost, and how a move of each symbol by one would change it, to first order. */
typedef struct {
    int8_t y[MNZ_SYMBOLS];
    int64_t bits, error, weight;                            /* weight: of the squared error */
    double up[MNZ_SYMBOLS], down[MNZ_SYMBOLS];              /* change in bits if a symbol rises or falls */
    float slope[MNZ_SYMBOLS];                               /* gradient of the squared error */
} latent;

typedef struct {
    const mnz_model *model;
    const uint8_t *x, *inside;
    int quality_index;
    int has_limit, only_above;      /* only_above: adopt better latents only while the limit is exceeded */
    int64_t limit, curvature;
    uint8_t perturbed[MNZ_SYMBOLS];
    latent now;
    mnz_prior_state prior;          /* of the latent that was evaluated last, and: */
    uint64_t *sums;                 /* cumulative weights of all symbols, (196, values + 1) */
    int32_t *start, *tape;
    float off[MNZ_TILE_PIXELS];     /* decoded minus original grey levels, 0 outside the image */
    int32_t *freq;
    mnz_arena prior_memory, scratch;
} search;

static size_t search_memory(const mnz_model *model)
{
    size_t symbols = MNZ_SYMBOLS, values = model->prior.values;
    return mnz_aligned(symbols * (values + 1) * 8) + mnz_aligned(symbols * 4) + mnz_aligned(model->synthesis.tape * 4) +
           mnz_aligned(symbols * values * 4) + mnz_prior_memory(model) + mnz_gradient_memory(model) + 4096;
}

static int begin(search *s, const mnz_model *model, const uint8_t *x, const uint8_t *inside, int quality_index, mnz_arena arena)
{
    memset(s, 0, sizeof *s);
    s->model = model, s->x = x, s->inside = inside, s->quality_index = quality_index;
    s->sums = mnz_take(&arena, (size_t)MNZ_SYMBOLS * (model->prior.values + 1), sizeof *s->sums);
    s->start = mnz_take(&arena, MNZ_SYMBOLS, sizeof *s->start);
    s->tape = mnz_take(&arena, model->synthesis.tape, sizeof *s->tape);
    s->freq = mnz_take(&arena, (size_t)MNZ_SYMBOLS * model->prior.values, sizeof *s->freq);
    size_t size = mnz_aligned(mnz_prior_memory(model));
    s->prior_memory = mnz_arena_of(mnz_take(&arena, size, 1), size);
    s->scratch = arena;
    return !arena.failed && arena.left >= mnz_gradient_memory(model);
}

/* ---- The cost of a latent ---- */

typedef struct {
    search *search;
    const int8_t *y;
    int64_t bits;
} evaluation;

static int add_cost(void *context, int tile, int symbol, const mnz_cdf *cdf)
{
    evaluation *e = context;
    (void)tile;
    int value = e->y[symbol] - e->search->model->low;
    e->bits += mnz_cost(mnz_interval_of(cdf, value).freq);
    uint64_t *sum = e->search->sums + (size_t)symbol * (cdf->values + 1);
    sum[0] = 0;
    for (int v = 0; v < cdf->values; v++) sum[v + 1] = sum[v] + cdf->weight[v];
    return value;
}

/* What a latent would cost. It leaves what the gradients need. */
static void evaluate(search *s, const int8_t *y, int64_t *bits, int64_t *error)
{
    const mnz_model *model = s->model;
    const int32_t *step = model->step + (size_t)s->quality_index * MNZ_CHANNELS;
    evaluation e = {s, y, 0};
    mnz_arena memory = s->prior_memory;
    mnz_prior_begin(&s->prior, model, s->quality_index, &memory);
    mnz_prior_visit(&s->prior, 1, add_cost, &e);
    for (int k = 0; k < MNZ_SYMBOLS; k++) s->start[k] = y[k] * step[k % MNZ_CHANNELS];
    const int32_t *grey = mnz_forward(model, &model->synthesis, s->start, s->quality_index, s->tape, s->scratch);
    *bits = e.bits;
    *error = 0;
    for (int k = 0; k < MNZ_TILE_PIXELS; k++) {
        int32_t off = s->inside[k] ? grey[k] - s->x[k] : 0;
        s->off[k] = (float)off;
        *error += (int64_t)off * off;
    }
}

/* The frequencies of all values of all symbols. Quotients are below 2^17 and no integers unless exact, so doubles are. */
static void all_frequencies(search *s)
{
    const int values = s->model->prior.values;
    for (int i = 0; i < MNZ_SYMBOLS; i++) {
        const uint64_t *sum = s->sums + (size_t)i * (values + 1);
        int32_t *freq = s->freq + (size_t)i * values, edge[MNZ_VALUES_MAX + 1];
        const double total = (double)sum[values], scale = MNZ_TOTAL - values;
        for (int k = 0; k <= values; k++) edge[k] = k + (int32_t)((double)(int64_t)sum[k] * scale / total);
        for (int k = 0; k < values; k++) freq[k] = edge[k + 1] - edge[k];
    }
}

/* Take the latent that was evaluated last, and predict what further moves would change. */
static void update(search *s, const int8_t *y, int64_t bits, int64_t error)
{
    const mnz_model *model = s->model;
    const int values = model->prior.values;
    latent *now = &s->now;
    float twice[MNZ_TILE_PIXELS], later[MNZ_SYMBOLS];
    memmove(now->y, y, MNZ_SYMBOLS);
    now->bits = bits, now->error = error;
    for (int k = 0; k < MNZ_TILE_PIXELS; k++) twice[k] = 2 * s->off[k];
    mnz_synthesis_back(model, s->start, s->tape, twice, s->quality_index, now->slope, s->scratch);
    all_frequencies(s);
    mnz_prior_back(&s->prior, s->freq, later, s->scratch);
    for (int i = 0; i < MNZ_SYMBOLS; i++) {
        const int32_t *freq = s->freq + (size_t)i * values;
        const int value = now->y[i] - model->low;
        const int32_t own = mnz_cost(freq[value]);
        const int above = value + 1 < values, below = value > 0;
        now->up[i] = above ? (double)(mnz_cost(freq[value + 1]) - own) / MNZ_BIT + (double)later[i] : (double)INFINITY;
        now->down[i] = below ? (double)(mnz_cost(freq[value - 1]) - own) / MNZ_BIT - (double)later[i] : (double)INFINITY;
    }
}

/* Begin at some symbols. */
static void begin_at(search *s, const int8_t *y)
{
    int64_t bits, error, squares = 0, pixels = 0;
    s->now.weight = s->model->lmbda[s->quality_index];
    evaluate(s, y, &bits, &error);
    /* The squared error that a move by one adds, as a mean: an image of random signs, taken back through the synthesis, has at
       each symbol the expected square of that symbol's effect. The signs are the 17th bits of multiples of 2^32 / 1.618... */
    float signs[MNZ_TILE_PIXELS], effect[MNZ_SYMBOLS];
    for (int k = 0; k < MNZ_TILE_PIXELS; k++) {
        int sign = 1 - 2 * (int)((uint64_t)(k + 1) * 2654435769u >> 16 & 1);
        signs[k] = (float)(s->inside[k] ? sign : 0);
        pixels += s->inside[k];
    }
    mnz_synthesis_back(s->model, s->start, s->tape, signs, s->quality_index, effect, s->scratch);
    for (int i = 0; i < MNZ_SYMBOLS; i++) {
        float limited = effect[i] < -EFFECT_MAX ? -EFFECT_MAX : effect[i] > EFFECT_MAX ? EFFECT_MAX : effect[i];
        float square = limited * limited;
        double rounded = (double)square + 6755399441055744.0; /* half to even: 1.5 * 2^52 leaves no bits for a fraction */
        squares += (int64_t)(rounded - 6755399441055744.0);
    }
    s->curvature = squares * MNZ_TILE_PIXELS / (MNZ_SYMBOLS * pixels);
    update(s, y, bits, error);
}

/* ---- Moves ---- */

static int above_limit(const search *s, const latent *l)
{
    return s->has_limit && l->bits > s->limit;
}

static int64_t cost(const search *s, int64_t bits, int64_t error)
{
    if (s->has_limit && bits < s->limit) bits = s->limit; /* bits below the limit are free */
    return bits * (1 << LMBDA_SHIFT) + s->now.weight * error;
}

static int is_better(const search *s, int64_t bits, int64_t error)
{
    if (cost(s, bits, error) >= cost(s, s->now.bits, s->now.error)) return 0;
    return !s->has_limit || bits <= s->limit || s->now.bits > s->limit;
}

/* A predicted change in bits: no latent takes fewer than 0, and bits below a limit are free. */
static double bounded(const search *s, double change)
{
    if (!s->has_limit) {
        double least = (double)-s->now.bits / MNZ_BIT;
        return change > least ? change : least;
    }
    double room = (double)(s->limit - s->now.bits) / MNZ_BIT;
    return (change > room ? change : room) - (room > 0 ? room : 0);
}

/* How much the better move of each symbol lowers the cost in bits, and that move. */
static void predict(const search *s, double *gain, int8_t *direction)
{
    const double lmbda = (double)s->now.weight / (MNZ_BIT << LMBDA_SHIFT), curved = 0.5 * lmbda * (double)s->curvature;
    for (int i = 0; i < MNZ_SYMBOLS; i++) {
        double slope = lmbda * (double)s->now.slope[i];
        double up = bounded(s, s->now.up[i]) + slope + curved, down = bounded(s, s->now.down[i]) - slope + curved;
        gain[i] = -(up < down ? up : down);
        direction[i] = up < down ? 1 : -1;
    }
}

/* One pass: move the symbols of the largest gains, and undo that if the cost does not fall. Returns 1 if there was no move. */
static int step(search *s, int *moves, uint8_t *failed)
{
    double gain[MNZ_SYMBOLS];
    int8_t direction[MNZ_SYMBOLS], y[MNZ_SYMBOLS];
    int chosen[MOVES_MAX], count = 0;
    predict(s, gain, direction);
    for (int i = 0; i < MNZ_SYMBOLS; i++) { /* an insertion into a sorted list; of equal gains the first counts more */
        if (failed[i] || !(gain[i] > 0)) continue;
        int at = count;
        while (at > 0 && gain[chosen[at - 1]] < gain[i]) at--;
        if (at >= *moves) continue;
        if (count < *moves) count++;
        memmove(chosen + at + 1, chosen + at, (size_t)(count - 1 - at) * sizeof *chosen);
        chosen[at] = i;
    }
    if (count == 0) return 1;
    memcpy(y, s->now.y, sizeof y);
    for (int k = 0; k < count; k++) y[chosen[k]] = (int8_t)(y[chosen[k]] + direction[chosen[k]]);
    int64_t bits, error;
    evaluate(s, y, &bits, &error);
    if (is_better(s, bits, error)) {
        update(s, y, bits, error);
        *moves = mnz_clip(*moves * 3 / 2, 2, MOVES_MAX);
    } else {
        if (*moves == 1) failed[chosen[0]] = 1;
        *moves = *moves / 2 > 1 ? *moves / 2 : 1;
    }
    return 0;
}

/* Pass after pass until no move has a predicted gain. A tile above its limit gets further passes, and lmbda is lowered. */
static void descend(search *s, int passes, int moves)
{
    uint8_t failed[MNZ_SYMBOLS] = {0};
    for (int pass = 0; pass < passes + (s->has_limit ? LATE_PASSES : 0); pass++) {
        const int late = pass >= passes, single = moves == 1;
        if (late && !above_limit(s, &s->now)) break;
        const int idle = step(s, &moves, failed), above = above_limit(s, &s->now);
        if (above && (idle || single || late)) s->now.weight = s->now.weight * 4 / 5;
        if (above && idle) {
            moves = BUDGET_MOVES;
            memset(failed, 0, sizeof failed);
        }
        if (idle && !above) break;
    }
}

/* Take a latent that another search found, if it is better. */
static void adopt(search *s, const latent *other)
{
    int better;
    if (s->has_limit) {
        int64_t now = s->now.bits > s->limit ? s->now.bits : s->limit, then = other->bits > s->limit ? other->bits : s->limit;
        better = then < now || (then == now && other->error < s->now.error);
        if (s->only_above && !above_limit(s, &s->now)) better = 0;
    } else {
        better = is_better(s, other->bits, other->error);
    }
    if (better) s->now = *other;
}

/* Make the move of least predicted loss that was not made before, search on from there, and keep what is better. */
static void perturb(search *s, int passes)
{
    double gain[MNZ_SYMBOLS];
    int8_t direction[MNZ_SYMBOLS], y[MNZ_SYMBOLS];
    int symbol = 0;
    predict(s, gain, direction);
    for (int i = 0; i < MNZ_SYMBOLS; i++) {
        if (s->perturbed[i]) gain[i] = -(double)INFINITY;
        if (gain[i] > gain[symbol]) symbol = i;
    }
    s->perturbed[symbol] = 1;
    const latent best = s->now;
    memcpy(y, best.y, sizeof y);
    y[symbol] = (int8_t)mnz_clip(y[symbol] + direction[symbol], s->model->low, s->model->high);
    int64_t bits, error;
    evaluate(s, y, &bits, &error);
    update(s, y, bits, error);
    descend(s, passes, PERTURBED_MOVES);
    const latent other = s->now;
    s->now = best;
    adopt(s, &other);
}

/* ---- The first latent ---- */

typedef struct {
    const int8_t *y;
    const uint8_t *keep;
    int low;
    int8_t *filled;
} filling;

/* A symbol of the analysis near the picture, and elsewhere the most probable one. */
static int fill_symbol(void *context, int tile, int symbol, const mnz_cdf *cdf)
{
    filling *f = context;
    (void)tile;
    int value = f->keep[symbol] ? f->y[symbol] - f->low : mnz_most_probable(cdf);
    f->filled[symbol] = (int8_t)(value + f->low);
    return value;
}

/* Which symbols lie within a margin of the picture. */
static void near_picture(const uint8_t *inside, int margin, uint8_t *near)
{
    const int block = MNZ_TILE / MNZ_SIDE;
    memset(near, 0, MNZ_SYMBOLS);
    for (int pixel = 0; pixel < MNZ_TILE_PIXELS; pixel++) {
        if (!inside[pixel]) continue;
        int row = pixel / MNZ_TILE / block, column = pixel % MNZ_TILE / block;
        for (int r = row - margin; r <= row + margin; r++)
            for (int c = column - margin; c <= column + margin; c++)
                if (r >= 0 && r < MNZ_SIDE && c >= 0 && c < MNZ_SIDE) memset(near + MNZ_CHANNELS * (MNZ_SIDE * r + c), 1, MNZ_CHANNELS);
    }
}

static int covers(const uint8_t *inside)
{
    int pixels = 0;
    for (int k = 0; k < MNZ_TILE_PIXELS; k++) pixels += inside[k];
    return pixels;
}

static void first_latent(search *s, int quality_index, int8_t *y, mnz_arena arena)
{
    enum { MARGINS = 2 };
    const mnz_model *model = s->model;
    mnz_analyse(model, s->x, quality_index, y, arena.at, arena.left);
    if (covers(s->inside) == MNZ_TILE_PIXELS) return;
    int8_t analysed[MNZ_SYMBOLS], filled[MNZ_SYMBOLS];
    uint8_t keep[MNZ_SYMBOLS];
    int64_t bits, error, least;
    search of_quality = *s; /* the cost is that of this quality */
    of_quality.quality_index = quality_index;
    of_quality.has_limit = 0;
    of_quality.now.weight = model->lmbda[quality_index];
    memcpy(analysed, y, sizeof analysed);
    evaluate(&of_quality, y, &bits, &error);
    least = cost(&of_quality, bits, error);
    for (int margin = 0; margin < MARGINS; margin++) {
        filling f = {analysed, keep, model->low, filled};
        mnz_arena memory = s->prior_memory;
        mnz_prior_state state;
        near_picture(s->inside, margin, keep);
        mnz_prior_begin(&state, model, quality_index, &memory);
        mnz_prior_visit(&state, 1, fill_symbol, &f);
        evaluate(&of_quality, filled, &bits, &error);
        int64_t costs = cost(&of_quality, bits, error);
        if (costs < least) least = costs, memcpy(y, filled, sizeof filled);
    }
}

/* ---- What callers use ---- */

size_t mnz_search_workspace(const mnz_model *model)
{
    size_t lossy = mnz_lossy_workspace(model);
    return mnz_aligned(2 * sizeof(search)) + search_memory(model) + lossy;
}

/* Check the arguments, and put a search at the beginning of the workspace. */
static mnz_status prepare(const mnz_model *model, const uint8_t *x, const uint8_t *inside, int quality_index, void *workspace,
                          size_t size, search **s, mnz_arena *rest)
{
    if (model->kind != MNZ_KIND_TILES) return MNZ_ERROR_KIND;
    if (quality_index < 0 || quality_index >= MNZ_QUALITIES) return MNZ_ERROR_ARGUMENT;
    for (int k = 0; k < MNZ_TILE_PIXELS; k++)
        if (inside[k] > 1) return MNZ_ERROR_ARGUMENT;
    if (!covers(inside)) return MNZ_ERROR_ARGUMENT;
    *rest = mnz_arena_of(workspace, size);
    *s = mnz_take(rest, 2, sizeof **s);
    if (rest->failed || rest->left < search_memory(model) + mnz_lossy_workspace(model)) return MNZ_ERROR_MEMORY;
    return begin(*s, model, x, inside, quality_index, *rest) ? MNZ_OK : MNZ_ERROR_MEMORY;
}

/* The part of a workspace behind that of a search. */
static mnz_arena behind(const mnz_model *model, mnz_arena arena)
{
    mnz_take(&arena, search_memory(model), 1);
    return arena;
}

mnz_status mnz_first_latent(const mnz_model *model, const uint8_t *x, const uint8_t *inside, int quality_index, int8_t *y,
                            void *workspace, size_t size)
{
    search *s;
    mnz_arena arena;
    mnz_status status = prepare(model, x, inside, quality_index, workspace, size, &s, &arena);
    if (status == MNZ_OK) first_latent(s, quality_index, y, behind(model, arena));
    return status;
}

mnz_status mnz_refine(const mnz_model *model, const uint8_t *x, const uint8_t *inside, int quality_index, int effort, int8_t *y,
                      void *workspace, size_t size)
{
    search *s;
    mnz_arena arena;
    if (model->kind != MNZ_KIND_TILES) return MNZ_ERROR_KIND;
    if (effort < 0 || effort >= EFFORTS || !mnz_within(model, y, MNZ_SYMBOLS)) return MNZ_ERROR_ARGUMENT;
    mnz_status status = prepare(model, x, inside, quality_index, workspace, size, &s, &arena);
    if (status != MNZ_OK || !PASSES[effort]) return status;
    begin_at(s, y);
    descend(s, PASSES[effort], FIRST_MOVES);
    for (int k = 0; k < PERTURBATIONS[effort]; k++) perturb(s, PERTURBED_PASSES);
    memcpy(y, s->now.y, MNZ_SYMBOLS);
    return MNZ_OK;
}

mnz_status mnz_refine_to_budget(const mnz_model *model, const uint8_t *x, const uint8_t *inside, int quality_index, int effort,
                                int64_t limit, int8_t *y, void *workspace, size_t size)
{
    search *s;
    mnz_arena arena;
    if (effort < 0 || effort >= EFFORTS) return MNZ_ERROR_ARGUMENT;
    mnz_status status = prepare(model, x, inside, quality_index, workspace, size, &s, &arena);
    if (status != MNZ_OK) return status;
    if (!BUDGET_PASSES[effort]) {
        first_latent(s, quality_index, y, behind(model, arena));
        return MNZ_OK;
    }
    search *other = s + 1;
    const int passes = BUDGET_PERTURBED_PASSES[effort];
    for (int k = 0; k < BUDGET_STARTS[effort]; k++) {
        search *this = k ? other : s;
        begin(this, model, x, inside, quality_index, arena);
        first_latent(this, mnz_clip(quality_index - LOWER[k], 0, MNZ_QUALITIES - 1), y, behind(model, arena));
        this->has_limit = 1, this->limit = limit < -LIMIT_MAX ? -LIMIT_MAX : limit > LIMIT_MAX ? LIMIT_MAX : limit;
        begin_at(this, y);
        descend(this, BUDGET_PASSES[effort], FIRST_MOVES);
        for (int i = 0; i < START_PERTURBATIONS[effort]; i++) perturb(this, passes);
        if (k) adopt(s, &other->now);
    }
    for (int k = 0; k < BUDGET_PERTURBATIONS[effort]; k++) perturb(s, passes);
    s->only_above = 1;
    for (int k = 0; k < LATE_PERTURBATIONS && above_limit(s, &s->now); k++) perturb(s, passes);
    memcpy(y, s->now.y, MNZ_SYMBOLS);
    return MNZ_OK;
}
