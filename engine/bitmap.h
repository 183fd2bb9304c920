/* What the files of bitmaps share: how MNIST's digits were made from black and white bitmaps (FORMAT.md, section 14). */
#ifndef MNZ_BITMAP_H
#define MNZ_BITMAP_H

#include "mnistzip.h"

enum {
    MNZ_CELLS = 20,                                     /* of a digit, along each side */
    MNZ_CELLS_ALL = MNZ_CELLS * MNZ_CELLS,
    MNZ_CELL_MAX = MNZ_BITMAP_SIDE_MAX / MNZ_CELLS + 2  /* pixels of a line that a cell covers, at most */
};

/* What 20 cells in a line cover of `side` pixels: the first pixel of each cell, their number, and the share of the cell that each
   covers. */
typedef struct {
    int side;
    int first[MNZ_CELLS], count[MNZ_CELLS];
    float share[MNZ_CELLS][MNZ_CELL_MAX];
} mnz_cover;

mnz_cover mnz_cover_of(int side);

/* Whether a digit can be made of such a bitmap. */
int mnz_bitmap_valid(const mnz_bitmap *bitmap);

/* The digit that MNIST would have made of a bitmap, before it is put into 28 x 28 pixels. */
void mnz_resample(const mnz_cover *cover, const mnz_bitmap *bitmap, const uint8_t *ink, uint8_t digit[MNZ_CELLS_ALL]);

/* Row and column of a digit in 28 x 28 pixels, so that its centre of mass is in the middle. */
void mnz_position(const uint8_t digit[MNZ_CELLS_ALL], int *row, int *column);

#endif
