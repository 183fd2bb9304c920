/* The Python module mnistzip._engine: the functions of mnistzip.h on buffers, for many tiles or streams at once.
 *
 * The only type is Model. Its methods release the lock of the interpreter, and allocate the workspace of the call.
 * setup.py defines Py_LIMITED_API, except for free-threaded Python.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mnistzip.h"

/* The version of the functions below. It changes whenever their arguments or results change. */
#define ENGINE_ABI "6"

/* ---- Memory and errors ---- */

/* Aligned memory, and the pointer that frees it. */
typedef struct {
    void *raw, *at;
    size_t size;
} block;

static int allocate(block *memory, size_t size)
{
    memory->size = size;
    memory->raw = malloc(size + MNZ_ALIGNMENT);
    memory->at = memory->raw ? (void *)(((uintptr_t)memory->raw + MNZ_ALIGNMENT - 1) / MNZ_ALIGNMENT * MNZ_ALIGNMENT) : NULL;
    if (!memory->raw) PyErr_NoMemory();
    return memory->raw != NULL;
}

static PyObject *raise(mnz_status status)
{
    PyErr_SetString(PyExc_ValueError, mnz_status_text(status));
    return NULL;
}

/* Whether a buffer has so many items of a size. Numbers of several bytes must be aligned. */
static int has(const Py_buffer *buffer, size_t items, size_t size)
{
    if (size <= sizeof(int64_t) && (uintptr_t)buffer->buf % size) {
        PyErr_Format(PyExc_ValueError, "a buffer of items of %zu bytes is not aligned", size);
        return 0;
    }
    if (items <= (size_t)PY_SSIZE_T_MAX / size && (size_t)buffer->len == items * size) return 1;
    PyErr_Format(PyExc_ValueError, "a buffer has %zd bytes, not %zu items of %zu", buffer->len, items, size);
    return 0;
}

static void release(Py_buffer *buffers, int count)
{
    for (int k = 0; k < count; k++)
        if (buffers[k].obj) PyBuffer_Release(&buffers[k]);
}

/* Room for the bytes of streams, one behind the other, and where each ends. */
typedef struct {
    uint8_t *bytes;
    size_t *ends, capacity;
} output;

static int open_output(output *out, size_t symbols, Py_ssize_t streams)
{
    out->capacity = 2 * symbols + 4 * (size_t)streams + 1; /* mnz_stream_bound of each */
    out->bytes = malloc(out->capacity);
    out->ends = malloc((size_t)(streams + 1) * sizeof *out->ends);
    if (!out->bytes || !out->ends) PyErr_NoMemory();
    return out->bytes && out->ends;
}

static void close_output(output *out)
{
    free(out->bytes);
    free(out->ends);
}

/* The list of the streams. */
static PyObject *list_of(const output *out, Py_ssize_t streams)
{
    PyObject *list = PyList_New(streams);
    size_t start = 0;
    for (Py_ssize_t k = 0; list && k < streams; start = out->ends[k++]) {
        PyObject *part = PyBytes_FromStringAndSize((const char *)out->bytes + start, (Py_ssize_t)(out->ends[k] - start));
        if (!part || PyList_SetItem(list, k, part)) Py_CLEAR(list);
    }
    return list;
}

/* The bytes objects of a sequence. They stay alive as long as the sequence. */
typedef struct {
    PyObject *sequence;
    Py_ssize_t count;
    const uint8_t **bytes;
    size_t *sizes;
} streams;

static void close_streams(streams *s)
{
    free((void *)s->bytes);
    free(s->sizes);
    Py_XDECREF(s->sequence);
}

/* The caller closes them also if this fails. */
static int open_streams(streams *s, PyObject *sequence)
{
    memset(s, 0, sizeof *s);
    s->sequence = PySequence_Tuple(sequence);
    if (!s->sequence) return 0;
    s->count = PyTuple_Size(s->sequence);
    s->bytes = malloc((size_t)(s->count + 1) * sizeof *s->bytes);
    s->sizes = malloc((size_t)(s->count + 1) * sizeof *s->sizes);
    if (!s->bytes || !s->sizes) {
        PyErr_NoMemory();
        return 0;
    }
    for (Py_ssize_t k = 0; k < s->count; k++) {
        char *bytes;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(s->sequence, k), &bytes, &size)) return 0;
        s->bytes[k] = (const uint8_t *)bytes;
        s->sizes[k] = (size_t)size;
    }
    return 1;
}

/* The sum of the tiles of streams, each 1 to 16; -1 and an error otherwise. */
static Py_ssize_t tiles_of(const Py_buffer *counts, Py_ssize_t streams)
{
    const int32_t *count = counts->buf;
    Py_ssize_t tiles = 0;
    if (!has(counts, (size_t)streams, sizeof *count)) return -1;
    for (Py_ssize_t k = 0; k < streams; k++) {
        if (count[k] < 1 || count[k] > MNZ_TILES_PER_STREAM) {
            raise(MNZ_ERROR_ARGUMENT);
            return -1;
        }
        tiles += count[k];
    }
    return tiles;
}

/* ---- Model ---- */

typedef struct {
    PyObject_HEAD
    Py_buffer source; /* the prepared model as it was given, unless it was copied */
    block prepared, memory;
    mnz_model *model;
} Model;

/* A prepared model stays where it is, if it is aligned and cannot be written; otherwise it is copied. */
static int hold_prepared(Model *self)
{
    const Py_buffer *source = &self->source;
    if (source->readonly && (uintptr_t)source->buf % MNZ_ALIGNMENT == 0) {
        self->prepared = (block){NULL, source->buf, (size_t)source->len};
        return 1;
    }
    if (!allocate(&self->prepared, (size_t)source->len)) return 0;
    memcpy(self->prepared.at, source->buf, (size_t)source->len);
    PyBuffer_Release(&self->source);
    return 1;
}

static PyObject *model_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    const char *instructions = NULL;
    static char *names[] = {"prepared", "instructions", NULL};
    allocfunc create = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Model *self = (Model *)create(type, 0);
    if (!self) return NULL;
    if (PyArg_ParseTupleAndKeywords(args, kwargs, "y*|z", names, &self->source, &instructions) && hold_prepared(self)) {
        size_t size = mnz_model_memory(self->prepared.at, self->prepared.size);
        mnz_status status = size ? MNZ_OK : MNZ_ERROR_MODEL;
        if (status == MNZ_OK && allocate(&self->memory, size)) {
            Py_BEGIN_ALLOW_THREADS
            status = mnz_model_load(self->prepared.at, self->prepared.size, instructions, self->memory.at, size, &self->model);
            Py_END_ALLOW_THREADS
        }
        if (status != MNZ_OK) raise(status);
    }
    if (PyErr_Occurred()) Py_CLEAR(self);
    return (PyObject *)self;
}

static void model_dealloc(PyObject *object)
{
    Model *self = (Model *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyBuffer_Release(&self->source);
    free(self->prepared.raw);
    free(self->memory.raw);
    freefunc release_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release_object(object);
    Py_DECREF(type);
}

static PyObject *model_instructions(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyUnicode_FromString(mnz_model_instructions(((Model *)self)->model));
}

/* ---- Latents ---- */

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
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    release(buffers, BUFFERS);
    return result;
}

static PyObject *first_latents(PyObject *self, PyObject *args)
{
    Py_buffer b[BUFFERS] = {0};
    if (!PyArg_ParseTuple(args, "y*y*y*w*", &b[X], &b[INSIDE], &b[QUALITY], &b[Y])) return release(b, BUFFERS), NULL;
    return on_tiles(self, FIRST_LATENTS, b, 0);
}

static PyObject *refine(PyObject *self, PyObject *args)
{
    Py_buffer b[BUFFERS] = {0};
    int effort;
    if (!PyArg_ParseTuple(args, "y*y*y*iw*", &b[X], &b[INSIDE], &b[QUALITY], &effort, &b[Y])) return release(b, BUFFERS), NULL;
    return on_tiles(self, REFINE, b, effort);
}

static PyObject *refine_to_budget(PyObject *self, PyObject *args)
{
    Py_buffer b[BUFFERS] = {0};
    int effort;
    if (!PyArg_ParseTuple(args, "y*y*y*iy*w*", &b[X], &b[INSIDE], &b[QUALITY], &effort, &b[LIMIT], &b[Y]))
        return release(b, BUFFERS), NULL;
    return on_tiles(self, REFINE_TO_BUDGET, b, effort);
}

static PyObject *synthesize(PyObject *self, PyObject *args)
{
    Py_buffer b[BUFFERS] = {0};
    if (!PyArg_ParseTuple(args, "y*y*w*", &b[Y], &b[QUALITY], &b[X])) return release(b, BUFFERS), NULL;
    return on_tiles(self, SYNTHESIZE, b, 0);
}

/* ---- Streams of latents ---- */

static PyObject *latent_symbols(PyObject *object, PyObject *args)
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
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

static PyObject *encode_latents(PyObject *module, PyObject *args)
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
    result = status == MNZ_OK ? list_of(&out, number) : raise(status);
done:
    free(space.raw);
    close_output(&out);
    release(b, ALL);
    return result;
}

static PyObject *decode_latents(PyObject *object, PyObject *args)
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
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    close_streams(&coded);
    release(b, ALL);
    return result;
}

/* ---- Pixels ---- */

static PyObject *pixel_symbols(PyObject *object, PyObject *args)
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
    result = status == MNZ_OK ? PyLong_FromSize_t(used) : raise(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

static PyObject *encode_pixels(PyObject *module, PyObject *args)
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
            raise(MNZ_ERROR_ARGUMENT);
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
    result = status == MNZ_OK ? list_of(&out, number) : raise(status);
done:
    free(space.raw);
    close_output(&out);
    release(b, ALL);
    return result;
}

static PyObject *decode_pixels(PyObject *object, PyObject *args)
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
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    close_streams(&coded);
    release(b, ALL);
    return result;
}

/* ---- Whole images ---- */

/* Rows or columns of the latent of an image of so many pixels. */
static int positions_of(int pixels)
{
    return pixels < 1 ? 0 : (pixels - 1) / 4 + 1;
}

/* The workspace of a latent, or an error. */
static int allocate_grey(block *space, const mnz_model *model, int rows, int columns)
{
    const size_t size = mnz_grey_workspace(model, rows, columns);
    if (!size) raise(mnz_model_is_grey(model) ? MNZ_ERROR_ARGUMENT : MNZ_ERROR_KIND);
    return size && allocate(space, size);
}

/* Whether a buffer has so many items of some bytes each, of any alignment. */
static int has_bytes(const Py_buffer *buffer, size_t items, size_t bytes)
{
    if (bytes && items > (size_t)PY_SSIZE_T_MAX / bytes) {
        raise(MNZ_ERROR_ARGUMENT);
        return 0;
    }
    return has(buffer, items * bytes, 1);
}

/* Analysis of some images, from x to y, or synthesis, from y to x. */
static PyObject *on_images(PyObject *object, PyObject *args, int synthesis)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { PIXELS, SYMBOLS, ALL };
    Py_buffer b[ALL] = {0};
    block space = {NULL, NULL, 0};
    PyObject *result = NULL;
    int images, height, width, quality;
    if (!PyArg_ParseTuple(args, "y*iiiiw*", &b[synthesis ? SYMBOLS : PIXELS], &images, &height, &width, &quality,
                          &b[synthesis ? PIXELS : SYMBOLS]))
        goto done;
    const int rows = positions_of(height), columns = positions_of(width);
    if (!allocate_grey(&space, model, rows, columns)) goto done;
    const size_t count = (size_t)(images < 0 ? 0 : images), pixels = (size_t)height * (size_t)width;
    const size_t symbols = (size_t)rows * (size_t)columns * MNZ_GREY_CHANNELS;
    if (images < 0) {
        raise(MNZ_ERROR_ARGUMENT);
        goto done;
    }
    if (!has_bytes(&b[PIXELS], count, pixels) || !has_bytes(&b[SYMBOLS], count, symbols)) goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    uint8_t *x = b[PIXELS].buf;
    int8_t *y = b[SYMBOLS].buf;
    for (size_t k = 0; k < count && status == MNZ_OK; k++, x += pixels, y += symbols)
        status = synthesis ? mnz_synthesize_image(model, y, height, width, quality, x, space.at, space.size)
                           : mnz_analyse_image(model, x, height, width, quality, y, space.at, space.size);
    Py_END_ALLOW_THREADS
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

static PyObject *analyse_images(PyObject *self, PyObject *args)
{
    return on_images(self, args, 0);
}

static PyObject *synthesize_images(PyObject *self, PyObject *args)
{
    return on_images(self, args, 1);
}

static PyObject *refine_image(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { PIXELS, SYMBOLS, ALL };
    Py_buffer b[ALL] = {0};
    block space = {NULL, NULL, 0};
    PyObject *result = NULL;
    int height, width, quality, effort, lmbda;
    if (!PyArg_ParseTuple(args, "y*iiiiiw*", &b[PIXELS], &height, &width, &quality, &effort, &lmbda, &b[SYMBOLS])) goto done;
    const int rows = positions_of(height), columns = positions_of(width);
    const size_t searched = mnz_image_search_workspace(model, rows, columns);
    if (searched ? !allocate(&space, searched) : !allocate_grey(&space, model, rows, columns)) goto done;
    if (!has_bytes(&b[PIXELS], (size_t)height, (size_t)width) || !has_bytes(&b[SYMBOLS], (size_t)rows * (size_t)columns, MNZ_GREY_CHANNELS))
        goto done;
    mnz_status status;
    Py_BEGIN_ALLOW_THREADS
    status = mnz_refine_image(model, b[PIXELS].buf, height, width, quality, effort, lmbda, b[SYMBOLS].buf, space.at, space.size);
    Py_END_ALLOW_THREADS
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

static PyObject *grey_symbols(PyObject *object, PyObject *args)
{
    int rows, columns, quality;
    if (!PyArg_ParseTuple(args, "iii", &rows, &columns, &quality)) return NULL;
    return PyLong_FromSize_t(mnz_grey_symbols(((Model *)object)->model, rows, columns, quality));
}

static PyObject *image_symbols(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { SYMBOLS, START, FREQ, ALL };
    Py_buffer b[ALL] = {0};
    block space = {NULL, NULL, 0};
    PyObject *result = NULL;
    int images, rows, columns, quality;
    if (!PyArg_ParseTuple(args, "y*iiiiw*w*", &b[SYMBOLS], &images, &rows, &columns, &quality, &b[START], &b[FREQ])) goto done;
    if (!allocate_grey(&space, model, rows, columns)) goto done;
    if (images < 0 || quality < 0 || quality >= MNZ_QUALITIES) {
        raise(MNZ_ERROR_ARGUMENT);
        goto done;
    }
    const size_t symbols = (size_t)rows * (size_t)columns * MNZ_GREY_CHANNELS, coded = mnz_grey_symbols(model, rows, columns, quality);
    if (coded && (size_t)images > (size_t)PY_SSIZE_T_MAX / coded) {
        raise(MNZ_ERROR_ARGUMENT);
        goto done;
    }
    if (!has_bytes(&b[SYMBOLS], (size_t)images, symbols) || !has(&b[START], (size_t)images * coded, 2) ||
        !has(&b[FREQ], (size_t)images * coded, 2))
        goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    for (size_t k = 0; k < (size_t)images && status == MNZ_OK; k++)
        status = mnz_image_symbols(model, (const int8_t *)b[SYMBOLS].buf + k * symbols, rows, columns, quality,
                                   (uint16_t *)b[START].buf + k * coded, (uint16_t *)b[FREQ].buf + k * coded, space.at, space.size);
    Py_END_ALLOW_THREADS
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

static PyObject *encode_streams(PyObject *module, PyObject *args)
{
    enum { START, FREQ, COUNTS, CHECKS, ALL };
    Py_buffer b[ALL] = {0};
    int check_bits;
    output out = {NULL, NULL, 0};
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*y*y*i", &b[START], &b[FREQ], &b[COUNTS], &b[CHECKS], &check_bits)) goto done;
    const Py_ssize_t number = b[CHECKS].len / (Py_ssize_t)sizeof(uint32_t);
    const size_t room = (size_t)b[START].len / sizeof(uint16_t);
    const int64_t *count = b[COUNTS].buf;
    size_t symbols = 0;
    if (!has(&b[CHECKS], (size_t)number, sizeof(uint32_t)) || !has(&b[COUNTS], (size_t)number, sizeof *count) ||
        !has(&b[START], room, 2) || !has(&b[FREQ], room, 2))
        goto done;
    for (Py_ssize_t k = 0; k < number; k++) {
        if (count[k] < 0 || (uint64_t)count[k] > room - symbols) {
            raise(MNZ_ERROR_ARGUMENT);
            goto done;
        }
        symbols += (size_t)count[k];
    }
    if (symbols != room) {
        raise(MNZ_ERROR_ARGUMENT);
        goto done;
    }
    if (!open_output(&out, symbols, number)) goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    const uint32_t *check = b[CHECKS].buf;
    size_t used = 0, size = 0, first = 0;
    for (Py_ssize_t k = 0; k < number && status == MNZ_OK; first += (size_t)count[k++]) {
        status = mnz_encode_intervals((const uint16_t *)b[START].buf + first, (const uint16_t *)b[FREQ].buf + first, (size_t)count[k],
                                      check[k], check_bits, out.bytes + used, out.capacity - used, &size);
        out.ends[k] = used += size;
    }
    Py_END_ALLOW_THREADS
    result = status == MNZ_OK ? list_of(&out, number) : raise(status);
done:
    close_output(&out);
    release(b, ALL);
    return result;
}

/* Bytes of workspace for a size; 0 if it is out of range. */
typedef size_t (*workspace_of)(const mnz_model *model, int rows, int columns);

/* Why it is 0 for all sizes. */
static mnz_status status_of(const mnz_model *model)
{
    return mnz_model_is_grey(model) ? MNZ_ERROR_NO_PIXEL_MODEL : MNZ_ERROR_KIND;
}

/* The sum of the symbols of all streams, given those of a position, and the workspace of the image that needs most; -1 and an error if
   sizes are not valid. */
static Py_ssize_t read_shapes(const mnz_model *model, workspace_of workspace, size_t channels, const Py_buffer *counts,
                              const Py_buffer *shapes, Py_ssize_t number, size_t *most)
{
    const int32_t *count = counts->buf, *shape = shapes->buf;
    size_t images = 0, largest = workspace(model, 1, 1), symbols = 0;
    const size_t room = (size_t)shapes->len / (2 * sizeof *shape);
    if (!has(counts, (size_t)number, sizeof *count) || !has(shapes, 2 * room, sizeof *shape)) return -1;
    for (Py_ssize_t k = 0; k < number; k++) {
        if (count[k] < 0 || (size_t)count[k] > room - images) return raise(MNZ_ERROR_ARGUMENT), -1;
        images += (size_t)count[k];
    }
    if (images != room) return raise(MNZ_ERROR_ARGUMENT), -1;
    if (!largest) return raise(status_of(model)), -1;
    for (size_t k = 0; k < images; k++, shape += 2) {
        const size_t needed = workspace(model, shape[0], shape[1]);
        if (!needed) return raise(MNZ_ERROR_ARGUMENT), -1;
        const size_t of_image = (size_t)shape[0] * (size_t)shape[1] * channels;
        if (of_image > (size_t)PY_SSIZE_T_MAX - symbols) return raise(MNZ_ERROR_ARGUMENT), -1;
        symbols += of_image;
        largest = needed > largest ? needed : largest;
    }
    *most = largest;
    return (Py_ssize_t)symbols;
}

static PyObject *decode_image_latents(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { COUNTS, SHAPES, SYMBOLS, FINALS, ALL };
    Py_buffer b[ALL] = {0};
    PyObject *sequence, *result = NULL;
    int quality;
    streams coded = {NULL, 0, NULL, NULL};
    block space = {NULL, NULL, 0};
    if (!PyArg_ParseTuple(args, "Oiy*y*w*w*", &sequence, &quality, &b[COUNTS], &b[SHAPES], &b[SYMBOLS], &b[FINALS])) goto done;
    if (!open_streams(&coded, sequence)) goto done;
    size_t most;
    const Py_ssize_t symbols =
        read_shapes(model, mnz_grey_workspace, MNZ_GREY_CHANNELS, &b[COUNTS], &b[SHAPES], coded.count, &most);
    if (symbols < 0 || !has(&b[SYMBOLS], (size_t)symbols, 1) || !has(&b[FINALS], (size_t)coded.count, sizeof(mnz_final))) goto done;
    if (!allocate(&space, most)) goto done;
    if (quality < 0 || quality >= MNZ_QUALITIES) {
        raise(MNZ_ERROR_ARGUMENT);
        goto done;
    }
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    int8_t *y = b[SYMBOLS].buf;
    const int32_t *count = b[COUNTS].buf, *shape = b[SHAPES].buf;
    mnz_final *final = b[FINALS].buf;
    for (Py_ssize_t k = 0; k < coded.count && status == MNZ_OK; k++) {
        status = mnz_decode_image_latents(model, coded.bytes[k], coded.sizes[k], quality, count[k], shape, y, &final[k], space.at,
                                          space.size);
        for (int32_t i = 0; i < count[k]; i++, shape += 2) y += (size_t)shape[0] * (size_t)shape[1] * MNZ_GREY_CHANNELS;
    }
    Py_END_ALLOW_THREADS
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    close_streams(&coded);
    release(b, ALL);
    return result;
}

static PyObject *image_pixel_symbols(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { PIXELS, START, FREQ, ALL };
    Py_buffer b[ALL] = {0};
    block space = {NULL, NULL, 0};
    PyObject *result = NULL;
    int images, height, width, max_error;
    if (!PyArg_ParseTuple(args, "y*iiiiw*w*", &b[PIXELS], &images, &height, &width, &max_error, &b[START], &b[FREQ])) goto done;
    const size_t needed = mnz_image_pixels_workspace(model, height, width);
    if (!needed || images < 0) {
        raise(mnz_image_pixels_workspace(model, 1, 1) ? MNZ_ERROR_ARGUMENT : status_of(model));
        goto done;
    }
    const size_t pixels = (size_t)height * (size_t)width, count = (size_t)images;
    if (!has_bytes(&b[PIXELS], count, pixels) || !has(&b[START], count * pixels, 2) || !has(&b[FREQ], count * pixels, 2)) goto done;
    if (!allocate(&space, needed)) goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    for (size_t first = 0; first < count * pixels && status == MNZ_OK; first += pixels)
        status = mnz_image_pixel_symbols(model, (const uint8_t *)b[PIXELS].buf + first, height, width, max_error,
                                         (uint16_t *)b[START].buf + first, (uint16_t *)b[FREQ].buf + first, space.at, space.size);
    Py_END_ALLOW_THREADS
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

static PyObject *decode_pixel_images(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { COUNTS, SHAPES, PIXELS, FINALS, ALL };
    Py_buffer b[ALL] = {0};
    PyObject *sequence, *result = NULL;
    int max_error;
    streams coded = {NULL, 0, NULL, NULL};
    block space = {NULL, NULL, 0};
    if (!PyArg_ParseTuple(args, "Oiy*y*w*w*", &sequence, &max_error, &b[COUNTS], &b[SHAPES], &b[PIXELS], &b[FINALS])) goto done;
    if (!open_streams(&coded, sequence)) goto done;
    size_t most;
    const Py_ssize_t pixels = read_shapes(model, mnz_image_pixels_workspace, 1, &b[COUNTS], &b[SHAPES], coded.count, &most);
    if (pixels < 0 || !has(&b[PIXELS], (size_t)pixels, 1) || !has(&b[FINALS], (size_t)coded.count, sizeof(mnz_final))) goto done;
    if (!allocate(&space, most)) goto done;
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    uint8_t *x = b[PIXELS].buf;
    const int32_t *count = b[COUNTS].buf, *shape = b[SHAPES].buf;
    mnz_final *final = b[FINALS].buf;
    for (Py_ssize_t k = 0; k < coded.count && status == MNZ_OK; k++) {
        status =
            mnz_decode_pixel_images(model, coded.bytes[k], coded.sizes[k], max_error, count[k], shape, x, &final[k], space.at, space.size);
        for (int32_t i = 0; i < count[k]; i++, shape += 2) x += (size_t)shape[0] * (size_t)shape[1];
    }
    Py_END_ALLOW_THREADS
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    close_streams(&coded);
    release(b, ALL);
    return result;
}

/* ---- Bitmaps of digits ---- */

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
            return raise(MNZ_ERROR_ARGUMENT), -1;
        pixels += height * width;
    }
    return pixels;
}

static PyObject *find_bitmaps(PyObject *module, PyObject *args)
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
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

static PyObject *digits_of(PyObject *module, PyObject *args)
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
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    release(b, ALL);
    return result;
}

static PyObject *bitmap_symbols(PyObject *object, PyObject *args)
{
    const mnz_model *model = ((Model *)object)->model;
    enum { BITMAPS, INK, START, FREQ, ALL };
    Py_buffer b[ALL] = {0};
    block space = {NULL, NULL, 0};
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*y*w*w*", &b[BITMAPS], &b[INK], &b[START], &b[FREQ])) goto done;
    const size_t needed = mnz_bitmap_coding_workspace(model), bitmaps = (size_t)b[BITMAPS].len / sizeof(mnz_bitmap);
    if (!needed) {
        raise(MNZ_ERROR_KIND);
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
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

static PyObject *decode_bitmaps(PyObject *object, PyObject *args)
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
        raise(MNZ_ERROR_KIND);
        goto done;
    }
    if (!has(&b[COUNTS], streams, sizeof(int32_t)) || !has_bitmaps(&b[BITMAPS], bitmaps) ||
        !has(&b[INK], bitmaps, MNZ_BITMAP_PIXELS_MAX) || !has(&b[POSSIBLE], streams, 1) || !has(&b[FINALS], streams, sizeof(mnz_final)))
        goto done;
    const int32_t *count = b[COUNTS].buf;
    size_t left = bitmaps;
    for (size_t k = 0; k < streams; left -= (size_t)count[k++])
        if (count[k] < 0 || (size_t)count[k] > left) {
            raise(MNZ_ERROR_ARGUMENT);
            goto done;
        }
    if (left) {
        raise(MNZ_ERROR_ARGUMENT);
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
    result = status == MNZ_OK ? Py_NewRef(Py_None) : raise(status);
done:
    free(space.raw);
    close_streams(&coded);
    release(b, ALL);
    return result;
}

/* ---- The module ---- */

static PyMethodDef model_methods[] = {
    {"instructions", model_instructions, METH_NOARGS, "instructions()\n--\n\nThe instructions of its kernels."},
    {"first_latents", first_latents, METH_VARARGS, "first_latents(x, inside, quality_index, y)\n--\n\nFill y."},
    {"refine", refine, METH_VARARGS, "refine(x, inside, quality_index, effort, y)\n--\n\nReplace y by symbols of less cost."},
    {"refine_to_budget", refine_to_budget, METH_VARARGS,
     "refine_to_budget(x, inside, quality_index, effort, limit, y)\n--\n\nFill y with symbols of least error within the limit."},
    {"latent_symbols", latent_symbols, METH_VARARGS,
     "latent_symbols(y, quality_index, start, freq_less_one)\n--\n\nFill the intervals of the symbols."},
    {"synthesize", synthesize, METH_VARARGS, "synthesize(y, quality_index, x)\n--\n\nFill x."},
    {"decode_latents", decode_latents, METH_VARARGS,
     "decode_latents(coded, quality_index, counts, interleaved, y, finals)\n--\n\nFill y, and the final state of each stream."},
    {"pixel_symbols", pixel_symbols, METH_VARARGS,
     "pixel_symbols(x, inside, max_error, counts, turn, start, freq_less_one)\n--\n\nFill the arrays; returns the number of symbols."},
    {"decode_pixels", decode_pixels, METH_VARARGS,
     "decode_pixels(coded, inside, counts, max_error, preview, x, possible, finals)\n--\n\nFill x, possible, and the final states."},
    {"analyse_images", analyse_images, METH_VARARGS, "analyse_images(x, images, height, width, quality_index, y)\n--\n\nFill y."},
    {"refine_image", refine_image, METH_VARARGS,
     "refine_image(x, height, width, quality_index, effort, lmbda, y)\n--\n\nSearch for symbols of less cost, from those in y on."},
    {"grey_symbols", grey_symbols, METH_VARARGS,
     "grey_symbols(rows, columns, quality_index)\n--\n\nThe number of symbols that code a latent; 0 for sizes that none has."},
    {"image_symbols", image_symbols, METH_VARARGS,
     "image_symbols(y, images, rows, columns, quality_index, start, freq_less_one)\n--\n\nFill the intervals of the symbols."},
    {"synthesize_images", synthesize_images, METH_VARARGS,
     "synthesize_images(y, images, height, width, quality_index, x)\n--\n\nFill x."},
    {"decode_image_latents", decode_image_latents, METH_VARARGS,
     "decode_image_latents(coded, quality_index, counts, shapes, y, finals)\n--\n\nFill y, and the final state of each stream."},
    {"image_pixel_symbols", image_pixel_symbols, METH_VARARGS,
     "image_pixel_symbols(x, images, height, width, max_error, start, freq_less_one)\n--\n\nFill the intervals of the grey levels."},
    {"decode_pixel_images", decode_pixel_images, METH_VARARGS,
     "decode_pixel_images(coded, max_error, counts, shapes, x, finals)\n--\n\nFill x, and the final state of each stream."},
    {"bitmap_symbols", bitmap_symbols, METH_VARARGS,
     "bitmap_symbols(bitmaps, ink, start, freq_less_one)\n--\n\nFill the intervals of the symbols."},
    {"decode_bitmaps", decode_bitmaps, METH_VARARGS,
     "decode_bitmaps(coded, counts, bitmaps, ink, possible, finals)\n--\n\n"
     "Fill bitmaps, the ink of all of them, whether those of each stream are possible, and its final state."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot model_slots[] = {
    {Py_tp_doc, "Model(prepared, instructions=None)\n--\n\nA model, loaded from a prepared model."},
    {Py_tp_new, model_new},
    {Py_tp_dealloc, model_dealloc},
    {Py_tp_methods, model_methods},
    {0, NULL},
};

static PyType_Spec model_spec = {
    .name = "mnistzip._engine.Model",
    .basicsize = sizeof(Model),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = model_slots,
};

PyDoc_STRVAR(abi_doc,
             "abi()\n--\n\n"
             "The version of the functions of this module, by which mnistzip recognizes an extension of another version.");

static PyObject *abi(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyUnicode_FromString(ENGINE_ABI);
}

static PyObject *instructions(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyObject *list = PyList_New(0);
    const char *name;
    for (int k = 0; list && (name = mnz_instructions(k)) != NULL; k++) {
        PyObject *text = PyUnicode_FromString(name);
        if (!text || PyList_Append(list, text)) Py_CLEAR(list);
        Py_XDECREF(text);
    }
    return list;
}

static PyMethodDef methods[] = {
    {"abi", abi, METH_NOARGS, abi_doc},
    {"instructions", instructions, METH_NOARGS, "instructions()\n--\n\nThe instructions that this processor has kernels for, best first."},
    {"encode_latents", encode_latents, METH_VARARGS,
     "encode_latents(start, freq_less_one, counts, checks, check_bits, interleaved)\n--\n\nThe bytes of each stream."},
    {"encode_streams", encode_streams, METH_VARARGS,
     "encode_streams(start, freq_less_one, counts, checks, check_bits)\n--\n\nThe bytes of each stream."},
    {"encode_pixels", encode_pixels, METH_VARARGS,
     "encode_pixels(symbols, turn, start, freq_less_one, counts, checks)\n--\n\nThe bytes of each stream."},
    {"find_bitmaps", find_bitmaps, METH_VARARGS,
     "find_bitmaps(x, bitmaps, ink)\n--\n\nFill height, width and shift of each bitmap, all 0 if none is found, and its ink."},
    {"digits_of", digits_of, METH_VARARGS, "digits_of(bitmaps, ink, x)\n--\n\nFill x, given bitmaps and the ink of all of them."},
    {NULL, NULL, 0, NULL},
};

static int add_types(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &model_spec, NULL);
    int failed = type == NULL || PyModule_AddObjectRef(module, "Model", type);
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)add_types},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "mnistzip._engine",
    .m_doc = "The engine of mnistzip in C.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__engine(void)
{
    return PyModuleDef_Init(&definition);
}
