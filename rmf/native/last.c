/* Of each topic the last packet in some spans: what is left to be written of a Tick whose packets are
   stored as they came. From the last one to the first: a topic that was met already is passed over. */

#include "compiled.h"

enum { TOPIC = 0, PAYLOAD = 4, INHERIT = -1 }; /* of a row; and a shelf life */

/* Append the change of a packet, unless its topic is in `seen`. 0: an exception. */
static int
take(PyObject *rows, Py_ssize_t at, Py_ssize_t slot, PyObject *seen, PyObject *changes)
{
    PyObject *row = PyList_GetItem(rows, at);
    PyObject *topic = row != NULL ? PyList_GetItem(row, TOPIC) : NULL;
    int known = topic != NULL ? PyDict_Contains(seen, topic) : -1;
    if (known != 0)
        return known > 0;
    PyObject *payload = PyList_GetItem(row, PAYLOAD);
    if (payload == NULL || PyDict_SetItem(seen, topic, Py_None) < 0)
        return 0;
    PyObject *change = Py_BuildValue("(nOOi)", slot, topic, payload, INHERIT);
    int taken = change != NULL && PyList_Append(changes, change) == 0;
    Py_XDECREF(change);
    return taken;
}

/* Take the packets of one span, the last one first. 0: an exception. */
static int
take_span(PyObject *rows, Py_ssize_t base, PyObject *span, PyObject *seen, PyObject *changes)
{
    PyObject *first = PyList_GetItem(span, 0), *count = PyList_GetItem(span, 1);
    if (first == NULL || count == NULL)
        return 0;
    Py_ssize_t begin = PyLong_AsSsize_t(first), slots = PyLong_AsSsize_t(count);
    if ((begin == -1 || slots == -1) && PyErr_Occurred())
        return 0;
    Py_ssize_t most = PyList_Size(rows);
    if (begin < base || slots < 0 || slots > most || begin - base > most - slots) {
        PyErr_SetString(PyExc_IndexError, "a span of slots that have no packets");
        return 0;
    }
    for (Py_ssize_t slot = begin + slots - 1; slot >= begin; slot--)
        if (!take(rows, slot - base, slot, seen, changes))
            return 0;
    return 1;
}

/* last(rows, base, spans): changes in slot order; `rows` are the packets from the slot `base` on. */
PyObject *
rmf_last(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 3 || !PyList_Check(args[0]) || !PyList_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "last takes a list of rows, a slot and a list of spans");
        return NULL;
    }
    Py_ssize_t base = PyLong_AsSsize_t(args[1]);
    if (base == -1 && PyErr_Occurred())
        return NULL;
    PyObject *seen = PyDict_New(), *changes = PyList_New(0);
    int done = seen != NULL && changes != NULL;
    for (Py_ssize_t i = PyList_Size(args[2]) - 1; done && i >= 0; i--) {
        PyObject *span = PyList_GetItem(args[2], i);
        done = span != NULL && take_span(args[0], base, span, seen, changes);
    }
    done = done && PyList_Reverse(changes) == 0;
    Py_XDECREF(seen);
    if (done)
        return changes;
    Py_XDECREF(changes);
    return NULL;
}
