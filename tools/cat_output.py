"""The outputs of `rmf-cat` but the live table: one class a format, bytes to stdout.

It decides how a whole Snapshot looks to scripts (INTERFACES) and to people on a pipe. It knows
messages and the Picture, nothing of sockets. Each Snapshot is written and flushed at once, so that
a reader never waits for a buffer to fill.

    jsonl    one JSON object a line; keepalives too, as kind "keepalive"
    json     the same; on a terminal indented, for eyes
    cborseq  the same maps as a CBOR sequence (RFC 8742); byte strings stay byte strings
    diag     CBOR diagnostic notation of each SNAPSHOT as the protocol lays it out, one per line
    raw      the CBOR bytes of the values alone, one after the other, in key order of each Snapshot
    table    the whole picture as text after each Snapshot
"""

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from json.encoder import encode_basestring, encode_basestring_ascii
from operator import itemgetter
from typing import Any

import cbor2

from rmf import limits
from rmf.client.render import json_line
from rmf.core import messages as m
from rmf.core import profile
from rmf.errors import ProtocolFault
from tools.cat_cells import CellText, shown_value
from tools.cat_follow import Follower
from tools.diagnostic import Embedded, diagnostic
from tools.text_table import aligned, clipped, printable

__all__ = ["FORMATS", "KINDS", "Output", "json_object", "plain_output", "row"]

FORMATS = ("table", "json", "jsonl", "cborseq", "diag", "raw")
_key_of = itemgetter(0)  # of a cell
KINDS = {m.FULL: "full", m.DELTA: "delta", m.KEEPALIVE: "keepalive"}


class Output(ABC):
    """Where Snapshots go. Nothing happens on a pipe but what `show` writes."""

    @abstractmethod
    def show(self, whole: m.Snapshot) -> None:
        """Show a whole Snapshot or keepalive."""

    def refresh(self) -> None:  # noqa: B027 -- a pipe shows what came, not that time passes
        """Show that time has passed; called about once per second when nothing comes."""

    def close(self) -> None:  # noqa: B027 -- each write to a pipe is flushed
        """Leave stdout as it was found."""

    @staticmethod
    def write(data: bytes) -> None:
        """Write to stdout, at once."""
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def plain_output(name: str, follower: Follower) -> Output:
    """Return the output of a format, one of FORMATS; a table is one for pipes."""
    if name in {"json", "jsonl"}:
        return _JsonBlock() if name == "json" and sys.stdout.isatty() else _JsonLines()
    if name == "table":
        return _PlainTable(follower)
    formats: dict[str, Callable[[], Output]] = {
        "cborseq": _CborSequence,
        "diag": _Diagnostic,
        "raw": _Raw,
    }
    return formats[name]()


def json_object(whole: m.Snapshot) -> dict[str, Any]:
    """Return a Snapshot as INTERFACES lays it out for scripts, ready for `json.dumps`."""
    return {
        **_head_of(whole),
        "digest": whole.digest.hex(),
        "cells": {cell.key: _json_cell(cell) for cell in whole.cells},
        "removed": dict(whole.removed),
    }


def _head_of(whole: m.Snapshot) -> dict[str, Any]:
    return {
        "term": whole.term,
        "tick": whole.tick,
        "index": whole.entry_index,
        "digest": whole.digest,
        "kind": KINDS[whole.kind],
        "skipped": whole.skipped,
        "live": whole.live,
        **({} if whole.now is None else {"now": whole.now}),
    }


def _json_cell(cell: m.WireCell) -> dict[str, Any]:
    return {"value": shown_value(cell.value), **_cell_head(cell)}


def _cell_head(cell: m.WireCell) -> dict[str, Any]:
    return {
        "term": cell.term,
        "tick": cell.tick,
        "slot": cell.slot,
        "producer": cell.producer,
        "harvested_at": cell.harvested_at,
        "expires": cell.expires,
    }


class _JsonBlock(Output):
    """For eyes: on a terminal."""

    def show(self, whole: m.Snapshot) -> None:
        # Values may hold control characters of terminals: only a pipe gets text as it is.
        self.write(json.dumps(json_object(whole), indent=2).encode() + b"\n")


class _JsonLines(Output):
    """For scripts: the same as one line, in pieces, as it may be a World of a million cells."""

    def __init__(self) -> None:
        ascii_only = sys.stdout.isatty()  # as above
        quoted = encode_basestring_ascii if ascii_only else encode_basestring
        separators = (",", ":")
        self._encode = json.JSONEncoder(ensure_ascii=ascii_only, separators=separators).encode
        self._cells = CellText(quoted, self._encode)

    def show(self, whole: m.Snapshot) -> None:
        begin, _, end = self._encode(json_object(whole._replace(cells=[]))).partition('"cells":{}')
        cells = list(dict(zip(map(_key_of, whole.cells), whole.cells, strict=True)).values())
        out = sys.stdout.buffer
        out.write(f'{begin}"cells":{{'.encode())
        for piece in self._cells.pieces(cells):
            out.write(piece.encode())
        self.write(f"}}{end}\n".encode())


class _CborSequence(Output):
    def show(self, whole: m.Snapshot) -> None:
        head = {key: cbor2.dumps(value) for key, value in _head_of(whole).items()}
        cells = _cbor_map({cell.key: _cbor_cell(cell) for cell in whole.cells})
        removed = cbor2.dumps(dict(whole.removed))
        self.write(_cbor_map({**head, "cells": cells, "removed": removed}))


def _cbor_cell(cell: m.WireCell) -> bytes:
    """Return a cell as a CBOR map; its value is the item that the line wrote, byte for byte."""
    try:
        profile.decode(cell.value)
        value = cell.value
    except ProtocolFault:  # spliced in, it would break the sequence
        value = cbor2.dumps(cell.value)
    head = {key: cbor2.dumps(field) for key, field in _cell_head(cell).items()}
    return _cbor_map({"value": value, **head})


def _cbor_map(encoded: dict[str, bytes]) -> bytes:
    """Return a CBOR map of values that are encoded already."""
    count = cbor2.dumps(len(encoded))  # an integer's head is a map's, but for the major type
    head = bytes([count[0] | 0xA0]) + count[1:]
    return head + b"".join(cbor2.dumps(key) + value for key, value in encoded.items())


class _Diagnostic(Output):
    def show(self, whole: m.Snapshot) -> None:
        cells = [cell._replace(value=Embedded(cell.value)) for cell in whole.cells]  # type: ignore[arg-type] # shown only
        code = next(code for code, kind in m.CODES.items() if kind is m.Snapshot)
        fields = m.fields_of(whole._replace(cells=cells))
        self.write(diagnostic([code, *fields]).encode() + b"\n")


class _Raw(Output):
    def show(self, whole: m.Snapshot) -> None:
        self.write(b"".join(cell.value for cell in whole.cells))


def row(cell: m.WireCell, tick: int) -> tuple[str, str, str, str, str]:
    """Return a cell as a table row at a tick: key, value, age, producer, time to expiry."""
    try:
        value = json_line(profile.decode(cell.value))
    except ProtocolFault:
        value = f"h'{cell.value.hex()}'"
    if cell.expires is None:
        expires = "never"
    else:
        expires = str(cell.expires - tick) if cell.expires > tick else "expired"
    age = str(max(tick - cell.tick, 0))
    shown = clipped(printable(value), limits.TABLE_VALUE_CHARACTERS_MAX)
    return printable(cell.key), shown, age, printable(cell.producer), expires


class _PlainTable(Output):
    """The picture as text. Ages and expiries are in ticks, counted at the present tick where the
    node said it, else at the Snapshot's own."""

    _HEADINGS = ("KEY", "VALUE", "AGE", "PRODUCER", "EXPIRES IN")

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._live: bool | None = None

    def show(self, whole: m.Snapshot) -> None:
        if whole.kind == m.KEEPALIVE and whole.live == self._live:
            return
        self._live = whole.live
        lines = [self._summary(whole)]
        if whole.kind != m.KEEPALIVE:
            cells = self._follower.picture.cells
            tick = whole.tick if whole.now is None else whole.now
            rows = [row(cells[key], tick) for key in sorted(cells)]
            lines += aligned([self._HEADINGS, *rows])
        self.write("".join(f"{line}\n" for line in lines).encode())

    def _summary(self, whole: m.Snapshot) -> str:
        live = "live" if whole.live else "NOT LIVE: no reigning Arbiter is known"
        period_us = self._follower.time.period_s * 1_000_000
        return (
            f"# tick {whole.tick} (1 tick = {period_us:g} us), term {whole.term}, {live},"
            f" {whole.skipped} skipped, {len(self._follower.picture.cells)} cells"
        )
