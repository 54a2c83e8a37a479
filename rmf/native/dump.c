/* A plain value to its CBOR: the very bytes that cbor2 gives.

   Plain are None, booleans, integers of 64 bits, finite floats, text, bytes, lists, tuples, and
   dicts with keys of text, each of exactly that type: no code of another class runs here, so nothing
   changes meanwhile. Depth and size are bounded; every item takes a byte at least, so that a value
   which holds itself, or another one many times, ends at the bound of the size. */

#include <math.h>
#include <string.h>

#include "compiled.h"

enum { TOPIC = 0, PAYLOAD = 4 }; /* of a row */
enum { IN_PLACE = 512 };

typedef struct {
    uint8_t *bytes;
    size_t size, room, most;
    uint8_t in_place[IN_PLACE];
} Buffer;

enum { FAILED = -1, NOT_PLAIN, DONE };

/* Make room for so many more bytes. */
static int
reserve(Buffer *b, size_t more)
{
    if (more > b->most - b->size)
        return NOT_PLAIN;
    if (more <= b->room - b->size)
        return DONE;
    size_t room = 2 * (b->size + more);
    uint8_t *old = b->bytes == b->in_place ? NULL : b->bytes;
    uint8_t *bytes = PyMem_Realloc(old, room);
    if (bytes == NULL) {
        PyErr_NoMemory();
        return FAILED;
    }
    if (old == NULL)
        memcpy(bytes, b->in_place, b->size);
    b->bytes = bytes;
    b->room = room;
    return DONE;
}

static void
put_number(Buffer *b, int bytes, uint64_t number)
{
    for (int i = bytes - 1; i >= 0; i--)
        b->bytes[b->size++] = (uint8_t)(number >> 8 * i);
}

/* Write a head, and see to room for what follows it. */
static int
put_head(Buffer *b, int major, uint64_t argument, size_t follows)
{
    int wide = argument < 24 ? -1 : argument <= UINT8_MAX ? 0 : argument <= UINT16_MAX ? 1
        : argument <= UINT32_MAX ? 2 : 3;
    size_t bytes = wide < 0 ? 0 : (size_t)1 << wide;
    int found = reserve(b, 1 + bytes + follows);
    if (found != DONE)
        return found;
    b->bytes[b->size++] = (uint8_t)(major << 5 | (wide < 0 ? (int)argument : 24 + wide));
    put_number(b, (int)bytes, argument);
    return DONE;
}

static int
put_string(Buffer *b, int major, const char *begin, Py_ssize_t size)
{
    int found = put_head(b, major, (uint64_t)size, (size_t)size);
    if (found == DONE) {
        memcpy(b->bytes + b->size, begin, (size_t)size);
        b->size += (size_t)size;
    }
    return found;
}

static int
put_text(Buffer *b, PyObject *text)
{
    Py_ssize_t size;
    const char *begin = PyUnicode_AsUTF8AndSize(text, &size);
    if (begin != NULL)
        return put_string(b, TEXT, begin, size);
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) /* a lone surrogate */
        return FAILED;
    PyErr_Clear();
    return NOT_PLAIN;
}

static int
put_int(Buffer *b, PyObject *value)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow == 0)
        return number < 0 ? put_head(b, NEGATIVE, (uint64_t)-(number + 1), 0)
            : put_head(b, UNSIGNED, (uint64_t)number, 0);
    if (overflow < 0)
        return NOT_PLAIN;
    unsigned long long large = PyLong_AsUnsignedLongLong(value);
    if (large != ULLONG_MAX || !PyErr_Occurred())
        return put_head(b, UNSIGNED, large, 0);
    PyErr_Clear(); /* OverflowError: beyond 64 bits */
    return NOT_PLAIN;
}

static int
put_float(Buffer *b, PyObject *value)
{
    double number = PyFloat_AsDouble(value);
    if (!isfinite(number))
        return NOT_PLAIN;
    int found = reserve(b, 9);
    if (found != DONE)
        return found;
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    b->bytes[b->size++] = OTHER << 5 | 27;
    put_number(b, 8, bits);
    return DONE;
}

static int put_value(Buffer *b, PyObject *value, uint64_t depth);

static int
put_dict(Buffer *b, PyObject *dict, uint64_t depth)
{
    PyObject *key, *value;
    Py_ssize_t place = 0, size = PyDict_Size(dict);
    int found = depth ? put_head(b, MAP, (uint64_t)size, (size_t)size * 2) : NOT_PLAIN;
    while (found == DONE && PyDict_Next(dict, &place, &key, &value)) {
        found = PyUnicode_CheckExact(key) ? put_text(b, key) : NOT_PLAIN;
        if (found == DONE)
            found = put_value(b, value, depth - 1);
    }
    return found;
}

static int
put_sequence(Buffer *b, PyObject *items, uint64_t depth)
{
    int is_list = PyList_CheckExact(items);
    Py_ssize_t size = is_list ? PyList_Size(items) : PyTuple_Size(items);
    int found = depth ? put_head(b, ARRAY, (uint64_t)size, (size_t)size) : NOT_PLAIN;
    for (Py_ssize_t i = 0; found == DONE && i < size; i++)
        found = put_value(b, is_list ? PyList_GetItem(items, i) : PyTuple_GetItem(items, i), depth - 1);
    return found;
}

/* Write a value; `depth` is how many containers it may be deep. */
static int
put_value(Buffer *b, PyObject *value, uint64_t depth)
{
    if (PyUnicode_CheckExact(value))
        return put_text(b, value);
    if (PyLong_CheckExact(value))
        return put_int(b, value);
    if (PyFloat_CheckExact(value))
        return put_float(b, value);
    if (PyBytes_CheckExact(value)) {
        char *begin;
        Py_ssize_t size;
        return PyBytes_AsStringAndSize(value, &begin, &size) < 0 ? FAILED
            : put_string(b, BYTES, begin, size);
    }
    if (PyDict_CheckExact(value))
        return put_dict(b, value, depth);
    if (PyList_CheckExact(value) || PyTuple_CheckExact(value))
        return put_sequence(b, value, depth);
    if (value == Py_None || value == Py_False || value == Py_True)
        return put_head(b, OTHER, value == Py_None ? 22 : value == Py_True ? 21 : 20, 0);
    return NOT_PLAIN;
}

/* Write a value into an empty buffer, within the limits that two arguments are. */
static int
fill(Buffer *b, PyObject *const *limits, PyObject *value)
{
    uint64_t depth, most;
    b->bytes = b->in_place;
    b->size = 0;
    b->room = IN_PLACE;
    if (!limit_of(limits[0], &depth) || !limit_of(limits[1], &most))
        return FAILED;
    if (depth > 64 || most > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a limit of at most 64 levels and 2 GiB");
        return FAILED;
    }
    b->most = (size_t)most;
    return put_value(b, value, depth);
}

static void
empty(Buffer *b)
{
    if (b->bytes != b->in_place)
        PyMem_Free(b->bytes);
}

/* dump(depth_max, bytes_max, value) */
PyObject *
rmf_dump(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 3) {
        PyErr_SetString(PyExc_TypeError, "dump takes two limits and a value");
        return NULL;
    }
    Buffer b;
    PyObject *made = NULL;
    int found = fill(&b, args, args[2]);
    if (found == DONE)
        made = PyBytes_FromStringAndSize((const char *)b.bytes, (Py_ssize_t)b.size);
    else if (found == NOT_PLAIN)
        made = Py_NewRef(Py_None);
    empty(&b);
    return made;
}

/* stored(depth_max, bytes_max, keys, row, result): whether a handler's result says no more than that
   the packet's payload, as it came, stands under its topic; `keys` are those that were found valid. */
PyObject *
rmf_stored(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 5 || !PyDict_Check(args[2]) || !PyList_Check(args[3])) {
        PyErr_SetString(PyExc_TypeError, "stored takes two limits, a dict, a row and a result");
        return NULL;
    }
    PyObject *topic = PyList_GetItem(args[3], TOPIC), *payload = PyList_GetItem(args[3], PAYLOAD);
    char *data;
    Py_ssize_t size, place = 0;
    if (topic == NULL || payload == NULL || PyBytes_AsStringAndSize(payload, &data, &size) < 0)
        return NULL;
    PyObject *key, *value;
    if (!PyDict_CheckExact(args[4]) || PyDict_Size(args[4]) != 1
        || !PyDict_Next(args[4], &place, &key, &value) || key != topic)
        Py_RETURN_FALSE;
    int known = PyDict_Contains(args[2], topic);
    if (known <= 0)
        return known < 0 ? NULL : Py_NewRef(Py_False);
    Buffer b;
    int found = fill(&b, args, value);
    int same = found == DONE && b.size == (size_t)size && memcmp(b.bytes, data, b.size) == 0;
    empty(&b);
    return found == FAILED ? NULL : PyBool_FromLong(same);
}
