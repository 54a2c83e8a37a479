/* Plain CBOR to its values: what cbor2 gives for the same bytes.

   Plain are definite lengths and shortest heads, no tags, of the simple values false, true and null,
   integers of 64 bits, maps with keys of text and none twice. No length is trusted: a container is
   made only if each item that is still owed, its own and those of all around it, can have a byte and
   is within the limit of items. */

#include <string.h>

#include "compiled.h"

enum { KEYS = 64, KEY_BYTES_MAX = 32 }; /* a power of two; longer keys are made each time */

/* Keys of maps that came before, with their UTF-8, which they own: many payloads have the same. */
typedef struct {
    PyObject *keys[KEYS];
    const char *texts[KEYS];
    Py_ssize_t sizes[KEYS];
} Known;

typedef struct {
    Reader r;
    uint64_t owed;       /* items that the open containers still lack */
    uint64_t items_left; /* that may still come */
    Known *known;
} Loader;

/* Return a value, or NULL: with an exception, or without one where it is not plain. */
static PyObject *load_value(Loader *l, uint64_t depth);

static PyObject *
text_of(const uint8_t *begin, uint64_t size)
{
    PyObject *text = PyUnicode_DecodeUTF8((const char *)begin, (Py_ssize_t)size, "strict");
    if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        PyErr_Clear();
    return text;
}

static int
load_head(Loader *l, int *major, int *info, uint64_t *argument)
{
    return l->items_left-- && read_head(&l->r, major, info, argument);
}

static const uint8_t *
string(Loader *l, uint64_t size)
{
    const uint8_t *begin = l->r.at;
    if (size > left_of(&l->r))
        return NULL;
    l->r.at += size;
    return begin;
}

static PyObject *
load_key(Loader *l)
{
    int major, info;
    uint64_t size;
    if (!load_head(l, &major, &info, &size) || major != TEXT)
        return NULL;
    const uint8_t *begin = string(l, size);
    if (begin == NULL || size == 0 || size > KEY_BYTES_MAX)
        return begin == NULL ? NULL : text_of(begin, size);
    Known *known = l->known;
    uint64_t at = (begin[0] + 7u * begin[size - 1] + 31u * size) % KEYS;
    PyObject *key = known->keys[at];
    if (key == NULL || known->sizes[at] != (Py_ssize_t)size || memcmp(known->texts[at], begin, size)) {
        Py_CLEAR(known->keys[at]);
        key = text_of(begin, size);
        if (key == NULL)
            return NULL;
        known->texts[at] = PyUnicode_AsUTF8AndSize(key, &known->sizes[at]);
        if (known->texts[at] == NULL) { /* no memory */
            Py_DECREF(key);
            return NULL;
        }
        known->keys[at] = key;
    }
    return Py_NewRef(key);
}

/* Whether so many items can follow; they are owed then. */
static int
owe(Loader *l, uint64_t items)
{
    uint64_t most = left_of(&l->r) < l->items_left ? left_of(&l->r) : l->items_left;
    if (items > most || l->owed > most - items)
        return 0;
    l->owed += items;
    return 1;
}

static PyObject *
load_array(Loader *l, uint64_t count, uint64_t depth)
{
    if (!depth || !owe(l, count))
        return NULL;
    PyObject *items = PyList_New((Py_ssize_t)count);
    for (uint64_t i = 0; items != NULL && i < count; i++) {
        l->owed--;
        PyObject *item = load_value(l, depth - 1);
        if (item == NULL || PyList_SetItem(items, (Py_ssize_t)i, item) < 0) {
            Py_DECREF(items);
            return NULL;
        }
    }
    return items;
}

static PyObject *
load_map(Loader *l, uint64_t count, uint64_t depth)
{
    if (!depth || count > left_of(&l->r) / 2 || !owe(l, 2 * count))
        return NULL;
    PyObject *map = PyDict_New();
    for (uint64_t i = 0; map != NULL && i < count; i++) {
        l->owed -= 2;
        PyObject *key = load_key(l), *value = key == NULL ? NULL : load_value(l, depth - 1);
        int done = value != NULL && PyDict_SetItem(map, key, value) == 0;
        Py_XDECREF(key);
        Py_XDECREF(value);
        if (!done) {
            Py_DECREF(map);
            return NULL;
        }
    }
    if (map != NULL && (uint64_t)PyDict_Size(map) != count) /* a key came twice */
        Py_CLEAR(map);
    return map;
}

static PyObject *
load_float(int info, uint64_t bits)
{
    double number;
    if (info == 27)
        memcpy(&number, &bits, sizeof number);
    else if (info == 26) {
        uint32_t narrow = (uint32_t)bits;
        float single;
        memcpy(&single, &narrow, sizeof single);
        number = single;
    }
    else {
        uint64_t exponent = bits >> 10 & 31, fraction = bits & 1023;
        uint64_t wide = (exponent == 31 ? 2047 : exponent - 15 + 1023) << 52 | fraction << 42;
        memcpy(&number, &wide, sizeof number);
        if (exponent == 0)
            number = (double)fraction / (1 << 24);
        number = bits & 0x8000 ? -number : number;
    }
    return PyFloat_FromDouble(number);
}

static PyObject *
load_other(int info, uint64_t argument)
{
    if (info >= 25)
        return load_float(info, argument);
    return info == 20 ? Py_NewRef(Py_False) : info == 21 ? Py_NewRef(Py_True)
        : info == 22 ? Py_NewRef(Py_None) : NULL;
}

static PyObject *
load_value(Loader *l, uint64_t depth)
{
    int major, info;
    uint64_t argument;
    const uint8_t *begin;
    if (!load_head(l, &major, &info, &argument))
        return NULL;
    switch (major) {
    case UNSIGNED:
        return PyLong_FromUnsignedLongLong(argument);
    case NEGATIVE:
        return argument > INT64_MAX ? NULL : PyLong_FromLongLong(-1 - (long long)argument);
    case BYTES:
        begin = string(l, argument);
        return begin == NULL ? NULL
            : PyBytes_FromStringAndSize((const char *)begin, (Py_ssize_t)argument);
    case TEXT:
        begin = string(l, argument);
        return begin == NULL ? NULL : text_of(begin, argument);
    case ARRAY:
        return load_array(l, argument, depth);
    case MAP:
        return load_map(l, argument, depth);
    case OTHER:
        return load_other(info, argument);
    }
    return NULL;
}

/* Return the one value that fills the bytes at this place, or NULL as above. */
static PyObject *
load_one(PyObject *list, Py_ssize_t place, uint64_t depth, uint64_t items, Known *known)
{
    char *data;
    Py_ssize_t size;
    PyObject *bytes = PyList_GetItem(list, place);
    if (bytes == NULL || PyBytes_AsStringAndSize(bytes, &data, &size) < 0)
        return NULL;
    Py_INCREF(bytes); /* to make a list or a dict may have garbage collected, and that runs code */
    Loader l = {{(const uint8_t *)data, (const uint8_t *)data + size}, 0, items, known};
    PyObject *value = load_value(&l, depth);
    if (value != NULL && l.r.at != l.r.end)
        Py_CLEAR(value);
    Py_DECREF(bytes);
    return value;
}

/* load(depth_max, items_max, list of bytes): one value of each, or None if one is not plain. */
PyObject *
rmf_load(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    uint64_t depth, items;
    if (nargs != 3 || !PyList_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "load takes two limits and a list of bytes");
        return NULL;
    }
    if (!limit_of(args[0], &depth) || !limit_of(args[1], &items))
        return NULL;
    if (depth > 64) {
        PyErr_SetString(PyExc_ValueError, "load: a limit of at most 64 levels");
        return NULL;
    }
    Known known = {0};
    Py_ssize_t count = PyList_Size(args[2]);
    PyObject *values = PyList_New(count);
    for (Py_ssize_t i = 0; values != NULL && i < count; i++) {
        PyObject *value = load_one(args[2], i, depth, items, &known);
        if (value == NULL || PyList_SetItem(values, i, value) < 0)
            Py_CLEAR(values);
    }
    for (int i = 0; i < KEYS; i++)
        Py_XDECREF(known.keys[i]);
    if (values != NULL || PyErr_Occurred())
        return values;
    Py_RETURN_NONE;
}
