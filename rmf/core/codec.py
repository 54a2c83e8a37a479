"""Bytes to messages and back (R41).

The preface, the framing (u32 big-endian length, one CBOR item), and the shape of every message. It
may know the wire, not what a message leads to. A fault is a ProtocolFault with a code of the error
table; whether the connection survives it, the table says.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import cbor2

from rmf import limits
from rmf.core import messages as m
from rmf.core import own_cbor, profile
from rmf.core import shape as s
from rmf.core.packet import kind_of
from rmf.errors import BadPreface, ProtocolFault

__all__ = [
    "OPENING",
    "PREFACE",
    "FrameBuffer",
    "Opening",
    "announced_limits",
    "decode",
    "encode",
    "encode_snapshot",
]

PREFACE = b"RMF\x01"  # both sides send it first: magic, then the major version of the framing


def encode(message: m.Message) -> bytes:
    """Return the frame of a message, length included."""
    code = _CODE_OF[type(message)]
    if isinstance(message, m.Ack):
        body = own_cbor.encoded([code, list(map(list, message.runs))])
    elif isinstance(message, m.Send):
        body = own_cbor.encoded([code, message.packets])
    else:
        body = cbor2.dumps([code, *m.fields_of(message)])
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
    fields = own_cbor.encoded([_CODE_OF[m.Snapshot], number, kind, more, *head])[1:]  # of ten
    begin, end = (b"\x8c", b"") if now is None else (b"\x8d", cbor2.dumps(now))  # of 12 or 13
    size = len(begin) + len(fields) + len(cells_and_removed) + len(end)
    return b"".join((size.to_bytes(4, "big"), begin, fields, cells_and_removed, end))


_CODE_OF = {kind: code for code, kind in m.CODES.items()}


def decode(frame: bytes, items_max: int = limits.FRAME_ITEMS_MAX) -> m.Message:
    """Return the message in one frame (without its length).

    Raises ProtocolFault: a rule of the profile, `unknown_type` or `wrong_shape`. How many items a
    SEND holds, `core/intake` looks at: it looks at each packet.
    """
    value = profile.decode(frame, items_max)
    try:
        message, holds_map = _message(value)
    except ProtocolFault:
        profile.scan(frame, items_max)  # a fault of the encoding goes before a fault of the shape
        raise
    if holds_map:
        profile.scan(frame, items_max)
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
            f"{m.name_of(kind)}: expected {len(checks)} fields, found {len(fields)}",
        )
    try:
        message = kind(*[check(x) for check, x in zip(checks, fields, strict=False)])
    except s.WrongShape as exc:
        raise ProtocolFault("wrong_shape", f"{m.name_of(kind)}: {exc}") from None
    return message, s.text_map in checks


def _pair(value: Any) -> Any:
    if type(value) is not list or list(map(type, value)) != [str, str]:
        raise s.WrongShape("expected an array of two texts")
    return value


_CELL = s.record(
    m.WireCell, s.TEXT, s.BYTES, *(s.natural,) * 3, s.TEXT, s.natural, s.or_null(s.natural)
)
_CELL_KINDS = (str, bytes, int, int, int, str, int, int)
_CELLS = s.list_of(_CELL)


def _cells(value: Any) -> Any:
    """Return the cells of a SNAPSHOT: looked at by columns, for a World may have a million. Where
    that finds anything, one by one, so that the fault has its name."""
    if type(value) is list and value and _are_cells(value):
        return list(map(partial(tuple.__new__, m.WireCell), value))
    return _CELLS(value)


def _are_cells(rows: list[Any]) -> bool:
    if set(map(type, rows)) != {list} or set(map(len, rows)) != {len(m.WireCell._fields)}:
        return False
    columns = list(zip(*rows, strict=True))
    expires = columns[-1]
    if None in expires:
        columns[-1] = tuple([tick for tick in expires if tick is not None])
    if any(set(map(type, x)) - {kind} for x, kind in zip(columns, _CELL_KINDS, strict=True)):
        return False
    numbers = [x for x, kind in zip(columns, _CELL_KINDS, strict=True) if kind is int]
    return all(min(x, default=0) >= 0 and max(x, default=0) < 2**63 for x in numbers)


_RUN = s.record(
    m.Run,
    *(s.natural, s.natural, s.between(0, len(m.OUTCOMES)), s.BOOL),
    *(s.or_null(s.natural),) * 3,
    *(s.or_null(s.TEXT),) * 2,
)

_SHAPES: dict[type[Any], tuple[s.Check, ...]] = {
    m.Hello: (s.text_map,),
    m.Welcome: (s.text_map,),
    m.Error: (s.TEXT, s.TEXT, s.or_null(s.TEXT)),
    m.Send: (s.ARRAY,),  # what is inside is a packet's own matter: see core/packet
    m.Ack: (s.list_of(_RUN),),
    m.Refuse: (s.natural, s.TEXT, s.natural, s.or_null(s.TEXT), s.TEXT),
    m.Bye: (),
    m.Goaway: (s.TEXT, s.list_of(s.TEXT), s.natural, s.TEXT),
    m.Ping: (s.natural,),
    m.Pong: (s.natural, s.natural, s.natural),
    m.Subscribe: (s.natural, s.list_of(s.TEXT), s.text_map),
    m.Unsubscribe: (s.natural,),
    m.Snapshot: (
        s.natural,
        s.between(0, m.KEEPALIVE + 1),
        s.BOOL,
        s.natural,
        s.natural,
        s.natural,
        s.BYTES,
        s.BOOL,
        s.natural,
        _cells,
        s.list_of(_pair),
        s.natural,
    ),
    m.Gap: (s.natural, s.natural),
    m.Get: (s.natural, s.TEXT, s.BOOL),
    m.Value: (s.natural, s.natural, s.natural, s.natural, s.BOOL, s.or_null(_CELL)),
    m.Query: (s.natural, s.TEXT, s.text_map),
    m.Item: (s.natural, s.text_map),
    m.End: (s.natural, s.or_null(s.TEXT), s.or_null(s.TEXT)),
}
assert set(_SHAPES) == set(m.CODES.values())
_MAY_LACK = {m.Snapshot: 1}  # fields at the end that may be left out


class Opening(NamedTuple):
    """How a connection begins: both sides send `preface` first. `speaks` says in words what is
    spoken here, `others` how those begin who look for something else, and what they are."""

    preface: bytes
    speaks: str
    others: tuple[tuple[bytes, str], ...] = ()
    hint: str = ""  # for people with a browser

    def fault(self, data: bytes) -> BadPreface | None:
        """Return what is spoken instead, or None while `data` may still become the preface."""
        if self.preface.startswith(data[: len(self.preface)]):
            return None
        if _begins(data, b"\x16\x03\x01"):
            return BadPreface(f"this looks like TLS: {self.speaks}", data)
        if any(_begins(data, verb) for verb in _HTTP):
            text = f"this looks like HTTP: {self.speaks}"
            return BadPreface(text, data, b"%b%b\n" % (_HTTP_400, f"{text}{self.hint}".encode()))
        for begin, words in self.others:
            if _begins(data, begin):
                return BadPreface(words, data)
        return BadPreface(f"the first bytes must be {self.preface.hex(' ')}", data)


_HTTP = (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTIONS", b"HTTP/")
_HTTP_400 = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"


def _begins(data: bytes, begin: bytes) -> bool:
    """Whether it begins like this, as far as it goes: one read is not one word."""
    return data[: len(begin)] == begin[: len(data)]


OPENING = Opening(
    PREFACE,
    "the port speaks plain RMF",
    ((b"RMP", "this is a node that looks for a peer: nodes talk on --peer-listen, not here"),),
    ". Try: rmf-cat -c HOST:PORT",
)


class FrameBuffer:
    """Bytes in, whole frames out. Holds at most one unfinished frame and what one read brought.

    `frame_bytes_max` may be raised once the other side is known. `awaits` is how the stream has to
    begin; None: it has begun. `data` is what came and was not given yet.
    """

    def __init__(self, frame_bytes_max: int, awaits: Opening | None = None) -> None:
        self.frame_bytes_max = frame_bytes_max
        self.awaits = awaits
        self.data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in what a read brought."""
        self.data += data

    def frames(self) -> Iterator[bytes]:
        """Give every whole frame, oldest first, without its length.

        Raises BadPreface as soon as the stream does not begin as it has to, ProtocolFault
        `frame_too_long` as soon as a length says so, before it is buffered.
        """
        if self.awaits is not None and not self._has_begun(self.awaits):
            return
        at = 0
        try:
            while len(self.data) - at >= 4:
                size = int.from_bytes(self.data[at : at + 4], "big")
                if size > self.frame_bytes_max:
                    raise ProtocolFault(
                        "frame_too_long",
                        f"a frame of {size} bytes; at most {self.frame_bytes_max} are taken here",
                    )
                if len(self.data) - at - 4 < size:
                    return
                frame = bytes(self.data[at + 4 : at + 4 + size])
                at += 4 + size
                yield frame
        finally:
            del self.data[:at]

    def _has_begun(self, opening: Opening) -> bool:
        """Take the preface off, once it is whole. Raises BadPreface."""
        fault = opening.fault(bytes(self.data))
        if fault is not None:
            raise fault
        if len(self.data) < len(opening.preface):
            return False
        del self.data[: len(opening.preface)]
        self.awaits = None
        return True


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
