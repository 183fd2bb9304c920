/* What the functions of the extension share: aligned memory, errors, the sizes of buffers, and streams as lists of bytes. */
#include "binding.h"

#include <stdlib.h>
#include <string.h>

PyObject *fail(mnz_status status)
{
    PyErr_SetString(PyExc_ValueError, mnz_status_text(status));
    return NULL;
}

PyObject *none_or_error(mnz_status status)
{
    return status == MNZ_OK ? Py_NewRef(Py_None) : fail(status);
}

int allocate(block *memory, size_t size)
{
    memory->size = size;
    memory->raw = malloc(size + MNZ_ALIGNMENT);
    memory->at = memory->raw ? (void *)(((uintptr_t)memory->raw + MNZ_ALIGNMENT - 1) / MNZ_ALIGNMENT * MNZ_ALIGNMENT) : NULL;
    if (!memory->raw) PyErr_NoMemory();
    return memory->raw != NULL;
}

int has(const Py_buffer *buffer, size_t items, size_t size)
{
    if (size <= sizeof(int64_t) && (uintptr_t)buffer->buf % size) {
        PyErr_Format(PyExc_ValueError, "a buffer of items of %zu bytes is not aligned", size);
        return 0;
    }
    if (items <= (size_t)PY_SSIZE_T_MAX / size && (size_t)buffer->len == items * size) return 1;
    PyErr_Format(PyExc_ValueError, "a buffer has %zd bytes, not %zu items of %zu", buffer->len, items, size);
    return 0;
}

int has_bytes(const Py_buffer *buffer, size_t items, size_t bytes)
{
    if (bytes && items > (size_t)PY_SSIZE_T_MAX / bytes) {
        fail(MNZ_ERROR_ARGUMENT);
        return 0;
    }
    return has(buffer, items * bytes, 1);
}

void release(Py_buffer *buffers, int count)
{
    for (int k = 0; k < count; k++)
        if (buffers[k].obj) PyBuffer_Release(&buffers[k]);
}

int open_output(output *out, size_t symbols, Py_ssize_t streams)
{
    out->capacity = 2 * symbols + 4 * (size_t)streams + 1; /* mnz_stream_bound of each */
    out->bytes = malloc(out->capacity);
    out->ends = malloc((size_t)(streams + 1) * sizeof *out->ends);
    if (!out->bytes || !out->ends) PyErr_NoMemory();
    return out->bytes && out->ends;
}

void close_output(output *out)
{
    free(out->bytes);
    free(out->ends);
}

PyObject *list_of(const output *out, Py_ssize_t streams)
{
    PyObject *list = PyList_New(streams);
    size_t start = 0;
    for (Py_ssize_t k = 0; list && k < streams; start = out->ends[k++]) {
        PyObject *part = PyBytes_FromStringAndSize((const char *)out->bytes + start, (Py_ssize_t)(out->ends[k] - start));
        if (!part || PyList_SetItem(list, k, part)) Py_CLEAR(list);
    }
    return list;
}

int open_streams(streams *s, PyObject *sequence)
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

void close_streams(streams *s)
{
    free((void *)s->bytes);
    free(s->sizes);
    Py_XDECREF(s->sequence);
}
