/* Where the ink of a bitmap lies within its blocks: guesses by grey levels, which are then made smooth. */
#include "bitmap.h"

#include <string.h>

enum {
    PASSES = 8,                     /* of smoothing */
    STRAIGHT = 2, DIAGONAL = 1      /* weights of neighbours */
};

/* ---- Guesses ---- */

/* The grey level of a cell, 0 beyond the digit. */
static int32_t grey_at(const mnz_counts *n, int row, int column)
{
    if (row < 0 || row >= MNZ_CELLS || column < 0 || column >= MNZ_CELLS) return 0;
    return n->digit[row * MNZ_CELLS + column];
}

/* The score is the grey level between the centres of four cells, in units of 1 / (2 side)^2, less the middle. Below 2^23. */
void mnz_ink_guess(mnz_ink *ink, const mnz_counts *n)
{
    const int side = n->cover.side, unit = 2 * side;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            const int v = (2 * y + 1) * MNZ_CELLS + side, u = (2 * x + 1) * MNZ_CELLS + side; /* from the centre of cell -1 */
            const int row = v / unit - 1, column = u / unit - 1, down = v % unit, right = u % unit;
            const int32_t above = (unit - right) * grey_at(n, row, column) + right * grey_at(n, row, column + 1);
            const int32_t below = (unit - right) * grey_at(n, row + 1, column) + right * grey_at(n, row + 1, column + 1);
            ink->score[y * side + x] = (unit - down) * above + down * below - unit * unit / 2 * 255;
        }
}

int mnz_ink_rank(const mnz_ink *ink, const mnz_counts *n, int block, int16_t pixel[MNZ_BLOCK_MAX])
{
    const int row = n->first[block / MNZ_STRIPS], column = n->first[block % MNZ_STRIPS];
    int number = 0;
    for (int y = row; y < row + n->lines[block / MNZ_STRIPS]; y++)
        for (int x = column; x < column + n->lines[block % MNZ_STRIPS]; x++) {
            const int at = y * n->cover.side + x;
            int k = number++;
            for (; k > 0 && ink->score[pixel[k - 1]] < ink->score[at]; k--) pixel[k] = pixel[k - 1];
            pixel[k] = (int16_t)at;
        }
    return number;
}

/* ---- Smoothing ---- */

/* The ink around a pixel. */
static int ink_around(const mnz_ink *ink, int side, int at)
{
    const int y = at / side, x = at % side;
    int sum = 0;
    for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < side; v++)
        for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < side; u++)
            if (ink->square[v * side + u] && (v != y || u != x)) sum += v == y || u == x ? STRAIGHT : DIAGONAL;
    return sum;
}

static int weight_between(int side, int one, int other)
{
    const int y = one / side - other / side, x = one % side - other % side;
    return y * y + x * x == 1 ? STRAIGHT : y * y + x * x == 2 ? DIAGONAL : 0;
}

/* Swap ink and white within a block where this lowers the number of unequal neighbours most. */
static int swap_one(mnz_ink *ink, const mnz_counts *n, int block)
{
    int16_t pixel[MNZ_BLOCK_MAX];
    int around[MNZ_BLOCK_MAX];
    const int side = n->cover.side, number = mnz_ink_rank(ink, n, block, pixel);
    int best = 0, black = 0, white = 0;
    for (int k = 0; k < number; k++) around[k] = ink_around(ink, side, pixel[k]);
    for (int i = 0; i < number; i++)
        for (int j = 0; j < number; j++) {
            if (!ink->square[pixel[i]] || ink->square[pixel[j]]) continue;
            const int gain = around[j] - around[i] - weight_between(side, pixel[i], pixel[j]);
            if (gain > best) best = gain, black = pixel[i], white = pixel[j];
        }
    if (best) ink->square[black] = 0, ink->square[white] = 1;
    return best > 0;
}

void mnz_ink_place(mnz_ink *ink, const mnz_counts *n)
{
    int16_t pixel[MNZ_BLOCK_MAX];
    memset(ink->square, 0, sizeof ink->square);
    for (int block = 0; block < MNZ_BLOCKS; block++) {
        if (n->least[block]) mnz_ink_rank(ink, n, block, pixel);
        for (int k = 0; k < n->least[block]; k++) ink->square[pixel[k]] = 1;
    }
    for (int pass = 0, swaps = 1; pass < PASSES && swaps; pass++) {
        swaps = 0;
        for (int block = 0; block < MNZ_BLOCKS; block++)
            if (n->least[block] && n->least[block] < n->pixels[block]) swaps += swap_one(ink, n, block);
    }
}

/* ---- Bitmaps ---- */

void mnz_ink_cut(const mnz_ink *ink, int side, mnz_bitmap *bitmap, uint8_t *out)
{
    int top = side - 1, bottom = 0, left = side - 1, right = 0;
    for (int at = 0; at < side * side; at++) {
        if (!ink->square[at]) continue;
        if (at / side < top) top = at / side;
        if (at / side > bottom) bottom = at / side;
        if (at % side < left) left = at % side;
        if (at % side > right) right = at % side;
    }
    if (bottom - top >= right - left) {
        top = 0, bottom = side - 1;
        bitmap->shift = left - (side - (right - left + 1)) / 2;
    } else {
        left = 0, right = side - 1;
        bitmap->shift = top - (side - (bottom - top + 1)) / 2;
    }
    bitmap->height = bottom - top + 1, bitmap->width = right - left + 1;
    for (int y = 0; y < bitmap->height; y++)
        memcpy(out + y * bitmap->width, ink->square + (top + y) * side + left, (size_t)bitmap->width);
}
