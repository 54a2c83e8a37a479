/* Changes of one frame to cells of the World: the loop of rmf/core/cell_writes.py, statement by statement.

   What is given is our own: decoded, checked and in order. So what does not fit is a bug, and an
   exception; the draft that was being written is thrown away then. */

#include "compiled.h"

#include <string.h>

enum { HARVESTED_AT = 2, TTL_MS = 3 };                        /* of a row */
enum { MARK_HEAD_BYTES = 5 * 8 + 2, KEY_BYTES_MAX = 0xffff };  /* ">QQQqQH" */
enum { EXPIRES = 6, FIELDS = 8 };                              /* of a cell */

enum argument {
    CELLS, NOTE_NEW, ARM, MARK, CELL_TYPE, SHELF_TICKS, TERM, TICK, CHANGES, AT, END, TOTAL,
    FIRST, ROWS, INTAKE_TICK, PRODUCER, MAKER, HARVESTED, ARGUMENTS
};

typedef struct {
    PyObject *const *given;
    PyObject *get; /* cells.get */
    allocfunc new_cell;
    uint64_t term, tick, end, first, intake_tick;
    const char *maker;
    Py_ssize_t maker_bytes;
} Job;

/* One change: all borrowed. */
typedef struct {
    PyObject *slot, *key, *value, *harvested_at;
    uint64_t slot_number, expires;
} Write;

static PyObject *
item(PyObject *sequence, Py_ssize_t at)
{
    return PyTuple_Check(sequence) ? PyTuple_GetItem(sequence, at) : PyList_GetItem(sequence, at);
}

static int
number(PyObject *object, uint64_t *found)
{
    if (object == NULL)
        return 0;
    *found = PyLong_AsUnsignedLongLong(object);
    return *found != UINT64_MAX || !PyErr_Occurred();
}

/* Find what a change is to write. 1: found; 0: it is not for this call; -1: an exception. */
static int
read_change(const Job *job, PyObject *change, Write *w)
{
    w->slot = item(change, 0);
    if (!number(w->slot, &w->slot_number))
        return -1;
    w->key = item(change, 1);
    w->value = item(change, 2);
    PyObject *shelf = item(change, 3);
    if (w->key == NULL || w->value == NULL || shelf == NULL)
        return -1;
    if (w->slot_number >= job->end || w->value == Py_None)
        return 0;
    PyObject *rows = job->given[ROWS], *ttl = NULL;
    w->harvested_at = job->given[HARVESTED];
    if (PyList_Size(rows) > 0) {
        PyObject *row = PyList_GetItem(rows, (Py_ssize_t)(w->slot_number - job->first));
        if (row == NULL)
            return -1;
        w->harvested_at = item(row, HARVESTED_AT);
        ttl = item(row, TTL_MS);
        if (w->harvested_at == NULL || ttl == NULL)
            return -1;
    }
    long long shelf_ms = PyLong_AsLongLong(shelf);
    if (shelf_ms == -1 && PyErr_Occurred())
        return -1;
    w->expires = 0;
    if (shelf_ms == 0)
        return 1;
    if (shelf_ms < 0 && ttl == NULL) {
        PyErr_SetString(PyExc_AssertionError, "a change inherits the shelf life of no packet");
        return -1;
    }
    PyObject *ticks = PyObject_GetItem(job->given[SHELF_TICKS], shelf_ms < 0 ? ttl : shelf);
    int known = number(ticks, &w->expires);
    Py_XDECREF(ticks);
    w->expires += shelf_ms < 0 ? job->intake_tick : job->tick;
    return known ? 1 : -1;
}

/* Let `of` own another object instead of the one it has. */
static void
replace(PyObject **of, PyObject *by)
{
    PyObject *before = *of;
    *of = by;
    Py_DECREF(before);
}

static uint8_t *
big_endian(uint8_t *to, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        *to++ = (uint8_t)(value >> (8 * i));
    return to;
}

/* Return a cell's share of the digest (see core/world.mark_of), or NULL with an exception. */
static PyObject *
mark_of(const Job *job, const Write *w)
{
    Py_ssize_t name_bytes, value_bytes = PyBytes_Size(w->value);
    const char *name = PyUnicode_AsUTF8AndSize(w->key, &name_bytes);
    long long harvested_at = PyLong_AsLongLong(w->harvested_at);
    if (value_bytes < 0 || name == NULL || (harvested_at == -1 && PyErr_Occurred()))
        return NULL;
    if (name_bytes > KEY_BYTES_MAX) {
        PyErr_SetString(PyExc_AssertionError, "a key is longer than any may be");
        return NULL;
    }
    PyObject *hashed = PyBytes_FromStringAndSize(
        NULL, MARK_HEAD_BYTES + name_bytes + job->maker_bytes + value_bytes);
    if (hashed == NULL)
        return NULL;
    uint8_t *to = (uint8_t *)PyBytes_AsString(hashed);
    to = big_endian(to, job->term, 8);
    to = big_endian(to, job->tick, 8);
    to = big_endian(to, w->slot_number, 8);
    to = big_endian(to, (uint64_t)harvested_at, 8);
    to = big_endian(to, w->expires, 8);
    to = big_endian(to, (uint64_t)name_bytes, 2);
    memcpy(to, name, (size_t)name_bytes);
    memcpy(to + name_bytes, job->maker, (size_t)job->maker_bytes);
    memcpy(to + name_bytes + job->maker_bytes, PyBytes_AsString(w->value), (size_t)value_bytes);
    PyObject *mark = PyObject_CallFunctionObjArgs(job->given[MARK], hashed, NULL);
    Py_DECREF(hashed);
    return mark;
}

/* Return the cell, or NULL with an exception; `expires` and `mark` are borrowed. */
static PyObject *
cell_of(const Job *job, const Write *w, PyObject *expires, PyObject *mark)
{
    PyObject *cell = job->new_cell((PyTypeObject *)job->given[CELL_TYPE], FIELDS);
    PyObject *fields[FIELDS] = {w->value, job->given[TERM], job->given[TICK], w->slot,
                                job->given[PRODUCER], w->harvested_at, expires, mark};
    for (Py_ssize_t i = 0; cell != NULL && i < FIELDS; i++) {
        Py_INCREF(fields[i]);
        if (PyTuple_SetItem(cell, i, fields[i]) < 0)
            Py_CLEAR(cell);
    }
    return cell;
}

/* Take a share off the total if there was a cell, note a key that is new, and arm what may end
   sooner than is known. `old` is a cell or None. 0: an exception. */
static int
succeed(const Job *job, const Write *w, PyObject *old, PyObject *expires, PyObject **total)
{
    uint64_t before = 0;
    if (old == Py_None) {
        PyObject *noted = PyObject_CallFunctionObjArgs(job->given[NOTE_NEW], w->key, NULL);
        Py_XDECREF(noted);
        if (noted == NULL)
            return 0;
    } else {
        PyObject *share = PyTuple_GetItem(old, FIELDS - 1);
        PyObject *rest = share != NULL ? PyNumber_Subtract(*total, share) : NULL;
        if (rest == NULL || !number(PyTuple_GetItem(old, EXPIRES), &before)) {
            Py_XDECREF(rest);
            return 0;
        }
        replace(total, rest);
    }
    if (w->expires == 0 || (before != 0 && before <= w->expires))
        return 1;
    PyObject *armed = PyObject_CallFunctionObjArgs(job->given[ARM], w->key, expires, NULL);
    Py_XDECREF(armed);
    return armed != NULL;
}

static int
write_one(const Job *job, const Write *w, PyObject **total)
{
    int written = 0;
    PyObject *cell = NULL, *old = NULL, *expires = NULL, *mark = mark_of(job, w);
    if (mark != NULL)
        expires = PyLong_FromUnsignedLongLong(w->expires);
    if (expires != NULL)
        old = PyObject_CallFunctionObjArgs(job->get, w->key, NULL);
    if (old != NULL && succeed(job, w, old, expires, total)) {
        PyObject *sum = PyNumber_Add(*total, mark);
        if (sum != NULL) {
            replace(total, sum);
            cell = cell_of(job, w, expires, mark);
            written = cell != NULL && PyObject_SetItem(job->given[CELLS], w->key, cell) == 0;
        }
    }
    Py_XDECREF(mark);
    Py_XDECREF(expires);
    Py_XDECREF(old);
    Py_XDECREF(cell);
    return written;
}

static int
read_job(PyObject *const *args, Job *job, uint64_t *at)
{
    job->given = args;
    job->new_cell = (allocfunc)PyType_GetSlot((PyTypeObject *)args[CELL_TYPE], Py_tp_alloc);
    char *maker;
    if (PyBytes_AsStringAndSize(args[MAKER], &maker, &job->maker_bytes) < 0)
        return 0;
    job->maker = maker;
    return number(args[TERM], &job->term) && number(args[TICK], &job->tick)
        && number(args[END], &job->end) && number(args[FIRST], &job->first)
        && number(args[INTAKE_TICK], &job->intake_tick) && number(args[AT], at);
}

/* cells(...), as `write_cells` in core/cell_writes: the position behind what was written, and the
   total. */
PyObject *
rmf_cells(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    Job job;
    uint64_t at;
    if (nargs != ARGUMENTS) {
        PyErr_SetString(PyExc_TypeError, "cells takes what write_cells does");
        return NULL;
    }
    if (!PyList_Check(args[CHANGES]) || !PyList_Check(args[ROWS])) {
        PyErr_SetString(PyExc_TypeError, "cells takes lists of changes and rows");
        return NULL;
    }
    if (!read_job(args, &job, &at))
        return NULL;
    job.get = PyObject_GetAttrString(args[CELLS], "get");
    PyObject *total = args[TOTAL], *told = NULL;
    Py_INCREF(total);
    int found = job.get != NULL ? 1 : -1;
    while (found == 1 && at < (uint64_t)PyList_Size(args[CHANGES])) {
        PyObject *change = PyList_GetItem(args[CHANGES], (Py_ssize_t)at);
        Write w;
        found = change != NULL ? read_change(&job, change, &w) : -1;
        if (found == 1)
            found = write_one(&job, &w, &total) ? 1 : -1;
        at += found == 1;
    }
    if (found != -1)
        told = Py_BuildValue("(nO)", (Py_ssize_t)at, total);
    Py_DECREF(total);
    Py_XDECREF(job.get);
    return told;
}
