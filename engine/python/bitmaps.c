/* The functions of the extension on bitmaps of digits and their streams. */
#include "binding.h"

#include <stdlib.h>

/* Whether a buffer has so many bitmaps: height, width and shift of each. */
static int has_bitmaps(const Py_buffer *buffer, size_t bitmaps)
{
    if ((uintptr_t)buffer->buf % sizeof(int32_t) == 0 && sizeof(mnz_bitmap) == 3 * sizeof(int32_t))
        return has(buffer, bitmaps, sizeof(mnz_bitmap));
    PyErr_SetString(PyExc_ValueError, "a buffer of bitmaps is not aligned");
    return 0;
}

/* The pixels of some bitmaps together; -1 and an error if a side is out of its range. */
static Py_ssize_t pixels_of(const mnz_bitmap *bitmap, size_t bitmaps)
{
    Py_ssize_t pixels = 0;
    for (size_t k = 0; k < bitmaps; k++) {
        const int height = bitmap[k].height, width = bitmap[k].width;
        if (height < 1 || width < 1 || height > MNZ_BITMAP_SIDE_MAX || width > MNZ_BITMAP_SIDE_MAX)
            return fail(MNZ_ERROR_ARGUMENT), -1;
        pixels += height * width;
    }
    return pixels;
}

PyObject *find_bitmaps(PyObject *module, PyObject *args)
{
    enum { DIGITS, BITMAPS, INK, ALL };
    Py_buffer b[ALL] = {0};
    block space = {NULL, NULL, 0};
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*w*w*", &b[DIGITS], &b[BITMAPS], &b[INK])) goto done;
    const size_t digits = (size_t)b[DIGITS].len / MNZ_TILE_PIXELS;
    if (!has(&b[DIGITS], digits, MNZ_TILE_PIXELS) || !has_bitmaps(&b[BITMAPS], digits) || !has(&b[INK], digits, MNZ_BITMAP_PIXELS_MAX))
        goto done;
    if (!allocate(&space, mnz_bitmap_workspace())) goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    for (size_t k = 0; k < digits && status == MNZ_OK; k++)
        status = mnz_find_bitmap((const uint8_t *)b[DIGITS].buf + k * MNZ_TILE_PIXELS, (mnz_bitmap *)b[BITMAPS].buf + k,
                                 (uint8_t *)b[INK].buf + k * MNZ_BITMAP_PIXELS_MAX, space.at, space.size);
    Py_END_ALLOW_THREADS
    result = none_or_error(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

PyObject *digits_of(PyObject *module, PyObject *args)
{
    enum { BITMAPS, INK, DIGITS, ALL };
    Py_buffer b[ALL] = {0};
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*w*", &b[BITMAPS], &b[INK], &b[DIGITS])) goto done;
    const size_t digits = (size_t)b[DIGITS].len / MNZ_TILE_PIXELS;
    if (!has(&b[DIGITS], digits, MNZ_TILE_PIXELS) || !has_bitmaps(&b[BITMAPS], digits)) goto done;
    const mnz_bitmap *bitmap = b[BITMAPS].buf;
    const Py_ssize_t pixels = pixels_of(bitmap, digits);
    if (pixels < 0 || !has(&b[INK], (size_t)pixels, 1)) goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    const uint8_t *ink = b[INK].buf;
    for (size_t k = 0; k < digits && status == MNZ_OK; ink += bitmap[k].height * bitmap[k].width, k++)
        status = mnz_digit_of(bitmap + k, ink, (uint8_t *)b[DIGITS].buf + k * MNZ_TILE_PIXELS);
    Py_END_ALLOW_THREADS
    result = none_or_error(status);
done:
    release(b, ALL);
    return result;
}

PyObject *bitmap_symbols(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { BITMAPS, INK, START, FREQ, ALL };
    Py_buffer b[ALL] = {0};
    block space = {NULL, NULL, 0};
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*y*w*w*", &b[BITMAPS], &b[INK], &b[START], &b[FREQ])) goto done;
    const size_t needed = mnz_bitmap_coding_workspace(model), bitmaps = (size_t)b[BITMAPS].len / sizeof(mnz_bitmap);
    if (!needed) {
        fail(MNZ_ERROR_KIND);
        goto done;
    }
    if (!has_bitmaps(&b[BITMAPS], bitmaps)) goto done;
    const mnz_bitmap *bitmap = b[BITMAPS].buf;
    const Py_ssize_t pixels = pixels_of(bitmap, bitmaps);
    if (pixels < 0) goto done;
    const size_t symbols = (size_t)pixels + MNZ_BITMAP_EXTENT_SYMBOLS * bitmaps;
    if (!has(&b[INK], (size_t)pixels, 1) || !has(&b[START], symbols, 2) || !has(&b[FREQ], symbols, 2)) goto done;
    if (!allocate(&space, needed)) goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    const uint8_t *ink = b[INK].buf;
    uint16_t *start = b[START].buf, *freq_less_one = b[FREQ].buf;
    for (size_t k = 0; k < bitmaps && status == MNZ_OK; k++) {
        const int of_bitmap = bitmap[k].height * bitmap[k].width;
        status = mnz_bitmap_symbols(model, bitmap + k, ink, start, freq_less_one, space.at, space.size);
        ink += of_bitmap, start += MNZ_BITMAP_EXTENT_SYMBOLS + of_bitmap, freq_less_one += MNZ_BITMAP_EXTENT_SYMBOLS + of_bitmap;
    }
    Py_END_ALLOW_THREADS
    result = none_or_error(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

PyObject *decode_bitmaps(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { COUNTS, BITMAPS, INK, POSSIBLE, FINALS, ALL };
    Py_buffer b[ALL] = {0};
    PyObject *sequence, *result = NULL;
    streams coded = {NULL, 0, NULL, NULL};
    block space = {NULL, NULL, 0};
    if (!PyArg_ParseTuple(args, "Oy*w*w*w*w*", &sequence, &b[COUNTS], &b[BITMAPS], &b[INK], &b[POSSIBLE], &b[FINALS])) goto done;
    if (!open_streams(&coded, sequence)) goto done;
    const size_t needed = mnz_bitmap_coding_workspace(model), bitmaps = (size_t)b[BITMAPS].len / sizeof(mnz_bitmap);
    const size_t streams = (size_t)coded.count;
    if (!needed) {
        fail(MNZ_ERROR_KIND);
        goto done;
    }
    if (!has(&b[COUNTS], streams, sizeof(int32_t)) || !has_bitmaps(&b[BITMAPS], bitmaps) ||
        !has(&b[INK], bitmaps, MNZ_BITMAP_PIXELS_MAX) || !has(&b[POSSIBLE], streams, 1) || !has(&b[FINALS], streams, sizeof(mnz_final)))
        goto done;
    const int32_t *count = b[COUNTS].buf;
    size_t left = bitmaps;
    for (size_t k = 0; k < streams; left -= (size_t)count[k++])
        if (count[k] < 0 || (size_t)count[k] > left) {
            fail(MNZ_ERROR_ARGUMENT);
            goto done;
        }
    if (left) {
        fail(MNZ_ERROR_ARGUMENT);
        goto done;
    }
    if (!allocate(&space, needed)) goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    mnz_bitmap *bitmap = b[BITMAPS].buf;
    uint8_t *ink = b[INK].buf;
    mnz_final *final = b[FINALS].buf;
    for (size_t k = 0; k < streams && status == MNZ_OK; k++) {
        int possible = 0;
        status = mnz_decode_bitmaps(model, coded.bytes[k], coded.sizes[k], count[k], bitmap, ink, &possible, &final[k], space.at,
                                    space.size);
        ((uint8_t *)b[POSSIBLE].buf)[k] = (uint8_t)possible;
        for (int32_t i = 0; status == MNZ_OK && i < count[k]; i++, bitmap++) ink += bitmap->height * bitmap->width;
    }
    Py_END_ALLOW_THREADS
    result = none_or_error(status);
done:
    free(space.raw);
    close_streams(&coded);
    release(b, ALL);
    return result;
}
