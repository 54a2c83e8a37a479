"""CBOR heads, written and read in one place (RFC 8949 §3): major type, argument, length.

Heads are written here where bytes that are encoded already are put together, and read where bytes
are walked without a decoder. Written heads are the shortest there are. `head_at` reads any head;
whether a long one or an indefinite length is taken is the caller's matter. INITIAL and LEAST are
for callers on the hot path, where a call per head would cost more than the rest: what an initial
byte says is looked up.
"""

from struct import Struct
from typing import Final

__all__ = ["INITIAL", "LEAST", "head", "head_at"]

# Per initial byte: major type, argument, and how many bytes follow that hold the argument. A size
# above 8 is none: it stands for the reserved heads, and for the head without a length.
INITIAL: Final = tuple(
    (initial >> 5, info, 0) if info < 24 else (initial >> 5, 0, 1 << (info - 24))
    for initial in range(256)
    for info in (initial & 31,)
)

# The least argument that needs so many bytes behind the initial one: a lesser one has a shorter
# head.
LEAST: Final = {0: 0, 1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}

_WITHOUT_LENGTH = 1 << (31 - 24)
_SHORT: Final = tuple(
    tuple(
        bytes((major << 5 | value,) if value < 24 else (major << 5 | 24, value))
        for value in range(256)
    )
    for major in range(8)
)
_TWO, _FOUR, _EIGHT = Struct(">BH").pack, Struct(">BI").pack, Struct(">BQ").pack


def head(major: int, argument: int) -> bytes:
    """Return the shortest head of an item. `argument` is a number or a length; struct.error
    is raised where it is negative or not below 2^64."""
    if 0 <= argument < 256:
        return _SHORT[major][argument]
    if argument < 1 << 16:
        return _TWO(major << 5 | 25, argument)
    if argument < 1 << 32:
        return _FOUR(major << 5 | 26, argument)
    return _EIGHT(major << 5 | 27, argument)


def head_at(data: bytes, at: int) -> tuple[int, int, int]:
    """Return major type, argument and the offset behind the head that begins at `at`. The argument
    is -1 for an indefinite length, and for a break (major type 7). Raises ValueError, with the
    fault in words, for a head that is cut off or reserved."""
    if at >= len(data):
        raise ValueError(f"the item is cut off at byte {at}")
    major, argument, size = INITIAL[data[at]]
    if not size:
        return major, argument, at + 1
    if size > 8:
        if size == _WITHOUT_LENGTH and major not in {0, 1, 6}:
            return major, -1, at + 1
        raise ValueError(f"reserved head 0x{data[at]:02x} at byte {at}")
    behind = at + 1 + size
    if behind > len(data):
        raise ValueError(f"the head at byte {at} is cut off")
    return major, int.from_bytes(data[at + 1 : behind], "big"), behind
