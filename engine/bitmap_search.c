/*
 * Search for a black and white bitmap that gives a digit exactly (FORMAT.md, section 14); bitmap.h says how.
 *
 * Candidates are tried in a fixed order: sides of the square, the place of the digit in 28 x 28 pixels, and its largest sum, which grey 255
 * stands for. Almost all wrong ones fall in the first few cells, as no counts of their blocks give the grey level.
 */
#include "bitmap.h"
#include "engine.h"

#include <string.h>

enum {
    BRIGHTEST = 254,                /* the largest grey level of a digit is at least this */
    SUMS = 8,                       /* largest sums that are tried for a side and a place */
    APART = 64,                     /* sums that are nearer than this count as one */
    STEPS = 256,                    /* tries of counts in the search for a digit */
    DISTANCES = 128,                /* of a grey level from black or white */
    PLACES = 4                      /* of a digit in 28 x 28 pixels, at most: two rows and two columns */
};

/* Counts of a cell that were tried: how well they fit the guess, and their place in the order of enumeration. */
typedef struct {
    int64_t gain;
    int32_t place;
} choice;

/* A cell whose counts are tried one after the other, best first. */
typedef struct {
    choice latest;
    int cell, changes;
} level;

typedef struct {
    mnz_counts counts;
    mnz_ink ink;
    int brightest;
    int16_t order[MNZ_TILE_PIXELS];         /* pixels of x that are not blank, those nearest to black or white first */
    int16_t cells[MNZ_CELLS_ALL];           /* the same as cells of the digit */
    int inked;
    level levels[MNZ_CELLS_ALL];
    int steps;
} search;

static const uint8_t none[MNZ_BLOCKS];

/* ---- Branching ---- */

/* The best counts of a cell that come after the latest try. */
typedef struct {
    int64_t gain[MNZ_BLOCKS_OF_CELL][MNZ_BLOCK_MAX + 1]; /* of a block, by its count */
    choice latest, best;
    int count[MNZ_BLOCKS_OF_CELL], found, place;
} selection;

static int visit_selection(void *context, mnz_open_blocks *open, int32_t sum)
{
    selection *s = context;
    choice now = {0, s->place++};
    (void)sum;
    for (int k = 0; k < open->number; k++) now.gain += s->gain[k][open->count[k]];
    if (now.gain > s->latest.gain || (now.gain == s->latest.gain && now.place <= s->latest.place)) return 0;
    if (s->found && now.gain <= s->best.gain) return 0;
    s->found = 1, s->best = now;
    memcpy(s->count, open->count, sizeof s->count);
    return 0;
}

/* Settle the counts of the cell of a level by its next try. Returns 0 if none is left. */
static int next_try(search *s, level *l)
{
    mnz_counts *n = &s->counts;
    mnz_open_blocks open = mnz_open_blocks_of(n, l->cell, n->least, n->most);
    selection best;
    best.latest = l->latest, best.found = 0, best.place = 0;
    for (int k = 0; k < open.number; k++) {
        int16_t pixel[MNZ_BLOCK_MAX];
        const int16_t *next = pixel + n->least[open.block[k]];
        mnz_ink_rank(&s->ink, n, open.block[k], pixel);
        best.gain[k][0] = 0;
        for (int i = 0; i < open.free[k]; i++) best.gain[k][i + 1] = best.gain[k][i] + s->ink.score[next[i]];
    }
    mnz_enumerate_counts(&open, visit_selection, &best);
    if (!best.found) return 0;
    l->latest = best.best;
    for (int k = 0; k < open.number; k++) {
        const int count = n->least[open.block[k]] + best.count[k];
        mnz_counts_narrow(n, open.block[k], count, count);
    }
    return 1;
}

/* The cell whose bounds leave the fewest counts; -1 if all are settled. */
static int smallest_open(const mnz_counts *n)
{
    int64_t smallest = INT64_MAX;
    int best = -1;
    for (int cell = 0; cell < MNZ_CELLS_ALL; cell++) {
        int64_t values = 1;
        if (!n->digit[cell]) continue;
        for (int k = 0; k < MNZ_BLOCKS_OF_CELL; k++) values *= n->most[mnz_block_of(cell, k)] - n->least[mnz_block_of(cell, k)] + 1;
        if (values > 1 && values < smallest) smallest = values, best = cell;
    }
    return best;
}

/* Whether counts that are all settled give a bitmap of the digit. */
static int finish(search *s, mnz_bitmap *bitmap, uint8_t *out)
{
    uint8_t digit[MNZ_CELLS_ALL];
    mnz_ink_place(&s->ink, &s->counts);
    mnz_ink_cut(&s->ink, s->counts.cover.side, bitmap, out);
    if (!mnz_bitmap_valid(bitmap)) return 0;
    mnz_resample(&s->counts.cover, bitmap, out, digit);
    return memcmp(digit, s->counts.digit, sizeof digit) == 0;
}

/* Search for counts that give a bitmap. The bounds of all sums are set. */
static int solve(search *s, mnz_bitmap *bitmap, uint8_t *out)
{
    mnz_counts *n = &s->counts;
    mnz_counts_begin(n, s->cells, s->inked);
    int possible = mnz_counts_propagate(n), depth = 0;
    if (possible) mnz_ink_guess(&s->ink, n);
    for (;;) {
        const int cell = possible ? smallest_open(n) : -1;
        if (cell >= 0)
            s->levels[depth++] = (level){{INT64_MAX, -1}, cell, n->changes};
        else if (possible && finish(s, bitmap, out))
            return 1;
        if (!depth || ++s->steps > STEPS) return 0;
        mnz_counts_undo(n, s->levels[depth - 1].changes);
        possible = next_try(s, &s->levels[depth - 1]);
        if (possible)
            possible = mnz_counts_propagate(n);
        else
            depth--;
    }
}

/* ---- Candidates ---- */

static int visit_any(void *context, mnz_open_blocks *open, int32_t sum)
{
    (void)context, (void)open, (void)sum;
    return 1;
}

/* Set the bounds of all cells, if the largest sum is `most`. Returns 0 if one of them has no counts that give its grey level. */
static int cells_possible(search *s, int32_t most)
{
    for (int k = 0; k < s->inked; k++) {
        mnz_counts_set_bounds(&s->counts, s->cells[k], most);
        mnz_open_blocks open = mnz_open_blocks_of(&s->counts, s->cells[k], none, s->counts.pixels);
        if (!mnz_enumerate_counts(&open, visit_any, NULL)) return 0;
    }
    return 1;
}

/* The sum of a cell whose pixels are all ink. */
static int32_t full_sum(const mnz_counts *n, int cell)
{
    int32_t sum = 0;
    for (int k = 0; k < MNZ_BLOCKS_OF_CELL; k++) sum += mnz_weight_of(n, cell, k) * n->pixels[mnz_block_of(cell, k)];
    return sum;
}

/* The largest sum that one of the brightest cells has if all its pixels are ink, up to `limit`; 0 if there is none. */
static int32_t next_full_sum(const search *s, int32_t limit)
{
    int32_t largest = 0;
    for (int k = 0; k < s->inked; k++) {
        const int32_t sum = s->counts.digit[s->cells[k]] == s->brightest ? full_sum(&s->counts, s->cells[k]) : 0;
        if (sum <= limit && sum > largest) largest = sum;
    }
    return largest;
}

static int visit_larger(void *context, mnz_open_blocks *open, int32_t sum)
{
    *(int32_t *)context = sum;
    open->low = sum + 1;
    return 0;
}

/* The largest sum that one of the brightest cells has if some of its pixels are ink, up to `limit` and not below 3/4 of the whole; 0 if
   there is none. The cell is the one that has the smallest sum as a whole. */
static int32_t next_part_sum(search *s, int32_t limit)
{
    mnz_counts *n = &s->counts;
    int smallest = -1;
    int32_t largest = 0;
    for (int k = 0; k < s->inked; k++) {
        const int cell = s->cells[k];
        if (n->digit[cell] == s->brightest && (smallest < 0 || full_sum(n, cell) < full_sum(n, smallest))) smallest = cell;
    }
    mnz_open_blocks open = mnz_open_blocks_of(n, smallest, none, n->pixels);
    const int32_t full = full_sum(n, smallest);
    open.low = full / 4 * 3, open.high = limit < full - APART ? limit : full - APART;
    mnz_enumerate_counts(&open, visit_larger, &largest);
    return largest;
}

/* Where a digit is in 28 x 28 pixels. */
typedef struct {
    int row, column;
} place;

static void cut_digit(const uint8_t *x, const place *at, uint8_t digit[MNZ_CELLS_ALL])
{
    for (int k = 0; k < MNZ_CELLS; k++) memcpy(digit + k * MNZ_CELLS, x + (at->row + k) * MNZ_TILE + at->column, MNZ_CELLS);
}

static void take_digit(search *s, const uint8_t *x, const place *at)
{
    cut_digit(x, at, s->counts.digit);
    for (int k = 0; k < s->inked; k++)
        s->cells[k] = (int16_t)((s->order[k] / MNZ_TILE - at->row) * MNZ_CELLS + s->order[k] % MNZ_TILE - at->column);
}

/* ---- Digits ---- */

/* The first and the last row or column of ink, and of places of a digit that leave it in the middle, up to half a cell: one or two. */
typedef struct {
    int first, last, from, to;
} extent;

static extent extent_of(const uint8_t *x, int step, int across)
{
    extent e = {MNZ_TILE, -1, 0, -1};
    for (int k = 0; k < MNZ_TILE_PIXELS; k++) {
        const int at = k / MNZ_TILE * step + k % MNZ_TILE * across;
        if (x[k] && at < e.first) e.first = at;
        if (x[k] && at > e.last) e.last = at;
    }
    e.from = (e.first + e.last + 1) / 2 - MNZ_CELLS / 2;
    e.to = (e.first + e.last + 2) / 2 - MNZ_CELLS / 2;
    if (e.from < 0) e.from = 0;
    if (e.to > MNZ_TILE - MNZ_CELLS) e.to = MNZ_TILE - MNZ_CELLS;
    return e;
}

static int from_black_or_white(int grey)
{
    return grey < DISTANCES ? grey : 255 - grey;
}

/* Find out what all candidates share. Returns 0 if the size or the brightness of the digit is not that of MNIST. */
static int look(search *s, const uint8_t *x, const extent *rows, const extent *columns)
{
    const int height = rows->last - rows->first + 1, width = columns->last - columns->first + 1;
    s->brightest = 0, s->inked = 0, s->steps = 0;
    for (int k = 0; k < MNZ_TILE_PIXELS; k++)
        if (x[k] > s->brightest) s->brightest = x[k];
    if (s->brightest < BRIGHTEST || (height > width ? height : width) != MNZ_CELLS) return 0;
    int place[DISTANCES + 1] = {0}; /* of the next pixel of each distance, once the loop below has summed their numbers */
    for (int k = 0; k < MNZ_TILE_PIXELS; k++)
        if (x[k]) place[from_black_or_white(x[k]) + 1]++, s->inked++;
    for (int distance = 0; distance < DISTANCES; distance++) place[distance + 1] += place[distance];
    for (int k = 0; k < MNZ_TILE_PIXELS; k++)
        if (x[k]) s->order[place[from_black_or_white(x[k])]++] = (int16_t)k;
    return 1;
}

/* The places that put the centre of mass of the digit where MNIST puts it. Returns their number. */
static int places_of(const uint8_t *x, const extent *rows, const extent *columns, place out[PLACES])
{
    int number = 0;
    for (int row = rows->to; row >= rows->from; row--)
        for (int column = columns->to; column >= columns->from; column--) {
            const place at = {row, column};
            uint8_t digit[MNZ_CELLS_ALL];
            place proper;
            cut_digit(x, &at, digit);
            mnz_position(digit, &proper.row, &proper.column);
            if (proper.row == row && proper.column == column) out[number++] = at;
        }
    return number;
}

/* Try the sums of a side and a place. */
static int try_sums(search *s, int part, mnz_bitmap *bitmap, uint8_t *ink)
{
    int32_t limit = INT32_MAX;
    for (int k = 0; k < SUMS; k++) {
        const int32_t most = part ? next_part_sum(s, limit) : next_full_sum(s, limit);
        if (!most) return 0;
        if (cells_possible(s, most) && solve(s, bitmap, ink)) return 1;
        limit = most - APART;
    }
    return 0;
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
    const extent rows = extent_of(x, 1, 0), columns = extent_of(x, 0, 1);
    if (look(s, x, &rows, &columns)) {
        place places[PLACES];
        const int number = places_of(x, &rows, &columns, places);
        for (int part = 0; part < 2; part++) /* whether the brightest cell is white in part */
            for (int side = MNZ_BITMAP_SIDE_MIN; side <= MNZ_BITMAP_SIDE_MAX && number; side++) {
                mnz_counts_begin_side(&s->counts, side);
                for (int k = 0; k < number; k++) {
                    take_digit(s, x, &places[k]);
                    if (try_sums(s, part, bitmap, ink)) return MNZ_OK;
                }
            }
    }
    memset(bitmap, 0, sizeof *bitmap);
    return MNZ_OK;
}
