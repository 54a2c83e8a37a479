"""From one SEND frame to what is offered to the latch (R33): pure, and cheap for a good frame.

Packets are grouped into runs of consecutive seqs; each run is offered on its own, because only a
run without holes can be taken in. What has no readable seq can have no outcome either: it is given
back as bytes, for an edge letter. It knows nothing of tables or ticks.
"""

from itertools import pairwise

import attrs

from rmf import limits
from rmf.core import profile
from rmf.core.entry import verbatim_packets
from rmf.core.events import Offered
from rmf.core.packet import SEQ, Row, check_rows, seq_of
from rmf.errors import ProtocolFault

__all__ = ["Intake", "open_send"]


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
    readable = _seqs_are_readable(rows)
    verdicts = check_rows(rows) if readable else {}
    if not readable or verdicts:
        profile.scan(frame)
    spans = [(0, len(rows))] if readable and _consecutive(rows) else _runs(rows)
    offers = []
    for begin, end in spans:
        run = rows[begin:end]
        if not readable:
            verdicts = {begin + i: verdict for i, verdict in check_rows(run).items()}
        mine = {i - begin: verdict for i, verdict in verdicts.items() if begin <= i < end}
        offers.append(Offered(connection, producer, epoch, frame, run, begin, mine, arrived_ns))
    return Intake(offers, [] if readable else _unreadable(frame, rows))


def _seqs_are_readable(rows: list[Row]) -> bool:
    if set(map(type, rows)) != {list} or min(map(len, rows)) <= SEQ:
        return False
    seqs = [row[SEQ] for row in rows]
    return set(map(type, seqs)) == {int} and min(seqs) >= 1 and max(seqs) <= limits.SEQ_MAX


def _consecutive(rows: list[Row]) -> bool:
    first = rows[0][SEQ]
    return [row[SEQ] for row in rows] == list(range(first, first + len(rows)))


def _runs(rows: list[Row]) -> list[tuple[int, int]]:
    """Return (begin, end) of each longest run of readable, consecutive seqs."""
    seqs = [seq_of(row) for row in rows]
    cuts = [0]
    for i, (a, b) in enumerate(pairwise(seqs), start=1):
        if a is None or b is None or b != a + 1:
            cuts.append(i)
    cuts.append(len(rows))
    return [(begin, end) for begin, end in pairwise(cuts) if seqs[begin] is not None]


def _unreadable(frame: bytes, rows: list[Row]) -> list[bytes]:
    verbatim = verbatim_packets(frame)
    return [data for data, row in zip(verbatim, rows, strict=True) if seq_of(row) is None]
