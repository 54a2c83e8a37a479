"""What passes through the doors beside values of the core: items of the floor's own (R14).

Each is a value; some carry the sending end of a door that belongs to one connection or link. Where
they come from and go to says the table of doors.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import trio

from rmf.core.bag import Letter
from rmf.core.effects import MarkWhole, ReadChunk, ReadEntries, StoreLetters, WriteChunk
from rmf.core.entry import Member
from rmf.core.events import Event, Joined, Left, Offered
from rmf.core.messages import Message
from rmf.core.raft.greetings import Hello, Own, Refusal, Welcome
from rmf.core.raft.peer_messages import PeerMessage
from rmf.core.triage import Act, Triage
from rmf.floor.links.dialling import Peer

__all__ = [
    "Belongs",
    "CatchUpItem",
    "Closed",
    "EdgeLetter",
    "EdgeTriage",
    "EventItem",
    "FactsAsked",
    "Fetched",
    "FetchedStored",
    "Greeting",
    "IntakeItem",
    "Knock",
    "LettersItem",
    "Linked",
    "Opened",
    "Parted",
    "PeeringFacts",
    "PeeringItem",
    "Roster",
    "Through",
    "TurnAsked",
    "Verdict",
    "WhoIsKnown",
]

Verdict = Welcome | Refusal


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
class FactsAsked:
    """HTTP asks how the Arbiter stands: what `rmf-status` shows is sent to `reply`."""

    reply: trio.MemorySendChannel[dict[str, Any]]


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


@attrs.frozen
class FetchedStored:
    """Letters of a peer are stored: so many were new, and whether nothing is missing here."""

    new: int
    is_complete: bool


@attrs.frozen
class Fetched:
    """Letters and decisions that a peer had, to be stored; `is_all`: nothing is missing any more.
    What came of it is sent to `reply`."""

    letters: Sequence[Letter]
    acts: Sequence[Act]
    is_all: bool
    reply: trio.MemorySendChannel[FetchedStored]


@attrs.frozen
class Roster:
    """The members by the ledger of the core that is loaded: who is linked, and who is let in; the
    Entry `index` names them."""

    linked: tuple[Member, ...]
    admitted: tuple[Member, ...]
    index: int


@attrs.frozen(eq=False)
class Greeting:
    """A node said HELLO. What it is answered goes into `verdict`; with that door's end, the
    connection of a node that was let in for Raft has to end."""

    hello: Hello
    verdict: trio.MemorySendChannel[Verdict]


@attrs.frozen
class Parted:
    """The connection of this greeting is gone."""

    greeting: Greeting


@attrs.frozen
class Belongs:
    """The node belongs to a cluster from now on. `members` are its first ones, if this node made
    it; what the ledger says of them takes their place."""

    cluster: bytes
    members: tuple[Member, ...] = ()


@attrs.frozen
class PeeringFacts:
    """What the node says of itself, and whom it links."""

    own: Own
    peers: tuple[Peer, ...]


@attrs.frozen
class WhoIsKnown:
    """A task wants to call peers: what is known is sent to `reply`."""

    reply: trio.MemorySendChannel[PeeringFacts]


@attrs.frozen(eq=False)
class TurnAsked:
    """A task wants to move files of the ledger about. Once something comes out of `turn`, it may,
    until it closes that end."""

    turn: trio.MemorySendChannel[None]


@attrs.frozen
class Through:
    """The last Entry whose letters may be missing here: its index, and its term and tick."""

    index: int
    term: int
    tick: int


IntakeItem = Offered | Joined | Left
EventItem = Event | Opened | Closed | Linked | Knock | FactsAsked
LettersItem = StoreLetters | EdgeLetter | EdgeTriage | Fetched
CatchUpItem = ReadEntries | ReadChunk | WriteChunk | MarkWhole
PeeringItem = Greeting | Parted | Belongs | WhoIsKnown
