/* What the parts of the compiled piece share: how CBOR is read, and what each part gives. */

#ifndef RMF_COMPILED_H
#define RMF_COMPILED_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

enum { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, OTHER }; /* major types of CBOR */

typedef struct {
    const uint8_t *at, *end;
} Reader;

static inline uint64_t
left_of(const Reader *r)
{
    return (uint64_t)(r->end - r->at);
}

/* Read a head in its shortest form; `info` says how wide the argument was. 0: it is none. */
static inline int
read_head(Reader *r, int *major, int *info, uint64_t *argument)
{
    static const uint64_t least[] = {24, 1u << 8, 1u << 16, (uint64_t)1 << 32};
    if (r->at == r->end)
        return 0;
    *major = *r->at >> 5;
    *info = *r->at++ & 31;
    if (*info < 24) {
        *argument = (uint64_t)*info;
        return 1;
    }
    if (*info > 27) /* reserved, or without a length */
        return 0;
    uint64_t value = 0, size = (uint64_t)1 << (*info - 24);
    if (left_of(r) < size)
        return 0;
    for (uint64_t i = 0; i < size; i++)
        value = value << 8 | *r->at++;
    *argument = value;
    return *major == OTHER || value >= least[*info - 24]; /* a float is as wide as it is */
}

/* Functions of the module: each returns a new reference, None where Python is to look at it, or NULL
   with an exception. */
PyObject *rmf_rows(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
PyObject *rmf_load(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
PyObject *rmf_dump(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
PyObject *rmf_stored(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
PyObject *rmf_last(PyObject *module, PyObject *const *args, Py_ssize_t nargs);
PyObject *rmf_cells(PyObject *module, PyObject *const *args, Py_ssize_t nargs);

/* Read a limit out of a function's arguments. 0: an exception is set. */
static inline int
limit_of(PyObject *argument, uint64_t *limit)
{
    *limit = PyLong_AsUnsignedLongLong(argument);
    return *limit != UINT64_MAX || !PyErr_Occurred();
}

#endif
