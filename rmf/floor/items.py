"""What passes through the doors beside values of the core: items of the floor's own (R14).

Each is a value; some carry the sending end of a door that belongs to one connection or link. Where
they come from and go to says the table of doors.
"""

import attrs
import trio

from rmf.core.bag import Letter
from rmf.core.effects import MarkWhole, ReadChunk, ReadEntries, StoreLetters, WriteChunk
from rmf.core.events import Event, Joined, Left, Offered
from rmf.core.messages import Message
from rmf.core.raft.messages import PeerMessage
from rmf.core.triage import Triage

__all__ = [
    "CatchUpItem",
    "Closed",
    "EdgeLetter",
    "EdgeTriage",
    "EventItem",
    "IntakeItem",
    "Knock",
    "LettersItem",
    "Linked",
    "Opened",
]


class Knock:
    """Wakes the arbiter: something waits at the intake door."""


@attrs.frozen
class Opened:
    """A connection is there: its answers door travels beside the events, never inside one."""

    connection: int
    answers: trio.MemorySendChannel[list[Message]]


@attrs.frozen
class Linked:
    """A link to a peer is up: the doors of its connection, whose ends break with it."""

    peer: str
    hurrying: trio.MemorySendChannel[PeerMessage]
    bulk: trio.MemorySendChannel[PeerMessage]


@attrs.frozen
class Closed:
    """A connection is gone."""

    connection: int


@attrs.frozen
class EdgeLetter:
    """A letter of an edge; its id is given by the keeper and sent to `reply`, once stored."""

    letter: Letter
    reply: trio.MemorySendChannel[str] | None


@attrs.frozen
class EdgeTriage:
    """What was decided about letters of this node's edge; how many it met is sent to `reply`."""

    triage: Triage
    wall_ns: int
    reply: trio.MemorySendChannel[int]


IntakeItem = Offered | Joined | Left
EventItem = Event | Opened | Closed | Linked | Knock
LettersItem = StoreLetters | EdgeLetter | EdgeTriage
CatchUpItem = ReadEntries | ReadChunk | WriteChunk | MarkWhole
