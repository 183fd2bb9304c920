/* FORMAT.md, sections 10 and 11: the pixel model, which codes every pixel without loss or within a bound. */
#include "engine.h"

#include <string.h>

enum {
    INK,
    SOLID,
    LEVEL,
    SHADE,

    SLOPE = 3,                                  /* columns to the left for each row down, of the line of a step */
    STEPS = MNZ_TILE + SLOPE * (MNZ_TILE - 1),
    PAD = 8,                                    /* zeros around a tile */
    STRIDE = MNZ_TILE + 2 * PAD,
    PADDED = STRIDE * STRIDE,
    FIRST_SOLID = 250,
    SOLID_RANGE = MNZ_RANGES - 1,
    MIDDLE_SOLID = 253,                         /* of a preview */
    TOGETHER = 42,                              /* pixels whose networks are computed together */
    NEAR_WINDOW = 98,
    COPY_BITS = 10,
    COPY_LOW = -640,
    COPY_HIGH = 512,
    KEY_PEAK = 255
};

/* ---- Windows, planes, steps ---- */

/* A window, row by row: the distance to the first pixel of each run of neighbours, and how many there are. */
enum { RUNS_MAX = 16, RUN_MAX = 16 };
typedef struct {
    int runs;
    int16_t distance[RUNS_MAX];
    int8_t length[RUNS_MAX];
} window;

static window window_of(int up, int down, int side, int causal)
{
    window w = {0, {0}, {0}};
    for (int dy = -up; dy <= down; dy++)
        for (int dx = -side, open = 0; dx <= side; dx++) {
            const int seen = (dx || dy) && (!causal || dx + SLOPE * dy < 0);
            if (seen && !open) w.distance[w.runs++] = (int16_t)(dy * STRIDE + dx);
            if (seen) w.length[w.runs - 1]++;
            open = seen;
        }
    return w;
}

const int mnz_plane_inputs[MNZ_PLANES] = {120, 157, 255, 362};
const int mnz_plane_outputs[MNZ_PLANES] = {2, 2, 8, MNZ_RANGES * MNZ_SHADES};

/* The largest magnitude of what is seen of another pixel in each plane. */
static const int peaks[MNZ_PLANES] = {1, 1, MNZ_RANGES, 16};

int mnz_plane_input_peak(int plane, int input)
{
    if (plane == INK) return peaks[INK];
    int seen = input / NEAR_WINDOW; /* all windows but the last are the whole one */
    return seen > plane || input >= mnz_plane_inputs[SHADE] - MNZ_RANGES ? 1 : peaks[seen];
}

static int range_of(int grey)
{
    return grey >= FIRST_SOLID ? SOLID_RANGE : (grey - 1) >> 5;
}

/* The number that other pixels see of a grey level. */
static int seen_as(int plane, int grey)
{
    if (grey == 0) return 0;
    switch (plane) {
    case INK: return 1;
    case SOLID: return grey >= FIRST_SOLID;
    case LEVEL: return range_of(grey) + 1;
    default: return grey >= FIRST_SOLID ? 6 * (grey - FIRST_SOLID) - 15 : ((grey - 1) & 31) - 15;
    }
}

static int symbol_of(int plane, int grey)
{
    switch (plane) {
    case INK: return grey > 0;
    case SOLID: return grey >= FIRST_SOLID;
    case LEVEL: return (grey - 1) >> 5;
    default: return grey >= FIRST_SOLID ? grey - FIRST_SOLID : (grey - 1) & 31;
    }
}

/* The lowest grey level that a symbol leaves possible, given that of the plane before. */
static int lowest_grey(int plane, int symbol, int grey)
{
    switch (plane) {
    case INK: return symbol;
    case SOLID: return symbol ? FIRST_SOLID : 1;
    case LEVEL: return symbol * 32 + 1;
    default: return grey + symbol > 255 ? 255 : grey + symbol;
    }
}

/* Whether a pixel has a symbol in a plane, given what the planes before say of it. */
static int is_coded(int plane, int grey, int inside)
{
    switch (plane) {
    case INK: return inside;
    case LEVEL: return grey > 0 && grey < FIRST_SOLID;
    default: return grey > 0;
    }
}

static int step_of(int pixel)
{
    return pixel % MNZ_TILE + SLOPE * (pixel / MNZ_TILE);
}

/* ---- A bounded error: pixels have one of few grey levels ---- */

/* The symbols of each plane that lead to one of the grey levels, bit by bit; of shades, by range. */
typedef struct {
    uint32_t solid, level, shade[MNZ_RANGES];
} choices;

int mnz_nearest_level(int grey, int max_error)
{
    const int width = 2 * max_error + 1, last = 255 / width * width; /* the last multiple; if it is too far from white, white is one more */
    const int level = (grey + max_error) / width * width;
    return 255 - last > max_error && 2 * grey > 255 + last ? 255 : level < last ? level : last;
}

static choices choices_of(int max_error)
{
    choices c = {0, 0, {0}};
    for (int grey = 1; grey < 256; grey++) {
        if (mnz_nearest_level(grey, max_error) != grey) continue;
        const int range = range_of(grey);
        c.solid |= (uint32_t)1 << symbol_of(SOLID, grey);
        if (range < SOLID_RANGE) c.level |= (uint32_t)1 << range;
        c.shade[range] |= (uint32_t)1 << symbol_of(SHADE, grey);
    }
    return c;
}

/* ---- What pixels of a tile see of each other ---- */

typedef struct {
    int8_t seen[MNZ_PLANES][PADDED + RUN_MAX];
    uint64_t ink[STRIDE];               /* of each row, bit by bit */
    int keys;                           /* of the pixels whose shades are known: */
    int16_t key_step[MNZ_TILE_PIXELS];
    uint8_t key_range[MNZ_TILE_PIXELS], key_shade[MNZ_TILE_PIXELS];
    int32_t *key;                       /* (keys, key_size) */
    uint8_t *grey;
    const uint8_t *inside;
} tile;

static int padded_index(int pixel)
{
    return (pixel / MNZ_TILE + PAD) * STRIDE + pixel % MNZ_TILE + PAD;
}

/* Let others see a pixel in a plane. */
static void show(tile *t, int plane, int pixel, int grey)
{
    t->seen[plane][padded_index(pixel)] = (int8_t)seen_as(plane, grey);
    if (plane == INK && grey > 0) t->ink[pixel / MNZ_TILE + PAD] |= (uint64_t)1 << (pixel % MNZ_TILE + PAD);
}

/* Whether a pixel sees ink in its wide window. */
static int sees_ink(const tile *t, int pixel)
{
    enum { REACH = 7, BITS = 2 * REACH + 1 };
    const int row = pixel / MNZ_TILE + PAD, left = pixel % MNZ_TILE + PAD - REACH;
    uint64_t any = 0;
    for (int up = 0; up <= PAD; up++) {
        int columns = REACH + SLOPE * up < BITS ? REACH + SLOPE * up : BITS; /* those with smaller steps */
        any |= t->ink[row - up] >> left & (((uint64_t)1 << columns) - 1);
    }
    return any != 0;
}

/* ---- Networks ---- */

/* Pixels that are computed together. The visitor of symbols sees them in order. */
typedef struct {
    const mnz_model *model;
    window wide, near, before;
    mnz_visit visit;
    void *context;
    tile *tiles;
    int bounded;                        /* whether the symbols are those of the choices */
    choices choices;
    int known;                          /* grey levels are known in advance: nothing is shown when a symbol is coded */
    int pixels, computed;               /* pixels of the batch, and those of them that need a network */
    int16_t tile[TOGETHER], pixel[TOGETHER], slot[TOGETHER]; /* slot: the number among those computed, or -1 */
    int16_t *inputs, *features;         /* (computed, inputs) and (computed, width) */
    int32_t *sums, *values, *bias;      /* (computed, outputs) */
} batch;

static int even(int number)
{
    return (number + 1) / 2 * 2;
}

static size_t batch_memory(void)
{
    return 2 * mnz_aligned(2 * (TOGETHER * MNZ_WIDTH_MAX + RUN_MAX)) + 3 * mnz_aligned(4 * TOGETHER * MNZ_WIDTH_MAX);
}

static void begin_batch(batch *b, const mnz_model *model, int max_error, mnz_arena *arena)
{
    memset(b, 0, sizeof *b);
    b->model = model;
    b->bounded = max_error > 0;
    b->choices = choices_of(max_error);
    b->wide = window_of(8, 0, 7, 1);
    b->near = window_of(5, 3, 5, 0);
    b->before = window_of(5, 3, 5, 1);
    b->inputs = mnz_take(arena, TOGETHER * MNZ_WIDTH_MAX + RUN_MAX, sizeof *b->inputs);
    b->features = mnz_take(arena, TOGETHER * MNZ_WIDTH_MAX + RUN_MAX, sizeof *b->features);
    b->sums = mnz_take(arena, TOGETHER * MNZ_WIDTH_MAX, sizeof *b->sums);
    b->values = mnz_take(arena, TOGETHER * MNZ_WIDTH_MAX, sizeof *b->values);
    b->bias = mnz_take(arena, TOGETHER * MNZ_WIDTH_MAX, sizeof *b->bias);
}

/* What a pixel sees, in the order of the weights. Returns where the next goes; up to RUN_MAX numbers behind that are overwritten. */
static int16_t *look(const window *w, const int8_t *seen, int16_t *out)
{
    for (int k = 0; k < w->runs; k++) { /* copying more than a run has is faster; the next run overwrites it */
        const int8_t *from = seen + w->distance[k];
        for (int i = 0; i < RUN_MAX; i++) out[i] = from[i];
        out += w->length[k];
    }
    return out;
}

static void inputs_of(const batch *b, int plane, const tile *t, int pixel, int16_t *out)
{
    const int at = padded_index(pixel);
    if (plane == INK) {
        look(&b->wide, t->seen[INK] + at, out);
        return;
    }
    for (int seen = INK; seen < plane; seen++) out = look(&b->near, t->seen[seen] + at, out);
    out = look(&b->before, t->seen[plane] + at, out);
    if (plane == SHADE)
        for (int k = 0; k < MNZ_RANGES; k++) *out++ = k == range_of(t->grey[pixel]);
}

/* The products of a layer for all computed pixels, to `sums`. */
static void multiply(const batch *b, const mnz_affine *layer, const int16_t *x, int x_stride)
{
    int32_t offset[TOGETHER];
    for (int p = 0; p < b->computed; p++) offset[p] = p * x_stride;
    mnz_products(b->model, x, offset, b->computed, 0, &layer->weight, b->sums);
}

/* A layer of all computed pixels, to `values`. more: (computed, outputs) numbers that are added to the bias, or NULL. */
static void affine(const batch *b, const mnz_affine *layer, const int16_t *x, int x_stride, const int32_t *more, int32_t low,
                   int32_t high)
{
    const int outputs = layer->weight.outputs, stride = mnz_stride(&layer->weight);
    multiply(b, layer, x, x_stride);
    for (int p = 0; p < b->computed; p++)
        b->model->kernels->requantize(b->sums + p * stride, layer->bias, more ? more + p * outputs : mnz_zeros, layer->shift, outputs,
                                      low, high, b->values + p * stride);
}

/* `values` of a hidden layer become inputs of the next. */
static void activate(const batch *b, int width, int stride, int16_t *out)
{
    for (int p = 0; p < b->computed; p++) {
        b->model->kernels->narrow(b->values + p * stride, width, out + p * even(width));
        if (width % 2) out[p * even(width) + width] = 0;
    }
}

/* The features of all computed pixels: the outputs of the last hidden layer. */
static void compute_features(batch *b, int plane)
{
    const mnz_plane *net = &b->model->pixels.plane[plane];
    const int inputs = even(mnz_plane_inputs[plane]), width = net->width, stride = mnz_stride(&net->layer[0].weight);
    for (int p = 0; p < b->pixels; p++) {
        if (b->slot[p] < 0) continue;
        const int32_t *row = net->rows + b->pixel[p] / MNZ_TILE * width, *column = net->columns + b->pixel[p] % MNZ_TILE * width;
        int32_t *bias = b->bias + b->slot[p] * width;
        inputs_of(b, plane, &b->tiles[b->tile[p]], b->pixel[p], b->inputs + b->slot[p] * inputs);
        for (int k = 0; k < width; k++) bias[k] = row[k] + column[k];
    }
    affine(b, &net->layer[0], b->inputs, inputs, b->bias, 0, MNZ_ACTIVATION_MAX);
    activate(b, width, stride, b->features);
    for (int k = 1; k < MNZ_HIDDEN; k++) {
        affine(b, &net->layer[k], b->features, even(width), NULL, 0, MNZ_ACTIVATION_MAX);
        activate(b, width, stride, b->features);
    }
}

/* ---- Copying ---- */

/* The query and the key of each computed pixel, behind each other: (computed, key_size + 1) and (computed, key_size). */
static void compute_queries(batch *b, int32_t *query, int32_t *key)
{
    const mnz_pixel_model *model = &b->model->pixels;
    const int width = even(model->plane[SHADE].width), size = model->key_size;
    affine(b, &model->query, b->features, width, NULL, MNZ_LOGIT_LOW, MNZ_LOGIT_HIGH);
    for (int p = 0; p < b->computed; p++) {
        const int32_t *values = b->values + p * mnz_stride(&model->query.weight);
        for (int k = 0; k < size; k++) query[p * (size + 1) + k] = mnz_clip(values[k], -KEY_PEAK, KEY_PEAK);
        query[p * (size + 1) + size] = values[size];
    }
    affine(b, &model->key, b->features, width, NULL, -KEY_PEAK, KEY_PEAK);
    for (int p = 0; p < b->computed; p++)
        memcpy(key + p * size, b->values + p * mnz_stride(&model->key.weight), (size_t)size * sizeof *key);
}

/* The votes of the tile for each shade of a pixel. */
static void count_votes(const tile *t, int size, int step, int range, const int32_t *query, uint32_t votes[MNZ_SHADES])
{
    memset(votes, 0, MNZ_SHADES * sizeof *votes);
    for (int k = 0; k < t->keys; k++) {
        if (t->key_range[k] != range || t->key_step[k] >= step) continue;
        const int32_t *key = t->key + k * size;
        int32_t product = 8; /* the half that rounds */
        for (int i = 0; i < size; i++) product += query[i] * key[i];
        int32_t score = mnz_clip((product >> 4) + query[size], COPY_LOW, COPY_HIGH);
        votes[t->key_shade[k]] += (uint32_t)mnz_octaves[COPY_HIGH - score] >> 2;
    }
}

static void remember(tile *t, const mnz_pixel_model *model, int step, int range, int shade, const int32_t *key)
{
    int32_t *out = t->key + t->keys * model->key_size;
    const int32_t *level = model->levels + (MNZ_SHADES * range + shade) * model->key_size;
    for (int k = 0; k < model->key_size; k++) out[k] = key[k] + level[k];
    t->key_step[t->keys] = (int16_t)step;
    t->key_range[t->keys] = (uint8_t)range;
    t->key_shade[t->keys++] = (uint8_t)shade;
}

/* ---- Frequencies ---- */

/* Of a pixel that sees no ink. */
static void blank_cdf(mnz_cdf *cdf, int32_t blank)
{
    cdf->values = 2; /* the weights make edge_1 = 65536 - blank */
    cdf->weight[0] = (uint64_t)(MNZ_TOTAL - 1 - blank);
    cdf->weight[1] = (uint64_t)(blank - 1);
    cdf->total = MNZ_TOTAL - 2;
}

/* The weights of shades, multiplied by one plus the votes: below 2^38. */
static void add_votes(mnz_cdf *cdf, const uint32_t *votes)
{
    cdf->total = 0;
    for (int v = 0; v < MNZ_SHADES; v++) {
        cdf->weight[v] = cdf->weight[v] * (((uint64_t)1 << COPY_BITS) + votes[v]) >> COPY_BITS;
        cdf->total += cdf->weight[v];
    }
}

/* The frequencies that the sums of a head make. */
static void weigh(const mnz_model *model, const mnz_affine *head, const int32_t *sums, mnz_cdf *cdf)
{
    cdf->values = head->weight.outputs;
    cdf->total = model->kernels->weigh(sums, head->bias, head->shift, cdf->values, mnz_octaves, MNZ_LAST_OCTAVE, cdf->weight);
}

/* The same, the weights of all values but some being 0; if these are none, of no value. */
static void weigh_some(const mnz_model *model, const mnz_affine *head, const int32_t *sums, uint32_t some, mnz_cdf *cdf)
{
    int32_t logit[MNZ_SHADES], largest = MNZ_LOGIT_LOW;
    const int values = head->weight.outputs;
    uint64_t total = 0;
    if (!some) {
        weigh(model, head, sums, cdf);
        return;
    }
    for (int v = 0; v < values; v++) {
        logit[v] = mnz_clip((sums[v] + head->bias[v]) >> head->shift[v], MNZ_LOGIT_LOW, MNZ_LOGIT_HIGH);
        if (some >> v & 1 && logit[v] > largest) largest = logit[v];
    }
    for (int v = 0; v < values; v++) {
        const int32_t behind = some >> v & 1 ? largest - logit[v] : MNZ_LAST_OCTAVE;
        cdf->weight[v] = (uint64_t)mnz_octaves[behind < MNZ_LAST_OCTAVE ? behind : MNZ_LAST_OCTAVE];
        total += cdf->weight[v];
    }
    cdf->values = values;
    cdf->total = total;
}

static void weigh_plane(const batch *b, int plane, const mnz_affine *head, const int32_t *sums, mnz_cdf *cdf)
{
    if (b->bounded && plane == SOLID)
        weigh_some(b->model, head, sums, b->choices.solid, cdf);
    else if (b->bounded && plane == LEVEL)
        weigh_some(b->model, head, sums, b->choices.level, cdf);
    else
        weigh(b->model, head, sums, cdf);
}

/* ---- Visits of all symbols ---- */

/* A symbol of a pixel is coded: let the pixels after it see it. */
static void coded(batch *b, int plane, int p, int symbol)
{
    tile *t = &b->tiles[b->tile[p]];
    const int pixel = b->pixel[p];
    if (b->known) return;
    t->grey[pixel] = (uint8_t)lowest_grey(plane, symbol, t->grey[pixel]);
    show(t, plane, pixel, t->grey[pixel]);
    if (plane == SOLID && symbol) show(t, LEVEL, pixel, t->grey[pixel]); /* it is not coded */
}

/* Compute the pixels of the batch, and visit their symbols. */
static void visit_batch(batch *b, int plane)
{
    const mnz_pixel_model *model = &b->model->pixels;
    const mnz_plane *net = &model->plane[plane];
    const int size = model->key_size, width = even(net->width), head_stride = mnz_stride(&net->head[0].weight);
    int32_t query[TOGETHER * (MNZ_KEY_MAX + 1)], key[TOGETHER * MNZ_KEY_MAX];
    mnz_cdf cdf;
    if (b->computed) {
        compute_features(b, plane);
        if (plane == SHADE)
            compute_queries(b, query, key);
        else
            multiply(b, &net->head[0], b->features, width);
    }
    for (int p = 0; p < b->pixels; p++) {
        tile *t = &b->tiles[b->tile[p]];
        const int pixel = b->pixel[p], slot = b->slot[p], symbol = plane * MNZ_TILE_PIXELS + pixel;
        if (slot < 0) {
            blank_cdf(&cdf, model->blank[pixel]);
            coded(b, plane, p, b->visit(b->context, b->tile[p], symbol, &cdf));
        } else if (plane != SHADE) {
            weigh_plane(b, plane, &net->head[0], b->sums + slot * head_stride, &cdf);
            coded(b, plane, p, b->visit(b->context, b->tile[p], symbol, &cdf));
        } else {
            const int range = range_of(t->grey[pixel]), step = step_of(pixel);
            const int32_t offset = slot * width;
            uint32_t votes[MNZ_SHADES];
            mnz_products(b->model, b->features, &offset, 1, 0, &net->head[range].weight, b->sums);
            if (b->bounded)
                weigh_some(b->model, &net->head[range], b->sums, b->choices.shade[range], &cdf);
            else
                weigh(b->model, &net->head[range], b->sums, &cdf);
            count_votes(t, size, step, range, query + slot * (size + 1), votes);
            add_votes(&cdf, votes);
            const int shade = b->visit(b->context, b->tile[p], symbol, &cdf);
            remember(t, model, step, range, shade, key + slot * size);
            coded(b, plane, p, shade);
        }
    }
    b->pixels = b->computed = 0;
}

/* Visit the symbols of some tiles up to a plane, in the order of a stream. The visitor gets plane * 784 + pixel. */
static void visit_tiles(batch *b, int tiles, int planes)
{
    for (int plane = INK; plane < planes; plane++) {
        for (int step = 0; step < STEPS; step++) {
            const int first = step < MNZ_TILE ? 0 : (step - MNZ_TILE) / SLOPE + 1, last = step / SLOPE;
            for (int k = 0; k < tiles; k++)
                for (int row = first; row <= last && row < MNZ_TILE; row++) {
                    const int pixel = row * MNZ_TILE + step - SLOPE * row;
                    tile *t = &b->tiles[k];
                    if (!is_coded(plane, t->grey[pixel], t->inside[pixel])) continue;
                    if (b->pixels == TOGETHER) visit_batch(b, plane);
                    b->tile[b->pixels] = (int16_t)k;
                    b->pixel[b->pixels] = (int16_t)pixel;
                    b->slot[b->pixels++] = (int16_t)(plane != INK || sees_ink(t, pixel) ? b->computed++ : -1);
                }
            if (!b->known) visit_batch(b, plane);
        }
        visit_batch(b, plane);
    }
}

static void begin_tile(tile *t, const mnz_pixel_model *model, uint8_t *grey, const uint8_t *inside, mnz_arena *arena)
{
    t->key = mnz_take(arena, (size_t)MNZ_TILE_PIXELS * model->key_size, sizeof *t->key);
    memset(t->seen, 0, sizeof t->seen);
    memset(t->ink, 0, sizeof t->ink);
    t->keys = 0;
    t->grey = grey;
    t->inside = inside;
}

size_t mnz_lossless_workspace(const mnz_model *model, int tiles)
{
    if (!model->has_pixels || model->kind != MNZ_KIND_TILES || tiles < 0) return 0;
    size_t keys = mnz_aligned((size_t)MNZ_TILE_PIXELS * model->pixels.key_size * 4);
    return batch_memory() + mnz_aligned(sizeof(batch)) + mnz_aligned((size_t)tiles * sizeof(tile)) + (size_t)tiles * keys +
           mnz_aligned(MNZ_TILE_PIXELS);
}

typedef struct {
    const uint8_t *x;
    int symbols;
    int16_t *turn;
    uint16_t *start, *freq_less_one;
} coding;

static int code_symbol(void *context, int tile, int symbol, const mnz_cdf *cdf)
{
    coding *code = context;
    (void)tile;
    const int plane = symbol / MNZ_TILE_PIXELS, pixel = symbol % MNZ_TILE_PIXELS;
    const int value = symbol_of(plane, code->x[pixel]);
    const mnz_interval interval = mnz_interval_of(cdf, value);
    code->turn[code->symbols] = (int16_t)(plane * STEPS + step_of(pixel));
    code->start[code->symbols] = (uint16_t)interval.start;
    code->freq_less_one[code->symbols++] = (uint16_t)(interval.freq - 1);
    return value;
}

mnz_status mnz_pixel_symbols(const mnz_model *model, const uint8_t *x, const uint8_t *inside, int max_error, int *symbols, int16_t *turn,
                             uint16_t *start, uint16_t *freq_less_one, void *workspace, size_t size)
{
    if (!model->has_pixels) return MNZ_ERROR_NO_PIXEL_MODEL;
    if (model->kind != MNZ_KIND_TILES) return MNZ_ERROR_KIND;
    if (max_error < 0 || max_error > MNZ_ERROR_MAX) return MNZ_ERROR_ARGUMENT;
    mnz_arena arena = mnz_arena_of(workspace, size);
    batch *b = mnz_take(&arena, 1, sizeof *b);
    tile *t = mnz_take(&arena, 1, sizeof *t);
    uint8_t *grey = mnz_take(&arena, MNZ_TILE_PIXELS, 1);
    if (arena.failed) return MNZ_ERROR_MEMORY;
    begin_batch(b, model, max_error, &arena);
    memcpy(grey, x, MNZ_TILE_PIXELS);
    begin_tile(t, &model->pixels, grey, inside, &arena);
    if (arena.failed) return MNZ_ERROR_MEMORY;
    for (int pixel = 0; pixel < MNZ_TILE_PIXELS; pixel++) {
        if (inside[pixel] > 1 || (!inside[pixel] && x[pixel])) return MNZ_ERROR_ARGUMENT;
        if (mnz_nearest_level(x[pixel], max_error) != x[pixel]) return MNZ_ERROR_ARGUMENT;
        for (int plane = INK; plane < MNZ_PLANES; plane++) show(t, plane, pixel, x[pixel]);
    }
    coding code = {x, 0, turn, start, freq_less_one};
    b->known = 1, b->tiles = t, b->visit = code_symbol, b->context = &code;
    visit_tiles(b, 1, MNZ_PLANES);
    *symbols = code.symbols;
    return MNZ_OK;
}

typedef struct {
    mnz_decoder decoder;
    const tile *tiles;
    uint8_t *possible;
} decoding;

static int decode_symbol(void *context, int tile, int symbol, const mnz_cdf *cdf)
{
    decoding *decode = context;
    const int value = mnz_decode_symbol(&decode->decoder, cdf);
    if (symbol / MNZ_TILE_PIXELS == SHADE) {
        const int range = range_of(decode->tiles[tile].grey[symbol % MNZ_TILE_PIXELS]);
        const int last = range == SOLID_RANGE ? 255 - FIRST_SOLID : range == SOLID_RANGE - 1 ? FIRST_SOLID - 1 - (7 * 32 + 1) : 31;
        if (value > last) decode->possible[tile] = 0;
    }
    return value;
}

mnz_status mnz_decode_pixels(const mnz_model *model, const uint8_t *stream, size_t stream_size, const uint8_t *inside, int tiles,
                             int max_error, int preview, uint8_t *x, uint8_t *possible, mnz_final *final, void *workspace, size_t size)
{
    if (!model->has_pixels) return MNZ_ERROR_NO_PIXEL_MODEL;
    if (model->kind != MNZ_KIND_TILES) return MNZ_ERROR_KIND;
    if (max_error < 0 || max_error > MNZ_ERROR_MAX || tiles < 1 || tiles > MNZ_TILES_PER_STREAM) return MNZ_ERROR_ARGUMENT;
    for (int k = 0; k < tiles * MNZ_TILE_PIXELS; k++)
        if (inside[k] > 1) return MNZ_ERROR_ARGUMENT;
    mnz_arena arena = mnz_arena_of(workspace, size);
    batch *b = mnz_take(&arena, 1, sizeof *b);
    tile *all = mnz_take(&arena, (size_t)tiles, sizeof *all);
    if (arena.failed) return MNZ_ERROR_MEMORY;
    begin_batch(b, model, max_error, &arena);
    for (int k = 0; k < tiles; k++) {
        begin_tile(&all[k], &model->pixels, x + k * MNZ_TILE_PIXELS, inside + k * MNZ_TILE_PIXELS, &arena);
        possible[k] = 1;
    }
    if (arena.failed) return MNZ_ERROR_MEMORY;
    decoding decode = {{0, NULL, NULL}, all, possible};
    mnz_status status = mnz_decoder_begin(&decode.decoder, stream, stream_size);
    if (status != MNZ_OK) return status;
    memset(x, 0, (size_t)tiles * MNZ_TILE_PIXELS);
    b->tiles = all, b->visit = decode_symbol, b->context = &decode;
    visit_tiles(b, tiles, preview ? SHADE : MNZ_PLANES);
    *final = mnz_decoder_end(&decode.decoder);
    for (int k = 0; max_error && !preview && k < tiles * MNZ_TILE_PIXELS; k++)
        if (mnz_nearest_level(x[k], max_error) != x[k]) possible[k / MNZ_TILE_PIXELS] = 0;
    if (preview) /* grey levels in the middle of their ranges */
        for (int k = 0; k < tiles * MNZ_TILE_PIXELS; k++)
            x[k] = (uint8_t)(x[k] == 0 ? 0 : x[k] >= FIRST_SOLID ? MIDDLE_SOLID : x[k] + MNZ_SHADES / 2 - 1);
    return MNZ_OK;
}

mnz_status mnz_encode_pixels(const int32_t *counts, int tiles, const int16_t *turn, const uint16_t *start,
                             const uint16_t *freq_less_one, uint32_t check, uint8_t *out, size_t capacity, size_t *out_size,
                             void *workspace, size_t size)
{
    if (tiles < 1 || tiles > MNZ_TILES_PER_STREAM) return MNZ_ERROR_ARGUMENT;
    size_t at[MNZ_TILES_PER_STREAM], end[MNZ_TILES_PER_STREAM], symbols = 0, coded = 0;
    for (int k = 0; k < tiles; k++) {
        if (counts[k] < 0 || counts[k] > MNZ_PIXEL_SYMBOLS_MAX) return MNZ_ERROR_ARGUMENT;
        at[k] = symbols;
        end[k] = symbols += counts[k];
    }
    mnz_arena arena = mnz_arena_of(workspace, size);
    uint16_t *starts = mnz_take(&arena, symbols, sizeof *starts), *freqs = mnz_take(&arena, symbols, sizeof *freqs);
    if (arena.failed) return MNZ_ERROR_MEMORY;
    for (int now = 0; now < MNZ_PLANES * STEPS; now++) /* tiles take turns, step by step */
        for (int k = 0; k < tiles; k++)
            for (; at[k] < end[k] && turn[at[k]] == now; at[k]++, coded++)
                starts[coded] = start[at[k]], freqs[coded] = freq_less_one[at[k]];
    if (coded < symbols) return MNZ_ERROR_ARGUMENT;
    return mnz_encode_intervals(starts, freqs, symbols, check, MNZ_CHECK_BITS_MIN, out, capacity, out_size);
}
