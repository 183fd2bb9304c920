/* The counts of ink in the blocks of a bitmap: the constraints of cells, and their propagation. */
#include "bitmap.h"

#include <string.h>

enum {
    TOLERANCE_BITS = 19     /* a sum of shares in float differs from the exact one by less than the largest sum / 2^19 */
};

/* ---- Blocks ---- */

void mnz_counts_begin_side(mnz_counts *n, int side)
{
    const mnz_cover *c = &n->cover;
    n->cover = mnz_cover_of(side);
    memset(n->share, 0, sizeof n->share);
    for (int cell = 0; cell < MNZ_CELLS; cell++) {
        const int end = c->first[cell] + c->count[cell];
        const int above = cell > 0 && c->first[cell] < c->first[cell - 1] + c->count[cell - 1];
        const int below = cell < MNZ_CELLS - 1 && c->first[cell + 1] < end;
        n->first[2 * cell] = c->first[cell], n->lines[2 * cell] = above;
        n->first[2 * cell + 1] = c->first[cell] + above, n->lines[2 * cell + 1] = c->count[cell] - above - below;
        n->first[2 * cell + 2] = end - below, n->lines[2 * cell + 2] = below;
        for (int k = 0; k < c->count[cell]; k++) {
            const int strip = k < above ? 0 : k < c->count[cell] - below ? 1 : 2;
            n->share[cell][strip] = (int64_t)((double)c->share[cell][k] * (1 << MNZ_SHARE_BITS));
        }
    }
    for (int row = 0; row < MNZ_STRIPS; row++)
        for (int column = 0; column < MNZ_STRIPS; column++)
            n->pixels[row * MNZ_STRIPS + column] = (uint8_t)(n->lines[row] * n->lines[column]);
}

/* ---- Counts of a cell ---- */

void mnz_counts_set_bounds(mnz_counts *n, int cell, int32_t most)
{
    const int64_t tolerance = most >> TOLERANCE_BITS;
    const int grey = n->digit[cell];
    const int64_t low = grey < 128 ? grey - 1 : grey == 128 ? 127 : grey;
    const int64_t high = grey < 128 ? grey : grey == 128 ? 129 : grey == 255 ? 255 : grey + 1;
    n->low[cell] = (int32_t)(low * most / 255 - tolerance);
    n->high[cell] = (int32_t)(high * most / 255 + tolerance);
    if (n->low[cell] < 1) n->low[cell] = 1; /* no ink is no grey */
}

mnz_open_blocks mnz_open_blocks_of(const mnz_counts *n, int cell, const uint8_t *least, const uint8_t *most)
{
    mnz_open_blocks open;
    open.number = 0, open.low = n->low[cell], open.high = n->high[cell];
    for (int k = 0; k < MNZ_BLOCKS_OF_CELL; k++) {
        const int block = mnz_block_of(cell, k);
        const int32_t weight = mnz_weight_of(n, cell, k);
        open.low -= weight * least[block], open.high -= weight * least[block];
        if (most[block] == least[block]) continue;
        open.block[open.number] = block, open.weight[open.number] = weight;
        open.free[open.number++] = most[block] - least[block];
    }
    open.rest[open.number] = 0;
    for (int k = open.number - 1; k >= 0; k--) open.rest[k] = open.rest[k + 1] + open.weight[k] * open.free[k];
    return open;
}

/* Visit the counts from block k on, given the sum of those before. */
static int enumerate(mnz_open_blocks *open, int k, int32_t sum, mnz_visit_counts visit, void *context)
{
    if (k == open->number) return sum >= open->low && sum <= open->high && visit(context, open, sum);
    for (int count = 0; count <= open->free[k] && sum <= open->high; count++, sum += open->weight[k]) {
        if (sum + open->rest[k + 1] < open->low) continue;
        open->count[k] = count;
        if (enumerate(open, k + 1, sum, visit, context)) return 1;
    }
    return 0;
}

int mnz_enumerate_counts(mnz_open_blocks *open, mnz_visit_counts visit, void *context)
{
    return enumerate(open, 0, 0, visit, context);
}

/* ---- Propagation ---- */

static void enqueue(mnz_counts *n, int cell)
{
    if (n->queued[cell] || !n->digit[cell]) return;
    n->queued[cell] = 1;
    n->queue[(n->head + n->waiting++) % MNZ_CELLS_ALL] = (int16_t)cell;
}

void mnz_counts_begin(mnz_counts *n, const int16_t *order, int cells)
{
    memset(n->least, 0, sizeof n->least);
    memcpy(n->most, n->pixels, sizeof n->most);
    for (int cell = 0; cell < MNZ_CELLS_ALL; cell++)
        for (int k = 0; k < MNZ_BLOCKS_OF_CELL && !n->digit[cell]; k++)
            if (mnz_weight_of(n, cell, k)) n->most[mnz_block_of(cell, k)] = 0; /* a smaller weight leaves a cell blank */
    memset(n->queued, 0, sizeof n->queued);
    n->changes = 0, n->head = 0, n->waiting = 0;
    for (int k = 0; k < cells; k++) enqueue(n, order[k]);
}

void mnz_counts_narrow(mnz_counts *n, int block, int least, int most)
{
    const int row = block / MNZ_STRIPS, column = block % MNZ_STRIPS;
    if (n->least[block] == least && n->most[block] == most) return;
    n->trail[n->changes++] = (mnz_count_change){(int16_t)block, n->least[block], n->most[block]};
    n->least[block] = (uint8_t)least, n->most[block] = (uint8_t)most;
    for (int r = (row - 1) / 2; r <= row / 2 && r < MNZ_CELLS; r++)
        for (int c = (column - 1) / 2; c <= column / 2 && c < MNZ_CELLS; c++) enqueue(n, r * MNZ_CELLS + c);
}

/* The least and the largest count of each block that is possible. */
typedef struct {
    int least[MNZ_BLOCKS_OF_CELL], most[MNZ_BLOCKS_OF_CELL];
} hull;

/* Ends the enumeration as soon as the hull excludes no count. */
static int visit_hull(void *context, mnz_open_blocks *open, int32_t sum)
{
    hull *h = context;
    int whole = 1;
    (void)sum;
    for (int k = 0; k < open->number; k++) {
        if (open->count[k] < h->least[k]) h->least[k] = open->count[k];
        if (open->count[k] > h->most[k]) h->most[k] = open->count[k];
        whole &= h->least[k] == 0 && h->most[k] == open->free[k];
    }
    return whole;
}

/* Narrow the counts of a cell. Returns 0 if it is impossible. */
static int narrow_cell(mnz_counts *n, int cell)
{
    mnz_open_blocks open = mnz_open_blocks_of(n, cell, n->least, n->most);
    hull h;
    for (int k = 0; k < open.number; k++) h.least[k] = open.free[k] + 1, h.most[k] = -1;
    if (mnz_enumerate_counts(&open, visit_hull, &h)) return 1;
    if (open.number == 0 || h.most[0] < 0) return 0;
    for (int k = 0; k < open.number; k++) {
        const int block = open.block[k], least = n->least[block];
        mnz_counts_narrow(n, block, least + h.least[k], least + h.most[k]);
    }
    return 1;
}

int mnz_counts_propagate(mnz_counts *n)
{
    int possible = 1;
    while (n->waiting) {
        const int cell = n->queue[n->head];
        n->head = (n->head + 1) % MNZ_CELLS_ALL, n->waiting--, n->queued[cell] = 0;
        possible = possible && narrow_cell(n, cell);
    }
    return possible;
}

void mnz_counts_undo(mnz_counts *n, int changes)
{
    while (n->changes > changes) {
        const mnz_count_change *c = &n->trail[--n->changes];
        n->least[c->block] = c->least, n->most[c->block] = c->most;
    }
}
