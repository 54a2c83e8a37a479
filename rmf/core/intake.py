"""From one SEND frame to what is offered to the latch (R33): pure, and cheap for a good frame.

Only a run of consecutive seqs can be taken in. So the packets before the first hole are one offer;
the first one behind it is another that stands for the rest of the frame, which is refused in one
word, whatever it holds. What has no readable seq can have no outcome either: it is given back as
bytes, for an edge letter, and the others are judged as if it were not there. It knows nothing of
tables or ticks.
"""

from itertools import pairwise

import attrs

from rmf import limits
from rmf.core import profile
from rmf.core.events import Offered
from rmf.core.packet import SEQ, Row, all_well, check_rows, seq_of
from rmf.core.send_frames import frame_of, verbatim_packets
from rmf.errors import ProtocolFault

__all__ = ["OpenedFrame", "open_send"]


@attrs.frozen
class OpenedFrame:
    """What a frame offers, in order, and its packets without a readable seq, verbatim."""

    offers: list[Offered]
    unreadable: list[bytes]


def open_send(
    frame: bytes,
    rows: list[Row],
    *,
    connection: int,
    producer: str,
    epoch: int,
    arrived_ns: int,
    plain: bool = False,
) -> OpenedFrame:
    """Judge the packets of a frame; `plain`: they are those that `rmf.native` found to be well.
    Raises ProtocolFault: `frame_packets`, or a profile fault."""
    if not 1 <= len(rows) <= limits.FRAME_PACKETS_MAX:
        raise ProtocolFault(
            "frame_packets",
            f"SEND holds {len(rows)} packets; 1 to {limits.FRAME_PACKETS_MAX} are taken",
        )
    if plain or all_well(rows):
        whole = Offered(connection, producer, epoch, frame, rows, 0, {}, arrived_ns)
        return OpenedFrame([whole], [])
    profile.scan(frame)  # a fault of the encoding goes before a fault of a label
    verbatim = verbatim_packets(frame)
    readable = [i for i, row in enumerate(rows) if seq_of(row) is not None]

    def offer(places: list[int], *, after_hole: bool) -> Offered:
        run = [rows[i] for i in places]
        # An Entry keeps the frame of each offer: it holds these packets and no others.
        mine = frame if len(run) == len(rows) else frame_of([verbatim[i] for i in places])
        verdicts = check_rows(run)
        return Offered(connection, producer, epoch, mine, run, 0, verdicts, arrived_ns, after_hole)

    end = _hole(rows, readable)
    offers = [offer(readable[:end], after_hole=False)] if end else []
    if end < len(readable):
        offers.append(offer(readable[end : end + 1], after_hole=True))
    return OpenedFrame(
        offers, [data for data, row in zip(verbatim, rows, strict=True) if seq_of(row) is None]
    )


def _hole(rows: list[Row], readable: list[int]) -> int:
    """Return how many of the readable rows come before the first hole in the seqs."""
    for place, (a, b) in enumerate(pairwise(readable), start=1):
        if rows[b][SEQ] != rows[a][SEQ] + 1:
            return place
    return len(readable)
