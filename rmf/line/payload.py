"""From a packet's bytes to the payload that a handler sees (R5, R22, R42).

A payload is one CBOR item that fills its byte string: no tags, map keys of text, bytes or integer
and none twice, at most 32 deep, UTF-8 strict. Unlike frames it may have long heads and indefinite
lengths: small devices write them, and no part compares a payload's bytes.

cbor2 ignores what stands behind an item, and a check of its own for each payload would double the
cost. So all payloads of a group are decoded by one call, each followed by a sentinel that cannot
be guessed outside this process: where every second item is the sentinel, each payload was exactly
one item, whatever it holds. Map keys that are arrays are hashed without a secret, so that a hostile
map costs seconds; that call takes only keys of text and bytes. If it fails, each payload is decoded
alone, and one that fails alone is walked head by head, to name the fault, or to let pass what the
fast way is too strict for (integer keys; nesting that is just not too deep). Whether a payload is
valid therefore never depends on its neighbours. This file knows no topics and no handlers.
"""

import os
from typing import Any

import cbor2

from rmf import limits
from rmf.core.bag import clip
from rmf.core.cbor_heads import head, head_at
from rmf.core.profile import NO_TAGS
from rmf.errors import RmfError
from rmf.native import plain_values

__all__ = ["PayloadInvalid", "decode_all", "decode_alone"]

_DEPTH_MAX = limits.VALUE_DEPTH_MAX  # what a cell may hold, a packet may bring
_SENTINEL = os.urandom(16)
_SEPARATOR = b"\x50" + _SENTINEL
_DECODE_ERRORS = (cbor2.CBORError, ValueError, RecursionError)


class PayloadInvalid(RmfError):
    """A payload is no payload, or not the one that the handler declared; the text says why."""


def decode_all(payloads: list[bytes]) -> list[Any] | None:
    """Return the decoded payloads, or None: at least one of them needs `decode_alone`."""
    plain = plain_values(payloads)
    if plain is not None:
        return plain
    count = len(payloads)
    if not count:
        return []
    try:
        items = cbor2.loads(
            b"".join((head(4, 2 * count), _SEPARATOR.join(payloads), _SEPARATOR)),
            # One for the array around them all, and one less than allowed: cbor2 does not count
            # an empty container, which may be the deepest.
            max_depth=1 + _DEPTH_MAX - 1,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
            semantic_decoders=NO_TAGS,
        )
    except _DECODE_ERRORS:
        return None
    if items[1::2] != [_SENTINEL] * count:
        return None
    decoded: list[Any] = items[::2]
    return decoded


def decode_alone(payload: bytes) -> Any:
    """Return one decoded payload. Raises PayloadInvalid with the fault in words."""
    decoded = decode_all([payload])
    if decoded is not None:
        return decoded[0]
    try:
        end = _walk(payload)
    except ValueError as exc:
        raise PayloadInvalid(f"payload: no CBOR, {exc}") from None
    if end != len(payload):
        raise PayloadInvalid(f"payload: the item ends at byte {end}, the payload at {len(payload)}")
    try:
        return cbor2.loads(
            payload, max_depth=_DEPTH_MAX, allow_duplicate_keys=False, semantic_decoders=NO_TAGS
        )
    except _DECODE_ERRORS as exc:
        text = clip(str(exc), limits.DECODER_TEXT_BYTES_MAX)
        raise PayloadInvalid(f"payload: {text}") from None


class _Open:
    """A container that is being walked: `left` items to come (-1: until a break)."""

    __slots__ = ("is_map", "left", "seen")

    def __init__(self, left: int, *, is_map: bool) -> None:
        self.left = left
        self.is_map = is_map
        self.seen = 0

    def expects_key(self) -> bool:
        return self.is_map and self.seen % 2 == 0

    def may_break(self) -> bool:
        return self.left < 0 and not (self.is_map and self.seen % 2)


def _walk(data: bytes) -> int:
    """Return where the first item ends; raise PayloadInvalid for what it may not hold.

    Iterative and linear, and it builds no values; what it lets pass, cbor2 may still refuse. Raises
    ValueError for what is no head.
    """
    opened: list[_Open] = []
    at = 0
    while True:
        if data[at : at + 1] == b"\xff" and opened and opened[-1].may_break():
            opened.pop()
            at += 1
        else:
            begin = at
            major, argument, at = head_at(data, at)
            if argument < 0 and major == 7:
                raise ValueError(f"reserved head 0xff at byte {begin}")
            if opened and opened[-1].expects_key() and major not in {0, 1, 2, 3}:
                raise PayloadInvalid(
                    f"payload: the map key at byte {begin} is neither text, bytes nor an integer"
                )
            if major == 6:
                raise PayloadInvalid(f"payload: tag {argument} at byte {begin}; tags are not taken")
            if major in {2, 3}:
                at = _string(data, at, argument, major)
            elif major in {4, 5}:
                if len(opened) >= _DEPTH_MAX:
                    raise PayloadInvalid(
                        f"payload: nested deeper than {_DEPTH_MAX} at byte {begin}"
                    )
                if argument:
                    left = argument * 2 if major == 5 and argument > 0 else argument
                    opened.append(_Open(left, is_map=major == 5))
                    continue
        while opened:  # an item has ended, and with it perhaps what it is the last item of
            top = opened[-1]
            top.seen += 1
            if top.left < 0 or top.seen < top.left:
                break
            opened.pop()
        if not opened:
            return at


def _string(data: bytes, at: int, size: int, major: int) -> int:
    """Return where a string ends whose head ended at `at`; one of indefinite length has chunks."""
    if size >= 0:
        if size > len(data) - at:
            raise PayloadInvalid(f"payload: no CBOR, a string of {size} bytes is cut off at {at}")
        return at + size
    while data[at : at + 1] != b"\xff":
        begin = at
        kind, size, at = head_at(data, at)
        if kind != major or size < 0:
            raise PayloadInvalid(f"payload: no CBOR, the chunk at byte {begin} is of another kind")
        at = _string(data, at, size, major)
    return at + 1
