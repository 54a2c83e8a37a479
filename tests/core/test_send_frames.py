"""SEND frames as they are kept: what came is what is found, byte for byte."""

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf.core import codec
from rmf.core import messages as m
from rmf.core.send_frames import frame_of, rows_of, verbatim_packets
from tests import strategies as own


@settings(deadline=None, max_examples=100)
@given(own.packets(), st.data())
def test_packets_are_kept_byte_for_byte_and_only_those_that_were_latched(
    rows: list[list[object]], data: st.DataObject
) -> None:
    frame = codec.encode(m.Send(rows))[4:]
    skip = data.draw(st.integers(0, len(rows) - 1))
    packets = data.draw(st.integers(1, len(rows) - skip))
    assert rows_of(frame, skip, packets) == rows[skip : skip + packets]
    assert verbatim_packets(frame) == [cbor2.dumps(row) for row in rows]
    assert frame_of(verbatim_packets(frame)) == frame


def test_verbatim_is_what_came_and_not_what_would_be_encoded_again() -> None:
    """R38: the bag holds the packet's bytes; a float of four bytes stays one."""
    packet = bytes.fromhex("8561 61 01 fa3f800000 01 40".replace(" ", ""))
    frame = b"\x82\x03\x81" + packet
    assert verbatim_packets(frame) == [packet]
    assert frame_of([packet]) == frame
