"""Payloads for the class that a handler declares: ordinary ones, the edges of each type, wrong
ones.

What is made fits the class by its types; what its validators want besides is found by trying. It
knows types and chance, no topics and no packets.
"""

import dataclasses
import enum
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin

import attrs
import cbor2

from rmf.line.payload import PayloadInvalid
from rmf.line.structure import Structure
from rmf.testing.dice import Stream

__all__ = ["fitting", "sample", "wrong"]

_TRIES = 40
_DEPTH = 3
_EDGE, _LEFT_OUT = 0.15, 0.2

_INTS = (0, 1, -1, 255, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 5e-324, 1.7976931348623157e308, -1e300, 0.1)
_TEXTS = ("", " ", "a", "ä→😀", "a/b", "+", "\x00", "x" * 300, "None", "0")
_BYTES = (b"", b"\x00", b"\xff" * 300)
_WORDS = ("red", "green", "blue", "door", "probe", "north", "south")
_NO_CBOR = (b"\xff", b"", b"\xa1\x01", b"\x00\x00", b"\xc0\x60")


def fitting(declared: Any, structure: Structure | None, dice: Stream) -> tuple[bytes, bool]:
    """Return the bytes of a payload for the declared class (None: any value), and whether the class
    takes it: after many tries, one that it does not take is better than none."""
    payload = None
    for _ in range(_TRIES):
        payload = sample(declared, dice) if declared is not None else _anything(dice, _DEPTH)
        if structure is None:
            return cbor2.dumps(payload), True
        try:
            structure(payload)
        except PayloadInvalid:
            continue
        return cbor2.dumps(payload), True
    return cbor2.dumps(payload), False


def wrong(declared: Any, dice: Stream) -> bytes:
    """Return the bytes of a payload that is none, or not of the declared class."""
    if dice.chance(0.25):
        return dice.choice(_NO_CBOR)
    payload = sample(declared, dice)
    if type(payload) is dict and payload and dice.chance(0.7):
        name = dice.choice(sorted(payload, key=repr))
        if dice.chance(0.5):
            del payload[name]
        else:
            payload[name] = _anything(dice, 1)
        return cbor2.dumps(payload)
    return cbor2.dumps(_anything(dice, 2))


def sample(declared: Any, dice: Stream, depth: int = _DEPTH) -> Any:
    """Return a value in terms of CBOR that a payload of this type may have."""
    make = _SCALARS.get(declared)
    if make is not None:
        return make(dice)
    if isinstance(declared, typing.NewType):
        return sample(declared.__supertype__, dice, depth)
    origin, args = get_origin(declared), get_args(declared)
    if origin is typing.Annotated:
        return sample(args[0], dice, depth)
    if origin is Literal:
        return dice.choice(args)
    if origin is Union or isinstance(declared, types.UnionType):
        return sample(dice.choice(args), dice, depth)
    kind = origin or declared
    if isinstance(kind, type):
        return _of_class(kind, declared, args, dice, depth)
    return _anything(dice, depth)


def _of_class(kind: type, declared: Any, args: tuple[Any, ...], dice: Stream, depth: int) -> Any:
    if issubclass(kind, enum.Enum):
        return dice.choice([member.value for member in kind])
    if attrs.has(kind) or dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        return _record(kind, dice, depth)
    if issubclass(kind, tuple) and args and args[-1] is not Ellipsis:
        return [sample(x, dice, depth - 1) for x in args]
    if issubclass(kind, typing.Mapping):
        key, value = args or (str, Any)
        count = _count(dice, depth)
        return {_key(key, dice): sample(value, dice, depth - 1) for _ in range(count)}
    if issubclass(kind, typing.Collection):
        item = args[0] if args else Any
        return [sample(item, dice, depth - 1) for _ in range(_count(dice, depth))]
    del declared
    return _anything(dice, depth)


def _count(dice: Stream, depth: int) -> int:
    return dice.choice((0, 1, 2, 3, 3, 5, 12)) if depth > 0 else 0


def _key(declared: Any, dice: Stream) -> Any:
    key = sample(declared, dice, 0)
    return key if isinstance(key, str | int | bytes) else str(key)


def _record(kind: Any, dice: Stream, depth: int) -> dict[str, Any]:
    found = {}
    for name, declared, optional in _fields(kind):
        if optional and dice.chance(_LEFT_OUT):
            continue
        found[name] = sample(declared, dice, depth - 1)
    return found


def _fields(kind: Any) -> list[tuple[str, Any, bool]]:
    """Return (name, type, may be left out) of each field that a payload may hold."""
    try:
        hints = typing.get_type_hints(kind)
    except Exception:  # noqa: BLE001 a name in an annotation may be known nowhere
        hints = {}
    if typing.is_typeddict(kind):
        return [(name, hints[name], name in kind.__optional_keys__) for name in hints]
    if attrs.has(kind):
        return [
            (x.name, hints.get(x.name, Any), x.default is not attrs.NOTHING)
            for x in attrs.fields(kind)
            if x.init
        ]
    missing = dataclasses.MISSING
    return [
        (x.name, hints.get(x.name, Any), (x.default, x.default_factory) != (missing, missing))
        for x in dataclasses.fields(kind)
        if x.init
    ]


# --- Scalars ------------------------------------------------------------------------------------


def _int(dice: Stream) -> int:
    return dice.choice(_INTS) if dice.chance(_EDGE) else dice.randint(-20, 200)


def _float(dice: Stream) -> float:
    if dice.chance(_EDGE):
        return dice.choice(_FLOATS)
    return round(dice.uniform(-50.0, 150.0), dice.choice((0, 1, 3)))


def _text(dice: Stream) -> str:
    return dice.choice(_TEXTS) if dice.chance(_EDGE) else dice.choice(_WORDS)


def _bytes(dice: Stream) -> bytes:
    return dice.choice(_BYTES) if dice.chance(_EDGE) else dice.randbytes(dice.randint(1, 12))


def _bool(dice: Stream) -> bool:
    return dice.chance(0.5)


def _none(_dice: Stream) -> None:
    return None


def _any(dice: Stream) -> Any:
    return _anything(dice, 1)


_SCALARS: dict[Any, Callable[[Stream], Any]] = {
    int: _int,
    float: _float,
    str: _text,
    bytes: _bytes,
    bool: _bool,
    None: _none,
    type(None): _none,
    Any: _any,
    object: _any,
}
_PLAIN = (_int, _float, _text, _bytes, _bool, _none)


def _anything(dice: Stream, depth: int) -> Any:
    """Return any value that a payload may be."""
    if depth > 0 and dice.chance(0.4):
        items = [_anything(dice, depth - 1) for _ in range(dice.randint(0, 4))]
        if dice.chance(0.5):
            return items
        return {f"{dice.choice(_WORDS)}{i}": item for i, item in enumerate(items)}
    return dice.choice(_PLAIN)(dice)
