/*
 * Search for a black and white bitmap that gives a digit exactly (FORMAT.md, section 14).
 *
 * A pixel lies within one cell of the digit, or is split between two neighbours along each side. The lines of a bitmap therefore fall into
 * strips: those within a cell, which all have the same share of it, and the line that is split between two cells. Strips of rows and of
 * columns cut the bitmap into blocks of pixels that count alike, 9 for each cell. A cell says only how many pixels of its blocks are ink:
 *
 *     low <= sum of weight * count <= high
 *
 * The search propagates these constraints on the counts, branches on cells whose counts are not yet known, and then places the ink of each
 * block. All decisions are on integers, so that every engine finds the same bitmap.
 */
#include "bitmap.h"
#include "engine.h"

#include <string.h>

enum {
    SIDE_MAX = 96,                      /* of bitmaps that are searched for */
    STRIPS = 2 * MNZ_CELLS + 1,         /* the strips of cell I are 2 I, 2 I + 1 and 2 I + 2 */
    BLOCKS = STRIPS * STRIPS,
    OF_CELL = 9,                        /* blocks */
    BLOCK_MAX = 36,                     /* pixels */
    SHARE_BITS = 26,                    /* of the fraction of a share; all shares are exact */
    WEIGHT_BITS = 30,                   /* of the fraction of a weight */
    TOLERANCE_BITS = 19,                /* sums of shares in float differ from exact ones by less than the largest sum / 2^19 */
    BRIGHTEST = 254,                    /* the largest grey level of a digit is at least this */
    TRIES = 60,                         /* of the counts of a cell */
    STEPS = 2000,                       /* tries in the search for a digit */
    SCALES = 8                          /* different sums of the brightest cells, at most */
};

/* A set of counts that was tried: how well it fits, and its place in the order of enumeration. */
typedef struct {
    int64_t gain;
    int32_t place;
} choice;

typedef struct {
    choice last;                        /* the latest try */
    int cell, tries, changes;
} level;

typedef struct {
    int16_t block;
    uint8_t least, most;
} change;

typedef struct {
    const uint8_t *x;
    int16_t order[MNZ_TILE_PIXELS];     /* pixels of ink, those nearest to black or white first */
    int inked, brightest;
    int steps;

    /* Of a side. */
    mnz_cover cover;
    int first[STRIPS], lines[STRIPS];
    int64_t share[MNZ_CELLS][3];        /* of a cell that a line of each of its strips covers */

    /* Of a candidate. */
    int row, column;                    /* of the digit in x */
    uint8_t digit[MNZ_CELLS_ALL];
    int32_t low[MNZ_CELLS_ALL], high[MNZ_CELLS_ALL];
    uint8_t least[BLOCKS], most[BLOCKS];
    int32_t score[SIDE_MAX * SIDE_MAX];

    int changes, depth;
    change trail[SIDE_MAX * SIDE_MAX];
    level levels[MNZ_CELLS_ALL];
    int16_t queue[MNZ_CELLS_ALL];
    uint8_t queued[MNZ_CELLS_ALL];
    int head, waiting;

    uint8_t square[SIDE_MAX * SIDE_MAX];
} search;

/* ---- Sides ---- */

static void begin_side(search *s, int side)
{
    s->cover = mnz_cover_of(side);
    const mnz_cover *c = &s->cover;
    memset(s->lines, 0, sizeof s->lines);
    memset(s->share, 0, sizeof s->share);
    for (int cell = 0; cell < MNZ_CELLS; cell++) {
        const int end = c->first[cell] + c->count[cell];
        const int before = cell > 0 && c->first[cell] < c->first[cell - 1] + c->count[cell - 1];
        const int behind = cell < MNZ_CELLS - 1 && c->first[cell + 1] < end;
        s->first[2 * cell] = c->first[cell], s->lines[2 * cell] = before;
        s->first[2 * cell + 1] = c->first[cell] + before, s->lines[2 * cell + 1] = c->count[cell] - before - behind;
        s->first[2 * cell + 2] = end - behind, s->lines[2 * cell + 2] = behind;
        for (int k = 0; k < c->count[cell]; k++) {
            const int strip = k < before ? 0 : k < c->count[cell] - behind ? 1 : 2;
            s->share[cell][strip] = (int64_t)((double)c->share[cell][k] * (1 << SHARE_BITS));
        }
    }
}

static int pixels_of(const search *s, int block)
{
    return s->lines[block / STRIPS] * s->lines[block % STRIPS];
}

/* ---- Counts of a cell ---- */

/* The blocks of a cell that are not settled, and what their counts may add up to. */
typedef struct {
    int number, block[OF_CELL], free[OF_CELL];
    int32_t weight[OF_CELL], rest[OF_CELL + 1];     /* rest: what the counts from a block on add at most */
    int32_t low, high;
    int count[OF_CELL];
} counts;

/* The blocks of a cell: its middle, its sides, its corners. */
static const int8_t block_row[OF_CELL] = {1, 0, 1, 1, 2, 0, 0, 2, 2}, block_column[OF_CELL] = {1, 1, 0, 2, 1, 0, 2, 0, 2};

static inline int block_of(int cell, int k)
{
    return (2 * (cell / MNZ_CELLS) + block_row[k]) * STRIPS + 2 * (cell % MNZ_CELLS) + block_column[k];
}

/* Weights are at most 1.02 * 2^WEIGHT_BITS in a cell, so 32 bits hold their sums. */
static inline int32_t weight_of(const search *s, int cell, int k)
{
    const int64_t product = s->share[cell / MNZ_CELLS][block_row[k]] * s->share[cell % MNZ_CELLS][block_column[k]];
    return (int32_t)(product >> (2 * SHARE_BITS - WEIGHT_BITS));
}

/* Fill in the blocks of a cell whose counts are within least and most. */
static void open_counts(const search *s, int cell, const uint8_t *least, const uint8_t *most, counts *c)
{
    c->number = 0, c->low = s->low[cell], c->high = s->high[cell];
    for (int k = 0; k < OF_CELL; k++) {
        const int block = block_of(cell, k);
        const int32_t weight = weight_of(s, cell, k);
        c->low -= weight * least[block], c->high -= weight * least[block];
        if (most[block] == least[block]) continue;
        c->block[c->number] = block, c->weight[c->number] = weight;
        c->free[c->number++] = most[block] - least[block];
    }
    c->rest[c->number] = 0;
    for (int k = c->number - 1; k >= 0; k--) c->rest[k] = c->rest[k + 1] + c->weight[k] * c->free[k];
}

/* Visit the counts of a cell in lexicographic order, from block k on. A visit that returns 1 ends it. */
typedef int (*visit_counts)(void *context, const counts *c);

static int enumerate(counts *c, int k, int32_t sum, visit_counts visit, void *context)
{
    if (k == c->number) return sum >= c->low && sum <= c->high && visit(context, c);
    for (int n = 0; n <= c->free[k] && sum <= c->high; n++, sum += c->weight[k]) {
        if (sum + c->rest[k + 1] < c->low) continue;
        c->count[k] = n;
        if (enumerate(c, k + 1, sum, visit, context)) return 1;
    }
    return 0;
}

static int visit_any(void *context, const counts *c)
{
    (void)context, (void)c;
    return 1;
}

/* ---- Propagation ---- */

/* The least and the largest count of each block that occur. */
typedef struct {
    int least[OF_CELL], most[OF_CELL];
} hull;

static int visit_hull(void *context, const counts *c)
{
    hull *h = context;
    int whole = 1;
    for (int k = 0; k < c->number; k++) {
        if (c->count[k] < h->least[k]) h->least[k] = c->count[k];
        if (c->count[k] > h->most[k]) h->most[k] = c->count[k];
        whole &= h->least[k] == 0 && h->most[k] == c->free[k];
    }
    return whole;
}

static void enqueue(search *s, int cell)
{
    if (s->queued[cell] || !s->digit[cell]) return; /* all blocks of a blank cell are settled */
    s->queued[cell] = 1;
    s->queue[(s->head + s->waiting++) % MNZ_CELLS_ALL] = (int16_t)cell;
}

/* Narrow the count of a block, and queue the cells that it is part of. */
static void narrow(search *s, int block, int least, int most)
{
    if (s->least[block] == least && s->most[block] == most) return;
    s->trail[s->changes++] = (change){(int16_t)block, s->least[block], s->most[block]};
    s->least[block] = (uint8_t)least, s->most[block] = (uint8_t)most;
    const int row = block / STRIPS, column = block % STRIPS;
    for (int r = (row - 1) / 2; r <= row / 2; r++)
        for (int c = (column - 1) / 2; c <= column / 2; c++)
            if (r < MNZ_CELLS && c < MNZ_CELLS) enqueue(s, r * MNZ_CELLS + c);
}

/* Narrow counts until the constraints of all cells allow no more. Returns 0 if a cell is impossible. */
static int propagate(search *s)
{
    int possible = 1;
    while (s->waiting) {
        const int cell = s->queue[s->head];
        s->head = (s->head + 1) % MNZ_CELLS_ALL, s->waiting--, s->queued[cell] = 0;
        if (!possible) continue;
        counts c;
        hull h = {{0}, {0}};
        open_counts(s, cell, s->least, s->most, &c);
        for (int k = 0; k < c.number; k++) h.least[k] = c.free[k] + 1, h.most[k] = -1;
        const int whole = enumerate(&c, 0, 0, visit_hull, &h);
        if (whole) continue;
        if (c.number == 0 || h.most[0] < 0) {
            possible = 0;
            continue;
        }
        for (int k = 0; k < c.number; k++)
            narrow(s, c.block[k], s->least[c.block[k]] + h.least[k], s->least[c.block[k]] + h.most[k]);
    }
    return possible;
}

static void undo(search *s, int changes)
{
    while (s->changes > changes) {
        const change *c = &s->trail[--s->changes];
        s->least[c->block] = c->least, s->most[c->block] = c->most;
    }
}

/* ---- Guesses: grey levels between the centres of cells ---- */

/* The grey level of a digit, 0 beyond it. */
static int32_t grey_at(const search *s, int row, int column)
{
    if (row < 0 || row >= MNZ_CELLS || column < 0 || column >= MNZ_CELLS) return 0;
    return s->digit[row * MNZ_CELLS + column];
}

/* Interpolate the digit at the pixels of the bitmap, in units of 1 / (2 side)^2, less the half of white. */
static void guess(search *s)
{
    const int side = s->cover.side, unit = 2 * side;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            const int v = (2 * y + 1) * MNZ_CELLS + side, u = (2 * x + 1) * MNZ_CELLS + side; /* from the centre of cell -1 */
            const int row = v / unit - 1, column = u / unit - 1;
            const int32_t down = v % unit, right = u % unit;
            const int32_t above = (unit - right) * grey_at(s, row, column) + right * grey_at(s, row, column + 1);
            const int32_t below = (unit - right) * grey_at(s, row + 1, column) + right * grey_at(s, row + 1, column + 1);
            s->score[y * side + x] = (unit - down) * above + down * below - unit * unit / 2 * 255;
        }
}

/* The pixels of a block, those first that are most likely ink. Returns their number. */
static int rank(const search *s, int block, int16_t *pixel)
{
    const int row = s->first[block / STRIPS], column = s->first[block % STRIPS], side = s->cover.side;
    int number = 0;
    for (int y = row; y < row + s->lines[block / STRIPS]; y++)
        for (int x = column; x < column + s->lines[block % STRIPS]; x++) {
            const int at = y * side + x;
            int k = number++;
            for (; k > 0 && s->score[pixel[k - 1]] < s->score[at]; k--) pixel[k] = pixel[k - 1];
            pixel[k] = (int16_t)at;
        }
    return number;
}

/* ---- Branching ---- */

/* The best of the counts of a cell that come after the latest try. */
typedef struct {
    int64_t gain[OF_CELL][BLOCK_MAX + 1];   /* of a block, by its count */
    choice last, best;
    int count[OF_CELL], found, place;
} selection;

static int visit_selection(void *context, const counts *c)
{
    selection *n = context;
    choice now = {0, n->place++};
    for (int k = 0; k < c->number; k++) now.gain += n->gain[k][c->count[k]];
    const int later = now.gain < n->last.gain || (now.gain == n->last.gain && now.place > n->last.place);
    if (!later || (n->found && now.gain <= n->best.gain)) return 0;
    n->found = 1, n->best = now;
    memcpy(n->count, c->count, sizeof n->count);
    return 0;
}

/* The cell whose counts have the fewest values left; -1 if all are settled. */
static int smallest_open(const search *s)
{
    int64_t smallest = INT64_MAX;
    int best = -1;
    for (int cell = 0; cell < MNZ_CELLS_ALL; cell++) {
        int64_t values = 1;
        if (!s->digit[cell]) continue;
        for (int k = 0; k < OF_CELL; k++) values *= s->most[block_of(cell, k)] - s->least[block_of(cell, k)] + 1;
        if (values > 1 && values < smallest) smallest = values, best = cell;
    }
    return best;
}

/* Settle the counts of the cell of a level by its next try. Returns 0 if none is left. */
static int next_try(search *s, level *l)
{
    counts c;
    selection n;
    if (l->tries++ == TRIES) return 0;
    n.last = l->last, n.found = 0, n.place = 0;
    open_counts(s, l->cell, s->least, s->most, &c);
    for (int k = 0; k < c.number; k++) {
        int16_t pixel[BLOCK_MAX];
        rank(s, c.block[k], pixel);
        n.gain[k][0] = 0;
        for (int i = 0; i < c.free[k]; i++) n.gain[k][i + 1] = n.gain[k][i] + s->score[pixel[s->least[c.block[k]] + i]];
    }
    enumerate(&c, 0, 0, visit_selection, &n);
    if (!n.found) return 0;
    l->last = n.best;
    for (int k = 0; k < c.number; k++) {
        const int count = s->least[c.block[k]] + n.count[k];
        narrow(s, c.block[k], count, count);
    }
    return 1;
}

/* ---- Bitmaps ---- */

/* Place the ink of all blocks. */
static void place(search *s)
{
    memset(s->square, 0, sizeof s->square);
    for (int block = 0; block < BLOCKS; block++) {
        int16_t pixel[BLOCK_MAX];
        if (!s->least[block]) continue;
        rank(s, block, pixel);
        for (int k = 0; k < s->least[block]; k++) s->square[pixel[k]] = 1;
    }
}

/* Cut the square along its shorter side. Returns 0 if its ink lies too far from the middle. */
static int cut(const search *s, mnz_bitmap *b, uint8_t *ink)
{
    const int side = s->cover.side;
    int top = side, bottom = -1, left = side, right = -1;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            if (!s->square[y * side + x]) continue;
            if (y < top) top = y;
            if (y > bottom) bottom = y;
            if (x < left) left = x;
            if (x > right) right = x;
        }
    if (bottom - top >= right - left) {
        top = 0, bottom = side - 1;
        b->shift = left - (side - (right - left + 1)) / 2;
    } else {
        left = 0, right = side - 1;
        b->shift = top - (side - (bottom - top + 1)) / 2;
    }
    b->height = bottom - top + 1, b->width = right - left + 1;
    for (int y = 0; y < b->height; y++) memcpy(ink + y * b->width, s->square + (top + y) * side + left, (size_t)b->width);
    return mnz_bitmap_valid(b);
}

/* Whether the counts, which are all settled, give a bitmap of the digit. */
static int finish(search *s, mnz_bitmap *bitmap, uint8_t *ink)
{
    uint8_t digit[MNZ_CELLS_ALL];
    place(s);
    if (!cut(s, bitmap, ink)) return 0;
    mnz_resample(&s->cover, bitmap, ink, digit);
    return memcmp(digit, s->digit, sizeof digit) == 0;
}

/* ---- Candidates ---- */

/* The sums of shares that give a cell its grey level, if the largest sum is `most`. */
static void set_interval(search *s, int cell, int32_t most)
{
    const int grey = s->digit[cell];
    const int64_t tolerance = most >> TOLERANCE_BITS;
    const int64_t low = grey < 128 ? grey - 1 : grey == 128 ? 127 : grey, high = grey < 128 ? grey : grey == 128 ? 129 : grey + 1;
    s->low[cell] = (int32_t)(low * most / 255 - tolerance);
    s->high[cell] = (int32_t)((grey == 255 ? most : high * most / 255) + tolerance);
}

/* Whether each cell alone has counts that give its grey level. */
static int cells_possible(search *s, int32_t most)
{
    uint8_t none[BLOCKS] = {0}, all[BLOCKS];
    for (int block = 0; block < BLOCKS; block++) all[block] = (uint8_t)pixels_of(s, block);
    for (int k = 0; k < s->inked; k++) {
        const int cell = (s->order[k] / MNZ_TILE - s->row) * MNZ_CELLS + s->order[k] % MNZ_TILE - s->column;
        counts c;
        set_interval(s, cell, most);
        open_counts(s, cell, none, all, &c);
        if (!enumerate(&c, 0, 0, visit_any, NULL)) return 0;
    }
    return 1;
}

/* Search for counts of all blocks that give a bitmap. cells_possible has set the intervals. */
static int solve(search *s, mnz_bitmap *bitmap, uint8_t *ink)
{
    for (int block = 0; block < BLOCKS; block++) s->least[block] = 0, s->most[block] = (uint8_t)pixels_of(s, block);
    for (int cell = 0; cell < MNZ_CELLS_ALL; cell++)
        if (!s->digit[cell])
            for (int k = 0; k < OF_CELL; k++) s->most[block_of(cell, k)] = 0;
    s->changes = 0, s->depth = 0;
    for (int k = 0; k < s->inked; k++)
        enqueue(s, (s->order[k] / MNZ_TILE - s->row) * MNZ_CELLS + s->order[k] % MNZ_TILE - s->column);
    if (!propagate(s)) return 0;
    guess(s);
    for (int settled = 1;;) { /* whether the latest try, and all before it, are possible */
        if (settled) {
            const int cell = smallest_open(s);
            if (cell >= 0)
                s->levels[s->depth++] = (level){{INT64_MAX, -1}, cell, 0, s->changes};
            else if (finish(s, bitmap, ink))
                return 1;
        }
        if (!s->depth) return 0;
        level *l = &s->levels[s->depth - 1];
        undo(s, l->changes);
        if (++s->steps > STEPS) return 0;
        settled = next_try(s, l);
        if (settled)
            settled = propagate(s);
        else
            s->depth--;
    }
}

/* The sums of the brightest cells if all their pixels are ink, of which one is the largest sum; from the largest down. */
static int scales_of(const search *s, int32_t *scale)
{
    int number = 0;
    for (int cell = 0; cell < MNZ_CELLS_ALL; cell++) {
        int32_t sum = 0;
        if (s->digit[cell] != s->brightest) continue;
        for (int k = 0; k < OF_CELL; k++) sum += weight_of(s, cell, k) * pixels_of(s, block_of(cell, k));
        int k = 0, known = 0;
        for (; k < number && scale[k] >= sum - 64; k++) known |= scale[k] <= sum + 64;
        if (known || k == SCALES) continue;
        if (number == SCALES) number--;
        memmove(scale + k + 1, scale + k, (size_t)(number++ - k) * sizeof *scale);
        scale[k] = sum;
    }
    return number;
}

/* Take the digit from x. Returns 0 unless its centre of mass is where MNIST puts it. */
static int take_digit(search *s, int row, int column)
{
    int at_row, at_column;
    s->row = row, s->column = column;
    for (int k = 0; k < MNZ_CELLS; k++) memcpy(s->digit + k * MNZ_CELLS, s->x + (row + k) * MNZ_TILE + column, MNZ_CELLS);
    mnz_position(s->digit, &at_row, &at_column);
    return at_row == row && at_column == column;
}

/* The first and last cells of a digit along a side, given those of its ink: all positions that leave the ink near the middle. */
static void positions(int first, int last, int *from, int *to)
{
    *from = last - MNZ_CELLS + 1, *to = first;
    while (*from < 0 || first + last + 1 - 2 * (*from + MNZ_CELLS / 2) > 2) ++*from;
    while (*to > MNZ_TILE - MNZ_CELLS || first + last + 1 - 2 * (*to + MNZ_CELLS / 2) < -2) --*to;
}

size_t mnz_bitmap_workspace(void)
{
    return mnz_aligned(sizeof(search));
}

mnz_status mnz_find_bitmap(const uint8_t *x, mnz_bitmap *bitmap, uint8_t *ink, void *workspace, size_t size)
{
    mnz_arena arena = mnz_arena_of(workspace, size);
    search *s = mnz_take(&arena, 1, sizeof *s);
    if (!s) return MNZ_ERROR_MEMORY;
    memset(s, 0, sizeof *s);
    int top = MNZ_TILE, bottom = -1, left = MNZ_TILE, right = -1;
    s->x = x;
    for (int k = 0; k < MNZ_TILE_PIXELS; k++) {
        if (!x[k]) continue;
        if (x[k] > s->brightest) s->brightest = x[k];
        if (k / MNZ_TILE < top) top = k / MNZ_TILE;
        if (k / MNZ_TILE > bottom) bottom = k / MNZ_TILE;
        if (k % MNZ_TILE < left) left = k % MNZ_TILE;
        if (k % MNZ_TILE > right) right = k % MNZ_TILE;
    }
    for (int distance = 0; distance < 128; distance++)
        for (int k = 0; k < MNZ_TILE_PIXELS; k++)
            if (x[k] && (x[k] < 128 ? x[k] : 255 - x[k]) == distance) s->order[s->inked++] = (int16_t)k;
    memset(bitmap, 0, sizeof *bitmap);
    const int height = bottom - top + 1, width = right - left + 1;
    if (s->brightest < BRIGHTEST || height > MNZ_CELLS || width > MNZ_CELLS || (height < MNZ_CELLS && width < MNZ_CELLS)) return MNZ_OK;
    int row_from, row_to, column_from, column_to;
    positions(top, bottom, &row_from, &row_to);
    positions(left, right, &column_from, &column_to);
    for (int side = MNZ_BITMAP_SIDE_MIN; side <= SIDE_MAX; side++) {
        begin_side(s, side);
        for (int row = row_from; row <= row_to; row++)
            for (int column = column_from; column <= column_to; column++) {
                int32_t scale[SCALES];
                if (!take_digit(s, row, column)) continue;
                const int scales = scales_of(s, scale);
                for (int k = 0; k < scales; k++)
                    if (cells_possible(s, scale[k]) && solve(s, bitmap, ink)) return MNZ_OK;
            }
    }
    memset(bitmap, 0, sizeof *bitmap);
    return MNZ_OK;
}
