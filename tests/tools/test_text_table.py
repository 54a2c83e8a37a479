"""Aligned columns, and foreign text made harmless."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tools.text_table import aligned, clipped, printable


def test_columns_start_below_each_other() -> None:
    assert aligned([["KEY", "VALUE"], ["a/long/key", "1"], ["b", ""]]) == [
        "KEY         VALUE",
        "a/long/key  1",
        "b",
    ]


@settings(deadline=None, max_examples=60)
@given(st.text(), st.integers(1, 20))
def test_clipped_text_fits_and_says_that_it_is_clipped(text: str, width_max: int) -> None:
    short = clipped(text, width_max)
    assert len(short) <= width_max
    assert short == text or short.endswith("…")


@settings(deadline=None, max_examples=60)
@given(st.text())
def test_what_is_printed_is_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()
