"""The good vectors: every message of the catalogue, and the edges of what is taken."""

from typing import Any

import cbor2

from rmf import limits
from rmf.core import messages as m
from rmf.core.codec import announced_limits
from tools.vectors.entries import good
from tools.vectors.orders import order_entries

__all__ = ["HARVESTED_AT", "WELCOME_FACTS", "cell", "good_entries", "packet", "welcome"]

HARVESTED_AT = 1_764_000_000_000_000_000  # ns: some day in November 2025
CLUSTER = bytes(range(16))
DIGEST = bytes(range(0xA0, 0xB0))
NATURAL_MAX = 2**63 - 1

WELCOME_FACTS: dict[str, Any] = {
    "version": 1,
    "node": "n1",
    "cluster": CLUSTER,
    "agent": "rmf/0.1.0",
    "term": 3,
    "tick": 1840,
    "period_ns": limits.TICK_PERIOD_NS,
    "leader": "127.0.0.1:7410",
    "limits": announced_limits(),
}


def packet(seq: int, *, ttl_ms: int = 5000, fence: int | None = None, payload: Any = 21.5) -> Any:
    """Return a packet of the probe that the examples speak of."""
    row = ["greenhouse/3/temp", seq, HARVESTED_AT + seq, ttl_ms, cbor2.dumps(payload)]
    return row if fence is None else [*row, fence]


def welcome(**facts: Any) -> m.Welcome:
    """Return a WELCOME with some facts of its own."""
    return m.Welcome({**WELCOME_FACTS, **facts})


def cell(key: str, value: Any, *, tick: int = 1841, expires: int | None = 51841) -> m.WireCell:
    """Return a cell as subscribers get it."""
    encoded = cbor2.dumps(value)
    return m.WireCell(key, encoded, 3, tick, 0, "probe-3", HARVESTED_AT + 1, expires)


def good_entries() -> list[dict[str, Any]]:
    """Return all good vectors."""
    return [*_connection(), *_producers(), *_subscribers(), *_questions()]


def _connection() -> list[dict[str, Any]]:
    hello = {"versions": [1, 1], "agent": "example/1.0"}
    probe = {**hello, "producer": "probe-3"}
    again = {**probe, "epoch": 1840}
    return [
        good("hello-plain", "RMF-3", "A client that sends no packets", m.Hello(hello)),
        good("hello-producer", "RMF-13", "A producer", m.Hello(probe)),
        good("hello-again", "RMF-39", "The epoch of its last WELCOME", m.Hello(again)),
        good(
            "hello-ephemeral",
            "RMF-13",
            "A producer whose name leaves with BYE, and that knows the cluster it wants",
            m.Hello({**hello, "producer": "tmp-1", "ephemeral": True, "cluster": CLUSTER}),
        ),
        good(
            "hello-dated",
            "RMF-32",
            "A display that wants the present tick with each SNAPSHOT",
            m.Hello({**hello, "now": True}),
        ),
        good(
            "hello-unknown-option",
            "RMF-8",
            "Unknown options are ignored, integer keys in their values included",
            m.Hello({**hello, "colour": {"deep": [1, -1, 1.5, None, True], "n": {1: 2, -1: "x"}}}),
        ),
        good(
            "hello-later-versions",
            "RMF-4",
            "A client of later versions that still speaks this one",
            m.Hello({"versions": [1, 7], "agent": "example/9.0"}),
        ),
        good("welcome-plain", "RMF-3", "The answer to a HELLO without a producer", welcome()),
        good(
            "welcome-producer",
            "RMF-14",
            "The answer to a producer: epoch and last seq are committed",
            welcome(epoch=1840, last_seq=17, ephemeral=False),
        ),
        good(
            "welcome-nodes",
            "RMF-3",
            "The nodes of a factory of three; one does not say where clients reach it",
            welcome(nodes=["10.0.0.1:7410", "[2001:db8::2]:7410"]),
        ),
        good("welcome-no-leader", "RMF-3", "No reigning Arbiter is known", welcome(leader=None)),
        good(
            "error-plain",
            "RMF-7",
            "A fault without a letter",
            m.Error("wrong_version", "this node speaks versions 1 to 1, the client 2 to 3", None),
        ),
        good(
            "error-letter",
            "RMF-7",
            "A fault whose bytes are in a letter",
            m.Error("not_well_formed", "the item is cut off at byte 7", "n1:edge:12"),
        ),
        good("bye", "RMF-11", "A client leaves", m.Bye()),
        good(
            "goaway",
            "RMF-11",
            "A node is being stopped; two others may be tried at once",
            m.Goaway("stopping", ["10.0.0.2:7410", "10.0.0.3:7410"], 200, "the node is stopped"),
        ),
        good("goaway-alone", "RMF-11", "Nowhere to go", m.Goaway("stopping", [], 5000, "")),
        good("ping", "RMF-10", "A sign of life", m.Ping(7)),
        good("ping-largest", "RMF-10", "The largest natural", m.Ping(NATURAL_MAX)),
        good("pong", "RMF-10", "The answer: the token, and the node's time", m.Pong(7, 3, 1841)),
    ]


def _producers() -> list[dict[str, Any]]:
    applied = m.Run(18, 3, m.APPLIED, False, 3, 1841, 0, None, None)
    bagged = m.Run(21, 1, m.BAGGED, False, 3, 1841, 3, "expired", "3.1841.3")
    unknown = m.Run(1, 12, m.UNKNOWN, True, None, None, None, None, None)
    longest = "é" * (limits.TOPIC_BYTES_MAX // 2)
    return [
        good("send-one", "RMF-18", "One packet", m.Send([packet(1)])),
        good("send-three", "RMF-14", "Contiguous seqs", m.Send([packet(s) for s in (1, 2, 3)])),
        good("send-fence", "RMF-21", "Only while term 3 reigns", m.Send([packet(1, fence=3)])),
        good("send-ttl-shortest", "RMF-19", "ttl 1 ms", m.Send([packet(1, ttl_ms=1)])),
        good(
            "send-ttl-longest",
            "RMF-19",
            "ttl 2^41 ms",
            m.Send([packet(1, ttl_ms=limits.TTL_MS_MAX)]),
        ),
        good(
            "send-seq-largest",
            "RMF-14",
            "seq 2^63-1",
            m.Send([["a", limits.SEQ_MAX, limits.HARVESTED_AT_MAX, 5000, b"\x00"]]),
        ),
        good(
            "send-edges",
            "RMF-18",
            "An empty payload, harvested in 1970, a topic of one character",
            m.Send([["a", 1, 0, 1, b""]]),
            "An empty payload is no CBOR: the label is good, a handler that wants a value bags it.",
        ),
        good(
            "send-topic-longest",
            "RMF-18",
            "A topic of 1,024 bytes in 512 characters",
            m.Send([[longest, 1, HARVESTED_AT, 5000, b"\x00"]]),
        ),
        good(
            "send-topic-empty-levels",
            "RMF-18",
            "Empty levels, spaces and letters of any script are allowed",
            m.Send([["/a//温室 3/", 1, HARVESTED_AT, 5000, b"\x00"]]),
        ),
        good(
            "send-payload-no-cbor",
            "RMF-22",
            "A payload that is not CBOR is taken in; its packet is bagged by the line",
            m.Send([["a", 1, HARVESTED_AT, 5000, b"\xff\xff"]]),
            "Outcome: bagged, payload_invalid.",
        ),
        good("ack-applied", "RMF-23", "Three packets in one Tick", m.Ack([applied])),
        good("ack-mixed", "RMF-23", "Applied, then one in the bag", m.Ack([applied, bagged])),
        good(
            "ack-duplicate",
            "RMF-23",
            "A resend: the original Stamp",
            m.Ack([applied._replace(duplicate=True), bagged._replace(duplicate=True)]),
        ),
        good("ack-unknown", "RMF-17", "Older than the window", m.Ack([unknown])),
        good(
            "refuse-seq-gap",
            "RMF-16",
            "Seq 5 came where 3 was expected",
            m.Refuse(5, "seq_gap", 3, None, "seq 5 came where 3 was expected; resend from there"),
        ),
        good(
            "refuse-not-leader",
            "RMF-16",
            "Go there",
            m.Refuse(18, "not_leader", 18, "10.0.0.2:7410", "n2 reigns"),
        ),
        good(
            "refuse-hello-not-leader",
            "RMF-3",
            "A follower sends a producer to the leader",
            m.Refuse(0, "not_leader", 0, "10.0.0.2:7410", "n2 reigns"),
        ),
        good(
            "refuse-hello",
            "RMF-3",
            "HELLO itself was refused: seq 0",
            m.Refuse(0, "no_reign", 0, None, "no reigning Arbiter is known"),
        ),
    ]


def _subscribers() -> list[dict[str, Any]]:
    cells = [cell("average/3", 21.5, expires=None), cell("greenhouse/3/temp", 21.5)]
    full = m.Snapshot(1, m.FULL, False, 3, 1841, 977, DIGEST, True, 0, cells, [])
    options = {"mode": "delta", "rate_hz": 2.5, "every_tick": False, "from_tick": 1841}
    return [
        good("subscribe-all", "RMF-28", "Everything", m.Subscribe(1, ["#"], {})),
        good(
            "subscribe-options",
            "RMF-28",
            "Every option",
            m.Subscribe(2, ["greenhouse/+/temp", "alarm/#"], options),
        ),
        good(
            "subscribe-every-tick",
            "RMF-33",
            "A logging node: whole pictures, no Tick left out",
            m.Subscribe(3, ["a"], {"mode": "full", "rate_hz": 30, "every_tick": True}),
        ),
        good("unsubscribe", "RMF-35", "No more of it", m.Unsubscribe(1)),
        good("snapshot-full", "RMF-29", "A full picture in one frame", full),
        good(
            "snapshot-chunk",
            "RMF-29",
            "The first chunk of a Tick: more is to come",
            full._replace(more=True, cells=cells[:1]),
        ),
        good(
            "snapshot-empty",
            "RMF-29",
            "A full picture of nothing",
            full._replace(cells=[], term=1, tick=1, entry_index=1),
        ),
        good(
            "snapshot-delta",
            "RMF-31",
            "One cell written, one gone; four Ticks conflated",
            full._replace(
                kind=m.DELTA,
                tick=1850,
                entry_index=986,
                skipped=4,
                cells=cells[1:],
                removed=[["greenhouse/9/temp", "expired"]],
            ),
        ),
        good(
            "snapshot-keepalive",
            "RMF-32",
            "Nothing changed, and a reigning Arbiter is known",
            full._replace(kind=m.KEEPALIVE, cells=[]),
        ),
        good(
            "snapshot-keepalive-stale",
            "RMF-32",
            "The picture may be old: no reigning Arbiter is known",
            full._replace(kind=m.KEEPALIVE, live=False, cells=[]),
        ),
        good(
            "snapshot-dated",
            "RMF-32",
            "A keepalive that carries the present tick, as HELLO asked",
            full._replace(kind=m.KEEPALIVE, cells=[], now=61_841),
        ),
        good("gap", "RMF-33", "Ticks before 1500 are gone", m.Gap(3, 1500)),
    ]


def _questions() -> list[dict[str, Any]]:
    held = cell("average/3", 21.5, expires=None)
    return [
        good("get", "RMF-36", "One cell", m.Get(4, "average/3", linearizable=False)),
        good("get-linearizable", "RMF-36", "After all acks", m.Get(5, "average/3", True)),
        good("value", "RMF-36", "The cell", m.Value(4, 3, 1841, 977, True, held)),
        good("value-none", "RMF-36", "No such cell", m.Value(5, 3, 1841, 977, True, None)),
        good("query-status", "RMF-37", "How are you", m.Query(6, "status", {})),
        good(
            "query-letters",
            "RMF-37",
            "The newest ten letters of one reason",
            m.Query(7, "dlq.list", {"reason": "expired", "newest_first": True, "limit": 10}),
        ),
        good(
            "item",
            "RMF-37",
            "A piece of an answer",
            m.Item(7, {"letter": "3.1841.3", "reason": "expired", "packet": b"\x80", "slot": 3}),
        ),
        good("end", "RMF-37", "The answer is complete", m.End(7, None, None)),
        good(
            "end-refused",
            "RMF-37",
            "The question was not understood",
            m.End(8, "unknown_query", "'weather': expected one of status, dlq.stats"),
        ),
        good(
            "end-get",
            "RMF-36",
            "A linearizable GET that cannot be answered while no node reigns",
            m.End(5, "no_reign", "no reigning Arbiter is known"),
        ),
        *order_entries(),
    ]
