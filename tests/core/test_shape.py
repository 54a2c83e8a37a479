"""core/shape: each check returns what a field is, or says what it should have been."""

from typing import Any, NamedTuple

import pytest

from rmf.core import shape
from rmf.core.shape import Check, WrongShape


class Point(NamedTuple):
    name: str
    at: tuple[int, ...] | None


POINT = shape.record(Point, shape.TEXT, shape.or_null(shape.tuple_of(shape.natural)))


@pytest.mark.parametrize(
    ("check", "value", "found"),
    [
        (shape.TEXT, "a", "a"),
        (shape.BOOL, False, False),
        (shape.INT, -(2**70), -(2**70)),
        (shape.natural, 2**63 - 1, 2**63 - 1),
        (shape.between(-2, 3), -2, -2),
        (shape.bytes_of(range(2, 4)), b"abc", b"abc"),
        (shape.short_text(3), "äb", "äb"),
        (shape.or_null(shape.TEXT), None, None),
        (shape.list_of(shape.BYTES), [b"", b"a"], [b"", b"a"]),
        (shape.tuple_of(shape.TEXT), ["a", "b"], ("a", "b")),
        (shape.text_map, {"a": [None, {}]}, {"a": [None, {}]}),
        (POINT, ["a", [1, 2]], Point("a", (1, 2))),
        (POINT, ["a", None], Point("a", None)),
    ],
)
def test_what_fits_comes_back_as_what_it_is(check: Check, value: Any, found: Any) -> None:
    assert check(value) == found
    assert type(check(value)) is type(found)


@pytest.mark.parametrize(
    ("check", "value", "words"),
    [
        (shape.TEXT, b"a", "expected text, found bytes"),
        (shape.INT, True, "expected an integer, found a boolean"),
        (shape.natural, True, r"expected an integer from 0 to 2\^63-1, found a boolean"),
        (shape.natural, -1, "found one out of range"),
        (shape.natural, 2**63, "found one out of range"),
        (shape.between(-2, 3), 3, "expected an integer from -2 to 2"),
        (shape.between(-2, 3), False, "expected an integer from -2 to 2"),
        (shape.bytes_of(range(2, 4)), b"a", "expected 2 to 3 bytes"),
        (shape.bytes_of(range(2, 4)), "abc", "expected 2 to 3 bytes"),
        (shape.short_text(3), "äöü", "expected text of at most 3 bytes"),
        (shape.short_text(3), 3, "expected text of at most 3 bytes"),
        (shape.or_null(shape.TEXT), 0, "expected text, found an integer"),
        (shape.list_of(shape.BYTES), {}, "expected an array, found a map"),
        (shape.tuple_of(shape.TEXT), ["a", 1], "expected text, found an integer"),
        (shape.text_map, {1: 2}, "expected a map with text keys, found a map"),
        (POINT, ["a"], "expected an array of 2 for Point"),
        (POINT, "ab", "expected an array of 2 for Point"),
        (POINT, [7, None], "^name: expected text, found an integer"),
        (POINT, ["a", [-1]], "^at: expected an integer"),
    ],
)
def test_what_does_not_fit_says_what_was_expected(check: Check, value: Any, words: str) -> None:
    with pytest.raises(WrongShape, match=words):
        check(value)
