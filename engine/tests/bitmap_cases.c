/* The cases of models of the kind bitmap. */
#include "cases.h"

#include <stdlib.h>
#include <string.h>

enum { STREAM = 64 }; /* random bytes that are decoded */

/* Parameters: height, width, shift. A workspace that is too small or not aligned is refused. */
static int run_symbols(const mnz_model *model, const test_case *c)
{
    const int32_t *p = c->head.parameter;
    const mnz_bitmap bitmap = {p[0], p[1], p[2]};
    const size_t size = (MNZ_BITMAP_EXTENT_SYMBOLS + (size_t)p[0] * (size_t)p[1]) * sizeof(uint16_t);
    const size_t needed = mnz_bitmap_coding_workspace(model);
    memory space = allocate(needed);
    uint16_t *start = take(size), *freq = take(size);
    int passed = mnz_bitmap_symbols(model, &bitmap, c->array[0], start, freq, space.at, needed) == MNZ_OK;
    passed = passed && same(c, 1, start, size) && same(c, 2, freq, size);
    passed = passed && mnz_bitmap_symbols(model, &bitmap, c->array[0], start, freq, space.at, needed - 1) == MNZ_ERROR_MEMORY;
    passed = passed && mnz_bitmap_symbols(model, &bitmap, c->array[0], start, freq, NULL, needed) == MNZ_ERROR_MEMORY;
    passed = passed && mnz_bitmap_symbols(model, &bitmap, c->array[0], start, freq, space.at + 4, needed) == MNZ_ERROR_MEMORY;
    give(start);
    give(freq);
    give(space.at);
    return passed;
}

/* Parameters: bitmaps, status, whether they are possible. Arrays: stream, and if all is well sizes and shifts, ink, digits and end. */
static int run_decode(const mnz_model *model, const test_case *c)
{
    const int32_t *p = c->head.parameter;
    const size_t count = (size_t)p[0];
    memory space = allocate(mnz_bitmap_coding_workspace(model));
    mnz_bitmap *bitmap = take(count * sizeof *bitmap);
    uint8_t *ink = take(count * MNZ_BITMAP_PIXELS_MAX), *x = take(count * MNZ_TILE_PIXELS);
    mnz_final final = {0, 0}, of_digits = {0, 0};
    int possible = -1, possible_digits = -1;
    const mnz_status status =
        mnz_decode_bitmaps(model, c->array[0], c->size[0], p[0], bitmap, ink, &possible, &final, space.at, space.size);
    int passed = (int32_t)status == p[1];
    passed = passed && mnz_decode_digits(model, c->array[0], c->size[0], p[0], x, &possible_digits, &of_digits, space.at, space.size) == status;
    if (status == MNZ_OK && passed) {
        size_t pixels = 0;
        for (size_t k = 0; k < count; k++) pixels += (size_t)bitmap[k].height * (size_t)bitmap[k].width;
        passed = possible == p[2] && possible_digits == p[2] && same(c, 1, bitmap, count * sizeof *bitmap) && same(c, 2, ink, pixels) &&
                 same(c, 3, x, count * MNZ_TILE_PIXELS) && same_final(c, 4, final, MNZ_CHECK_BITS_MIN) &&
                 same_final(c, 4, of_digits, MNZ_CHECK_BITS_MIN);
    }
    give(x);
    give(ink);
    give(bitmap);
    give(space.at);
    return passed;
}

int run_bitmap(const mnz_model *model, const test_case *c)
{
    return c->head.kind == BITMAP_SYMBOLS ? run_symbols(model, c) : run_decode(model, c);
}

/* Decode a bitmap, and compute its intervals. */
void use_bitmaps(const mnz_model *model, uint64_t *seed)
{
    memory space = allocate(mnz_bitmap_coding_workspace(model));
    const size_t most = (MNZ_BITMAP_EXTENT_SYMBOLS + MNZ_BITMAP_PIXELS_MAX) * sizeof(uint16_t);
    uint8_t *stream = take(STREAM), *ink = take(MNZ_BITMAP_PIXELS_MAX), *x = take(MNZ_TILE_PIXELS);
    uint16_t *start = take(most), *freq = take(most);
    mnz_bitmap bitmap;
    mnz_final final;
    int possible;
    for (int k = 0; k < STREAM; k++) stream[k] = (uint8_t)(1 + pick(seed, 255));
    if (mnz_decode_bitmaps(model, stream, STREAM, 1, &bitmap, ink, &possible, &final, space.at, space.size) ||
        mnz_bitmap_symbols(model, &bitmap, ink, start, freq, space.at, space.size) ||
        mnz_decode_digits(model, stream, STREAM, 1, x, &possible, &final, space.at, space.size))
        stop("a model that loads does not code bitmaps");
    give(stream);
    give(x);
    give(start);
    give(freq);
    give(ink);
    give(space.at);
}
