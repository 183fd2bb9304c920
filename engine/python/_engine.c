/* The Python module mnistzip._engine: the functions of mnistzip.h on buffers, for many tiles or streams at once.
 *
 * The only type is Model. Its methods release the lock of the interpreter, and allocate the workspace of the call.
 * They are in the other files of this folder.
 */
#include "binding.h"

#include <stdlib.h>
#include <string.h>

/* The version of the functions. It changes whenever their arguments or results change. */
#define ENGINE_ABI "6"

/* ---- Model ---- */

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
        if (status != MNZ_OK) fail(status);
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
