"""From the bytes of a file to packets: for `rmf-send`. No I/O, no trio; bytes in, Parcels out.

It decides what a line means in each format, and names the line that means nothing:

    jsonl   a line is a payload; with the keys `topic` and `payload` it is an envelope that may also
            hold `ttl_ms` and `harvested_at`. {"$bytes": "base64"} is a byte string, as in rmf-cat.
            Blank lines are left out.
    csv     the first row names the columns, each further row is one payload, a map. A cell that
            reads exactly as a number is one; all else is text. Quoted cells may hold line ends.
    raw     each line is a payload as it stands, without its line end.

Packets are counted from 1, blank lines and the header apart: that count is what `--resume` compares
with seqs. Bound: one line, or one CSV row, of INPUT_LINE_BYTES_MAX.
"""

import base64
import binascii
import csv
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from rmf import limits
from rmf.client.client_values import Parcel, Raw
from rmf.errors import RmfError

__all__ = ["FORMATS", "BadLine", "LineReader", "Packet", "Wanted", "number_or_text"]

FORMATS = ("jsonl", "csv", "raw")

_ENVELOPE = {"topic", "payload", "ttl_ms", "harvested_at"}
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_DECIMAL = re.compile(r"(?=.*[.eE])-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


class BadLine(RmfError):
    """A line that is no packet; `number` counts the lines of the file from 1."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"line {number}: {text}")
        self.number = number


class Wanted(NamedTuple):
    """What holds for all lines: the topic (None: each line brings its own), ttl and fence."""

    topic: str | None
    ttl_ms: int
    fence: int | None


class Packet(NamedTuple):
    """One packet, the line where it began, and its number among the packets, from 1."""

    parcel: Parcel
    line: int
    number: int


class LineReader:
    """Feed it what was read; it gives the packets that are complete."""

    def __init__(self, name: str, wanted: Wanted) -> None:
        self._wanted = wanted
        self._packets = 0
        self._lines = 0
        self._rest = b""
        self._parse: Callable[[int, bytes], Parcel | None] = {
            "jsonl": self._jsonl,
            "csv": self._csv,
            "raw": self._raw,
        }[name]
        self._row = ""  # lines of a CSV row that is not complete
        self._row_line = 0
        self._columns: list[str] | None = None

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Give the packets in `data`. Raises BadLine, after the packets that stand before it."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            yield from self._take(line)
        if len(self._rest) > limits.INPUT_LINE_BYTES_MAX:
            raise BadLine(self._lines + 1, f"longer than {limits.INPUT_LINE_BYTES_MAX} bytes")

    def end(self) -> Iterator[Packet]:
        """Give what an unfinished last line holds. Raises BadLine."""
        if self._rest:
            rest, self._rest = self._rest, b""
            yield from self._take(rest)
        if self._row:
            raise BadLine(self._row_line, 'a quoted cell (") is not closed until the end')

    def _take(self, line: bytes) -> Iterator[Packet]:
        self._lines += 1
        parcel = self._parse(self._lines, line)
        if parcel is not None:
            self._packets += 1
            yield Packet(parcel, self._row_line or self._lines, self._packets)
        if not self._row:
            self._row_line = 0

    def _parcel(self, number: int, payload: Any) -> Parcel:
        if self._wanted.topic is None:
            raise BadLine(number, "a payload without a topic: give --topic")
        return Parcel(self._wanted.topic, payload, self._wanted.ttl_ms, None, self._wanted.fence)

    # --- Formats ------------------------------------------------------------------------------

    def _raw(self, number: int, line: bytes) -> Parcel:
        return self._parcel(number, Raw(line))

    def _jsonl(self, number: int, line: bytes) -> Parcel | None:
        if not line.strip():
            return None
        try:
            value = json.loads(line, object_hook=_bytes_or_map, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as exc:  # bad UTF-8, bad JSON and bad base64 among them
            raise BadLine(number, f"not JSON: {exc}") from exc
        if type(value) is not dict or not {"topic", "payload"} <= value.keys():
            return self._parcel(number, value)
        unknown = value.keys() - _ENVELOPE
        if unknown:
            known = ", ".join(sorted(_ENVELOPE))
            raise BadLine(number, f"an envelope holds {known}; found {min(unknown)!r}")
        return Parcel(
            value["topic"],
            value["payload"],
            value.get("ttl_ms", self._wanted.ttl_ms),
            value.get("harvested_at"),
            self._wanted.fence,
        )

    def _csv(self, number: int, line: bytes) -> Parcel | None:
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as exc:
            raise BadLine(number, f"not UTF-8: {exc.reason} at byte {exc.start}") from exc
        self._row_line = self._row_line or number
        self._row += text + "\n"
        if len(self._row) > limits.INPUT_LINE_BYTES_MAX:
            raise BadLine(self._row_line, f"a row of more than {limits.INPUT_LINE_BYTES_MAX} bytes")
        if self._row.count('"') % 2:
            return None  # a quoted cell goes on in the next line
        row, self._row = self._row, ""
        return self._csv_row(self._row_line, row)

    def _csv_row(self, number: int, row: str) -> Parcel | None:
        csv.field_size_limit(limits.INPUT_LINE_BYTES_MAX)
        try:
            cells = next(csv.reader(row.splitlines(keepends=True), strict=True))
        except csv.Error as exc:
            raise BadLine(number, f"not CSV: {exc}") from exc
        if not cells:
            return None
        if self._columns is None:
            self._columns = _columns(number, cells)
            return None
        if len(cells) != len(self._columns):
            raise BadLine(
                number, f"{len(cells)} cells, but the header names {len(self._columns)} columns"
            )
        values = map(number_or_text, cells)
        return self._parcel(number, dict(zip(self._columns, values, strict=True)))


def _columns(number: int, names: list[str]) -> list[str]:
    for i, name in enumerate(names):
        if not name:
            raise BadLine(number, f"column {i + 1} of the header has no name")
        if name in names[:i]:
            raise BadLine(number, f"the header names {name!r} twice")
    return names


def number_or_text(cell: str) -> int | float | str:
    """Return the number that a cell's text is exactly, else the text.

    Leading zeros and plus signs make text (`007` is a name); so do integers beyond 64 bits, and
    decimals with more digits than a float keeps.
    """
    if _INTEGER.fullmatch(cell):
        value = int(cell)
        return value if -(2**63) <= value < 2**63 else cell
    if not _DECIMAL.fullmatch(cell):
        return cell
    number = float(cell)
    if number in {float("inf"), float("-inf")} or Decimal(repr(number)) != Decimal(cell):
        return cell
    return number


def _bytes_or_map(value: dict[str, Any]) -> Any:
    if value.keys() != {"$bytes"}:
        return value
    text = value["$bytes"]
    if type(text) is not str:
        raise ValueError("$bytes: expected base64 text")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ValueError(f"$bytes: {exc}") from exc


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
