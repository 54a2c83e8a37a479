"""Shapes of decoded values: checks that return what a field is, or raise what it should have been.

The messages of both wire formats are declared with them: `codec` for clients, `raft/wire_shapes`
for nodes (R41). It knows values, neither bytes nor messages; who calls says which message it was.
"""

from collections.abc import Callable
from typing import Any

from rmf.core.packet import kind_of

__all__ = [
    "ARRAY",
    "BOOL",
    "BYTES",
    "INT",
    "TEXT",
    "Check",
    "WrongShape",
    "between",
    "bytes_of",
    "is_a",
    "list_of",
    "natural",
    "or_null",
    "record",
    "short_text",
    "text_map",
    "tuple_of",
]

Check = Callable[[Any], Any]


class WrongShape(Exception):
    """A value has the wrong shape; it says what was expected."""


def is_a(kind: type[Any], words: str) -> Check:
    """Return the check for a type; a bool is no int."""

    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise WrongShape(f"expected {words}, found {kind_of(value)}")
        return value

    return check


def or_null(inner: Check) -> Check:
    """Return the check for what may be None, too."""
    return lambda value: None if value is None else inner(value)


def list_of(inner: Check) -> Check:
    """Return the check for an array of any length."""

    def check(value: Any) -> Any:
        if type(value) is not list:
            raise WrongShape(f"expected an array, found {kind_of(value)}")
        return [inner(x) for x in value]

    return check


def tuple_of(inner: Check) -> Check:
    """Return the same check, for what is kept as a tuple."""
    listed = list_of(inner)
    return lambda value: tuple(listed(value))


def record(kind: type[Any], *checks: Check) -> Check:
    """Return the check for the array of a NamedTuple's fields; it names the field that is wrong."""

    def check(value: Any) -> Any:
        if type(value) is not list or len(value) != len(checks):
            raise WrongShape(f"expected an array of {len(checks)} for {kind.__name__}")
        fields: list[Any] = []
        try:
            for inner, x in zip(checks, value, strict=True):
                fields.append(inner(x))  # one by one: how many there are says which is wrong
        except WrongShape as exc:
            raise WrongShape(f"{kind._fields[len(fields)]}: {exc}") from None
        return kind(*fields)

    return check


def natural(value: Any) -> Any:
    """Check for what the formats call a natural number."""
    if type(value) is not int or not 0 <= value < 2**63:
        found = kind_of(value) if type(value) is not int else "one out of range"
        raise WrongShape(f"expected an integer from 0 to 2^63-1, found {found}")
    return value


def between(low: int, end: int) -> Check:
    """Return the check for an integer from `low` on, below `end`."""

    def check(value: Any) -> Any:
        if type(value) is not int or not low <= value < end:
            raise WrongShape(f"expected an integer from {low} to {end - 1}")
        return value

    return check


def bytes_of(sizes: range) -> Check:
    """Return the check for bytes of one of these lengths."""

    def check(value: Any) -> Any:
        if type(value) is not bytes or len(value) not in sizes:
            raise WrongShape(f"expected {sizes.start} to {sizes.stop - 1} bytes")
        return value

    return check


def short_text(bytes_max: int) -> Check:
    """Return the check for a text of so many bytes at most."""

    def check(value: Any) -> Any:
        if type(value) is not str or len(value.encode()) > bytes_max:
            raise WrongShape(f"expected text of at most {bytes_max} bytes")
        return value

    return check


def text_map(value: Any) -> Any:
    """Check for a map whose keys are texts, and whose values are anything."""
    if type(value) is not dict or not set(map(type, value)) <= {str}:
        raise WrongShape(f"expected a map with text keys, found {kind_of(value)}")
    return value


ARRAY = is_a(list, "an array")
BOOL = is_a(bool, "a boolean")
BYTES = is_a(bytes, "bytes")
INT = is_a(int, "an integer")
TEXT = is_a(str, "text")
