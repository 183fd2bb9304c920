/* The functions of the extension on whole images and their streams, with models of the kind grey. */
#include "binding.h"

#include <stdlib.h>

/* Rows or columns of the latent of an image of so many pixels. */
static int positions_of(int pixels)
{
    return pixels < 1 ? 0 : (pixels - 1) / 4 + 1;
}

/* The workspace of a latent, or an error. */
static int allocate_grey(block *space, const mnz_model *model, int rows, int columns)
{
    const size_t size = mnz_grey_workspace(model, rows, columns);
    if (!size) fail(mnz_model_is_grey(model) ? MNZ_ERROR_ARGUMENT : MNZ_ERROR_KIND);
    return size && allocate(space, size);
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
        fail(MNZ_ERROR_ARGUMENT);
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
    result = none_or_error(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

PyObject *analyse_images(PyObject *self, PyObject *args)
{
    return on_images(self, args, 0);
}

PyObject *synthesize_images(PyObject *self, PyObject *args)
{
    return on_images(self, args, 1);
}

PyObject *refine_image(PyObject *object, PyObject *args)
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
    result = none_or_error(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

PyObject *grey_symbols(PyObject *object, PyObject *args)
{
    int rows, columns, quality;
    if (!PyArg_ParseTuple(args, "iii", &rows, &columns, &quality)) return NULL;
    return PyLong_FromSize_t(mnz_grey_symbols(((Model *)object)->model, rows, columns, quality));
}

PyObject *image_symbols(PyObject *object, PyObject *args)
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
        fail(MNZ_ERROR_ARGUMENT);
        goto done;
    }
    const size_t symbols = (size_t)rows * (size_t)columns * MNZ_GREY_CHANNELS, coded = mnz_grey_symbols(model, rows, columns, quality);
    if (coded && (size_t)images > (size_t)PY_SSIZE_T_MAX / coded) {
        fail(MNZ_ERROR_ARGUMENT);
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
    result = none_or_error(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}

PyObject *encode_streams(PyObject *module, PyObject *args)
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
            fail(MNZ_ERROR_ARGUMENT);
            goto done;
        }
        symbols += (size_t)count[k];
    }
    if (symbols != room) {
        fail(MNZ_ERROR_ARGUMENT);
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
    result = status == MNZ_OK ? list_of(&out, number) : fail(status);
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
        if (count[k] < 0 || (size_t)count[k] > room - images) return fail(MNZ_ERROR_ARGUMENT), -1;
        images += (size_t)count[k];
    }
    if (images != room) return fail(MNZ_ERROR_ARGUMENT), -1;
    if (!largest) return fail(status_of(model)), -1;
    for (size_t k = 0; k < images; k++, shape += 2) {
        const size_t needed = workspace(model, shape[0], shape[1]);
        if (!needed) return fail(MNZ_ERROR_ARGUMENT), -1;
        const size_t of_image = (size_t)shape[0] * (size_t)shape[1] * channels;
        if (of_image > (size_t)PY_SSIZE_T_MAX - symbols) return fail(MNZ_ERROR_ARGUMENT), -1;
        symbols += of_image;
        largest = needed > largest ? needed : largest;
    }
    *most = largest;
    return (Py_ssize_t)symbols;
}

/* Decode the images of some streams: their pixels, or their latents. */
static PyObject *decode_whole(PyObject *object, PyObject *args, int pixels)
{
    const mnz_model *model = ((Model *)object)->model;
    const size_t channels = pixels ? 1 : MNZ_GREY_CHANNELS;
    enum { COUNTS, SHAPES, SYMBOLS, FINALS, ALL };
    Py_buffer b[ALL] = {0};
    PyObject *sequence, *result = NULL;
    int setting; /* the largest error, or the quality */
    streams coded = {NULL, 0, NULL, NULL};
    block space = {NULL, NULL, 0};
    if (!PyArg_ParseTuple(args, "Oiy*y*w*w*", &sequence, &setting, &b[COUNTS], &b[SHAPES], &b[SYMBOLS], &b[FINALS])) goto done;
    if (!open_streams(&coded, sequence)) goto done;
    size_t most;
    const Py_ssize_t symbols = read_shapes(model, pixels ? mnz_image_pixels_workspace : mnz_grey_workspace, channels, &b[COUNTS],
                                           &b[SHAPES], coded.count, &most);
    if (symbols < 0 || !has(&b[SYMBOLS], (size_t)symbols, 1) || !has(&b[FINALS], (size_t)coded.count, sizeof(mnz_final))) goto done;
    if (!allocate(&space, most)) goto done;
    if (!pixels && (setting < 0 || setting >= MNZ_QUALITIES)) {
        fail(MNZ_ERROR_ARGUMENT);
        goto done;
    }
    mnz_status status = MNZ_OK;
    Py_BEGIN_ALLOW_THREADS
    uint8_t *at = b[SYMBOLS].buf;
    const int32_t *count = b[COUNTS].buf, *shape = b[SHAPES].buf;
    mnz_final *final = b[FINALS].buf;
    for (Py_ssize_t k = 0; k < coded.count && status == MNZ_OK; k++) {
        status = pixels ? mnz_decode_pixel_images(model, coded.bytes[k], coded.sizes[k], setting, count[k], shape, at, &final[k], space.at,
                                                  space.size)
                        : mnz_decode_image_latents(model, coded.bytes[k], coded.sizes[k], setting, count[k], shape, (int8_t *)at,
                                                   &final[k], space.at, space.size);
        for (int32_t i = 0; i < count[k]; i++, shape += 2) at += (size_t)shape[0] * (size_t)shape[1] * channels;
    }
    Py_END_ALLOW_THREADS
    result = none_or_error(status);
done:
    free(space.raw);
    close_streams(&coded);
    release(b, ALL);
    return result;
}

PyObject *decode_image_latents(PyObject *self, PyObject *args)
{
    return decode_whole(self, args, 0);
}

PyObject *decode_pixel_images(PyObject *self, PyObject *args)
{
    return decode_whole(self, args, 1);
}

PyObject *image_pixel_symbols(PyObject *object, PyObject *args)
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
        fail(mnz_image_pixels_workspace(model, 1, 1) ? MNZ_ERROR_ARGUMENT : status_of(model));
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
    result = none_or_error(status);
done:
    free(space.raw);
    release(b, ALL);
    return result;
}
