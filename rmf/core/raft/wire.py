"""The bytes of messages between nodes: framing, layout, and what is refused (R41, R42).

Every message of `messages` and `greetings` to a frame and back; `protocol/PEERS.md` is the
contract. It knows the wire, not what a message leads to. A fault is a ProtocolFault: `frame_crc`, a
rule of the profile, `unknown_type`, `wrong_shape` or `entry_crc`; on this port every one of them
ends the connection, since a node that errs in one frame is not to be trusted with the next.

Theory. Entries are as large as a Tick and go to every peer, so their bodies are copied once on the
way out and once on the way in, and never walked: where a frame is big, only the heads around the
bodies are read here, and cbor2 does the rest of the work on all that is small.
"""

from collections.abc import Iterator
from typing import Any

import cbor2
import crc32c

from rmf import limits
from rmf.core import profile
from rmf.core.bag import Letter
from rmf.core.cbor_heads import INITIAL, LEAST, head
from rmf.core.codec import FrameBuffer, Opening
from rmf.core.raft import greetings as g
from rmf.core.raft import peer_messages as m
from rmf.core.raft.wire_shapes import link_message, peer_message
from rmf.errors import ProtocolFault

__all__ = ["OPENING", "PREFACE", "Frames", "Message", "check_entries", "decode", "encode"]

PREFACE = b"RMP\x01"  # both sides send it first; clients say RMF
OPENING = Opening(
    PREFACE,
    "this port speaks plain RMF, between nodes",
    ((b"RMF", "this is a client of RMF, or a port for clients: nodes talk on --peer-listen"),),
)

Message = m.PeerMessage | g.LinkMessage

_CODE_OF: dict[type[Any], int] = {kind: code for code, kind in (m.CODES | g.LINK_CODES).items()}
_CRC_BYTES = 4
_ERROR = Letter._fields.index("error")
_BY_PARTS_BYTES = 4 * limits.KIB  # from here on bodies are not given to cbor2, which copies twice


# --- Out ------------------------------------------------------------------------------------------


def encode(message: Message, version: int = g.VERSION_MAX) -> bytes:
    """Return the frame of a message, length and CRC included, for a node that speaks `version`."""
    if version < g.VERSION_MAX and (appended := m.APPENDED.get(type(message))):
        known = message[: -len(appended)]
        return _framed([b"", cbor2.dumps([_CODE_OF[type(message)], *known])])
    match message:
        case m.Append() if sum(len(x.body) for x in message.entries) > _BY_PARTS_BYTES:
            return _append_by_parts(message)
        case m.Chunk() if len(message.data) > _BY_PARTS_BYTES:
            return _chunk_by_parts(message)
        case g.Piece(last, data):
            start = b"\x83\x18\x6c" + (b"\xf5" if last else b"\xf4") + head(2, len(data))
            return _framed([b"", start, data])
        case g.Letters(letters=letters):
            fields = [[*x[:_ERROR], x.error.fields(), *x[_ERROR + 1 :]] for x in letters]
            body = cbor2.dumps([_CODE_OF[g.Letters], *message[:-1], fields])
        case g.Hello() | g.Welcome():
            body = cbor2.dumps([_CODE_OF[type(message)], message._asdict()])
        case _:
            body = cbor2.dumps([_CODE_OF[type(message)], *message])
    return _framed([b"", body])


def _append_by_parts(message: m.Append) -> bytes:
    entries = message.entries
    parts = [b"", b"\x8b", cbor2.dumps([2, *message[:-1]])[1:], head(4, len(entries))]
    for term, crc, body in entries:
        parts += (b"\x83" + head(0, term) + head(0, crc) + head(2, len(body)), body)
    return _framed(parts)


def _chunk_by_parts(message: m.Chunk) -> bytes:
    *fields, data, number = message
    start = cbor2.dumps([6, *fields])[1:] + head(2, len(data))
    return _framed([b"", b"\x8a", start, data, head(0, number)])


def _framed(parts: list[bytes]) -> bytes:
    """Return the parts as one frame; the first one is the place of the length."""
    crc = 0
    for part in parts:
        crc = crc32c.crc32c(part, crc)
    parts.append(crc.to_bytes(_CRC_BYTES, "big"))
    parts[0] = sum(map(len, parts)).to_bytes(4, "big")
    return b"".join(parts)


# --- In -------------------------------------------------------------------------------------------


class Frames(FrameBuffer):
    """Bytes in, the items of whole frames out. A frame with a changed bit is none: what a node says
    of its term, its vote or its disk is as dear as an Entry."""

    def frames(self) -> Iterator[bytes]:
        """Give the item of every whole frame, oldest first, without length and CRC. Raises
        ProtocolFault `frame_too_long` or `frame_crc`."""
        for frame in super().frames():
            item = frame[:-_CRC_BYTES]
            if crc32c.crc32c(item) != int.from_bytes(frame[-_CRC_BYTES:], "big"):
                raise ProtocolFault("frame_crc", "a frame does not have its CRC32C")
            yield item


def decode(frame: bytes) -> Message:
    """Return the message in the item of one frame (see Frames). Raises ProtocolFault."""
    if len(frame) > _BY_PARTS_BYTES and frame.startswith(_BIG):
        value = _heads(frame)
    else:
        value = profile.decode(frame)
        if frame[1:2] == b"\x18":  # a greeting's map may hold anything that is within the profile
            profile.scan(frame)
    if type(value) is not list or not value or type(value[0]) is not int:
        raise ProtocolFault("wrong_shape", "a message is an array that starts with its code")
    try:
        return _message(*value)
    except ProtocolFault:
        profile.scan(frame)  # a fault of the encoding goes before a fault of the shape
        raise


def _message(code: int, *fields: Any) -> Message:
    kind = m.CODES.get(code)
    if kind is not None:
        return peer_message(kind, list(fields))
    link = g.LINK_CODES.get(code)
    if link is None:
        raise ProtocolFault("unknown_type", f"no message between nodes has the code {code}")
    return link_message(link, list(fields))


def check_entries(message: Message) -> None:
    """Raise ProtocolFault `entry_crc` if a body is not what was proposed (R28)."""
    if isinstance(message, m.Append):
        for position, entry in enumerate(message.entries, start=1):
            if crc32c.crc32c(entry.body) != entry.crc:
                raise ProtocolFault(
                    "entry_crc", f"Entry {message.prev_index + position} does not have its CRC32C"
                )


_BIG = (b"\x8b\x02", b"\x8a\x06", b"\x83\x18\x6c")  # how Append, Chunk and Piece begin


def _heads(frame: bytes) -> Any:
    """Return the arrays, integers, booleans and byte strings that fill a frame, three deep at most.
    What is anything else, or longer than it need be, `scan` gives its name. Raises ProtocolFault.
    """
    try:
        value, end = _item(frame, 0, 3)
    except (IndexError, ValueError):
        end = -1
        value = None
    if end != len(frame):
        profile.scan(frame)
        raise ProtocolFault("wrong_shape", "a field is of the wrong kind")
    return value


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    initial = data[at]
    at += 1
    if initial in {0xF4, 0xF5}:
        return initial == 0xF5, at
    major, argument, size = INITIAL[initial]
    if size:
        argument = int.from_bytes(data[at : at + size], "big")
        at += size
        if size > 8 or argument < LEAST[size]:
            raise ValueError("not the shortest head")
    if major == 0:
        return argument, at
    if major == 2:
        return data[at : at + argument], at + argument
    if major == 4 and depth and argument <= len(data) - at:
        items = []
        for _ in range(argument):
            item, at = _item(data, at, depth - 1)
            items.append(item)
        return items, at
    raise ValueError("a field is of the wrong kind")
