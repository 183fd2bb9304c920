/*
 * What the files of bitmaps share: how MNIST's digits were made from black and white bitmaps (FORMAT.md, section 14), and the search for a
 * bitmap of a digit.
 *
 * A pixel lies within one cell of the digit, or is split between two neighbours along each side. The lines of a bitmap therefore fall into
 * strips: the lines within a cell, which all have the same share of it, and the line that is split between two cells. Strips of rows and of
 * columns cut the bitmap into blocks of pixels that count alike, 9 for each cell. A cell says only how many pixels of its blocks are ink:
 *
 *     low <= sum of weight * count <= high
 *
 * The search propagates these constraints on counts (bitmap_counts.c), tries the counts of cells that are not settled (bitmap_search.c), and
 * then places the ink within its blocks (bitmap_ink.c). All decisions are on integers, so that every engine finds the same bitmap.
 */
#ifndef MNZ_BITMAP_H
#define MNZ_BITMAP_H

#include "mnistzip.h"

enum {
    MNZ_CELLS = 20,                                     /* of a digit, along each side */
    MNZ_CELLS_ALL = MNZ_CELLS * MNZ_CELLS,
    MNZ_COVERED_MAX = MNZ_BITMAP_SIDE_MAX / MNZ_CELLS + 2,  /* pixels of a line that a cell covers, at most */
    MNZ_STRIPS = 2 * MNZ_CELLS + 1,                     /* those of cell I are 2 I, 2 I + 1 and 2 I + 2 */
    MNZ_BLOCKS = MNZ_STRIPS * MNZ_STRIPS,
    MNZ_BLOCKS_OF_CELL = 9,
    MNZ_BLOCK_MAX = 36,                                 /* pixels of a block, at most */
    MNZ_SHARE_BITS = 26,                                /* of the fraction of a share; all shares are multiples of 1 / 2^26 */
    MNZ_WEIGHT_BITS = 29                                /* of the fraction of a weight */
};

/* ---- Resampling ---- */

/* What 20 cells in a line cover of `side` pixels: the first pixel of each cell, their number, and the share of the cell that each covers. */
typedef struct {
    int side;
    int first[MNZ_CELLS], count[MNZ_CELLS];
    float share[MNZ_CELLS][MNZ_COVERED_MAX];
} mnz_cover;

mnz_cover mnz_cover_of(int side);

/* Whether a digit can be made of such a bitmap. */
int mnz_bitmap_valid(const mnz_bitmap *bitmap);

/* The digit that MNIST would have made of a bitmap, before it is put into 28 x 28 pixels. */
void mnz_resample(const mnz_cover *cover, const mnz_bitmap *bitmap, const uint8_t *ink, uint8_t digit[MNZ_CELLS_ALL]);

/* Row and column of a digit in 28 x 28 pixels, so that its centre of mass is in the middle. */
void mnz_position(const uint8_t digit[MNZ_CELLS_ALL], int *row, int *column);

/* ---- Counts of ink ---- */

typedef struct {
    int16_t block;
    uint8_t least, most;
} mnz_count_change;

/* A digit, and what is known of the counts of a bitmap. */
typedef struct {
    mnz_cover cover;
    int first[MNZ_STRIPS], lines[MNZ_STRIPS];           /* of each strip */
    uint8_t pixels[MNZ_BLOCKS];                         /* of each block */
    int64_t share[MNZ_CELLS][3];                        /* of a cell that a line of each of its strips covers */

    uint8_t digit[MNZ_CELLS_ALL];
    int32_t low[MNZ_CELLS_ALL], high[MNZ_CELLS_ALL];    /* bounds of the sum of each cell that is not blank */
    uint8_t least[MNZ_BLOCKS], most[MNZ_BLOCKS];        /* bounds of the count of each block */

    int changes;                                        /* of bounds, each of which narrows a count */
    mnz_count_change trail[MNZ_BITMAP_PIXELS_MAX];
    int16_t queue[MNZ_CELLS_ALL];                       /* cells whose blocks have changed */
    uint8_t queued[MNZ_CELLS_ALL];
    int head, waiting;
} mnz_counts;

void mnz_counts_begin_side(mnz_counts *n, int side);

/* Set the bounds of the sum of a cell that is not blank, if the largest sum is `most`. */
void mnz_counts_set_bounds(mnz_counts *n, int cell, int32_t most);

/* Set the counts of all blocks to what cells that are blank leave, and queue all others in some order. */
void mnz_counts_begin(mnz_counts *n, const int16_t *order, int cells);

/* Narrow the count of a block, and queue the cells that it belongs to. */
void mnz_counts_narrow(mnz_counts *n, int block, int least, int most);

/* Narrow counts until no cell excludes any more. Returns 0 if a cell is impossible. */
int mnz_counts_propagate(mnz_counts *n);

/* Undo all changes but the first ones. */
void mnz_counts_undo(mnz_counts *n, int changes);

/* The blocks of a cell whose counts are not settled, and what they may add up to. Counts are those above the least. */
typedef struct {
    int number, block[MNZ_BLOCKS_OF_CELL], free[MNZ_BLOCKS_OF_CELL];
    int32_t weight[MNZ_BLOCKS_OF_CELL], rest[MNZ_BLOCKS_OF_CELL + 1]; /* rest: what the blocks from one on add at most */
    int32_t low, high;
    int count[MNZ_BLOCKS_OF_CELL];
} mnz_open_blocks;

/* Those of a cell, given bounds of all counts. */
mnz_open_blocks mnz_open_blocks_of(const mnz_counts *n, int cell, const uint8_t *least, const uint8_t *most);

/* Visit all possible counts in lexicographic order. A visit that returns 1 ends it, and so does this. Visits may narrow low and high. */
typedef int (*mnz_visit_counts)(void *context, mnz_open_blocks *open, int32_t sum);
int mnz_enumerate_counts(mnz_open_blocks *open, mnz_visit_counts visit, void *context);

/* Row and column of a block of a cell among the strips: its middle, its sides, its corners. */
static const int8_t mnz_block_row[MNZ_BLOCKS_OF_CELL] = {1, 0, 1, 1, 2, 0, 0, 2, 2};
static const int8_t mnz_block_column[MNZ_BLOCKS_OF_CELL] = {1, 1, 0, 2, 1, 0, 2, 0, 2};

/* The number of a block of a cell. */
static inline int mnz_block_of(int cell, int k)
{
    return (2 * (cell / MNZ_CELLS) + mnz_block_row[k]) * MNZ_STRIPS + 2 * (cell % MNZ_CELLS) + mnz_block_column[k];
}

/* The weight of its pixels there. Those of all pixels of a cell sum to less than 1.01 * 2^WEIGHT_BITS, so 32 bits hold a sum and one more. */
static inline int32_t mnz_weight_of(const mnz_counts *n, int cell, int k)
{
    const int64_t product = n->share[cell / MNZ_CELLS][mnz_block_row[k]] * n->share[cell % MNZ_CELLS][mnz_block_column[k]];
    return (int32_t)(product >> (2 * MNZ_SHARE_BITS - MNZ_WEIGHT_BITS));
}

/* ---- Ink ---- */

/* Of the pixels of a square. */
typedef struct {
    int32_t score[MNZ_BITMAP_PIXELS_MAX];               /* how likely ink is */
    uint8_t square[MNZ_BITMAP_PIXELS_MAX];              /* ink */
} mnz_ink;

/* Guess the ink of a digit by its grey levels. */
void mnz_ink_guess(mnz_ink *ink, const mnz_counts *n);

/* The pixels of a block, those first that are most likely ink. Returns their number. */
int mnz_ink_rank(const mnz_ink *ink, const mnz_counts *n, int block, int16_t pixel[MNZ_BLOCK_MAX]);

/* Place the ink of all blocks, given their counts. */
void mnz_ink_place(mnz_ink *ink, const mnz_counts *n);

/* Cut the square along its shorter side. */
void mnz_ink_cut(const mnz_ink *ink, int side, mnz_bitmap *bitmap, uint8_t *out);

#endif
