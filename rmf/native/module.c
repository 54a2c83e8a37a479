/* The compiled piece of RMF, as a module of Python.

   It judges nothing. What is plain it does; of anything else it says None, and the Python code looks
   at it, finds what is wrong, and says so in words. So it may be stricter than Python, never laxer:
   tests/native holds them against each other. No recursion is without a bound.

   Only the stable ABI of CPython 3.11 is used: one build serves every later version. */

#include "compiled.h"

#ifndef RMF_STAMP
#define RMF_STAMP "none" /* built by hand: taken for stale */
#endif

#define FUNCTION(name) (PyCFunction)(void (*)(void))name, METH_FASTCALL

static PyMethodDef methods[] = {
    {"rows", FUNCTION(rmf_rows), PyDoc_STR("The rows of a SEND frame of plain packets, or None.")},
    {"load", FUNCTION(rmf_load), PyDoc_STR("The values of plain CBOR, each alone, or None.")},
    {"dump", FUNCTION(rmf_dump), PyDoc_STR("The CBOR of a plain value, or None.")},
    {"stored", FUNCTION(rmf_stored), PyDoc_STR("Whether a result is the packet as it came.")},
    {"last", FUNCTION(rmf_last), PyDoc_STR("The last stored packet of each topic.")},
    {"cells", FUNCTION(rmf_cells), PyDoc_STR("Write the changes of a frame as cells.")},
    {NULL, NULL, 0, NULL},
};

static int
fill_module(PyObject *module)
{
    return PyModule_AddStringConstant(module, "STAMP", RMF_STAMP);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)fill_module},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "rmf.native._compiled",
    .m_doc = PyDoc_STR("The compiled piece of RMF; rmf.native says how it is chosen."),
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__compiled(void)
{
    return PyModuleDef_Init(&definition);
}
