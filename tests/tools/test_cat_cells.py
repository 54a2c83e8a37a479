"""Cells as JSON text, many at a time."""

import json
from json.encoder import encode_basestring, encode_basestring_ascii

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf.core.messages import WireCell
from tests.calls import calls_of
from tools.cat_cells import CellText, shown_value

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NATURALS = st.integers(0, 2**63 - 1)
CELLS = st.lists(
    st.builds(
        WireCell,
        st.text(),
        VALUES.map(cbor2.dumps) | st.binary(max_size=4),  # well encoded, or whatever it may be
        *[NATURALS] * 3,
        st.sampled_from(["p", "a b", '"', "\u2028"]),
        NATURALS,
        st.none() | NATURALS,
    ),
    max_size=5,
    unique_by=lambda cell: cell.key,
)


def text_of(cells: list[WireCell], *, ascii_only: bool) -> str:
    encode = json.JSONEncoder(ensure_ascii=ascii_only, separators=(",", ":")).encode
    quoted = encode_basestring_ascii if ascii_only else encode_basestring
    return "{" + "".join(CellText(quoted, encode).pieces(cells)) + "}"


@settings(max_examples=300, deadline=None)
@given(CELLS, st.booleans())
def test_they_read_as_the_same_cells_do_one_by_one(cells: list[WireCell], ascii_only: bool) -> None:
    one_by_one = {}
    for cell in cells:
        fields = cell._replace(value=shown_value(cell.value))._asdict()
        one_by_one[fields.pop("key")] = fields
    encode = json.JSONEncoder(ensure_ascii=ascii_only, separators=(",", ":")).encode
    assert text_of(cells, ascii_only=ascii_only) == encode(one_by_one)


def test_values_that_only_together_are_items_are_undecodable_each() -> None:
    cells = [WireCell(key, b"", 1, 2, 3, "p", 4, None) for key in "ab"]
    cells = [cells[0]._replace(value=b"\x81"), cells[1]._replace(value=b"\x01\x02")]
    shown = json.loads(text_of(cells, ascii_only=False))
    assert [cell["value"] for cell in shown.values()] == [
        {"$undecodable": "gQ=="},
        {"$undecodable": "AQI="},
    ]


@pytest.mark.parametrize("count", [999, 1000, 1001, 2500])
def test_pieces_join_to_one_object(count: int) -> None:
    cells = [WireCell(f"{i}", cbor2.dumps(i), 1, 2, 3, "p", 4, i or None) for i in range(count)]
    shown = json.loads(text_of(cells, ascii_only=False))
    assert [cell["value"] for cell in shown.values()] == list(range(count))


def test_a_cell_more_takes_few_calls() -> None:
    """A World of a million is shown within seconds: it took 30 calls each."""

    def work(count: int) -> int:
        cells = [WireCell(f"{i}", cbor2.dumps(i / 7), 1, 2, 3, "p", 4, 5) for i in range(count)]
        return calls_of(lambda: text_of(cells, ascii_only=False))

    assert work(900) - work(100) <= 5 * 800
