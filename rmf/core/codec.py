"""Bytes to messages and back (R41).

The preface, the framing (u32 big-endian length, one CBOR item), and the shape of every message. It
may know the wire, not what a message leads to. A fault is a ProtocolFault with a code of the error
table; whether the connection survives it, the table says.
"""

from collections.abc import Callable, Iterator
from typing import Any

import cbor2

from rmf import limits
from rmf.core import messages as m
from rmf.core import profile
from rmf.core.packet import kind_of
from rmf.errors import ProtocolFault

__all__ = [
    "PREFACE",
    "FrameBuffer",
    "announced_limits",
    "decode",
    "encode",
    "encode_snapshot",
    "preface_fault",
]

PREFACE = b"RMF\x01"  # both sides send it first: magic, then the major version of the framing


def encode(message: m.Message) -> bytes:
    """Return the frame of a message, length included."""
    body = cbor2.dumps([_CODE_OF[type(message)], *m.fields_of(message)])
    return len(body).to_bytes(4, "big") + body


def encode_snapshot(
    number: int,
    kind: int,
    head: list[Any],
    cells_and_removed: bytes,
    *,
    more: bool,
    now: int | None = None,
) -> bytes:
    """Return the frame of a SNAPSHOT whose cells and removals are encoded already, so that one
    encoding serves all subscribers of a filter (R35). `head`: term, tick, index, digest, live,
    skipped. `now`: the factory's present tick, for a client that asked for it."""
    fields = b"".join(map(cbor2.dumps, [_CODE_OF[m.Snapshot], number, kind, more, *head]))
    if now is None:
        body = b"\x8c" + fields + cells_and_removed  # 0x8c: an array of 12
    else:
        body = b"\x8d" + fields + cells_and_removed + cbor2.dumps(now)
    return len(body).to_bytes(4, "big") + body


_CODE_OF = {kind: code for code, kind in m.CODES.items()}


def decode(frame: bytes) -> m.Message:
    """Return the message in one frame (without its length).

    Raises ProtocolFault: a rule of the profile, `unknown_type` or `wrong_shape`.
    """
    value = profile.decode(frame)
    try:
        message, holds_map = _message(value)
    except ProtocolFault:
        profile.scan(frame)  # a fault of the encoding goes before a fault of the shape
        raise
    if holds_map:
        profile.scan(frame)
    return message


def _message(value: Any) -> tuple[m.Message, bool]:
    """Return the message that a value is, and whether one of its fields is a map."""
    if type(value) is not list or not value:
        raise ProtocolFault("wrong_shape", "a message is an array that starts with its code")
    kind = m.CODES.get(value[0]) if type(value[0]) is int else None
    if kind is None:
        found = str(value[0]) if type(value[0]) is int else kind_of(value[0])
        raise ProtocolFault("unknown_type", f"no message has the code {found}")
    checks = _SHAPES[kind]
    fields = value[1:]
    if not len(checks) - _MAY_LACK.get(kind, 0) <= len(fields) <= len(checks):
        raise ProtocolFault(
            "wrong_shape",
            f"{_name(kind)}: expected {len(checks)} fields, found {len(fields)}",
        )
    try:
        message = kind(*[check(x) for check, x in zip(checks, fields, strict=False)])
    except _Shape as exc:
        raise ProtocolFault("wrong_shape", f"{_name(kind)}: {exc}") from None
    return message, _text_map in checks


def _name(kind: type[Any]) -> str:
    return kind.__name__.upper()


class _Shape(Exception):
    """A field has the wrong shape; becomes a ProtocolFault that names the message."""


Check = Callable[[Any], Any]


def _is(kind: type[Any], words: str) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise _Shape(f"expected {words}, found {kind_of(value)}")
        return value

    return check


def _or_null(inner: Check) -> Check:
    return lambda value: None if value is None else inner(value)


def _list_of(inner: Check) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not list:
            raise _Shape(f"expected an array, found {kind_of(value)}")
        return [inner(x) for x in value]

    return check


def _tuple_of(kind: type[Any], *checks: Check) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not list or len(value) != len(checks):
            raise _Shape(f"expected an array of {len(checks)} for {kind.__name__}")
        return kind(*[inner(x) for inner, x in zip(checks, value, strict=True)])

    return check


def _natural(value: Any) -> Any:
    if type(value) is not int or not 0 <= value < 2**63:
        found = kind_of(value) if type(value) is not int else "one out of range"
        raise _Shape(f"expected an integer from 0 to 2^63-1, found {found}")
    return value


def _below(end: int) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not int or not 0 <= value < end:
            raise _Shape(f"expected an integer from 0 to {end - 1}")
        return value

    return check


def _pair(value: Any) -> Any:
    if type(value) is not list or list(map(type, value)) != [str, str]:
        raise _Shape("expected an array of two texts")
    return value


def _text_map(value: Any) -> Any:
    if type(value) is not dict or not set(map(type, value)) <= {str}:
        raise _Shape(f"expected a map with text keys, found {kind_of(value)}")
    return value


_TEXT = _is(str, "text")
_BYTES = _is(bytes, "bytes")
_BOOL = _is(bool, "a boolean")
_ARRAY = _is(list, "an array")
_CELL = _tuple_of(
    m.WireCell,
    _TEXT,
    _BYTES,
    _natural,
    _natural,
    _natural,
    _TEXT,
    _natural,
    _or_null(_natural),
)
_RUN = _tuple_of(
    m.Run,
    _natural,
    _natural,
    _below(len(m.OUTCOMES)),
    _BOOL,
    _or_null(_natural),
    _or_null(_natural),
    _or_null(_natural),
    _or_null(_TEXT),
    _or_null(_TEXT),
)

_SHAPES: dict[type[Any], tuple[Check, ...]] = {
    m.Hello: (_text_map,),
    m.Welcome: (_text_map,),
    m.Error: (_TEXT, _TEXT, _or_null(_TEXT)),
    m.Send: (_ARRAY,),  # what is inside is a packet's own matter: see core/packet
    m.Ack: (_list_of(_RUN),),
    m.Refuse: (_natural, _TEXT, _natural, _or_null(_TEXT), _TEXT),
    m.Bye: (),
    m.Goaway: (_TEXT, _list_of(_TEXT), _natural, _TEXT),
    m.Ping: (_natural,),
    m.Pong: (_natural, _natural, _natural),
    m.Subscribe: (_natural, _list_of(_TEXT), _text_map),
    m.Unsubscribe: (_natural,),
    m.Snapshot: (
        _natural,
        _below(m.KEEPALIVE + 1),
        _BOOL,
        _natural,
        _natural,
        _natural,
        _BYTES,
        _BOOL,
        _natural,
        _list_of(_CELL),
        _list_of(_pair),
        _natural,
    ),
    m.Gap: (_natural, _natural),
    m.Get: (_natural, _TEXT, _BOOL),
    m.Value: (_natural, _natural, _natural, _natural, _BOOL, _or_null(_CELL)),
    m.Query: (_natural, _TEXT, _text_map),
    m.Item: (_natural, _text_map),
    m.End: (_natural, _or_null(_TEXT), _or_null(_TEXT)),
}
assert set(_SHAPES) == set(m.CODES.values())
_MAY_LACK = {m.Snapshot: 1}  # fields at the end that may be left out


class FrameBuffer:
    """Bytes in, whole frames out. Holds at most one unfinished frame and what one read brought.

    `frame_bytes_max` may be raised once the other side is known.
    """

    def __init__(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self._data = bytearray()

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Take in what a read brought."""
        self._data += data

    def frames(self) -> Iterator[bytes]:
        """Give every whole frame, oldest first, without its length.

        Raises ProtocolFault `frame_too_long` as soon as a length says so, before it is buffered.
        """
        at = 0
        try:
            while len(self._data) - at >= 4:
                size = int.from_bytes(self._data[at : at + 4], "big")
                if size > self.frame_bytes_max:
                    raise ProtocolFault(
                        "frame_too_long",
                        f"a frame of {size} bytes; at most {self.frame_bytes_max} are taken here",
                    )
                if len(self._data) - at - 4 < size:
                    return
                frame = bytes(self._data[at + 4 : at + 4 + size])
                at += 4 + size
                yield frame
        finally:
            del self._data[:at]


def preface_fault(data: bytes) -> str | None:
    """Return in words what spoke instead of RMF, or None while `data` may still become PREFACE."""
    if PREFACE.startswith(data[: len(PREFACE)]):
        return None
    if data[:3] == b"RMP":
        return "this is a node that looks for a peer: nodes talk on --peer-listen, not here"
    if data[:3] == b"\x16\x03\x01"[: len(data)]:
        return "this looks like TLS: the port speaks plain RMF"
    if data[:4] in {b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI"}:
        return "this looks like HTTP: the port speaks RMF"
    return "the first bytes must be 52 4d 46 01"


def announced_limits() -> dict[str, int]:
    """Return the limits that WELCOME announces, by their names in `protocol/README.md`."""
    return {
        "frame_bytes": limits.FRAME_BYTES_MAX,
        "server_frame_bytes": limits.SERVER_FRAME_BYTES_MAX,
        "frame_packets": limits.FRAME_PACKETS_MAX,
        "frames_in_flight": limits.PRODUCER_FRAMES_IN_FLIGHT,
        "frame_items": limits.FRAME_ITEMS_MAX,
        "depth": limits.FRAME_DEPTH_MAX,
        "topic_bytes": limits.TOPIC_BYTES_MAX,
        "key_bytes": limits.KEY_BYTES_MAX,
        "payload_bytes": limits.PAYLOAD_BYTES_MAX,
        "producer_bytes": limits.PRODUCER_NAME_BYTES_MAX,
        "ttl_ms": limits.TTL_MS_MAX,
        "subscriptions": limits.SUBSCRIPTIONS_PER_CONNECTION_MAX,
        "filters": limits.FILTERS_PER_SUBSCRIPTION_MAX,
        "frame_ms": int(limits.FRAME_S_MAX * 1000),
        "idle_ms": int(limits.IDLE_S_MAX * 1000),
        "keepalive_ms": int(limits.KEEPALIVE_S * 1000),
    }
