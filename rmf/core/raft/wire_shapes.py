"""The shape of every message between nodes: kinds and ranges of its fields (R41).

It knows decoded values, not bytes (see `wire`). What is big, bodies and pieces of a Checkpoint, is
asked for its kind and its length alone.
"""

import re
from typing import Any, cast

from rmf import limits
from rmf.core import shape as s
from rmf.core.bag import Evidence, Letter, Read
from rmf.core.entry import LineId
from rmf.core.packet import kind_of
from rmf.core.raft import greetings as g
from rmf.core.raft import peer_messages as m
from rmf.core.triage import Act
from rmf.errors import ProtocolFault

__all__ = ["link_message", "peer_message"]

_NATURAL_MAX = 2**63 - 1
_INT, _BOOL, _BYTES = int, bool, bytes
_TYPES: dict[type[Any], tuple[type, ...]] = {
    m.VoteAsk: (_INT, _INT, _INT, _BOOL, _BOOL),
    m.VoteReply: (_INT, _BOOL, _BOOL, _INT, _BOOL, _INT),
    m.Append: (_INT, _INT, _INT, _BYTES, _INT, _INT, _INT, _BOOL, _INT, list),
    m.AppendReply: (_INT, _BOOL, _INT, _INT, _INT, _INT, _BOOL, _INT),
    m.Heartbeat: (_INT, _INT, _INT, _INT, _BOOL, _INT, _INT, _INT),
    m.HeartbeatReply: (_INT, _INT, _BOOL),
    m.Chunk: (_INT, _INT, _INT, _BYTES, _BYTES, _INT, _INT, _BYTES, _INT),
    m.ChunkReply: (_INT, _INT, _BYTES, _INT, _BOOL, _INT),
    m.CampaignNow: (_INT,),
    m.ReadAsk: (_INT, _INT),
    m.ReadReply: (_INT, _INT, _INT),
}
assert set(_TYPES) == set(m.CODES.values())
assert all(len(types) == len(kind._fields) for kind, types in _TYPES.items())


def peer_message(kind: type[Any], fields: list[Any]) -> m.PeerMessage:
    """Return the message of these fields, those of an older version completed. Raises
    ProtocolFault `wrong_shape`."""
    types = _TYPES[kind]
    if len(fields) < len(types):
        _complete(kind, fields, len(types) - len(fields))
    if tuple(map(type, fields)) != types:
        found = ", ".join(map(kind_of, fields))
        raise ProtocolFault("wrong_shape", f"{_name(kind)}: found {found or 'no fields'}")
    low = -1 if kind is m.ReadReply else 0
    for value in fields:
        if type(value) is int and not low <= value <= _NATURAL_MAX:
            raise ProtocolFault("wrong_shape", f"{_name(kind)}: an integer is out of range")
    if kind is m.Append:
        fields[-1] = _entries(fields[-1])
    message = kind(*fields)
    for value, size in _sizes(message):
        if len(value) not in size:
            raise ProtocolFault("wrong_shape", f"{_name(kind)}: bytes of a wrong length")
    if low and (message.index < -1 or message.term < 0 or message.request < 0):
        raise ProtocolFault("wrong_shape", f"{_name(kind)}: an integer is out of range")
    return cast(m.PeerMessage, message)


def _complete(kind: type[Any], fields: list[Any], missing: int) -> None:
    """Add what an older version of the protocol does not say, where it is no more than that."""
    appended = m.APPENDED.get(kind, ())
    if missing <= len(appended):
        fields += [fields[kind._fields.index(name)] for name in appended[-missing:]]


_CHAIN = range(16, 17)
_CONTENT = range(65)


def _sizes(message: Any) -> tuple[tuple[bytes, range], ...]:
    """Return the byte strings of a message that have bounds, with them."""
    match message:
        case m.Append():
            return ((message.prev_chain, _CHAIN),)
        case m.Chunk():
            return (message.chain, _CHAIN), (message.content, _CONTENT)
        case m.ChunkReply():
            return ((message.content, _CONTENT),)
    return ()


def _entries(found: list[Any]) -> list[m.WireEntry]:
    entries = []
    for fields in found:
        if (
            type(fields) is not list
            or list(map(type, fields)) != [int, int, bytes]
            or not 0 <= fields[0] <= _NATURAL_MAX
            or not 0 <= fields[1] < 2**32
            or len(fields[2]) > limits.ENTRY_BYTES_MAX
        ):
            raise ProtocolFault("wrong_shape", "APPEND: an Entry is [term, CRC32C, body]")
        entries.append(m.WireEntry(*fields))
    return entries


def _name(kind: type[Any]) -> str:
    return "".join(f"_{c}" if c.isupper() else c.upper() for c in kind.__name__).strip("_")


# --- What else a link carries ---------------------------------------------------------------------

_SHORT = s.short_text(limits.PEER_TEXT_BYTES_MAX)
_ID = s.bytes_of(range(16, 17))


def _code(value: Any) -> Any:
    if type(value) is not str or re.fullmatch("[a-z][a-z0-9_]{0,63}", value) is None:
        raise s.WrongShape("expected a code")
    return value


def _versions(value: Any) -> Any:
    versions = s.tuple_of(s.natural)(value)
    if len(versions) != 2:
        raise s.WrongShape("expected the lowest version and the highest")
    return versions


def _purpose(value: Any) -> Any:
    if value not in g.PURPOSES:
        raise s.WrongShape(f"expected one of {', '.join(g.PURPOSES)}")
    return value


def _evidence(value: Any) -> Any:
    if type(value) is not list or not 3 <= len(value) <= 4:
        raise s.WrongShape("expected an array of 3 or 4 for Evidence")
    return Evidence(*map(s.TEXT, value[:3]), *map(s.tuple_of(_READ), value[3:]))


def _facts(kind: type[Any], checks: dict[str, s.Check]) -> s.Check:
    """Return the check for one map; what a later version adds to it is passed over."""

    def check(fields: Any) -> Any:
        if len(fields) != 1 or type(fields[0]) is not dict:
            raise s.WrongShape("expected one map")
        facts = {**_LATER, **fields[0]}
        known = {}
        for name, inner in checks.items():
            if name not in facts:
                raise s.WrongShape(f"{name}: missing")
            try:
                known[name] = inner(facts[name])
            except s.WrongShape as exc:
                raise s.WrongShape(f"{name}: {exc}") from None
        return kind(**known)

    return check


_HELLO: dict[str, s.Check] = {
    "node": _SHORT,
    "incarnation": _ID,
    "cluster": s.or_null(_ID),
    "to": _SHORT,
    "to_incarnation": s.or_null(_ID),
    "membership": s.natural,
    "versions": _versions,
    "cluster_version": s.natural,
    "client_address": _SHORT,
    "peer_address": _SHORT,
    "listed": s.tuple_of(_SHORT),
    "purpose": _purpose,
    "line": s.or_null(s.record(LineId, _SHORT, s.natural, s.bytes_of(_CONTENT))),
}
_LATER = {"line": None}  # facts that earlier releases do not say, and what is taken for them
_WELCOME: dict[str, s.Check] = {
    **{name: _HELLO[name] for name in g.Welcome._fields if name in _HELLO},
    "member": s.BOOL,
    "version": s.natural,
}
_READ = s.record(Read, s.TEXT, s.between(-2, _NATURAL_MAX + 1), s.natural, s.natural)
_LETTER: tuple[s.Check, ...] = (
    *(s.TEXT,) * 4,  # id, reason, stage, node
    *(s.or_null(s.TEXT), s.or_null(s.INT)),  # producer, epoch
    *(s.or_null(s.TEXT), s.or_null(s.INT)),  # topic, seq
    *(s.natural,) * 3,  # the Stamp: only letters of the line travel
    *(s.or_null(s.INT),) * 2,  # harvested_at, ttl_ms
    *(s.or_null(s.TEXT), s.or_null(s.BYTES)),  # line, digest_before
    *(_evidence, s.BYTES, s.INT),  # error, packet, bagged_at
)
_ACT: tuple[s.Check, ...] = (
    *(s.natural,) * 3,  # Entry, tick, wall time
    *(s.TEXT,) * 3,  # act, by, why
    s.tuple_of(s.TEXT),  # letters
    *(s.or_null(s.TEXT), s.or_null(s.natural), s.or_null(s.TEXT)),  # group, before, job
)
_LINK: dict[type[Any], s.Check] = {
    g.Hello: _facts(g.Hello, _HELLO),
    g.Welcome: _facts(g.Welcome, _WELCOME),
    g.Refusal: s.record(g.Refusal, _code, s.TEXT),
    g.LettersAsk: s.record(g.LettersAsk, *(s.natural,) * 4),
    g.Letters: s.record(
        g.Letters, s.natural, s.BOOL, s.BOOL, s.tuple_of(s.record(Letter, *_LETTER))
    ),
    g.Alive: s.record(g.Alive),
    g.ActsAsk: s.record(g.ActsAsk, s.natural),
    g.Acts: s.record(g.Acts, s.natural, s.BOOL, s.tuple_of(s.record(Act, *_ACT))),
    g.Piece: s.record(g.Piece, s.BOOL, s.bytes_of(range(1, limits.PEER_PIECE_BYTES_MAX + 1))),
    g.Taken: s.record(g.Taken, s.natural),
}
assert set(_LINK) == set(g.LINK_CODES.values())
assert set(_HELLO) == set(g.Hello._fields)
assert set(_WELCOME) == set(g.Welcome._fields)
assert len(_LETTER) == len(Letter._fields)
assert len(_ACT) == len(Act._fields)


def link_message(kind: type[Any], fields: list[Any]) -> g.LinkMessage:
    """Return the message of these fields. Raises ProtocolFault `wrong_shape`."""
    try:
        return cast(g.LinkMessage, _LINK[kind](fields))
    except s.WrongShape as exc:
        raise ProtocolFault("wrong_shape", f"{_name(kind)}: {exc}") from None
