"""The generated blocks of `protocol/`: tables that have their truth in the code.

It decides the words beside each limit and reason; codes, values and their order come from the core.
A limit or a reason without words here is an error of the generator: nothing goes undocumented.
"""

from typing import Any

from rmf import limits
from rmf.core.bag import REASONS
from rmf.core.codec import announced_limits
from rmf.core.faults import FAULTS
from rmf.core.transitions import TRANSITIONS
from tools.vectors.notation import annotated
from tools.vectors.peers import PEER_LIMITS
from tools.vectors.sessions import session_entries

__all__ = ["blocks", "peer_blocks", "replaced", "state_rows"]

LIMITS = {
    "frame_bytes": "client to node: bytes of a frame, its length not counted | `frame_too_long`",
    "server_frame_bytes": "node to client: the same | a client closes",
    "frame_packets": "packets in one SEND | `frame_packets`",
    "frames_in_flight": "SENDs without an ack | older outcomes may be answered `unknown`",
    "frame_items": "CBOR items in a frame, heads of arrays and maps counted | `too_many_items`",
    "depth": "arrays and maps in one another, in a frame, a payload, a value | `depth`",
    "topic_bytes": "UTF-8 bytes of a topic or a filter | bag `label_invalid`; `bad_filter`",
    "key_bytes": "UTF-8 bytes of a key of the World | bag `result_invalid`",
    "payload_bytes": "bytes of a payload | bag `payload_invalid`",
    "producer_bytes": "UTF-8 bytes of a producer's name | `producer_name`",
    "ttl_ms": "a packet's shelf life; it is at least 1 | bag `label_invalid`",
    "subscriptions": "subscriptions on one connection | `too_many_subscriptions`",
    "filters": "filters in one SUBSCRIBE | `bad_filter`",
    "frame_ms": "from the first byte of a frame to its last | `frame_timeout`",
    "idle_ms": "without one byte from the client | `idle_timeout`",
    "keepalive_ms": "a promise: each subscription hears at least this often | -",
}

FIXED = (
    ("frame before HELLO, bytes", limits.FRAME_BEFORE_HELLO_BYTES_MAX, "`frame_too_long`"),
    ("preface and HELLO, ms from accept", limits.HANDSHAKE_S_MAX * 1000, "`handshake_timeout`"),
    ("one write to a client, ms", limits.SEND_S_MAX * 1000, "the connection is cut"),
    ("batches of answers not read", limits.ANSWERS_MAX, "`slow_reader`, or cut without a word"),
    ("connections", limits.CONNECTIONS_MAX, "`too_many_connections`"),
    (
        "connections that have not said HELLO",
        limits.CONNECTIONS_BEFORE_HELLO_MAX,
        "`too_many_connections`",
    ),
    ("seq", limits.SEQ_MAX, "`no_seq`"),
    ("harvested_at, ns", limits.HARVESTED_AT_MAX, "bag `label_invalid`"),
    ("rate of a subscription, Hz", limits.RATE_HZ_MAX, "the rate is lowered to it"),
    ("letters or groups in one answer", limits.DLQ_PAGE_LETTERS, "the limit is lowered to it"),
)

REASON_WORDS = {
    "malformed": "edge: bytes in which no packet with a readable seq was found | the sender's code",
    "label_invalid": "latch: a field of the label is missing, too many, or out of its range"
    " | the sender's code",
    "not_allowed": "edge, latch: no HELLO named a producer (`no_producer`), or it may not send this"
    " | HELLO, rights, or the topic",
    "expired": "latch: its shelf life was over when it was latched | send earlier, or a longer ttl",
    "stale_term": "latch: its fence names another term than the one that reigns"
    " | decide again, then send a new packet",
    "payload_invalid": "latch, line: too long, not CBOR, or not what the handler declares"
    " | the sender's code",
    "handler_error": "line: the handler raised | the line",
    "handler_timeout": "line: the handler took longer than its budget | the line",
    "handler_died": "line: the process of the line ended, twice, on this packet | the line",
    "handler_memory": "line: the handler took more memory than it may | the line",
    "no_handler": "line: no handler wants this topic | the topic, or the line",
    "result_invalid": "line: the handler returned what cannot be kept | the line",
    "task_failed": "task: a task of the node failed while it held this packet: evidence only"
    " | the node's operator",
    "diverged": "task: an audit came to another result than the ledger: evidence only"
    " | the line: it is not deterministic",
}


def blocks() -> dict[str, str]:
    """Return the generated blocks by name, each a few lines of Markdown."""
    return {
        "errors": _errors(),
        "limits": _limits(),
        "fixed": _fixed(),
        "reasons": _reasons(),
        "session": _session(),
        "states": _states(),
    }


def state_rows() -> list[dict[str, Any]]:
    """Return the table of states as `states.json` holds it: a row for each state and event."""
    return [
        {
            "state": state,
            "event": event,
            "case": row.case or None,
            "answer": row.answer,
            "codes": list(row.codes),
            "next": row.next or state,
        }
        for row in TRANSITIONS
        for state in row.states
        for event in row.events
    ]


def peer_blocks() -> dict[str, str]:
    """Return the generated blocks of PEERS.md likewise."""
    rows = [f"{what} | {int(value)} | {beyond}" for what, value, beyond in PEER_LIMITS]
    return {"peers": _table("what | value here | beyond it", rows)}


def replaced(page: str, wanted: dict[str, str]) -> str:
    """Return a page with its generated blocks as they must be.

    Raises ValueError for a block whose marks are missing.
    """
    for name, body in wanted.items():
        begin, end = f"<!-- begin generated: {name} -->\n", f"<!-- end generated: {name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"expected one block {name!r} between {begin!r} and {end!r}")
        head, rest = page.split(begin)
        _, tail = rest.split(end)
        page = f"{head}{begin}{body}\n{end}{tail}"
    return page


def _table(head: str, rows: list[str]) -> str:
    columns = head.count("|") + 1
    lines = [head, " | ".join(["---"] * columns), *rows]
    return "\n".join(f"| {line.strip()} |" for line in lines)


def _errors() -> str:
    rows = []
    for code, fault in FAULTS.items():
        closes = "closes" if fault.closes else "-"
        retry = "yes" if fault.retry else "no"
        back_off = str(fault.back_off_ms) if fault.retry else "-"
        rows.append(f"`{code}` | {closes} | {retry} | {back_off} | {fault.meaning}")
    return _table("code | connection | retry | back-off, ms | meaning", rows)


def _limits() -> str:
    rows = [f"`{name}` | {value} | {LIMITS[name]}" for name, value in announced_limits().items()]
    return _table("name | value here | bounds | beyond it", rows)


def _fixed() -> str:
    rows = [f"{what} | {int(value)} | {beyond}" for what, value, beyond in FIXED]
    return _table("what | value here | beyond it", rows)


def _reasons() -> str:
    rows = []
    for reason in REASONS:
        stage, rest = REASON_WORDS[reason].split(": ", 1)
        rows.append(f"`{reason}` | {stage} | {rest}")
    return _table("reason | stage | meaning | who mends it", rows)


def _states() -> str:
    rows = [
        f"{', '.join(x.states)} | {x.event} | {x.case} | {x.answer} | {x.next or '*same*'}"
        for x in TRANSITIONS
    ]
    return _table("state | event | where | the node | next", rows)


def _session() -> str:
    """Return the session `session-produce` as annotated hex."""
    entry = next(x for x in session_entries() if x["id"] == "session-produce")
    lines = ["```text"]
    for step in entry["decoded"]:
        data = bytes.fromhex(step["hex"])
        arrow = "client ->" if step["from"] == "client" else "  <- node"
        if step["diag"] == "preface":
            lines += [f"{arrow}  {data.hex(' '):<58}# the preface: RMF, 1", ""]
        elif not data:
            lines += [f"{arrow}  closes the connection"]
        else:
            lines += [f"{arrow}  {data[:4].hex(' '):<58}# length: {len(data) - 4}"]
            lines += [f"           {line}" for line in annotated(data[4:])]
            lines += [""]
    return "\n".join([*lines, "```"])
