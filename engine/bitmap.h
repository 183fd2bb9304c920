/* What the files of bitmaps share (FORMAT.md, section 14): how MNIST's digits were made from them, and how a model codes them. */
#ifndef MNZ_BITMAP_H
#define MNZ_BITMAP_H

#include "reader.h"

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

/* ---- Models ---- */

/* All behind the first record. reach: room for MNZ_SEEN_ALL * MNZ_WIDTH_MAX numbers, which stay with the model. */
void mnz_read_bitmap_net(mnz_reader *r, mnz_bitmap_net *net, int32_t *reach, int64_t *sums);

#endif
