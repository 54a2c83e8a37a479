"""Sessions: whole conversations as scripts, for any client or node to be played against.

`needs` says what the node must be for a script, null for a fresh node of one with the line `board`.
"""

from typing import Any

import cbor2

from rmf.core import messages as m
from rmf.core.codec import PREFACE
from tools.vectors.comebacks import comebacks
from tools.vectors.good import DIGEST, cell, packet, welcome
from tools.vectors.steps import (
    applied,
    bagged,
    client,
    closes,
    hello,
    node,
    opening,
    prefaces,
    raw,
    session,
)

__all__ = ["session_entries"]


def session_entries() -> list[dict[str, Any]]:
    """Return all sessions."""
    return [
        *_handshakes(),
        *_produce(),
        *comebacks(),
        *_refusals(),
        *_subscriptions(),
        *_questions(),
    ]


def _handshakes() -> list[dict[str, Any]]:
    send = m.Send([packet(1)])
    later = m.Hello({"versions": [2, 3], "agent": "example/9.0"})
    wrong = m.Error("wrong_version", "this node speaks versions 1 to 1, the client 2 to 3", None)
    tls = m.Error("bad_preface", "this looks like TLS: the port speaks plain RMF", None)
    early = m.Error("hello_expected", "the first message must be HELLO, found SEND", None)
    return [
        session(
            "connect",
            "RMF-3",
            "Connect, ask for a sign of life, leave",
            [
                *hello(),
                node(welcome(), facts__version=1),
                client(m.Ping(7)),
                node(m.Pong(7, 1, 1841), token=7),
                client(m.Bye()),
                closes(),
            ],
        ),
        session(
            "wrong-version",
            "RMF-4",
            "No common version: said in the frozen layout",
            [*prefaces(), client(later), node(wrong, code="wrong_version"), closes()],
        ),
        session(
            "hello-expected",
            "RMF-3",
            "The first message is not HELLO",
            [*prefaces(), client(send), node(early, code="hello_expected"), closes()],
        ),
        session(
            "http",
            "RMF-1",
            "A browser on the wrong port receives an answer in its own words",
            [
                raw("client", b"GET / HTTP/1.1\r\n\r\n", "HTTP"),
                {**raw("node", b"HTTP/1.1 400 ", "HTTP, and a sentence"), "type": "prefix"},
                closes(),
            ],
        ),
        session(
            "tls",
            "RMF-1",
            "A TLS client on a plain port",
            [
                raw("client", bytes.fromhex("16030102000100"), "TLS"),
                raw("node", PREFACE, "preface"),
                node(tls, code="bad_preface"),
                closes(),
            ],
        ),
    ]


def _produce() -> list[dict[str, Any]]:
    three = m.Send([packet(1), packet(2), packet(3)])
    superseded = m.Error("superseded", "a newer connection speaks for producer 'probe-3'", None)
    return [
        session(
            "produce",
            "RMF-24",
            "One packet, its ack, and the picture after it",
            [
                *opening(),
                client(m.Send([packet(1)])),
                applied(1, 1),
                client(m.Subscribe(1, ["greenhouse/#"], {"mode": "full"})),
                node(
                    m.Snapshot(
                        1,
                        m.FULL,
                        False,
                        1,
                        1841,
                        3,
                        DIGEST,
                        True,
                        0,
                        [cell("greenhouse/3/temp", 21.5)._replace(term=1)],
                        [],
                    ),
                    number=1,
                    kind=m.FULL,
                    more=False,
                    cells__0__0="greenhouse/3/temp",
                    cells__0__1=cbor2.dumps(21.5),
                ),
                client(m.Bye()),
                closes(),
            ],
        ),
        session(
            "resend",
            "RMF-15",
            "A connection lost before its ack: the resend is answered, not applied again",
            [
                *opening(),
                client(three),
                closes("client"),
                *opening(epoch=1841, last_seq=3),
                client(three),
                applied(1, 3, duplicate=True),
                client(m.Send([packet(4)])),
                applied(4, 1),
            ],
        ),
        session(
            "bagged",
            "RMF-23",
            "A ttl of 0, and a fence of another term: latched, bagged, and the next goes on",
            [
                *opening(),
                client(m.Send([packet(1, ttl_ms=0)])),
                bagged(1, "label_invalid"),
                client(m.Send([packet(2, fence=2**40)])),
                bagged(2, "stale_term"),
                client(m.Send([packet(3)])),
                applied(3, 1),
            ],
        ),
        session(
            "superseded",
            "RMF-13",
            "A newer connection of the same producer takes over",
            [
                *opening(on="a"),
                *opening(epoch=1841, on="b"),
                node(superseded, on="a", code="superseded"),
                closes(on="a"),
            ],
        ),
    ]


def _refusals() -> list[dict[str, Any]]:
    gap = m.Refuse(3, "seq_gap", 1, None, "seq 3 came where 1 was expected; resend from there")
    busy = m.Refuse(1, "busy", 1, None, "the node says busy")
    away = m.Refuse(1, "not_leader", 1, "10.0.0.2:7410", "n2 reigns")
    cut = m.Error("not_well_formed", "the item is cut off at byte 2", "n1:edge:1")
    strange = m.Error("unknown_type", "no message has the code 99", "n1:edge:2")
    goaway = m.Goaway("stopping", ["10.0.0.2:7410"], 200, "the node is being stopped")
    send = client(m.Send([packet(1)]))
    alive = [client(m.Ping(1)), node(m.Pong(1, 1, 1841), token=1)]
    return [
        session(
            "seq-gap",
            "RMF-16",
            "A hole in the seqs: refused until the seq expected comes",
            [
                *opening(),
                client(m.Send([packet(3)])),
                node(gap, seq=3, code="seq_gap", expected=1),
                send,
                applied(1, 1),
            ],
        ),
        session(
            "busy",
            "RMF-16",
            "Refused for lack of disk; the same seq is sent again after the back-off",
            [*opening(), send, node(busy, seq=1, code="busy", expected=1), send, applied(1, 1)],
            needs="a disk at its hard watermark at the first SEND, with room at the second",
        ),
        session(
            "not-leader",
            "RMF-16",
            "The reign ended: the other node is named. Seq 1 is not free: it may have been latched",
            [*opening(), send, node(away, seq=1, code="not_leader")],
            needs="a node that reigned at HELLO and does not at SEND",
        ),
        session(
            "faulty-frame",
            "RMF-7",
            "Two faulty frames: each is named, the connection goes on",
            [
                *opening(),
                raw("client", bytes.fromhex("000000028208"), "a frame that is cut off"),
                node(cut, code="not_well_formed"),
                *alive,
                raw("client", bytes.fromhex("00000003811863"), "[99]"),
                node(strange, code="unknown_type"),
                *alive,
            ],
        ),
        session(
            "goaway",
            "RMF-11",
            "The node is being stopped",
            [*opening(), node(goaway, code="stopping"), closes()],
            needs="a node that gets SIGTERM after WELCOME",
        ),
    ]


def _subscriptions() -> list[dict[str, Any]]:
    temp = cell("greenhouse/3/temp", 21.5)._replace(term=1)
    full = m.Snapshot(1, m.FULL, False, 1, 1841, 3, DIGEST, True, 0, [temp], [])
    warm = cell("greenhouse/3/temp", 22.5, tick=1900)._replace(term=1)
    delta = full._replace(kind=m.DELTA, tick=1900, entry_index=4, cells=[warm])
    quiet = full._replace(kind=m.KEEPALIVE, tick=1900, entry_index=4, cells=[])
    stood = full._replace(kind=m.KEEPALIVE, cells=[])
    empty = full._replace(tick=1, entry_index=2, cells=[])
    every = {"mode": "delta", "every_tick": True, "from_tick": 1}
    is_full: dict[str, Any] = {"number": 1, "kind": m.FULL, "more": False}
    return [
        session(
            "subscribe",
            "RMF-29",
            "The whole selection, a change, a keepalive, and no more",
            [
                *opening(),
                client(m.Subscribe(1, ["greenhouse/#"], {"mode": "delta"})),
                node(empty, **is_full, cells=[], removed=[]),
                client(m.Send([packet(1, payload=22.5)])),
                applied(1, 1),
                node(
                    delta,
                    number=1,
                    kind=m.DELTA,
                    more=False,
                    cells__0__0="greenhouse/3/temp",
                    cells__0__1=cbor2.dumps(22.5),
                ),
                node(quiet, number=1, kind=m.KEEPALIVE, live=True),
                client(m.Unsubscribe(1)),
                node(m.End(1, None, None), request=1, code=None),
            ],
        ),
        session(
            "resume",
            "RMF-34",
            "A display comes back with the Tick it has: where it stood, and what changed since",
            [
                *hello(),
                node(welcome(), facts__version=1),
                client(m.Subscribe(1, ["greenhouse/#"], {"mode": "delta", "from_tick": 1841})),
                node(stood, number=1, kind=m.KEEPALIVE, tick=1841),
                node(delta._replace(skipped=1), number=1, kind=m.DELTA, more=False),
            ],
            needs="a node whose World changed once after tick 1841",
        ),
        session(
            "gap",
            "RMF-33",
            "A logging node asks for Ticks that are gone: the oldest that is not is named, all that"
            " are retained follow, and of the newest the full picture",
            [
                *hello(),
                node(welcome(), facts__version=1),
                client(m.Subscribe(1, ["#"], every)),
                node(m.Gap(1, 1500), number=1),
                node(delta._replace(tick=1500, entry_index=2), number=1, kind=m.DELTA),
                node(full, **is_full),
            ],
            needs="a node that retains two Ticks, not tick 1",
        ),
    ]


def _questions() -> list[dict[str, Any]]:
    none = m.Value(4, 1, 1841, 3, True, None)
    status = {"node": "n1", "role": "leader", "strike": None, "term": 1, "tick": 1841}
    no = m.End(6, "unknown_query", "'weather': expected one of status, dlq.stats")
    return [
        session(
            "questions",
            "RMF-37",
            "A cell that is not there, the status, and a question that no node understands",
            [
                *hello(),
                node(welcome(), facts__version=1),
                client(m.Get(4, "no/such/cell", linearizable=True)),
                node(none, request=4, cell=None),
                client(m.Query(5, "status", {})),
                node(m.Item(5, status), request=5, body__role="leader"),
                node(m.End(5, None, None), request=5, code=None),
                client(m.Query(6, "weather", {})),
                node(no, request=6, code="unknown_query"),
            ],
        ),
    ]
