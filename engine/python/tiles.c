/* The functions of the extension on tiles of 28x28 and their streams. */
#include "binding.h"

#include <stdlib.h>

/* The sum of the tiles of streams, each 1 to 16; -1 and an error otherwise. */
static Py_ssize_t tiles_of(const Py_buffer *counts, Py_ssize_t streams)
{
    const int32_t *count = counts->buf;
    Py_ssize_t tiles = 0;
    if (!has(counts, (size_t)streams, sizeof *count)) return -1;
    for (Py_ssize_t k = 0; k < streams; k++) {
        if (count[k] < 1 || count[k] > MNZ_TILES_PER_STREAM) {
            fail(MNZ_ERROR_ARGUMENT);
            return -1;
        }
        tiles += count[k];
    }
    return tiles;
}

enum { X, INSIDE, QUALITY, Y, LIMIT, BUFFERS }; /* buffers of a call on tiles */

typedef enum { FIRST_LATENTS, REFINE, REFINE_TO_BUDGET, SYNTHESIZE } work;

/* The k-th item of a buffer; NULL of a buffer that the call does not have, as no offset may be added to its null pointer. */
static void *item(const Py_buffer *buffer, Py_ssize_t k, size_t size)
{
    return buffer->buf ? (uint8_t *)buffer->buf + (size_t)k * size : NULL;
}

/* Work on each of some tiles. */
static mnz_status each_tile(const mnz_model *model, work kind, Py_buffer *buffers, Py_ssize_t tiles, int effort, block *space)
{
    mnz_status status = MNZ_OK;
    for (Py_ssize_t k = 0; k < tiles && status == MNZ_OK; k++) {
        uint8_t *x = item(&buffers[X], k, MNZ_TILE_PIXELS);
        const uint8_t *inside = item(&buffers[INSIDE], k, MNZ_TILE_PIXELS);
        int8_t *y = item(&buffers[Y], k, MNZ_SYMBOLS);
        const int q = ((const uint8_t *)buffers[QUALITY].buf)[k];
        const int64_t *limit = item(&buffers[LIMIT], k, sizeof *limit);
        switch (kind) {
        case FIRST_LATENTS: status = mnz_first_latent(model, x, inside, q, y, space->at, space->size); break;
        case REFINE: status = mnz_refine(model, x, inside, q, effort, y, space->at, space->size); break;
        case REFINE_TO_BUDGET:
            status = mnz_refine_to_budget(model, x, inside, q, effort, *limit, y, space->at, space->size);
            break;
        case SYNTHESIZE: status = mnz_synthesize(model, y, q, x, space->at, space->size); break;
        }
    }
    return status;
}

static PyObject *on_tiles(PyObject *object, work kind, Py_buffer *buffers, int effort)
{
    const mnz_model *model = ((Model *)object)->model;
    const size_t tiles = (size_t)buffers[QUALITY].len;
    static const size_t sizes[BUFFERS] = {MNZ_TILE_PIXELS, MNZ_TILE_PIXELS, 1, MNZ_SYMBOLS, sizeof(int64_t)};
    block space = {NULL, NULL, 0};
    PyObject *result = NULL;
    for (int k = 0; k < BUFFERS; k++)
        if (buffers[k].obj && !has(&buffers[k], tiles, sizes[k])) goto done;
    const int search = kind == FIRST_LATENTS || kind == REFINE || kind == REFINE_TO_BUDGET;
    if (!allocate(&space, search ? mnz_search_workspace(model) : mnz_lossy_workspace(model))) goto done;
    mnz_status status;
    Py_BEGIN_ALLOW_THREADS
    status = each_tile(model, kind, buffers, (Py_ssize_t)tiles, effort, &space);
    Py_END_ALLOW_THREADS
    result = none_or_error(status);
done:
    free(space.raw);
    release(buffers, BUFFERS);
    return result;
}

PyObject *first_latents(PyObject *self, PyObject *args)
{
    Py_buffer b[BUFFERS] = {0};
    if (!PyArg_ParseTuple(args, "y*y*y*w*", &b[X], &b[INSIDE], &b[QUALITY], &b[Y])) return release(b, BUFFERS), NULL;
    return on_tiles(self, FIRST_LATENTS, b, 0);
}

PyObject *refine(PyObject *self, PyObject *args)
{
    Py_buffer b[BUFFERS] = {0};
    int effort;
    if (!PyArg_ParseTuple(args, "y*y*y*iw*", &b[X], &b[INSIDE], &b[QUALITY], &effort, &b[Y])) return release(b, BUFFERS), NULL;
    return on_tiles(self, REFINE, b, effort);
}

PyObject *refine_to_budget(PyObject *self, PyObject *args)
{
    Py_buffer b[BUFFERS] = {0};
    int effort;
    if (!PyArg_ParseTuple(args, "y*y*y*iy*w*", &b[X], &b[INSIDE], &b[QUALITY], &effort, &b[LIMIT], &b[Y]))
        return release(b, BUFFERS), NULL;
    return on_tiles(self, REFINE_TO_BUDGET, b, effort);
}

PyObject *synthesize(PyObject *self, PyObject *args)
{
    Py_buffer b[BUFFERS] = {0};
    if (!PyArg_ParseTuple(args, "y*y*w*", &b[Y], &b[QUALITY], &b[X])) return release(b, BUFFERS), NULL;
    return on_tiles(self, SYNTHESIZE, b, 0);
}

/* ---- Streams of latents ---- */

PyObject *latent_symbols(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { SYMBOLS, QUALITIES, START, FREQ, ALL };
    Py_buffer b[ALL] = {0};
    block space = {NULL, NULL, 0};
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*y*w*w*", &b[SYMBOLS], &b[QUALITIES], &b[START], &b[FREQ])) goto done;
    const size_t tiles = (size_t)b[QUALITIES].len, room = tiles * MNZ_SYMBOLS;
    if (!has(&b[SYMBOLS], room, 1) || !has(&b[START], room, 2) || !has(&b[FREQ], room, 2)) goto done;
    if (!allocate(&space, mnz_lossy_workspace(model))) goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    for (size_t k = 0; k < tiles && status == MNZ_OK; k++)
        status = mnz_latent_symbols(model, (const int8_t *)b[SYMBOLS].buf + k * MNZ_SYMBOLS, ((const uint8_t *)b[QUALITIES].buf)[k],
                                    (uint16_t *)b[START].buf + k * MNZ_SYMBOLS, (uint16_t *)b[FREQ].buf + k * MNZ_SYMBOLS, space.at,
                                    space.size);
    Py_END_ALLOW_THREADS
    result = none_or_error(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

PyObject *encode_latents(PyObject *module, PyObject *args)
{
    enum { START, FREQ, COUNTS, CHECKS, ALL };
    Py_buffer b[ALL] = {0};
    int check_bits, interleaved;
    block space = {NULL, NULL, 0};
    output out = {NULL, NULL, 0};
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*y*y*ip", &b[START], &b[FREQ], &b[COUNTS], &b[CHECKS], &check_bits, &interleaved)) goto done;
    const Py_ssize_t number = b[CHECKS].len / (Py_ssize_t)sizeof(uint32_t), tiles = tiles_of(&b[COUNTS], number);
    if (tiles < 0 || !has(&b[CHECKS], (size_t)number, sizeof(uint32_t)) || !has(&b[START], (size_t)tiles * MNZ_SYMBOLS, 2) ||
        !has(&b[FREQ], (size_t)tiles * MNZ_SYMBOLS, 2))
        goto done;
    if (!open_output(&out, (size_t)tiles * MNZ_SYMBOLS, number) ||
        !allocate(&space, (size_t)4 * MNZ_TILES_PER_STREAM * MNZ_SYMBOLS + 2 * MNZ_ALIGNMENT))
        goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    const int32_t *count = b[COUNTS].buf;
    const uint32_t *check = b[CHECKS].buf;
    size_t used = 0, size = 0, first = 0;
    for (Py_ssize_t k = 0; k < number && status == MNZ_OK; first += (size_t)count[k++] * MNZ_SYMBOLS) {
        status = mnz_encode_latents((const uint16_t *)b[START].buf + first, (const uint16_t *)b[FREQ].buf + first, count[k], interleaved,
                                    check[k], check_bits, out.bytes + used, out.capacity - used, &size, space.at, space.size);
        out.ends[k] = used += size;
    }
    Py_END_ALLOW_THREADS
    result = status == MNZ_OK ? list_of(&out, number) : fail(status);
done:
    free(space.raw);
    close_output(&out);
    release(b, ALL);
    return result;
}

PyObject *decode_latents(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { QUALITIES, COUNTS, SYMBOLS, FINALS, ALL };
    Py_buffer b[ALL] = {0};
    PyObject *sequence, *result = NULL;
    int interleaved;
    streams coded = {NULL, 0, NULL, NULL};
    block space = {NULL, NULL, 0};
    if (!PyArg_ParseTuple(args, "Oy*y*pw*w*", &sequence, &b[QUALITIES], &b[COUNTS], &interleaved, &b[SYMBOLS], &b[FINALS])) goto done;
    if (!open_streams(&coded, sequence)) goto done;
    const Py_ssize_t tiles = tiles_of(&b[COUNTS], coded.count);
    if (tiles < 0 || !has(&b[QUALITIES], (size_t)coded.count, 1) || !has(&b[SYMBOLS], (size_t)tiles, MNZ_SYMBOLS) ||
        !has(&b[FINALS], (size_t)coded.count, sizeof(mnz_final)) || !allocate(&space, mnz_lossy_workspace(model)))
        goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    int8_t *y = b[SYMBOLS].buf;
    const uint8_t *quality = b[QUALITIES].buf;
    const int32_t *count = b[COUNTS].buf;
    mnz_final *final = b[FINALS].buf;
    for (Py_ssize_t k = 0; k < coded.count && status == MNZ_OK; y += count[k++] * MNZ_SYMBOLS)
        status = mnz_decode_latents(model, coded.bytes[k], coded.sizes[k], quality[k], count[k], interleaved, y, &final[k], space.at,
                                    space.size);
    Py_END_ALLOW_THREADS
    result = none_or_error(status);
done:
    free(space.raw);
    close_streams(&coded);
    release(b, ALL);
    return result;
}

/* ---- Pixels ---- */

PyObject *pixel_symbols(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { GREY, COVERED, COUNTS, TURN, START, FREQ, ALL };
    Py_buffer b[ALL] = {0};
    PyObject *result = NULL;
    block space = {NULL, NULL, 0};
    int max_error;
    if (!PyArg_ParseTuple(args, "y*y*iw*w*w*w*", &b[GREY], &b[COVERED], &max_error, &b[COUNTS], &b[TURN], &b[START], &b[FREQ])) goto done;
    const size_t tiles = (size_t)b[COUNTS].len / sizeof(int32_t), room = tiles * MNZ_PIXEL_SYMBOLS_MAX;
    if (!has(&b[COUNTS], tiles, sizeof(int32_t)) || !has(&b[GREY], tiles, MNZ_TILE_PIXELS) || !has(&b[COVERED], tiles, MNZ_TILE_PIXELS) ||
        !has(&b[TURN], room, 2) || !has(&b[START], room, 2) || !has(&b[FREQ], room, 2))
        goto done;
    if (!allocate(&space, mnz_lossless_workspace(model, 1))) goto done;
    mnz_status status = MNZ_OK;
    size_t used = 0;
    Py_BEGIN_ALLOW_THREADS
    for (size_t k = 0; k < tiles && status == MNZ_OK; k++) {
        int symbols = 0;
        status = mnz_pixel_symbols(model, (const uint8_t *)b[GREY].buf + k * MNZ_TILE_PIXELS,
                                   (const uint8_t *)b[COVERED].buf + k * MNZ_TILE_PIXELS, max_error, &symbols, (int16_t *)b[TURN].buf + used,
                                   (uint16_t *)b[START].buf + used, (uint16_t *)b[FREQ].buf + used, space.at, space.size);
        ((int32_t *)b[COUNTS].buf)[k] = symbols;
        used += (size_t)symbols;
    }
    Py_END_ALLOW_THREADS
    result = status == MNZ_OK ? PyLong_FromSize_t(used) : fail(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

PyObject *encode_pixels(PyObject *module, PyObject *args)
{
    enum { SYMBOLS, TURN, START, FREQ, COUNTS, CHECKS, ALL };
    Py_buffer b[ALL] = {0};
    PyObject *result = NULL;
    block space = {NULL, NULL, 0};
    output out = {NULL, NULL, 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*", &b[SYMBOLS], &b[TURN], &b[START], &b[FREQ], &b[COUNTS], &b[CHECKS])) goto done;
    const Py_ssize_t number = b[CHECKS].len / (Py_ssize_t)sizeof(uint32_t), tiles = tiles_of(&b[COUNTS], number);
    const int32_t *of_tile = b[SYMBOLS].buf;
    size_t symbols = 0;
    if (tiles < 0 || !has(&b[CHECKS], (size_t)number, sizeof(uint32_t)) || !has(&b[SYMBOLS], (size_t)tiles, sizeof *of_tile)) goto done;
    for (Py_ssize_t k = 0; k < tiles; k++) {
        if (of_tile[k] < 0 || of_tile[k] > MNZ_PIXEL_SYMBOLS_MAX) {
            fail(MNZ_ERROR_ARGUMENT);
            goto done;
        }
        symbols += (size_t)of_tile[k];
    }
    if (!has(&b[TURN], symbols, 2) || !has(&b[START], symbols, 2) || !has(&b[FREQ], symbols, 2)) goto done;
    if (!open_output(&out, symbols, number) ||
        !allocate(&space, (size_t)4 * MNZ_TILES_PER_STREAM * MNZ_PIXEL_SYMBOLS_MAX + 2 * MNZ_ALIGNMENT))
        goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    const int32_t *count = b[COUNTS].buf;
    const uint32_t *check = b[CHECKS].buf;
    size_t used = 0, size = 0, first = 0;
    for (Py_ssize_t k = 0; k < number && status == MNZ_OK; k++) {
        status = mnz_encode_pixels(of_tile, count[k], (const int16_t *)b[TURN].buf + first, (const uint16_t *)b[START].buf + first,
                                   (const uint16_t *)b[FREQ].buf + first, check[k], out.bytes + used, out.capacity - used, &size, space.at,
                                   space.size);
        out.ends[k] = used += size;
        for (int t = 0; t < count[k]; t++) first += (size_t)*of_tile++;
    }
    Py_END_ALLOW_THREADS
    result = status == MNZ_OK ? list_of(&out, number) : fail(status);
done:
    free(space.raw);
    close_output(&out);
    release(b, ALL);
    return result;
}

PyObject *decode_pixels(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { COVERED, COUNTS, GREY, POSSIBLE, FINALS, ALL };
    Py_buffer b[ALL] = {0};
    PyObject *sequence, *result = NULL;
    int max_error, preview;
    streams coded = {NULL, 0, NULL, NULL};
    block space = {NULL, NULL, 0};
    if (!PyArg_ParseTuple(args, "Oy*y*ipw*w*w*", &sequence, &b[COVERED], &b[COUNTS], &max_error, &preview, &b[GREY], &b[POSSIBLE], &b[FINALS]))
        goto done;
    if (!open_streams(&coded, sequence)) goto done;
    const Py_ssize_t tiles = tiles_of(&b[COUNTS], coded.count);
    if (tiles < 0 || !has(&b[COVERED], (size_t)tiles, MNZ_TILE_PIXELS) || !has(&b[GREY], (size_t)tiles, MNZ_TILE_PIXELS) ||
        !has(&b[POSSIBLE], (size_t)tiles, 1) || !has(&b[FINALS], (size_t)coded.count, sizeof(mnz_final)))
        goto done;
    const int32_t *count = b[COUNTS].buf;
    int most = 1;
    for (Py_ssize_t k = 0; k < coded.count; k++) most = count[k] > most ? count[k] : most;
    if (!allocate(&space, mnz_lossless_workspace(model, most))) goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    mnz_final *final = b[FINALS].buf;
    Py_ssize_t first = 0;
    for (Py_ssize_t k = 0; k < coded.count && status == MNZ_OK; first += count[k++])
        status = mnz_decode_pixels(model, coded.bytes[k], coded.sizes[k], (const uint8_t *)b[COVERED].buf + first * MNZ_TILE_PIXELS,
                                   count[k], max_error, preview, (uint8_t *)b[GREY].buf + first * MNZ_TILE_PIXELS,
                                   (uint8_t *)b[POSSIBLE].buf + first, &final[k], space.at, space.size);
    Py_END_ALLOW_THREADS
    result = none_or_error(status);
done:
    free(space.raw);
    close_streams(&coded);
    release(b, ALL);
    return result;
}
