"""The form of a vector, and the judge that says what a frame must lead to.

It decides what `expect` says: the judge is the implementation itself (codec, then intake), so that
vectors and code cannot drift apart unseen; the generator refuses to write an entry whose maker
expected something else. It knows the core, and no files.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rmf.client.render import to_json
from rmf.core import codec, intake, profile
from rmf.core.messages import Message, Send
from rmf.errors import ProtocolFault
from tools.vectors.notation import diag

__all__ = ["Pattern", "bad", "frame_of", "good", "judge", "text_of"]


class Pattern(NamedTuple):
    """A part of a frame that would be too big to write out: these bytes, so many times."""

    part: bytes
    times: int


def frame_of(message: Message) -> bytes:
    """Return the frame of a message without its length."""
    return codec.encode(message)[4:]


def judge(frame: bytes) -> str:
    """Return "ok", a code of the error table, or the reason of the first faulty packet."""
    try:
        message = codec.decode(frame)
        if not isinstance(message, Send):
            return "ok"
        offered = intake.open_send(
            frame, message.packets, connection=1, producer="probe-3", epoch=1, arrived_ns=0
        )
    except ProtocolFault as fault:
        return fault.code
    verdicts = [offer.verdicts[i] for offer in offered.offers for i in sorted(offer.verdicts)]
    if verdicts:
        return verdicts[0].reason
    return "no_seq" if offered.unreadable else "ok"


def good(
    name: str, req: str, description: str, message: Message, notes: str = ""
) -> dict[str, Any]:
    """Return the vector of a message that is taken."""
    frame = frame_of(message)
    return _entry(name, req, description, frame, _shown(frame), "ok", notes)


def bad(
    name: str,
    req: str,
    description: str,
    frame: bytes | Sequence[Pattern],
    expect: str,
    notes: str = "",
    *,
    said: str | None = None,
) -> dict[str, Any]:
    """Return the vector of a frame that is refused; `said` is its diagnostic notation, if any."""
    if isinstance(frame, bytes):
        shown = _shown(frame) if said is None else (said, None)
        return _entry(name, req, description, frame, shown, expect, notes)
    whole = b"".join(part * times for part, times in frame)
    entry = _entry(name, req, description, whole, (said, None), expect, notes)
    entry["hex"] = None
    entry["pattern"] = [[part.hex(), times] for part, times in frame]
    return entry


def text_of(frame: bytes) -> str:
    """Return the diagnostic notation of a frame that is within the profile."""
    return diag(profile.decode(frame))


def _shown(frame: bytes) -> tuple[str | None, Any]:
    """Return notation and JSON of a frame, or nothing where it is no message."""
    try:
        message = codec.decode(frame)
    except ProtocolFault:
        return None, None
    # A field at the end may be left out; then it is not named.
    fields = zip(message._fields, profile.decode(frame)[1:], strict=False)
    named = {name: to_json(value) for name, value in fields}
    return text_of(frame), {"type": type(message).__name__.lower(), **named}


def _entry(
    name: str,
    req: str,
    description: str,
    frame: bytes,
    shown: tuple[str | None, Any],
    expect: str,
    notes: str,
) -> dict[str, Any]:
    found = judge(frame)
    assert found == expect, f"{name}: expected {expect}, the implementation says {found}"
    return {
        "id": name,
        "req": req,
        "description": description,
        "hex": frame.hex(),
        "diag": shown[0],
        "decoded": shown[1],
        "expect": expect,
        "notes": notes,
    }
