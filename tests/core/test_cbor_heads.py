"""Heads against cbor2: all majors, all sizes, the shortest form; what is no head is named."""

import struct
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rmf.core.cbor_heads import INITIAL, LEAST, head, head_at

MAJORS = st.integers(0, 7)
EDGES = [edge + step for edge in (24, 1 << 8, 1 << 16, 1 << 32) for step in (-1, 0, 1)]
ARGUMENTS = st.sampled_from([0, 1, *EDGES, 2**64 - 1]) | st.integers(0, 2**64 - 1)
LENGTHS = [0, 1, 23, 24, 255, 256, 65_535, 65_536]
SIZES = {24: 1, 25: 2, 26: 4, 27: 8}


def long_head(major: int, argument: int, size: int) -> bytes:
    """Return a head whose argument takes `size` bytes, needed or not."""
    info = next(info for info, width in SIZES.items() if width == size)
    return bytes([major << 5 | info]) + argument.to_bytes(size, "big")


@given(ARGUMENTS)
@example(0)
def test_numbers_and_tags_are_encoded_as_cbor2_does(argument: int) -> None:
    assert head(0, argument) == cbor2.dumps(argument)
    assert head(1, argument) == cbor2.dumps(-1 - argument)
    assert head(6, argument) + b"\x00" == cbor2.dumps(cbor2.CBORTag(argument, 0))


@pytest.mark.parametrize("length", LENGTHS)
def test_lengths_are_encoded_as_cbor2_does(length: int) -> None:
    values: dict[int, Any] = {2: bytes(length), 3: "x" * length, 4: [0] * length}
    values[5] = dict.fromkeys(range(length), 0)
    for major, value in values.items():
        encoded = cbor2.dumps(value)
        assert encoded.startswith(head(major, length))
        assert head_at(encoded, 0) == (major, length, len(head(major, length)))


@pytest.mark.parametrize("value", [*range(20), *range(32, 256)])
def test_simple_values_are_encoded_as_cbor2_does(value: int) -> None:
    assert head(7, value) == cbor2.dumps(cbor2.CBORSimpleValue(value))


@given(MAJORS, ARGUMENTS, st.binary(max_size=3), st.binary(max_size=3))
def test_what_is_written_is_read_wherever_it_stands(
    major: int, argument: int, before: bytes, behind: bytes
) -> None:
    written = head(major, argument)
    end = len(before) + len(written)
    assert head_at(before + written + behind, len(before)) == (major, argument, end)


@given(MAJORS, ARGUMENTS)
def test_a_written_head_is_the_shortest(major: int, argument: int) -> None:
    size = len(head(major, argument)) - 1
    assert argument >= LEAST[size]
    longer = [width for width in SIZES.values() if width > size]
    for width in longer:
        assert head_at(long_head(major, argument, width), 0) == (major, argument, width + 1)
        assert argument < LEAST[width]
    assert longer or size == 8


@pytest.mark.parametrize("argument", [-1, -256, 2**64])
def test_what_fits_in_no_head_is_refused(argument: int) -> None:
    with pytest.raises(struct.error):
        head(0, argument)


@given(MAJORS, ARGUMENTS)
def test_a_head_that_is_cut_off_is_named(major: int, argument: int) -> None:
    written = head(major, argument)
    with pytest.raises(ValueError, match="the item is cut off at byte 0"):
        head_at(b"", 0)
    for end in range(1, len(written)):
        with pytest.raises(ValueError, match="the head at byte 0 is cut off"):
            head_at(written[:end], 0)


@pytest.mark.parametrize("initial", range(256))
def test_every_initial_byte_is_a_head_or_reserved(initial: int) -> None:
    major, info = initial >> 5, initial & 31
    data = bytes([initial]) + bytes(8)
    assert INITIAL[initial][0] == major
    if info < 24:
        assert head_at(data, 0) == (major, info, 1)
    elif info in SIZES:
        assert head_at(data, 0) == (major, 0, 1 + SIZES[info])
    elif info == 31 and major in {2, 3, 4, 5, 7}:
        assert head_at(data, 0) == (major, -1, 1)
    else:
        with pytest.raises(ValueError, match=f"reserved head 0x{initial:02x} at byte 0"):
            head_at(data, 0)
