/*
 * Models of the kind grey: the distributions of symbols, in the order in which they are coded, coarse to fine.
 *
 * The 16 channels are coded in four groups. Within a group the positions on a grid of 16 x 16 come first. Then the grid is refined four
 * times, each time in two rounds. The positions of a step do not see each other, so their products are computed together.
 */
#include "grey.h"

#include <string.h>

enum {
    COARSEST = 16,          /* the distance of the first positions */
    LOGARITHMS = 0,         /* Of what a group sees of a position of its own: 4 signed logarithms, 4 magnitudes, */
    PRESENT = 8,            /* PRESENT_VALUE within the latent, */
    SYMBOLS = 10,           /* 4 symbols. */
    CELL = 16,
    PRESENT_VALUE = 32,
    KNOWN_SYMBOLS = 24,     /* Of what later groups see: logarithms and magnitudes of 3 groups, then their symbols. */
    KNOWN_CELL = 36,
    HEAD_MAX = 1 << 16,
    LINEAR_SHIFT = 16,
    MEAN_MAX = MNZ_SYMBOL_MAX * 256,
    SCALE_BITS = 4,
    OUTPUTS = 2 * MNZ_GROUP,
    PIECE = 1 << 12         /* positions of a call of a kernel */
};

/* Neighbours of the middle of a square, from the position up and left of it, and those at odd distances: {rows, columns}. */
static const int8_t square[MNZ_AROUND][2] = {{-1, 0}, {-1, 1}, {0, -1}, {0, 0}, {0, 1},  {0, 2},
                                             {1, -1}, {1, 0},  {1, 1},  {1, 2}, {2, 0},  {2, 1}};
static const int8_t cross[MNZ_AROUND][2] = {{-2, -1}, {-2, 1}, {-1, -2}, {-1, 0}, {-1, 2}, {0, -1},
                                            {0, 1},   {1, -2}, {1, 0},   {1, 2},  {2, -1}, {2, 1}};

/* Positions that are coded side by side. */
typedef struct {
    int table;                              /* the kind of step: 0 for the first, which sees no neighbours */
    int row, column, distance;              /* the first position, and the distance to the next */
    int rows, columns;
    ptrdiff_t neighbour[MNZ_AROUND];        /* from a position, in cells */
} step;

/* ---- Memory ---- */

/* The distance of the positions that the first refinement adds: only those that the latent has count. */
static int coarsest_half(int rows, int columns)
{
    int half = COARSEST / 2;
    while (half > 1 && half >= rows && half >= columns) half /= 2;
    return half;
}

/* The parts of a walk and their size; without an arena they are only measured. */
typedef struct {
    mnz_arena *arena;
    uint64_t size;
} parts;

static void *part(parts *all, uint64_t bytes)
{
    all->size += (bytes + MNZ_ALIGNMENT - 1) / MNZ_ALIGNMENT * MNZ_ALIGNMENT;
    return all->arena ? mnz_take(all->arena, (size_t)bytes, 1) : NULL;
}

static uint64_t own_cells(const mnz_walk *w)
{
    return (uint64_t)(w->rows + 5 * w->margin / 2) * (uint64_t)w->own_width;
}

static uint64_t known_cells(const mnz_walk *w)
{
    return (uint64_t)(w->rows + 2) * (uint64_t)w->known_width;
}

static uint64_t take_parts(mnz_walk *w, mnz_arena *arena)
{
    parts all = {arena, 0};
    uint64_t widest = MNZ_BLOCK;
    w->margin = 2 * coarsest_half(w->rows, w->columns);
    w->own_width = w->columns + 5 * w->margin / 2, w->known_width = w->columns + 2;
    for (int g = 0; g < MNZ_GROUPS; g++) {
        const mnz_group *group = &w->model->grey.group[g];
        const uint64_t hidden = (uint64_t)mnz_stride(&group->around[0]), narrow = (uint64_t)mnz_stride(&group->mix);
        widest = hidden > widest ? hidden : widest;
        widest = narrow > widest ? narrow : widest;
    }
    /* the largest step is one of the last refinement, or the first step */
    const uint64_t most = (uint64_t)((w->rows + 1) / 2) * (uint64_t)((w->columns + 1) / 2);
    w->own = part(&all, 2 * CELL * own_cells(w));
    w->known = part(&all, 2 * KNOWN_CELL * known_cells(w));
    w->positions = (size_t)most;
    w->mean = part(&all, 8 * MNZ_GROUP * most);
    w->scale = part(&all, 4 * MNZ_GROUP * most);
    for (int c = 0; c < MNZ_GROUP; c++) w->symbol[c] = part(&all, 2 * most), w->size[c] = part(&all, 2 * most);
    w->centre = part(&all, 4 * most), w->index = part(&all, 4 * most), w->near = part(&all, 4 * most);
    for (int k = 0; k < MNZ_EDGES; k++) w->edge[k] = part(&all, 4 * most);
    w->sums = part(&all, 4 * MNZ_TOGETHER * widest);
    w->linear = part(&all, 4 * MNZ_TOGETHER * MNZ_BLOCK);
    w->out = part(&all, 4 * MNZ_TOGETHER * OUTPUTS);
    w->hidden = part(&all, 2 * (MNZ_TOGETHER * widest + 1));
    w->narrow = part(&all, 2 * (MNZ_TOGETHER * widest + 1));
    return all.size;
}

uint64_t mnz_grey_prior_memory(const mnz_model *model, int rows, int columns)
{
    mnz_walk w = {0};
    w.model = model, w.rows = rows, w.columns = columns;
    return take_parts(&w, NULL);
}

/* ---- What is seen of positions ---- */

static int16_t *own_cell(const mnz_walk *w, int row, int column)
{
    return w->own + ((size_t)(row + w->margin) * w->own_width + (size_t)(column + w->margin)) * CELL;
}

static int16_t *known_cell(const mnz_walk *w, int row, int column)
{
    return w->known + ((size_t)(row + 1) * w->known_width + (size_t)(column + 1)) * KNOWN_CELL;
}

static void begin(mnz_walk *w)
{
    memset(w->own, 0, (size_t)own_cells(w) * CELL * sizeof *w->own);
    memset(w->known, 0, (size_t)known_cells(w) * KNOWN_CELL * sizeof *w->known);
    for (int row = 0; row < w->rows; row++) {
        int16_t *cell = own_cell(w, row, 0);
        for (int column = 0; column < w->columns; column++, cell += CELL) cell[PRESENT] = PRESENT_VALUE;
    }
}

/* ---- Steps ---- */

static int count_of(int first, int end, int distance)
{
    return first < end ? (end - first - 1) / distance + 1 : 0;
}

/* The steps are numbered from 0 to 12; those of a small latent may have no positions. */
static step step_of(const mnz_walk *w, int number)
{
    const int level = (number - 1) / 3, kind = (number - 1) % 3; /* the middles of squares, then between them in rows and columns */
    const int distance = number ? COARSEST >> level : COARSEST, half = distance / 2;
    step s = {0};
    s.distance = distance;
    if (number) {
        s.table = kind ? 2 + 2 * level : 1 + 2 * level;
        s.row = kind == 1 ? 0 : half;
        s.column = kind == 2 ? 0 : half;
        for (int k = 0; k < MNZ_AROUND; k++) {
            const int row = kind ? cross[k][0] * half : square[k][0] * distance - half;
            const int column = kind ? cross[k][1] * half : square[k][1] * distance - half;
            s.neighbour[k] = (ptrdiff_t)row * w->own_width + column;
        }
    }
    s.rows = count_of(s.row, w->rows, distance);
    s.columns = count_of(s.column, w->columns, distance);
    return s;
}

enum { STEPS = 13 };

/* Where the inputs of a matrix begin: those of neighbours, or of the 3 x 3 positions of the groups before. */
static void starts_around(const step *s, int first, ptrdiff_t start[MNZ_AROUND])
{
    for (int k = 0; k < MNZ_AROUND; k++) start[k] = s->neighbour[k] * CELL + first;
}

static void starts_before(const mnz_walk *w, const mnz_matrix *matrix, const int *tap, int first, ptrdiff_t start[MNZ_AROUND])
{
    for (int k = 0; k < matrix->runs; k++)
        start[k] = ((ptrdiff_t)(tap[k] / 3 - 1) * w->known_width + (tap[k] % 3 - 1)) * KNOWN_CELL + first;
}

/* Positions whose products are computed together: cells of the first, and the distances of all from it. */
typedef struct {
    int count;
    const int16_t *own, *known;
    int32_t own_offset[MNZ_TOGETHER], known_offset[MNZ_TOGETHER];
} places;

/* first + the products of what positions see of their neighbours and of the groups before. */
static void look(const mnz_walk *w, const step *s, const places *at, const mnz_matrix *around, int own, const mnz_matrix *before,
                 const int *tap, int known, const int32_t *first, int32_t *sums)
{
    const int stride = mnz_stride(around);
    ptrdiff_t first_stride = 0, start[MNZ_AROUND];
    if (before->runs) {
        starts_before(w, before, tap, known, start);
        mnz_products_at(w->model, at->known, at->known_offset, at->count, start, before, first, 0, sums);
        first = sums, first_stride = stride;
    }
    if (s->table) {
        starts_around(s, own, start);
        mnz_products_at(w->model, at->own, at->own_offset, at->count, start, around, first, first_stride, sums);
    } else if (first != sums) {
        for (int k = 0; k < at->count; k++) memcpy(sums + (size_t)k * stride, first, (size_t)stride * sizeof *sums);
    }
}

/* Means and scales of some positions of a step, without what the channels of a position see of each other. */
static void compute(mnz_walk *w, const step *s, const mnz_group *g, const places *at, size_t position)
{
    static const int32_t nothing[MNZ_BLOCK] = {0};
    static const ptrdiff_t here[1] = {0};
    const mnz_kernels *kernels = w->model->kernels;
    const int q = w->quality_index, table = s->table ? s->table - 1 : 0, n = at->count;
    const int hidden = g->hidden, narrow = g->narrow, stride = mnz_stride(&g->around[0]);
    const int32_t *bias = g->bias + ((size_t)q * (1 + MNZ_TABLES) + (size_t)s->table) * stride;
    int32_t offset[MNZ_TOGETHER];
    look(w, s, at, &g->around[table], LOGARITHMS, &g->before, g->before_tap, 0, bias, w->sums);
    kernels->settle(w->sums, stride, n, g->shift, hidden, 0, MNZ_ACTIVATION_MAX, w->hidden);
    for (int k = 0; k < n; k++) offset[k] = k * hidden;
    bias = g->mix_bias + (size_t)q * mnz_stride(&g->mix);
    mnz_products_at(w->model, w->hidden, offset, n, here, &g->mix, bias, 0, w->sums);
    kernels->settle(w->sums, mnz_stride(&g->mix), n, g->mix_shift, narrow, 0, MNZ_ACTIVATION_MAX, w->narrow);
    kernels->gain_narrow(w->narrow, g->gain + (size_t)q * narrow, n, narrow, 0, MNZ_ACTIVATION_MAX, w->narrow);
    for (int k = 0; k < n; k++) offset[k] = k * narrow;
    bias = g->head_bias + (size_t)q * mnz_stride(&g->head);
    mnz_products_at(w->model, w->narrow, offset, n, here, &g->head, bias, 0, w->sums);
    kernels->settle_wide(w->sums, mnz_stride(&g->head), n, g->head_shift, OUTPUTS, -HEAD_MAX, HEAD_MAX, w->out);
    look(w, s, at, &g->linear_around[table], SYMBOLS, &g->linear_before, g->linear_before_tap, KNOWN_SYMBOLS, nothing, w->linear);
    const int32_t *gain = g->linear_gain + (size_t)q * MNZ_GROUP, *out = w->out, *linear = w->linear;
    int64_t *mean = w->mean + position;
    int32_t *scale = w->scale + position;
    for (int k = 0; k < n; k++, out += OUTPUTS, linear += MNZ_BLOCK, mean++, scale++)
        for (int c = 0; c < MNZ_GROUP; c++) {
            const int64_t product = (int64_t)linear[c] * gain[c];
            mean[(size_t)c * w->positions] = out[c] + ((product + (1 << (LINEAR_SHIFT - 1))) >> LINEAR_SHIFT);
            scale[(size_t)c * w->positions] = out[MNZ_GROUP + c];
        }
}

/* Means and scales of all positions of a step. */
static void compute_step(mnz_walk *w, const step *s, const mnz_group *g)
{
    const size_t positions = (size_t)s->rows * s->columns;
    int row = s->row, left = s->columns;
    const int16_t *own = own_cell(w, row, s->column), *known = known_cell(w, row, s->column);
    for (size_t position = 0; position < positions;) {
        places at = {0, own, known, {0}, {0}};
        for (; at.count < MNZ_TOGETHER && position + (size_t)at.count < positions; at.count++) {
            at.own_offset[at.count] = (int32_t)(own - at.own), at.known_offset[at.count] = (int32_t)(known - at.known);
            if (--left) {
                own += (ptrdiff_t)s->distance * CELL, known += (ptrdiff_t)s->distance * KNOWN_CELL;
            } else if ((row += s->distance) < w->rows) {
                left = s->columns, own = own_cell(w, row, s->column), known = known_cell(w, row, s->column);
            }
        }
        compute(w, s, g, &at, position);
        position += (size_t)at.count;
    }
}

/* ---- Symbols ---- */

/* The means and scales of a channel of some positions from one on, once the channels before it are known. */
static void resolve(mnz_walk *w, const mnz_group *g, int channel, int bound, size_t first, int count)
{
    const mnz_kernels *kernels = w->model->kernels;
    const int32_t *within = g->within + channel; /* rows of 4 means and 4 scales */
    const int shift = w->model->grey.within_shift;
    int32_t *centre = w->centre + first, *index = w->index + first;
    for (int k = 0; k < count; k++) centre[k] = index[k] = (int32_t)1 << (shift - 1);
    for (int c = 0; c < channel; c++, within += OUTPUTS) {
        const int32_t of_centre[2] = {within[0], within[MNZ_GROUP * OUTPUTS]};
        const int32_t of_index[2] = {within[MNZ_GROUP], within[MNZ_GROUP * OUTPUTS + MNZ_GROUP]};
        kernels->see(w->symbol[c] + first, w->size[c] + first, of_centre, of_index, count, centre, index);
    }
    const size_t at = (size_t)channel * w->positions + first;
    kernels->resolve(w->mean + at, w->scale + at, shift, MEAN_MAX, MNZ_SCALES - 1, bound, count, centre, index, w->near + first);
}

/* The same if 32 bits do not hold the sums. */
static void resolve_wide(mnz_walk *w, const mnz_group *g, int channel, int bound, size_t first, int count)
{
    const int shift = w->model->grey.within_shift;
    const int64_t half = (int64_t)1 << (shift - 1);
    for (size_t k = first; k < first + (size_t)count; k++) {
        const size_t at = (size_t)channel * w->positions + k;
        const int32_t *within = g->within + channel;
        int64_t mean = half, scale = half;
        for (int c = 0; c < channel; c++, within += OUTPUTS) {
            const int32_t symbol = w->symbol[c][k], size = w->size[c][k], *of_size = within + MNZ_GROUP * OUTPUTS;
            mean += (int64_t)symbol * within[0] + (int64_t)size * of_size[0];
            scale += (int64_t)symbol * within[MNZ_GROUP] + (int64_t)size * of_size[MNZ_GROUP];
        }
        w->centre[k] = (int32_t)mnz_clip64(w->mean[at] + (mean >> shift), -MEAN_MAX, MEAN_MAX);
        w->index[k] = (int32_t)mnz_clip64((w->scale[at] + (scale >> shift) + (1 << (SCALE_BITS - 1))) >> SCALE_BITS, 0, MNZ_SCALES - 1);
        w->near[k] = (int32_t)mnz_clip64((w->centre[k] + 128) >> 8, -bound, bound);
    }
}

/* Read the symbols of a group at the positions of a step from the latent. */
static void load_symbols(const mnz_walk *w, const step *s, int group, const int8_t *y)
{
    size_t k = 0;
    for (int i = 0; i < s->rows; i++)
        for (int j = 0; j < s->columns; j++, k++) {
            const int row = s->row + i * s->distance, column = s->column + j * s->distance;
            const int8_t *from = y + ((size_t)row * w->columns + column) * MNZ_GREY_CHANNELS + group * MNZ_GROUP;
            for (int c = 0; c < MNZ_GROUP; c++) {
                w->symbol[c][k] = from[c];
                w->size[c][k] = mnz_logs[from[c] < 0 ? -from[c] : from[c]];
            }
        }
}

/* Write them to the cells of the positions and, unless y is NULL, to the latent. */
static void store_symbols(const mnz_walk *w, const step *s, int group, int8_t *y)
{
    size_t k = 0;
    for (int i = 0; i < s->rows; i++) {
        const int row = s->row + i * s->distance;
        int16_t *own = own_cell(w, row, s->column), *known = known_cell(w, row, s->column);
        int8_t *to = y ? y + ((size_t)row * w->columns + (size_t)s->column) * MNZ_GREY_CHANNELS + group * MNZ_GROUP : NULL;
        for (int j = 0; j < s->columns; j++, k++) {
            int16_t *at = own + (size_t)j * s->distance * CELL, *behind = known + (size_t)j * s->distance * KNOWN_CELL;
            for (int c = 0; c < MNZ_GROUP; c++) {
                const int16_t symbol = w->symbol[c][k], size = w->size[c][k];
                at[LOGARITHMS + c] = (int16_t)(symbol < 0 ? -size : size);
                at[LOGARITHMS + MNZ_GROUP + c] = size;
                at[SYMBOLS + c] = symbol;
                if (to) to[(size_t)j * s->distance * MNZ_GREY_CHANNELS + c] = (int8_t)symbol;
            }
            if (group < MNZ_GROUPS - 1) {
                memcpy(behind + 2 * group * MNZ_GROUP, at, 2 * MNZ_GROUP * sizeof *at);
                memcpy(behind + KNOWN_SYMBOLS + group * MNZ_GROUP, at + SYMBOLS, MNZ_GROUP * sizeof *at);
            }
        }
    }
}

mnz_walk mnz_walk_begin(const mnz_model *model, int rows, int columns, int quality_index, void *workspace, size_t size)
{
    mnz_arena arena = mnz_arena_of(workspace, size);
    mnz_walk w = {0};
    w.model = model, w.quality_index = quality_index, w.rows = rows, w.columns = columns;
    take_parts(&w, &arena);
    return w;
}

void mnz_walk_latent(mnz_walk *w, const int8_t *from, int8_t *to, mnz_visit_channel visit, void *context)
{
    const mnz_grey *grey = &w->model->grey;
    begin(w);
    for (int group = 0; group < MNZ_GROUPS; group++) {
        const mnz_group *g = &grey->group[group];
        const int32_t *bounds = grey->bounds + (size_t)w->quality_index * MNZ_GREY_CHANNELS + group * MNZ_GROUP;
        if (!bounds[0] && !bounds[1] && !bounds[2] && !bounds[3]) continue;
        for (int number = 0; number < STEPS; number++) {
            const step s = step_of(w, number);
            const size_t positions = (size_t)s.rows * s.columns;
            if (!positions) continue;
            w->group = group, w->first_row = s.row, w->first_column = s.column, w->distance = s.distance, w->step_columns = s.columns;
            compute_step(w, &s, g);
            if (from) load_symbols(w, &s, group, from);
            for (int c = 0; c < MNZ_GROUP; c++) {
                if (!from && !bounds[c]) memset(w->symbol[c], 0, positions * 2), memset(w->size[c], 0, positions * 2);
                for (size_t first = 0; bounds[c] && first < positions; first += PIECE) {
                    const int count = positions - first < PIECE ? (int)(positions - first) : PIECE;
                    (g->fits ? resolve : resolve_wide)(w, g, c, bounds[c], first, count);
                    visit(context, w, c, bounds[c], first, count);
                }
            }
            store_symbols(w, &s, group, to);
        }
    }
}
