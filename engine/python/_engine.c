/* The Python module mnistzip._engine: the functions of the engine for Python.
 *
 * The module has no state and no types, and its initialisation has several phases (PEP 489).
 * setup.py defines Py_LIMITED_API, except for free-threaded Python.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The version of the functions below. It changes whenever their arguments or results change. */
#define ENGINE_ABI "1"

PyDoc_STRVAR(abi_doc,
             "abi()\n--\n\n"
             "The version of the functions of this module, by which mnistzip recognizes an extension of another version.");

static PyObject *abi(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyUnicode_FromString(ENGINE_ABI);
}

static PyMethodDef methods[] = {
    {"abi", abi, METH_NOARGS, abi_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
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
