/*
 * FORMAT.md, section 14: how MNIST's digits were made from black and white bitmaps.
 *
 * Each operation is rounded to float or double by a cast of its own, and no two are contracted to one. The result is then that of IEEE
 * 754, also where the compiler computes with more precision: to round twice is then harmless (Figueroa 1995), and tests compare all
 * covers.
 */
#include "bitmap.h"

#include <float.h>
#include <string.h>

#if !defined FLT_EVAL_METHOD || FLT_EVAL_METHOD < 0
#error "the precision of this compiler is not known"
#endif

enum { MIDDLE = 128 }; /* grey level that others are rounded towards */
static const double part = 0.99; /* of its size that a pixel covers */

static void add(mnz_cover *cover, int cell, int pixel, float share)
{
    if (!cover->count[cell]) cover->first[cell] = pixel;
    cover->share[cell][cover->count[cell]++] = share;
}

mnz_cover mnz_cover_of(int side)
{
    mnz_cover cover = {side, {0}, {0}, {{0}}};
    const float step = (float)((float)MNZ_CELLS / (float)side), middle = (float)side / 2;
    for (int pixel = 0; pixel < side; pixel++) {
        const float moved = (float)(step * (float)((float)pixel - middle));
        const float start = (float)((float)(MNZ_CELLS / 2) + moved);
        const double length = (double)(part * (double)step);
        const float end = (float)(double)((double)start + length);
        const int low = (int)start, high = (int)end;
        if (low == high) {
            add(&cover, low, pixel, step);
        } else {
            add(&cover, low, pixel, (float)((float)(low + 1) - start));
            add(&cover, high, pixel, (float)(end - (float)high));
        }
    }
    return cover;
}

int mnz_bitmap_valid(const mnz_bitmap *b)
{
    const int side = b->height > b->width ? b->height : b->width;
    return b->height > 0 && b->width > 0 && side >= MNZ_BITMAP_SIDE_MIN && side <= MNZ_BITMAP_SIDE_MAX &&
           b->shift >= MNZ_BITMAP_SHIFT_MIN && b->shift <= MNZ_BITMAP_SHIFT_MAX;
}

/* The shares of all cells that are ink: each sum goes through the pixels row by row. */
static void sum_shares(const mnz_cover *cover, const mnz_bitmap *b, const uint8_t *ink, float *total)
{
    const int tall = b->height == cover->side;
    const int top = (cover->side - b->height) / 2 + (tall ? 0 : b->shift);
    const int left = (cover->side - b->width) / 2 + (tall ? b->shift : 0);
    for (int cell = 0; cell < MNZ_CELLS_ALL; cell++) {
        const int row = cell / MNZ_CELLS, column = cell % MNZ_CELLS;
        float sum = 0;
        for (int k = 0; k < cover->count[row]; k++)
            for (int n = 0; n < cover->count[column]; n++) {
                const int y = cover->first[row] + k - top, x = cover->first[column] + n - left;
                const float area = (float)(cover->share[row][k] * cover->share[column][n]);
                if (y >= 0 && y < b->height && x >= 0 && x < b->width && ink[y * b->width + x]) sum = (float)(sum + area);
            }
        total[cell] = sum;
    }
}

void mnz_resample(const mnz_cover *cover, const mnz_bitmap *bitmap, const uint8_t *ink, uint8_t digit[MNZ_CELLS_ALL])
{
    float total[MNZ_CELLS_ALL], most = 0;
    sum_shares(cover, bitmap, ink, total);
    for (int cell = 0; cell < MNZ_CELLS_ALL; cell++)
        if (total[cell] > most) most = total[cell];
    if (most == 0) {
        memset(digit, 0, MNZ_CELLS_ALL);
        return;
    }
    const float scale = (float)(255 / most);
    for (int cell = 0; cell < MNZ_CELLS_ALL; cell++) {
        const float scaled = (float)(total[cell] * scale), grey = (float)(scaled - MIDDLE);
        digit[cell] = (uint8_t)((grey > 255 - MIDDLE ? 255 - MIDDLE : (int)grey) + MIDDLE);
    }
}

/* Of 20 numbers of ink, one for each row or column: where the digit begins. */
static int position(const int64_t *mass)
{
    int64_t all = 0, moment = 0;
    for (int k = 0; k < MNZ_CELLS; k++) all += mass[k], moment += (2 * k + 1) * mass[k];
    if (!all) return 0;
    const int64_t first = 30 * all - moment; /* not below 0 if it is at least one cell */
    return first < 0 ? 0 : first / (2 * all) > MNZ_TILE - MNZ_CELLS ? MNZ_TILE - MNZ_CELLS : (int)(first / (2 * all));
}

void mnz_position(const uint8_t digit[MNZ_CELLS_ALL], int *row, int *column)
{
    int64_t rows[MNZ_CELLS] = {0}, columns[MNZ_CELLS] = {0};
    for (int cell = 0; cell < MNZ_CELLS_ALL; cell++) {
        rows[cell / MNZ_CELLS] += digit[cell];
        columns[cell % MNZ_CELLS] += digit[cell];
    }
    *row = position(rows);
    *column = position(columns);
}

mnz_status mnz_digit_of(const mnz_bitmap *bitmap, const uint8_t *ink, uint8_t *x)
{
    if (!mnz_bitmap_valid(bitmap)) return MNZ_ERROR_ARGUMENT;
    const mnz_cover cover = mnz_cover_of(bitmap->height > bitmap->width ? bitmap->height : bitmap->width);
    uint8_t digit[MNZ_CELLS_ALL];
    int row, column;
    mnz_resample(&cover, bitmap, ink, digit);
    mnz_position(digit, &row, &column);
    memset(x, 0, MNZ_TILE_PIXELS);
    for (int k = 0; k < MNZ_CELLS; k++) memcpy(x + (row + k) * MNZ_TILE + column, digit + k * MNZ_CELLS, MNZ_CELLS);
    return MNZ_OK;
}
