"""The floor of each stage: what it would cost at least, in µs of CPU a packet in a batch.

Estimates, made from what the C libraries that a stage cannot do without take by themselves (cbor2,
BLAKE2b, CRC32C, marshal), from sketches that were measured, and from the least that a loop over
packets costs in CPython 3.11 on a core of 2026 (Xeon at 2.x GHz, virtual): of Python and C
libraries, and with a small compiled piece for the loops. They are goals, not laws: a stage below
its floor has found a better way, and its floor is to be moved.

Source: "Findings: speed and scale", table of stages, 2026-11: stages that it tells apart are
summed up to those measured here (reading, judging and the columns of labels; chain and Append;
decoding an Entry and applying it).
"""

from typing import Final, NamedTuple

__all__ = ["FLOORS", "Floor"]


class Floor(NamedTuple):
    """µs of CPU a packet: in Python with C libraries, and with a small compiled piece."""

    python: float
    compiled: float


FLOORS: Final[dict[str, Floor]] = {
    "client: build and encode SEND": Floor(0.50, 0.05),
    "leader: read and judge SEND": Floor(1.05, 0.13),
    "leader: latch": Floor(0.06, 0.06),
    "leader: write RUN": Floor(0.10, 0.0),  # the pipe carries the frame
    "box: read RUN": Floor(0.10, 0.0),
    "box: handlers": Floor(0.80, 0.50),  # the call of the handler itself is 0.25
    "box: write DONE, free": Floor(0.04, 0.04),
    "leader: read and check DONE": Floor(0.01, 0.0),
    "leader: apply, Entry, propose": Floor(0.50, 0.20),
    "leader: ledger record": Floor(0.02, 0.02),
    "leader: encode Append": Floor(0.02, 0.02),
    "follower: read Append, accept": Floor(0.10, 0.10),  # with another hash
    "follower: ledger record": Floor(0.02, 0.02),
    "follower: written, answer": Floor(0.0, 0.0),
    "leader: commit, acks": Floor(0.05, 0.05),
    "leader: feed": Floor(0.03, 0.03),
    "leader: encode ACK": Floor(0.01, 0.01),
    "client: decode ACK": Floor(0.01, 0.01),
    "follower: apply": Floor(0.95, 0.35),
}
