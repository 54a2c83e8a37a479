/* A SEND frame of plain packets to its rows, in one pass.

   A frame that is opened is within the strict profile (protocol/README.md §4), and its packets have
   consecutive seqs and no fault (rmf/core/packet.py). No length is trusted: each is compared with
   what is left before it is used. */

#include "compiled.h"

enum { SEND = 3, PACKET_BYTES_MIN = 7 };
enum { TOPIC, SEQ, HARVESTED_AT, TTL_MS, PAYLOAD, FENCE };

typedef struct {
    uint64_t packets_max, topic_max, payload_max, ttl_max;
} Limits;

typedef struct {
    const uint8_t *topic, *payload;
    uint64_t fields, topic_bytes, payload_bytes, seq, harvested_at, ttl_ms, fence;
} Packet;

/* A number that many packets of a frame share, and its object: made once while it stays the same. */
typedef struct {
    uint64_t number;
    PyObject *object;
} Shared;

static int
head(Reader *r, int major, uint64_t *argument)
{
    int found, info;
    return read_head(r, &found, &info, argument) && found == major;
}

/* Read a string of `major` that has at most `most` bytes, and all of them in the frame. */
static int
string(Reader *r, int major, uint64_t most, const uint8_t **begin, uint64_t *bytes)
{
    if (!head(r, major, bytes) || *bytes > most || *bytes > left_of(r))
        return 0;
    *begin = r->at;
    r->at += *bytes;
    return 1;
}

/* Whether bytes are a topic, if they are UTF-8: Python's decoder looks at that. */
static int
is_topic(const uint8_t *text, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++)
        if (text[i] < 0x20 || text[i] == 0x7f || text[i] == '+' || text[i] == '#')
            return 0;
    return bytes > 0;
}

static int
packet(Reader *r, const Limits *limits, Packet *p)
{
    return head(r, ARRAY, &p->fields) && (p->fields == FENCE || p->fields == FENCE + 1)
        && string(r, TEXT, limits->topic_max, &p->topic, &p->topic_bytes)
        && is_topic(p->topic, p->topic_bytes)
        && head(r, UNSIGNED, &p->seq) && p->seq >= 1
        && head(r, UNSIGNED, &p->harvested_at) && p->harvested_at <= INT64_MAX
        && head(r, UNSIGNED, &p->ttl_ms) && p->ttl_ms >= 1 && p->ttl_ms <= limits->ttl_max
        && string(r, BYTES, limits->payload_max, &p->payload, &p->payload_bytes)
        && (p->fields == FENCE || (head(r, UNSIGNED, &p->fence) && p->fence <= INT64_MAX));
}

/* Return a new reference to the number, or NULL with an exception. */
static PyObject *
number_of(Shared *shared, uint64_t number)
{
    if (shared->object == NULL || shared->number != number) {
        PyObject *made = PyLong_FromUnsignedLongLong(number);
        if (made == NULL)
            return NULL;
        Py_XDECREF(shared->object);
        shared->object = made;
        shared->number = number;
    }
    Py_INCREF(shared->object);
    return shared->object;
}

/* Put an object into the list, which then owns it; 0 if there is none, or no place for it. */
static int
put(PyObject *list, Py_ssize_t place, PyObject *object)
{
    return object != NULL && PyList_SetItem(list, place, object) == 0;
}

/* Return the row of a packet, or NULL with an exception: UnicodeDecodeError, MemoryError. */
static PyObject *
row_of(const Packet *p, Shared *harvested_at, Shared *ttl_ms)
{
    PyObject *row = PyList_New((Py_ssize_t)p->fields);
    if (row == NULL)
        return NULL;
    const char *topic = (const char *)p->topic, *payload = (const char *)p->payload;
    if (put(row, TOPIC, PyUnicode_DecodeUTF8(topic, (Py_ssize_t)p->topic_bytes, "strict"))
        && put(row, SEQ, PyLong_FromUnsignedLongLong(p->seq))
        && put(row, HARVESTED_AT, number_of(harvested_at, p->harvested_at))
        && put(row, TTL_MS, number_of(ttl_ms, p->ttl_ms))
        && put(row, PAYLOAD, PyBytes_FromStringAndSize(payload, (Py_ssize_t)p->payload_bytes))
        && (p->fields == FENCE || put(row, FENCE, PyLong_FromUnsignedLongLong(p->fence))))
        return row;
    Py_DECREF(row);
    return NULL;
}

/* Fill the rows from the frame. 1: they are all of it; 0: it is not plain; -1: an exception. */
static int
fill(PyObject *rows, uint64_t count, Reader *r, const Limits *limits)
{
    Shared harvested_at = {0, NULL}, ttl_ms = {0, NULL};
    Packet p = {0};
    uint64_t first_seq = 0;
    int found = 1;
    for (uint64_t i = 0; found == 1 && i < count; i++) {
        if (!packet(r, limits, &p)) {
            found = 0;
            break;
        }
        if (i == 0) {
            first_seq = p.seq;
            found = p.seq <= (uint64_t)INT64_MAX - (count - 1);
        }
        if (p.seq - first_seq != i)
            found = 0;
        if (found && !put(rows, (Py_ssize_t)i, row_of(&p, &harvested_at, &ttl_ms)))
            found = -1;
    }
    Py_XDECREF(harvested_at.object);
    Py_XDECREF(ttl_ms.object);
    if (found == -1 && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        return 0;
    }
    return found == 1 ? r->at == r->end : found;
}

/* rows(packets_max, topic_bytes_max, payload_bytes_max, ttl_ms_max, frame) */
PyObject *
rmf_rows(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    Limits most;
    char *data;
    Py_ssize_t size;
    if (nargs != 5) {
        PyErr_SetString(PyExc_TypeError, "rows takes four limits and a frame");
        return NULL;
    }
    if (!limit_of(args[0], &most.packets_max) || !limit_of(args[1], &most.topic_max)
        || !limit_of(args[2], &most.payload_max) || !limit_of(args[3], &most.ttl_max)
        || PyBytes_AsStringAndSize(args[4], &data, &size) < 0)
        return NULL;
    Reader r = {(const uint8_t *)data, (const uint8_t *)data + size};
    uint64_t fields, code, count;
    if (!head(&r, ARRAY, &fields) || fields != 2 || !head(&r, UNSIGNED, &code) || code != SEND
        || !head(&r, ARRAY, &count) || count < 1 || count > most.packets_max
        || count > left_of(&r) / PACKET_BYTES_MIN)
        Py_RETURN_NONE;
    PyObject *rows = PyList_New((Py_ssize_t)count);
    if (rows == NULL)
        return NULL;
    int found = fill(rows, count, &r, &most);
    if (found == 1)
        return rows;
    Py_DECREF(rows);
    if (found < 0)
        return NULL;
    Py_RETURN_NONE;
}
