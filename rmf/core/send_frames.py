"""SEND frames as they are kept: packets byte for byte, taken out of a frame and put into one (R38).

It knows how a SEND frame is laid out, and nothing of Entries, letters or verdicts.
"""

from io import BytesIO
from typing import Final

import cbor2

from rmf.core.cbor_heads import head, head_at
from rmf.core.messages import CODES, Send
from rmf.core.packet import Row
from rmf.native import plain_rows

__all__ = ["frame_of", "rows_of", "verbatim_packets"]

_BEGIN: Final = head(4, 2) + head(0, next(code for code, kind in CODES.items() if kind is Send))


def frame_of(packets: list[bytes]) -> bytes:
    """Return a SEND frame (without its length) of these packets, each as it came, byte for byte."""
    return b"".join((_BEGIN, head(4, len(packets)), *packets))


def rows_of(data: bytes, skip: int, packets: int) -> list[Row]:
    """Return the packets of a SEND frame (without its length) that were latched."""
    rows: list[Row] = plain_rows(data) or cbor2.loads(data)[1]
    return rows if not skip and packets == len(rows) else rows[skip : skip + packets]


def verbatim_packets(data: bytes) -> list[bytes]:
    """Return each packet of a SEND frame, which was found to be well-formed, as the bytes in which
    it came. A letter may need one of 4,096: they are passed over by the decoder, a tenth of the
    time that a walk over their items takes (R45)."""
    assert data.startswith(_BEGIN)
    _, count, begin = head_at(data, len(_BEGIN))
    source = BytesIO(data)
    skip = cbor2.CBORDecoder(source, read_size=1).decode  # it reads no byte more than the item has
    source.seek(begin)
    packets = []
    for _ in range(count):
        skip()
        end = source.tell()
        packets.append(data[begin:end])
        begin = end
    return packets
