"""The shape of every message between nodes: kinds and ranges of its fields (R41).

It knows decoded values, not bytes (see `wire`). What is big, bodies and pieces of a Checkpoint, is
asked for its kind and its length alone.
"""

import re
from collections.abc import Callable
from typing import Any, cast

from rmf import limits
from rmf.core.bag import Evidence, Letter
from rmf.core.entry import LineId
from rmf.core.packet import kind_of
from rmf.core.raft import greetings as g
from rmf.core.raft import messages as m
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


Check = Callable[[Any], bool]


def _natural(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _NATURAL_MAX


def _flag(value: Any) -> bool:
    return type(value) is bool


def _text(value: Any) -> bool:
    return type(value) is str


def _short_text(value: Any) -> bool:
    return type(value) is str and len(value.encode()) <= limits.PEER_TEXT_BYTES_MAX


def _code(value: Any) -> bool:
    return type(value) is str and re.fullmatch("[a-z][a-z0-9_]{0,63}", value) is not None


def _id(value: Any) -> bool:
    return type(value) is bytes and len(value) == 16


def _texts(value: Any) -> bool:
    return type(value) is list and all(map(_short_text, value))


def _versions(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and all(map(_natural, value))


def _line(value: Any) -> bool:
    if type(value) is not list or len(value) != 3:
        return False
    name, version, digest = value
    fits = type(digest) is bytes and len(digest) in _CONTENT
    return fits and _short_text(name) and _natural(version)


def _error(value: Any) -> bool:
    if type(value) is not list or list(map(type, value[:3])) != [str, str, str]:
        return False
    return len(value) == 3 or (
        len(value) == 4 and type(value[3]) is list and all(map(_read, value[3]))
    )


def _read(value: Any) -> bool:
    if type(value) is not list or list(map(type, value)) != [str, int, int, int]:
        return False
    return -2 <= value[1] <= _NATURAL_MAX and _natural(value[2]) and _natural(value[3])


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


_HELLO: dict[str, Check] = {
    "node": _short_text,
    "incarnation": _id,
    "cluster": _or_null(_id),
    "to": _short_text,
    "to_incarnation": _or_null(_id),
    "membership": _natural,
    "versions": _versions,
    "cluster_version": _natural,
    "client_address": _short_text,
    "peer_address": _short_text,
    "listed": _texts,
    "purpose": lambda value: value in g.PURPOSES,
    "line": _or_null(_line),
}
_LATER = {"line": None}  # facts that earlier releases do not say, and what is taken for them
_WELCOME: dict[str, Check] = {
    **{name: _HELLO[name] for name in g.Welcome._fields if name in _HELLO},
    "member": _flag,
    "version": _natural,
}
_LETTER: tuple[Check, ...] = (
    _text,  # id, reason, stage, node
    _text,
    _text,
    _text,
    _or_null(_text),  # producer
    _or_null(lambda value: type(value) is int),
    _or_null(_text),  # topic
    _or_null(lambda value: type(value) is int),
    _natural,  # the Stamp: only letters of the line travel
    _natural,
    _natural,
    _or_null(lambda value: type(value) is int),  # harvested_at, ttl_ms
    _or_null(lambda value: type(value) is int),
    _or_null(_text),  # line
    _or_null(lambda value: type(value) is bytes),
    _error,
    lambda value: type(value) is bytes,
    lambda value: type(value) is int,
)
_ACT: tuple[Check, ...] = (
    *(_natural,) * 3,  # Entry, tick, wall time
    *(_text,) * 3,  # act, by, why
    lambda value: type(value) is list and all(map(_text, value)),
    _or_null(_text),  # group
    _or_null(_natural),  # before
    _or_null(_text),  # job
)
_LINK: dict[type[Any], tuple[Check, ...]] = {
    g.Refusal: (_code, _text),
    g.LettersAsk: (_natural,) * 4,
    g.Letters: (_natural, _flag, _flag, lambda value: type(value) is list),
    g.Alive: (),
    g.ActsAsk: (_natural,),
    g.Acts: (_natural, _flag, lambda value: type(value) is list),
    g.Piece: (
        _flag,
        lambda value: type(value) is bytes and 1 <= len(value) <= limits.PEER_PIECE_BYTES_MAX,
    ),
    g.Taken: (_natural,),
}
assert set(_HELLO) == set(g.Hello._fields)
assert set(_WELCOME) == set(g.Welcome._fields)
assert len(_LETTER) == len(Letter._fields)
assert len(_ACT) == len(Act._fields)


def link_message(kind: type[Any], fields: list[Any]) -> g.LinkMessage:
    """Return the message of these fields. Raises ProtocolFault `wrong_shape`."""
    if kind is g.Hello or kind is g.Welcome:
        return _greeting(kind, fields)
    checks = _LINK[kind]
    _require(kind, len(fields) == len(checks), "fields are missing, or too many")
    for name, check, value in zip(kind._fields, checks, fields, strict=True):
        _require(kind, check(value), name)
    if kind is g.Letters:
        fields[-1] = tuple(map(_letter, fields[-1]))
    elif kind is g.Acts:
        fields[-1] = tuple(map(_act, fields[-1]))
    return cast(g.LinkMessage, kind(*fields))


def _greeting(kind: type[Any], fields: list[Any]) -> g.LinkMessage:
    checks = _HELLO if kind is g.Hello else _WELCOME
    facts = fields[0] if len(fields) == 1 and type(fields[0]) is dict else None
    if facts is None:
        raise ProtocolFault("wrong_shape", f"{_name(kind)}: expected one map")
    facts = {**_LATER, **facts}
    for name, check in checks.items():
        _require(kind, name in facts and check(facts[name]), name)
    known = {name: facts[name] for name in checks}  # what a later version adds is passed over
    for name in ("listed", "versions"):
        if name in known:
            known[name] = tuple(known[name])
    if known.get("line") is not None:
        known["line"] = LineId(*known["line"])
    return cast(g.LinkMessage, kind(**known))


def _letter(fields: Any) -> Letter:
    _require(g.Letters, type(fields) is list and len(fields) == len(_LETTER), "a letter's fields")
    for name, check, value in zip(Letter._fields, _LETTER, fields, strict=True):
        _require(g.Letters, check(value), f"{name} of a letter")
    named = dict(zip(Letter._fields, fields, strict=True))
    named["error"] = Evidence.of_fields(*named["error"])
    return Letter(**named)


def _act(fields: Any) -> Act:
    _require(g.Acts, type(fields) is list and len(fields) == len(_ACT), "an act's fields")
    for name, check, value in zip(Act._fields, _ACT, fields, strict=True):
        _require(g.Acts, check(value), f"{name} of an act")
    act = Act(*fields)
    return act._replace(letters=tuple(act.letters))


def _require(kind: type[Any], holds: bool, what: str) -> None:
    if not holds:
        raise ProtocolFault("wrong_shape", f"{_name(kind)}: {what}: missing or of the wrong kind")
