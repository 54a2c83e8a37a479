"""CBOR diagnostic notation, by the examples of RFC 8949 appendix A."""

from typing import Any

import pytest

from tools.diagnostic import Embedded, diagnostic


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (-1000, "-1000"),
        (18446744073709551615, "18446744073709551615"),
        (1.1, "1.1"),
        (-4.0, "-4.0"),
        (1e300, "1e+300"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
        (False, "false"),
        (True, "true"),
        (None, "null"),
        (b"", "h''"),
        (b"\x01\x02\x03\x04", "h'01020304'"),
        ('"\\', '"\\"\\\\"'),
        ("ü\x1b", '"\\u00fc\\u001b"'),
        ([1, [2, 3]], "[1, [2, 3]]"),
        ({"a": 1, "b": [2]}, '{"a": 1, "b": [2]}'),
        ({1: {}}, "{1: {}}"),
        (Embedded(b"\x83\x01\x02\x03"), "<<[1, 2, 3]>>"),
        (Embedded(b"\xff"), "h'ff'"),
    ],
)
def test_a_value_is_shown_as_the_rfc_shows_it(value: Any, expected: str) -> None:
    assert diagnostic(value) == expected


def test_what_is_no_value_or_endless_is_shown_all_the_same() -> None:
    assert diagnostic(object()) == "/object/"
    assert diagnostic(1 << 40_000) == hex(1 << 40_000)


def test_text_is_shown_in_its_own_letters_where_that_is_wanted() -> None:
    assert diagnostic([{"ü": "é"}], ascii_only=False) == '[{"ü": "é"}]'
