"""Letters of the DLQ as scripts and people see them (INTERFACES, R38).

It decides how the body of a letter (see storage/dlq_query) becomes JSON or text, and how far its
packet can be opened again. It knows the wire's shape of a packet, not where letters come from. No
trio and no attrs: `rmf-dlq` imports it at its start.

Theory. A letter is poison until proven otherwise: its bytes may be no CBOR at all, its texts may
hold control characters that would rewrite a terminal. So opening a packet gives a value or a
sentence, never an error, and every human-readable text passes `plain` first.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rmf import limits
from rmf.client.render import json_block, json_line
from rmf.core import profile
from rmf.core.bag import MORE_READS, SCANNED
from rmf.core.packet import FENCE, PAYLOAD
from rmf.errors import ProtocolFault

__all__ = [
    "COLUMNS",
    "OpenedLetter",
    "cells_of",
    "error_of",
    "for_scripts",
    "open_packet",
    "plain",
    "read_of",
    "text_of",
    "time_of",
]

Body = dict[str, Any]

_KEYS = ("letter", "reason", "stage", "group", "producer", "topic", "seq", "term", "tick", "slot")
_FIELDS = ("topic", "seq", "harvested_at", "ttl_ms", "payload", "fence")


class OpenedLetter(NamedTuple):
    """What could be read of a letter's bytes. `packet` is the packet by the names of its fields
    (payload left out) or whatever value stood there, `payload` the decoded payload, `fault` why
    one of them is missing."""

    packet: Any
    payload: Any
    fault: str | None


def open_packet(body: Body) -> OpenedLetter:
    """Open a letter's packet as far as it goes; never raises, whatever the bytes are."""
    data = body.get("packet")
    if type(data) is not bytes:
        return OpenedLetter(None, None, "the letter holds no bytes")
    if body.get("stage") == "line" and body.get("seq") is None:
        # No packet was there: a handler of an expired cell failed, and these are the cell's bytes.
        value, fault = _decoded("the cell's value", data)
        return OpenedLetter(None, value, fault)
    packet, fault = _decoded("the packet", data)
    if fault is not None:
        return OpenedLetter(None, None, fault)
    if type(packet) is not list or not PAYLOAD < len(packet) <= FENCE + 1:
        return OpenedLetter(packet, None, "these bytes hold no packet of 5 or 6 fields")
    named = dict(zip(_FIELDS, packet, strict=False))
    payload = named.pop("payload")
    if type(payload) is not bytes:
        return OpenedLetter(named, payload, "the payload is no byte string")
    value, fault = _decoded("the payload", payload)
    return OpenedLetter(named, value, fault)


def _decoded(what: str, data: bytes) -> tuple[Any, str | None]:
    try:
        return profile.decode_value(data), None
    except ProtocolFault as exc:
        return None, f"{what} cannot be decoded: {exc}"


def for_scripts(body: Body) -> Body:
    """Return the letter with exactly the keys of INTERFACES; `json_line` says its values."""
    letter = {key: body.get(key) for key in (*_KEYS, "node", "error", "packet")}
    letter = {**letter, "payload": open_packet(body).payload, "bagged_at": body.get("bagged_at")}
    reads = [read_of(read) for read in body.get("reads") or []]
    return {**letter, "line": body.get("line"), "reads": reads, "triage": body.get("triage")}


def read_of(read: Any) -> Body:
    """Return a cell that the handler read, by the names of its fields; a `scan` is of all keys that
    begin with `key`, `more` says that others were read too."""
    whole = type(read) is list and len(read) == 4
    key, term, tick, slot = read if whole else ("", MORE_READS, 0, 0)
    if term == MORE_READS:
        return {"more": True}
    if term == SCANNED:
        return {"scan": key}
    return {"key": key, "term": term, "tick": tick, "slot": slot}


def plain(text: object, characters_max: int = 2**31) -> str:
    """Return a text fit for one line of a terminal: nothing in it moves a cursor, and it is no
    longer than that; what is no text is shown as JSON, nothing as `-`."""
    if text is None:
        return "-"
    shown = text if type(text) is str else json_line(text)
    shown = "".join(map(_printable, shown[: characters_max + 1]))
    return shown if len(shown) <= characters_max else shown[: characters_max - 1] + "…"


def _printable(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def time_of(wall_ns: object) -> str:
    """Return a wall-clock time in UTC, to the millisecond; what is no time as it is."""
    if type(wall_ns) is not int or not 0 <= wall_ns < 2**63:
        return plain(wall_ns)
    seconds, rest_ns = divmod(wall_ns, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest_ns // 10**6:03d}Z"


COLUMNS = ("letter", "bagged", "reason", "producer", "topic", "seq", "triage", "error")


def cells_of(body: Body) -> tuple[str, ...]:
    """Return a letter's line in a table, cell by cell as COLUMNS names them."""
    return (
        plain(body.get("letter")),
        time_of(body.get("bagged_at")),
        plain(body.get("reason")),
        plain(body.get("producer"), 40),
        plain(body.get("topic"), 60),
        plain(body.get("seq")),
        plain(body.get("triage")),
        error_of(body, 100),
    )


def error_of(body: Body, characters_max: int = 2**31) -> str:
    """Return `type: message` of a letter or a group, in one line."""
    error = body.get("error")
    fields = error if type(error) is dict else {}
    parts = [fields.get("type"), fields.get("message")]
    return plain(": ".join(part for part in parts if type(part) is str and part), characters_max)


def text_of(body: Body) -> str:
    """Return everything a letter says, for a person to read."""
    return "\n".join((*_head(body), "", *_contents(body), *_traceback(body)))


def _head(body: Body) -> Iterator[str]:
    def of(*names: str) -> str:
        return ", ".join(f"{name} {plain(body.get(name))}" for name in names)

    yield f"letter     {plain(body.get('letter'))}"
    yield f"reason     {plain(body.get('reason'))} ({of('stage', 'node')})"
    yield f"error      {error_of(body)}"
    yield f"group      {plain(body.get('group'))}"
    yield f"producer   {plain(body.get('producer'))} ({of('epoch', 'seq')})"
    yield f"topic      {plain(body.get('topic'))}"
    yield f"stamp      {of('term', 'tick', 'slot')}"
    yield f"harvested  {time_of(body.get('harvested_at'))} ({of('ttl_ms')})"
    yield f"bagged     {time_of(body.get('bagged_at'))}"
    digest = body.get("digest_before")
    before = digest.hex() if type(digest) is bytes else "-"
    yield f"line       {plain(body.get('line'))} (World before: {before})"
    yield f"triage     {plain(body.get('triage'))}"


def _contents(body: Body) -> Iterator[str]:
    data = body.get("packet")
    size = len(data) if type(data) is bytes else 0
    opened = open_packet(body)
    yield f"packet ({size} bytes)"
    if opened.packet is not None:
        yield _block(opened.packet)
    if opened.fault is None:
        yield "payload"
        yield _block(opened.payload)
        return
    yield f"  {plain(opened.fault)}"
    if type(data) is bytes:
        yield from _hex(data)


def _block(value: Any) -> str:
    lines = json_block(value).splitlines()
    return "\n".join("  " + plain(line) for line in lines)


def _hex(data: bytes) -> Iterator[str]:
    for at in range(0, min(len(data), limits.HEX_BYTES_SHOWN_MAX), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"  {at:06x}  {row.hex(' '):<47}  {text}"
    if len(data) > limits.HEX_BYTES_SHOWN_MAX:
        yield f"  … {len(data) - limits.HEX_BYTES_SHOWN_MAX} bytes more; -o json shows all of them"


def _traceback(body: Body) -> Iterator[str]:
    error = body.get("error")
    text = error.get("traceback") if type(error) is dict else None
    if type(text) is str and text:
        yield ""
        for line in text.splitlines():
            yield plain(line)
