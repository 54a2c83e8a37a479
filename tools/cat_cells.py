"""Cells as the text of a JSON object, many at a time: for `rmf-cat` before a World of a million.

It says what `json.dumps` would say of the same cells, with the separators of a line, and takes a
tenth of the time: values are decoded and heads written by the hundred, so that nearly all of it is
done in C. It knows cells and JSON, nothing of Snapshots and where they go.
"""

import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import cbor2

from rmf.client.render import to_json
from rmf.core import profile
from rmf.core.cbor_heads import head
from rmf.core.messages import WireCell
from rmf.errors import ProtocolFault
from rmf.native import plain_values

__all__ = ["CellText", "shown_value"]

_CELLS_A_TIME = 1000
_ARRAY = 4  # a major type of CBOR
_MEMBER = (
    '%s:{"value":%s,"term":%s,"tick":%s,"slot":%s,"producer":%s,"harvested_at":%s,"expires":%s}'
)


class CellText:
    """`text_of` writes a string as JSON, `encode` anything that JSON has a word for."""

    def __init__(self, text_of: Callable[[str], str], encode: Callable[[Any], str]) -> None:
        self._text_of = text_of
        self._encode = encode

    def pieces(self, cells: Sequence[WireCell]) -> Iterator[str]:
        """Give what stands between the braces, in pieces. No key may be there twice."""
        for at in range(0, len(cells), _CELLS_A_TIME):
            comma = "," if at else ""
            yield comma + self._piece(cells[at : at + _CELLS_A_TIME])

    def _piece(self, cells: Sequence[WireCell]) -> str:
        keys, values, terms, ticks, slots, producers, harvested, expires = zip(*cells, strict=True)
        names = {name: self._text_of(name) for name in set(producers)}
        columns = (
            map(self._text_of, keys),
            self._texts(values),
            *(terms, ticks, slots),
            map(names.__getitem__, producers),
            harvested,
            ("null" if tick is None else tick for tick in expires),
        )
        return ",".join(map(_MEMBER.__mod__, zip(*columns, strict=True)))

    def _texts(self, values: Sequence[bytes]) -> Iterable[str]:
        found = _decoded(values)
        if found is None:
            return map(self._encode, map(shown_value, values))
        return map(self._text, found)

    def _text(self, value: Any) -> str:
        kind = type(value)
        if kind is float and math.isfinite(value):
            return float.__repr__(value)
        if kind is str:
            return self._text_of(value)
        if kind is bytes:
            return f'{{"$bytes":"{b64encode(value).decode("ascii")}"}}'
        return self._encode(to_json(value))


def shown_value(encoded: bytes) -> Any:
    """Return a value in terms of JSON. No line of RMF writes one that is outside of the profile; it
    must not stop the display."""
    try:
        return to_json(profile.decode(encoded))
    except ProtocolFault:
        return {"$undecodable": to_json(encoded)["$bytes"]}


def _decoded(values: Sequence[bytes]) -> list[Any] | None:
    """Return what these say, all at once; None: not each of them is one item within the profile."""
    plain = plain_values(list(values))
    if plain is not None:
        return plain
    joined = b"".join((head(_ARRAY, len(values)), *values))
    try:
        found: list[Any] = profile.decode(joined, items_max=len(joined))
    except ProtocolFault:
        return None
    # One may begin what the next ends: then they do not say by themselves what they say together.
    return found if list(map(cbor2.dumps, found)) == list(values) else None
