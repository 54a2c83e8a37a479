"""From one SEND frame to what is offered to the latch (R33): pure, and cheap for a good frame.

Packets are grouped into runs of consecutive seqs; each run is offered on its own, because only a
run without holes can be taken in. What has no readable seq can have no outcome either: it is given
back as bytes, for an edge letter. It knows nothing of tables or ticks.
"""

from itertools import pairwise

import attrs
import cbor2

from rmf import limits
from rmf.core import profile
from rmf.core.entry import verbatim_packets
from rmf.core.events import Offered
from rmf.core.messages import CODES, Send
from rmf.core.packet import Row, all_well, check_rows, seq_of
from rmf.errors import ProtocolFault

__all__ = ["Intake", "open_send"]

_SEND = next(code for code, kind in CODES.items() if kind is Send)


@attrs.frozen
class Intake:
    """What a frame offers, in order, and its packets without a readable seq, verbatim."""

    offers: list[Offered]
    unreadable: list[bytes]


def open_send(
    frame: bytes, rows: list[Row], *, connection: int, producer: str, epoch: int, arrived_ns: int
) -> Intake:
    """Judge the packets of a frame. Raises ProtocolFault: `frame_packets`, or a profile fault."""
    if not 1 <= len(rows) <= limits.FRAME_PACKETS_MAX:
        raise ProtocolFault(
            "frame_packets",
            f"SEND holds {len(rows)} packets; 1 to {limits.FRAME_PACKETS_MAX} are taken",
        )
    if all_well(rows):
        whole = Offered(connection, producer, epoch, frame, rows, 0, {}, arrived_ns)
        return Intake([whole], [])
    profile.scan(frame)  # a fault of the encoding goes before a fault of a label
    verbatim = verbatim_packets(frame)
    offers = []
    runs = _runs(rows)
    for begin, end in runs:
        run = rows[begin:end]
        # An Entry keeps the frame of each offer: a frame in many runs would be kept many times.
        mine = frame if len(runs) == 1 else _frame_of(verbatim[begin:end])
        skip = begin if len(runs) == 1 else 0
        offers.append(
            Offered(connection, producer, epoch, mine, run, skip, check_rows(run), arrived_ns)
        )
    unreadable = [data for data, row in zip(verbatim, rows, strict=True) if seq_of(row) is None]
    return Intake(offers, unreadable)


def _frame_of(packets: list[bytes]) -> bytes:
    """Return a SEND frame of these packets, each as it came, byte for byte."""
    head = cbor2.dumps([_SEND, [0] * len(packets)])[: -len(packets)]
    return head + b"".join(packets)


def _runs(rows: list[Row]) -> list[tuple[int, int]]:
    """Return (begin, end) of each longest run of readable, consecutive seqs."""
    seqs = [seq_of(row) for row in rows]
    cuts = [0]
    for i, (a, b) in enumerate(pairwise(seqs), start=1):
        if a is None or b is None or b != a + 1:
            cuts.append(i)
    cuts.append(len(rows))
    return [(begin, end) for begin, end in pairwise(cuts) if seqs[begin] is not None]
