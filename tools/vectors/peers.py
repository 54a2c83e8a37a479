"""The vectors of the protocol between nodes: every message, and what is refused.

The judge is the implementation: `wire.decode`, then the CRC32C of the Entries.
"""

from typing import Any

import cbor2
import crc32c

from rmf import limits
from rmf.client.render import to_json
from rmf.core import profile
from rmf.core.bag import Evidence, Letter, Read
from rmf.core.entry import LineId
from rmf.core.raft import greetings as g
from rmf.core.raft import peer_messages as m
from rmf.core.raft import wire
from rmf.core.triage import Act
from rmf.errors import ProtocolFault
from tools.vectors.notation import diag

__all__ = ["PEER_LIMITS", "judge_peer", "peer_entries", "version_of"]

CLUSTER = bytes(range(16))
CHAIN = bytes(range(0xA0, 0xB0))
CONTENT = bytes(range(0xC0, 0xD0))
N1, N2 = b"\x11" * 16, b"\x22" * 16
NATURAL_MAX = 2**63 - 1

PEER_LIMITS = (
    ("frame, bytes, its length not counted", limits.PEER_FRAME_BYTES_MAX, "closed"),
    ("frame before HELLO was judged, bytes", limits.PEER_HELLO_BYTES_MAX, "closed"),
    ("item that is counted by TAKEN, bytes, at least", limits.PEER_COUNTED_BYTES_MIN, "-"),
    ("data of a PIECE, bytes", limits.PEER_PIECE_BYTES_MAX, "closed"),
    ("body of an Entry, bytes", limits.ENTRY_BYTES_MAX, "closed"),
    ("name or address, UTF-8 bytes", limits.PEER_TEXT_BYTES_MAX, "closed"),
    ("connections from other nodes", limits.PEER_CONNECTIONS_MAX, "`too_many_connections`"),
    ("preface and HELLO, or WELCOME, ms", limits.PEER_HANDSHAKE_S_MAX * 1000, "closed"),
    ("one frame from first byte to last, ms", limits.PEER_FRAME_S_MAX * 1000, "closed"),
    ("silence, ms", limits.PEER_SILENCE_S_MAX * 1000, "closed: the peer counts as lost"),
    ("until ALIVE is said, ms", limits.PEER_ALIVE_S * 1000, "-"),
    ("pause before another call, ms, at first", limits.RECONNECT_PEER_S_MIN * 1000, "doubled"),
    ("pause before another call, ms, at most", limits.RECONNECT_PEER_S_MAX * 1000, "-"),
    ("letters in a page", limits.DLQ_PAGE_LETTERS, "`more`"),
    ("bytes of letters that close a page", limits.PEER_LETTERS_BYTES, "`more`"),
)


def judge_peer(frame: bytes) -> str:
    """Return "ok", or the code of the fault for which a frame is refused."""
    try:
        wire.check_entries(wire.decode(frame))
    except ProtocolFault as fault:
        return fault.code
    return "ok"


def peer_entries() -> list[dict[str, Any]]:
    """Return all vectors of the protocol between nodes."""
    return [*_good(), *_bad()]


def _entry(body: str = "an Entry", term: int = 2) -> m.WireEntry:
    data = body.encode()
    return m.WireEntry(term, crc32c.crc32c(data), data)


def _append(*entries: m.WireEntry) -> m.Append:
    return m.Append(3, 976, 2, CHAIN, 975, 978, 1840, True, 41, list(entries))


def _own() -> g.Own:
    places = ("10.0.0.1:7410", "10.0.0.1:7510", ("n1", "n2", "n3"))
    return g.Own("n1", N1, CLUSTER, (), 1, *places, LineId("greenhouse", 2, CHAIN))


def _letter() -> Letter:
    label = ("probe-3", 1, "greenhouse/3/temp", 17, 3, 1841, 0, 1_764_000_000_000_000_017, 5000)
    reads = (Read("average/3", 3, 1840, 1), Read("limit/3", 0, 0, 0))
    error = Evidence("ValueError", "too hot", "Traceback ...", reads)
    return Letter(
        "3.1841.0",
        "handler_error",
        "line",
        "n2",
        *label,
        "greenhouse 1",
        CHAIN,
        error,
        cbor2.dumps(["greenhouse/3/temp", 17]),
        1_764_000_000_500_000_000,
    )


def _act() -> Act:
    who, why = "self-declared:rmf-dlq alice@plant at 10.0.0.9", "a secret in the payload"
    wall_ns = 1_764_000_001_000_000_000
    return Act(981, 1850, wall_ns, "purge", who, why, ("3.1841.0",), None, None, None)


def _good() -> list[dict[str, Any]]:
    own = _own()
    hello = g.hello_of(own, "n2", N2, g.RAFT)
    asking = g.hello_of(g.Own("n1", N1, listed=("n1", "n2")), "n2", None, g.GENESIS)
    cases: list[tuple[str, str, str, wire.Message]] = [
        ("vote-ask", "PEER-10", "A candidate asks for votes", m.VoteAsk(4, 977, 3, False, False)),
        ("vote-ask-pre", "PEER-10", "Would I get it?", m.VoteAsk(4, 977, 3, True, False)),
        ("vote-reply", "PEER-10", "Granted", m.VoteReply(4, False, True, 1840, True, 1839)),
        (
            "vote-reply-version-1",
            "PEER-23",
            "The same, to a node that speaks version 1",
            m.VoteReply(4, False, True, 1840, True, 1840),
        ),
        ("append", "PEER-11", "Two Entries", _append(_entry(), _entry("another", 3))),
        ("append-empty", "PEER-11", "None: does the place match?", _append()),
        (
            "append-reply",
            "PEER-10",
            "On the disk",
            m.AppendReply(3, True, 978, 0, 0, 41, True, 978),
        ),
        (
            "append-reply-no",
            "PEER-10",
            "Not behind 976; 970 may match",
            m.AppendReply(3, False, 976, 970, 2, 41, True, 0),
        ),
        (
            "heartbeat",
            "PEER-24",
            "The leader reigns",
            m.Heartbeat(3, 975, 978, 1840, True, 42, 977, 976),
        ),
        (
            "heartbeat-version-1",
            "PEER-23",
            "The same, to a node that speaks version 1",
            m.Heartbeat(3, 975, 978, 1840, True, 42, 978, 975),
        ),
        (
            "heartbeat-unsure",
            "PEER-24",
            "No majority was in touch with it lately",
            m.Heartbeat(3, 975, 978, 1840, True, 43, m.INDEX_MAX, 976),
        ),
        ("heartbeat-reply", "PEER-7", "The answer", m.HeartbeatReply(3, 42, True)),
        (
            "chunk",
            "PEER-7",
            "A piece of a Checkpoint",
            m.Chunk(3, 900, 2, CHAIN, CONTENT, 1000, 0, b"the first bytes", 43),
        ),
        (
            "chunk-reply",
            "PEER-7",
            "15 bytes are there",
            m.ChunkReply(3, 900, CONTENT, 15, True, 43),
        ),
        ("campaign-now", "PEER-7", "The leader hands over", m.CampaignNow(3)),
        ("read-ask", "PEER-7", "A linearizable read", m.ReadAsk(3, 7)),
        ("read-reply", "PEER-7", "Current from 978 on", m.ReadReply(3, 7, 978)),
        ("read-reply-no", "PEER-7", "The sender does not reign", m.ReadReply(3, 7, -1)),
        ("largest-numbers", "PEER-2", "Naturals end at 2^63-1", m.CampaignNow(NATURAL_MAX)),
        ("hello", "PEER-8", "A member calls another", hello),
        ("hello-unfounded", "PEER-13", "A node without a cluster asks", asking),
        ("welcome", "PEER-8", "The answer", g.welcome_of(own, hello)),
        ("refusal", "PEER-8", "The other answer", g.Refusal("not_member", "n4 is no member")),
        ("letters-ask", "PEER-16", "From the first row on", g.LettersAsk(0, 977, 3, 1841)),
        ("letters", "PEER-16", "A page, and the last", g.Letters(12, False, True, (_letter(),))),
        ("letters-none", "PEER-16", "None here, more behind", g.Letters(256, True, True, ())),
        ("alive", "PEER-4", "Nothing to say", g.Alive()),
        ("acts-ask", "PEER-16", "What was decided about letters?", g.ActsAsk(0)),
        ("acts", "PEER-16", "A purge, and that is all", g.Acts(3, False, (_act(),))),
        ("piece", "PEER-23", "The beginning of an item", g.Piece(False, b"\x8b\x02\x03")),
        ("piece-last", "PEER-23", "Its end", g.Piece(True, b"\x80")),
        ("taken", "PEER-24", "Both have come", g.Taken(4)),
    ]
    return [
        _vector(f"peer-{name}", req, words, wire.encode(message, version_of(name))[4:-4], "ok")
        for name, req, words, message in cases
    ]


def version_of(name: str) -> int:
    """Return the version of the protocol that a vector of this name speaks."""
    return 1 if name.endswith("version-1") else g.VERSION_MAX


def _bad() -> list[dict[str, Any]]:
    append = wire.encode(_append(_entry()))[4:-4]
    wrong_crc = _append(_entry()._replace(crc=1))
    hello = g.hello_of(_own(), "n2", N2, g.RAFT)._asdict()
    later = cbor2.dumps([100, {**hello, "versions": [1]}])
    line = cbor2.dumps([100, {**hello, "line": ["greenhouse", 2]}])
    cases = [
        (
            "entry-crc",
            "PEER-11",
            "A body that was changed",
            wire.encode(wrong_crc)[4:-4],
            "entry_crc",
        ),
        ("cut-off", "PEER-3", "An APPEND cut off", append[:-1], "not_well_formed"),
        ("trailing", "PEER-3", "A byte behind it", append + b"\x00", "trailing_bytes"),
        ("long-head", "PEER-2", "A term in two bytes", bytes.fromhex("82081803"), "not_shortest"),
        (
            "indefinite",
            "PEER-2",
            "Without a length",
            bytes.fromhex("9f0803ff"),
            "indefinite_length",
        ),
        ("no-array", "PEER-3", "An integer", b"\x08", "wrong_shape"),
        ("unknown-code", "PEER-3", "Code 11", bytes.fromhex("820b03"), "unknown_type"),
        ("unknown-link-code", "PEER-3", "Code 199", bytes.fromhex("8118c7"), "unknown_type"),
        ("negative-term", "PEER-3", "A term of -1", bytes.fromhex("820820"), "wrong_shape"),
        ("term-2-63", "PEER-3", "One too large", cbor2.dumps([8, 2**63]), "wrong_shape"),
        ("field-missing", "PEER-3", "No term", bytes.fromhex("8108"), "wrong_shape"),
        ("field-too-many", "PEER-3", "Two terms", bytes.fromhex("83080303"), "wrong_shape"),
        (
            "short-chain",
            "PEER-3",
            "A chain of 15 bytes",
            cbor2.dumps([2, *_append()._replace(prev_chain=CHAIN[1:])]),
            "wrong_shape",
        ),
        ("piece-empty", "PEER-23", "No data", cbor2.dumps([108, True, b""]), "wrong_shape"),
        ("hello-versions", "PEER-5", "versions must be [lowest, highest]", later, "wrong_shape"),
        ("hello-line", "PEER-5", "A line without its digest", line, "wrong_shape"),
    ]
    return [_vector(f"peer-bad-{name}", *rest) for name, *rest in cases]  # type: ignore[arg-type]


def _vector(name: str, req: str, words: str, frame: bytes, expect: str) -> dict[str, Any]:
    found = judge_peer(frame)
    assert found == expect, f"{name}: expected {expect}, the implementation says {found}"
    try:
        value = profile.decode(frame)
        message = wire.decode(frame)
        decoded = {"type": type(message).__name__, "fields": to_json(value[1:])}
        shown: tuple[Any, Any] = (diag(value), decoded)
    except ProtocolFault:
        shown = (None, None)
    return {
        "id": name,
        "req": req,
        "description": words,
        "hex": frame.hex(),
        "diag": shown[0],
        "decoded": shown[1],
        "expect": expect,
        "notes": "",
    }
