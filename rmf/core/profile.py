"""The strict CBOR profile of everything RMF itself decodes (R42): bytes in, values or a fault out.

Definite lengths, shortest heads, no tags, keys of text or integer and none twice, depth of at most
32, simple values only false, true, null, UTF-8 strict, and the item fills its frame.

cbor2 is no strict decoder: it takes trailing bytes, long heads and undefined. So a frame is decoded
with all the strictness cbor2 has, and encoded again: equal bytes mean shortest heads and no rest,
for the price of one C call. Only bytes that fail this are walked head by head (`scan`), to give the
fault its name, and those that may hold more arrays and maps than a frame may have items: to build
a million of them takes half a second. The walk is linear, ends at the first fault, and keeps no
values but the keys of open maps, as bytes.
"""

from typing import Any

import cbor2

from rmf import limits
from rmf.core.cbor_heads import LEAST, head_at
from rmf.errors import ProtocolFault
from rmf.native import plain_frame

__all__ = ["NO_TAGS", "decode", "decode_value", "judged", "scan"]


class _NoTags(dict[Any, Any]):
    """Stands in for cbor2's table of tag decoders and refuses every tag, built-in or not."""

    def get(self, _tag: object, _default: object = None) -> Any:
        return self.refuse

    def __getitem__(self, _tag: object) -> Any:
        return self.refuse

    @staticmethod
    def refuse(*_: object) -> None:
        raise ValueError("a tag")


NO_TAGS: Any = _NoTags()


def decode(frame: bytes, items_max: int = limits.FRAME_ITEMS_MAX) -> Any:
    """Return the one item that fills `frame`.

    Raises ProtocolFault with the code of the first rule that is broken. Three rules are left to the
    caller, who knows the shape: keys that are byte strings, simple values, and more than
    `items_max` items of which fewer are arrays and maps. Where a decoded value may hold one of
    these (a map, an array of any length, or a field of the wrong kind), `scan` settles it.
    """
    plain = plain_frame(items_max, [frame])
    return judged(frame, items_max) if plain is None else plain[0]


def judged(frame: bytes, items_max: int = limits.FRAME_ITEMS_MAX) -> Any:
    """Return and raise the same, in Python alone."""
    if len(frame) > items_max and _containers_at_most(frame) > items_max:
        scan(frame, items_max)
    try:
        # Arrays as keys would be hashed without a secret: keys made to collide cost seconds. And an
        # empty container is one level deeper than cbor2 counts. So this is stricter than the
        # profile, and `scan` decides about the rest before cbor2 may be less strict.
        value = _loads(frame, depth_max=limits.FRAME_DEPTH_MAX - 1, string_keys_only=True)
    except _DECODE_ERRORS:
        scan(frame, items_max)
        return _loads(frame, depth_max=limits.FRAME_DEPTH_MAX, string_keys_only=False)
    if cbor2.dumps(value) != frame:
        scan(frame, items_max)
    return value


def decode_value(encoded: bytes) -> Any:
    """Return a payload or a value: unlike a frame it may have any number of items. Raises what
    `decode` does."""
    return decode(encoded, items_max=len(encoded))


_DECODE_ERRORS = (cbor2.CBORError, ValueError, RecursionError)
_CONTAINER_HEADS = bytes(range(0x80, 0xC0))


def _containers_at_most(data: bytes) -> int:
    """Return how many bytes could begin an array or a map: 0.4 ns each; to build one takes 400."""
    return len(data) - len(data.translate(None, _CONTAINER_HEADS))


def _loads(frame: bytes, *, depth_max: int, string_keys_only: bool) -> Any:
    return cbor2.loads(
        frame,
        max_depth=depth_max,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=string_keys_only,
        semantic_decoders=NO_TAGS,
    )


def scan(frame: bytes, items_max: int = limits.FRAME_ITEMS_MAX) -> None:
    """Walk the whole frame; raise ProtocolFault for the first broken rule, if there is one."""
    try:
        end = _walk(frame, items_max)
    except ValueError as exc:
        raise ProtocolFault("not_well_formed", str(exc)) from None
    if end != len(frame):
        raise ProtocolFault(
            "trailing_bytes", f"the item ends at byte {end}, the frame at {len(frame)}"
        )


def _long_head(major: int, argument: int, size: int, at: int) -> tuple[int, int]:
    """Check a head that says more than its initial byte; return (major type, argument), 8 as the
    major type of a float: the profile says nothing about its width."""
    if argument < 0:
        if major == 7:
            raise ProtocolFault("not_well_formed", f"a break without a beginning at byte {at}")
        raise ProtocolFault("indefinite_length", f"indefinite length at byte {at}")
    if major == 7 and size > 1:
        return 8, 0
    if major == 7:
        if argument < 32:
            raise ProtocolFault("not_well_formed", f"simple value {argument} in two bytes at {at}")
        raise ProtocolFault("simple_value", f"simple value {argument} at byte {at}")
    if argument < LEAST[size]:
        raise ProtocolFault(
            "not_shortest", f"{argument} at byte {at} has a head of {size + 1} bytes"
        )
    return major, argument


def _walk(data: bytes, items_max: int) -> int:
    """Return the offset behind the first item; iterative, so nesting costs no stack. Raises
    ProtocolFault, and ValueError for what is no head."""
    at = 0
    open_items: list[int] = []  # items still to come, per open array or map
    keys: list[_Keys | None] = []
    items_left = items_max
    while True:
        begin = at
        items_left -= 1
        if items_left < 0:
            raise ProtocolFault("too_many_items", f"more than {items_max} items at byte {begin}")
        major, argument, at = head_at(data, at)
        if at > begin + 1 or argument < 0:
            major, argument = _long_head(major, argument, at - begin - 1, begin)
        expects_key = bool(keys) and keys[-1] is not None and keys[-1].expects(open_items[-1])
        if expects_key and major not in {0, 1, 3}:
            raise ProtocolFault("key_type", f"the map key at byte {begin} is no text or integer")
        if major in {2, 3}:
            at = _string(data, at, argument, text=major == 3)
        elif major == 6:
            raise ProtocolFault("tag", f"tag {argument} at byte {begin}")
        elif major == 7 and not 20 <= argument <= 22:
            raise ProtocolFault("simple_value", f"simple value {argument} at byte {begin}")
        if expects_key:
            assert keys[-1] is not None
            keys[-1].add(data[begin:at], begin)
        if major in {4, 5}:
            if len(open_items) >= limits.FRAME_DEPTH_MAX:
                raise ProtocolFault(
                    "depth", f"nested deeper than {limits.FRAME_DEPTH_MAX} at byte {begin}"
                )
            items = argument * (major - 3)
            if items > len(data) - at:
                raise ProtocolFault("not_well_formed", f"{items} items do not fit at byte {begin}")
            open_items.append(items)
            keys.append(_Keys() if major == 5 else None)
        else:
            _close_one(open_items)
        while open_items and open_items[-1] == 0:
            open_items.pop()
            keys.pop()
            _close_one(open_items)
        if not open_items:
            return at


def _close_one(open_items: list[int]) -> None:
    if open_items:
        open_items[-1] -= 1


def _string(data: bytes, at: int, size: int, *, text: bool) -> int:
    if size > len(data) - at:
        raise ProtocolFault("not_well_formed", f"a string of {size} bytes is cut off at byte {at}")
    if text:
        try:
            data[at : at + size].decode("utf-8")
        except UnicodeDecodeError as exc:
            raise ProtocolFault("utf8", f"text at byte {at} is not UTF-8") from exc
    return at + size


class _Keys:
    """The keys one map has shown so far, as bytes: equal keys have equal shortest encodings."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()

    @staticmethod
    def expects(items_left: int) -> bool:
        """Return True if the next item is a key: a map counts keys and values, keys first."""
        return items_left % 2 == 0

    def add(self, key: bytes, at: int) -> None:
        """Note a key; raise ProtocolFault if the map had it already."""
        if key in self.seen:
            raise ProtocolFault("duplicate_key", f"the key at byte {at} came before")
        self.seen.add(key)
