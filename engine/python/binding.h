/* Of the extension: what its files share. setup.py defines Py_LIMITED_API, except for free-threaded Python. */
#ifndef MNZ_BINDING_H
#define MNZ_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

#include "mnistzip.h"

/* ---- buffers.c ---- */

/* Set an exception with the text of a status; returns NULL. */
PyObject *fail(mnz_status status);

/* None if the status is MNZ_OK, else as fail. */
PyObject *none_or_error(mnz_status status);

/* Aligned memory, and the pointer that frees it. */
typedef struct {
    void *raw, *at;
    size_t size;
} block;

/* Returns 0 and sets MemoryError if there is too little. */
int allocate(block *memory, size_t size);

/* Whether a buffer has so many items of a size. Numbers of several bytes must be aligned. Otherwise it sets ValueError. */
int has(const Py_buffer *buffer, size_t items, size_t size);

/* The same for items of some bytes each, of any alignment. */
int has_bytes(const Py_buffer *buffer, size_t items, size_t bytes);

/* Release the buffers that the caller of the extension gave. */
void release(Py_buffer *buffers, int count);

/* Room for the bytes of streams, one behind the other, and where each ends. */
typedef struct {
    uint8_t *bytes;
    size_t *ends, capacity;
} output;

/* Returns 0 and sets MemoryError if there is too little; close it then too. */
int open_output(output *out, size_t symbols, Py_ssize_t streams);
void close_output(output *out);

/* The streams as a list of bytes objects; NULL and an error if that fails. */
PyObject *list_of(const output *out, Py_ssize_t streams);

/* The bytes objects of a sequence. They stay alive as long as the sequence. */
typedef struct {
    PyObject *sequence;
    Py_ssize_t count;
    const uint8_t **bytes;
    size_t *sizes;
} streams;

/* Returns 0 and sets an error if the sequence holds something else; close them then too. */
int open_streams(streams *s, PyObject *sequence);
void close_streams(streams *s);

/* ---- _engine.c ---- */

typedef struct {
    PyObject_HEAD
    Py_buffer source; /* the prepared model as it was given, unless it was copied */
    block prepared, memory;
    mnz_model *model;
} Model;

/* What follows are methods of Model and functions of the module. The tables in _engine.c tell their arguments. */

/* ---- tiles.c ---- */

PyObject *first_latents(PyObject *self, PyObject *args);
PyObject *refine(PyObject *self, PyObject *args);
PyObject *refine_to_budget(PyObject *self, PyObject *args);
PyObject *synthesize(PyObject *self, PyObject *args);
PyObject *latent_symbols(PyObject *self, PyObject *args);
PyObject *encode_latents(PyObject *module, PyObject *args);
PyObject *decode_latents(PyObject *self, PyObject *args);
PyObject *pixel_symbols(PyObject *self, PyObject *args);
PyObject *encode_pixels(PyObject *module, PyObject *args);
PyObject *decode_pixels(PyObject *self, PyObject *args);

/* ---- images.c ---- */

PyObject *analyse_images(PyObject *self, PyObject *args);
PyObject *synthesize_images(PyObject *self, PyObject *args);
PyObject *refine_image(PyObject *self, PyObject *args);
PyObject *grey_symbols(PyObject *self, PyObject *args);
PyObject *image_symbols(PyObject *self, PyObject *args);
PyObject *encode_streams(PyObject *module, PyObject *args);
PyObject *decode_image_latents(PyObject *self, PyObject *args);
PyObject *image_pixel_symbols(PyObject *self, PyObject *args);
PyObject *decode_pixel_images(PyObject *self, PyObject *args);

/* ---- bitmaps.c ---- */

PyObject *find_bitmaps(PyObject *module, PyObject *args);
PyObject *digits_of(PyObject *module, PyObject *args);
PyObject *bitmap_symbols(PyObject *self, PyObject *args);
PyObject *decode_bitmaps(PyObject *self, PyObject *args);

#endif
