"""What a handler may say a cell shall hold: the values, their wrappers, and the keys (R9, R22).

A World value is what CBOR can say and every reader can take: None, booleans, integers of 64 bits,
finite floats, text, bytes, lists, and maps with text keys. It is encoded once, here (R5).

What a handler returns is foreign. Nothing of it is formatted, compared, hashed or iterated before
its exact type is known to be one of Python's own (faults.md §7, trap 12); subclasses are refused,
because they may answer anything. The walk over a value is bounded by the size that its encoding
may have, so that a small object which contains itself many times over costs no more than an honest
one. This file knows neither handlers nor the World.
"""

from typing import Any, Final, final

import attrs
import cbor2

from rmf import limits
from rmf.core import topics
from rmf.errors import RmfError
from rmf.native import COMPILED, plain_bytes

__all__ = [
    "REMOVE",
    "Fresh",
    "Keep",
    "Remove",
    "ResultInvalid",
    "encode_key",
    "encode_value",
    "type_name",
]

INTEGER_MIN = -(2**63)
INTEGER_MAX = 2**64 - 1  # every value fits a signed or an unsigned word of 64 bits


_VALUE_BYTES_MAX = limits.VALUE_BYTES_MAX
_PLAINLY_SMALL_BYTES = _VALUE_BYTES_MAX // 8  # of text, whatever its encoding and its heads
_dumps = cbor2.dumps


class ResultInvalid(RmfError):
    """A handler's result cannot become changes; the text names the place and what was expected."""


@final
@attrs.frozen(eq=False)
class Keep:
    """A value without expiry: it stays until the line changes or removes it (R9)."""

    value: Any


@final
@attrs.frozen(eq=False)
class Fresh:
    """A value with a shelf life of its own, `ttl_ms` milliseconds from this Tick on (R9)."""

    value: Any
    ttl_ms: int


@final
class Remove:
    """The type of REMOVE."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "REMOVE"


REMOVE: Final = Remove()  # as a value: the key is removed


class _Fault(Exception):
    """Something within a value is wrong; `path` is filled in on the way out, innermost first."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.path: list[str] = []


def encode_value(value: Any) -> bytes:
    """Return the CBOR of a World value.

    Raises ResultInvalid, with the place within the value, for what is no World value: a foreign
    type, NaN or an infinity, an integer beyond 64 bits, a key that is no text, a lone surrogate,
    nesting deeper than VALUE_DEPTH_MAX, an encoding beyond VALUE_BYTES_MAX.
    """
    plain = plain_bytes(value) if COMPILED else None
    if plain is not None:
        return plain
    if type(value) is dict:
        # A sound map of scalars is what most cells hold: it is settled here, without a call. Its
        # keys need not be weighed, because it cannot hold one twice.
        size = 0
        for key, item in value.items():
            kind = type(item)
            if type(key) is not str:
                break
            if kind is float:
                if item - item:  # zero but for NaN and infinities
                    break
            elif kind is str:
                size += len(item)
            elif kind is int:
                if not INTEGER_MIN <= item <= INTEGER_MAX:
                    break
            elif item is not None and kind is not bool:
                break
        else:
            if size <= _PLAINLY_SMALL_BYTES:
                try:
                    encoded: bytes = _dumps(value)
                except UnicodeEncodeError:
                    return _encode(value)
                if len(encoded) <= _VALUE_BYTES_MAX:
                    return encoded
    try:
        _weigh(value, limits.VALUE_DEPTH_MAX)
    except _Fault as fault:
        place = "".join(reversed(fault.path))
        raise ResultInvalid(f"{fault.text} @ ${place}") from None
    return _encode(value)


def _encode(value: Any) -> bytes:
    """Return the CBOR of a value that was looked through."""
    try:
        encoded: bytes = _dumps(value)
    except UnicodeEncodeError as exc:
        raise ResultInvalid(
            f"text with a lone surrogate ({exc.reason}) is no World value"
        ) from None
    if len(encoded) > _VALUE_BYTES_MAX:
        raise ResultInvalid(
            f"a value of {len(encoded)} bytes, at most {_VALUE_BYTES_MAX} are taken"
        )
    return encoded


def _weigh(value: Any, depth: int) -> int:
    """Return a lower bound of the encoded size; raise _Fault for what is no World value."""
    kind = type(value)
    if kind is dict:
        return _weigh_dict(value, depth)
    if kind is list or kind is tuple:
        return _weigh_list(value, depth)
    return _weigh_scalar(value)


def _weigh_dict(value: dict[Any, Any], depth: int) -> int:
    _room(value, depth)
    size = 1
    key: Any = ""
    try:
        for key, item in value.items():
            if type(key) is not str:
                raise _no_text(key)
            size += 1 + len(key) + _weigh(item, depth - 1)
            if size > _VALUE_BYTES_MAX:
                raise _too_big()
    except _Fault as fault:
        fault.path.append(f".{key}" if type(key) is str else "")
        raise
    return size


def _weigh_list(value: list[Any] | tuple[Any, ...], depth: int) -> int:
    """Numbers are settled within the loop: series of them are long, and a call each is dear."""
    _room(value, depth)
    size = 1
    at = -1
    try:
        for item in value:
            at += 1
            kind = type(item)
            if kind is float:
                if item - item:
                    raise _not_finite(item)
                size += 9
            elif kind is int:
                if not INTEGER_MIN <= item <= INTEGER_MAX:
                    raise _too_long(item)
                size += 1
            else:
                size += _weigh(item, depth - 1)
            if size > _VALUE_BYTES_MAX:
                raise _too_big()
    except _Fault as fault:
        fault.path.append(f"[{at}]")
        raise
    return size


def _weigh_scalar(value: Any) -> int:
    kind = type(value)
    if kind is str or kind is bytes:
        return 1 + len(value)
    if kind is float:
        if value - value:
            raise _not_finite(value)
        return 9
    if kind is int:
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise _too_long(value)
        return 1
    if value is None or kind is bool:
        return 1
    raise _Fault(f"{type_name(value)} is no World value; expected {_EXPECTED}")


_EXPECTED = "None, bool, int, float, str, bytes, list or dict with text keys"


def _room(value: Any, depth: int) -> None:
    if depth <= 0:
        raise _Fault(f"nested deeper than {limits.VALUE_DEPTH_MAX}")
    if len(value) > _VALUE_BYTES_MAX:
        raise _too_big()


def _no_text(key: object) -> _Fault:
    return _Fault(f"expected text as key, found {type_name(key)}")


def _not_finite(value: float) -> _Fault:
    return _Fault(f"{value} is no World value; expected a finite float")


def _too_long(value: int) -> _Fault:
    return _Fault(
        f"an integer of {value.bit_length()} bits is no World value; at most 64 are taken"
    )


def _too_big() -> _Fault:
    return _Fault(f"a value of more than {_VALUE_BYTES_MAX} bytes")


def encode_key(key: Any) -> bytes:
    """Return the CBOR of a key. Raises ResultInvalid: a key obeys the rules of a topic."""
    if type(key) is not str:
        raise ResultInvalid(f"expected text as the key of a change, found {type_name(key)}")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise ResultInvalid(f"the key {_shown(key)} holds a lone surrogate") from None
    if size > limits.KEY_BYTES_MAX:
        raise ResultInvalid(
            f"the key {_shown(key)} has {size} bytes, at most {limits.KEY_BYTES_MAX} are taken"
        )
    fault = topics.topic_fault(key)
    if fault is not None:
        raise ResultInvalid(f"the key {_shown(key)} is no topic: {fault.removeprefix('topic: ')}")
    encoded: bytes = cbor2.dumps(key)
    return encoded


def _shown(key: str) -> str:
    most = limits.TEXT_CHARACTERS_SHOWN_MAX
    return ascii(key if len(key) <= most else key[:most] + "…")


# The descriptor itself: a metaclass can lie about `__name__`, or raise.
_read_name = vars(type)["__name__"].__get__


def type_name(value: object) -> str:
    """Return the name of a foreign value's type without running any code of it."""
    name: str = _read_name(type(value))
    return name
