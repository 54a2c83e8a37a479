"""The doors: every channel between tasks, on one page (R14, R16).

Sends that can block form no cycle: all of them lead to the arbiter or to a keeper that only reports
to the arbiter, and the arbiter itself never awaits a send. `DOORS` is the table; `Doors` are the
channels themselves, opened once and kept while tasks come and go.
"""

from contextlib import suppress
from typing import Any, NamedTuple

import attrs
import trio

from rmf import limits
from rmf.core.effects import Audit, Batch, DryRun, Persist, Publish, WriteCheckpoint
from rmf.core.messages import Message
from rmf.core.raft.greetings import Own
from rmf.core.raft.messages import PeerMessage
from rmf.floor.items import (
    CatchUpItem,
    Closed,
    EdgeLetter,
    EdgeTriage,
    EventItem,
    IntakeItem,
    Knock,
    LettersItem,
    Linked,
    Opened,
    PeeringItem,
    Roster,
    Verdict,
)
from rmf.floor.latest import Latest, open_latest
from rmf.floor.news import News, Unwatch, Watch

__all__ = [
    "DOORS",
    "CatchUpItem",
    "Closed",
    "Door",
    "Doors",
    "EdgeLetter",
    "EdgeTriage",
    "EventItem",
    "IntakeItem",
    "Knock",
    "LettersItem",
    "Linked",
    "Opened",
    "connection_doors",
    "dial_door",
    "link_doors",
    "verdict_door",
]


class Door(NamedTuple):
    """A row of the table."""

    name: str
    payload: str
    sender: str
    receiver: str
    capacity: int
    when_full: str


DOORS = (
    Door(
        "intake",
        "Offered, Joined, Left",
        "connections",
        "arbiter",
        limits.INTAKE_FRAMES,
        "the edge waits, and with it the client (TCP back-pressure)",
    ),
    Door(
        "events",
        "Event, Opened, Closed, Linked, Knock",
        "connections, keepers, beats, peer_port, peering, peer_links, founding, supervisor",
        "arbiter",
        limits.EVENTS_MAX,
        "the sender waits; a Knock is dropped, since the arbiter is awake then",
    ),
    Door(
        "due",
        "boot ns of the next Beat that is needed; None: none",
        "arbiter",
        "beats",
        1,
        "the newest counts",
    ),
    Door(
        "bench",
        "Batch",
        "arbiter",
        "glove_box",
        1,
        "only a batch of an ended reign can be there: the new one takes its place",
    ),
    Door(
        "ledger",
        "Persist",
        "arbiter",
        "ledger_keeper",
        limits.LEDGER_QUEUE_MAX,
        "cannot be: the core stops latching at ENTRIES_IN_FLIGHT; an assert",
    ),
    Door(
        "audits",
        "Audit",
        "arbiter",
        "audit",
        limits.AUDITS_WAITING,
        "the sample is left out, and counted: an audit may miss, and never holds anybody up",
    ),
    Door(
        "dry_runs",
        "DryRun",
        "arbiter",
        "dry_run",
        limits.DRY_RUNS_MAX,
        "cannot be: the core says `busy` before; only those of an ended core may fill it, and then"
        " the question is dropped with its core",
    ),
    Door(
        "letters",
        "StoreLetters, EdgeLetter, EdgeTriage",
        "arbiter, connections, supervisor, audit",
        "dlq_keeper",
        # A batch of the core holds a letter or an act at least, and a connection waits for its
        # letter's id: so there is room for all of them, and the arbiter's send never fails.
        limits.LETTERS_IN_FLIGHT_MAX + 2 * limits.CONNECTIONS_MAX,
        "never dropped: edges wait; the core stops latching at LETTERS_IN_FLIGHT_MAX",
    ),
    Door(
        "publications",
        "News",
        "arbiter",
        "publisher",
        1,
        "what waits is joined with what comes; beyond the ring the oldest Ticks are left out",
    ),
    Door(
        "watches",
        "Watch, Unwatch",
        "connections",
        "publisher",
        limits.CONNECTIONS_MAX,
        "the edge waits",
    ),
    Door(
        "checkpoints",
        "WriteCheckpoint",
        "arbiter",
        "checkpoint_keeper",
        1,
        "only the wish of an ended core can be there: the new one takes its place",
    ),
    Door(
        "peers",
        "PeerMessage that hurries",
        "arbiter",
        "one peer_link, while it is up",
        limits.PEER_QUEUE_FRAMES_MAX,
        "dropped, as while the link is down: Raft sends again what still matters",
    ),
    Door(
        "bulk",
        "Append, Chunk",
        "arbiter",
        "one peer_link, while it is up",
        limits.PEER_QUEUE_FRAMES_MAX,
        "dropped likewise, beyond PEER_QUEUE_BYTES_MAX too; what hurries overtakes it",
    ),
    Door("membership", "Roster", "arbiter", "peering", 1, "who is a member by now takes its place"),
    Door(
        "peering",
        "Greeting, Parted, Belongs, WhoIsKnown",
        "peer_port, founding, letter_fetch",
        "peering",
        2 * limits.PEER_CONNECTIONS_MAX,
        "the sender waits: peering awaits nothing else",
    ),
    Door(
        "verdicts",
        "Welcome, Refusal; its end: leave",
        "peering",
        "one peer connection",
        1,
        "cannot be: there is one verdict for each HELLO; an assert",
    ),
    Door(
        "claims",
        "the id of a cluster",
        "peering",
        "founding",
        1,
        "who claims this node for a member now takes the place: they are of one cluster",
    ),
    Door(
        "dials",
        "Own",
        "peering",
        "one peer_link",
        1,
        "what this node is by now takes its place",
    ),
    Door(
        "catch_up",
        "ReadEntries, ReadChunk, WriteChunk, MarkWhole",
        "arbiter",
        "catch_up",
        limits.CATCH_UP_WISHES,
        "dropped: the core asks again after an election time-out",
    ),
    Door(
        "answers",
        "list of Message",
        "arbiter",
        "one connection",
        limits.ANSWERS_MAX,
        "the client does not read its answers: the connection is cut",
    ),
    Door(
        "pages",
        "bytes of frames",
        "publisher, queries",
        "one connection",
        0,
        "the sender waits; meanwhile Ticks are conflated for this subscriber alone",
    ),
)


def _open(name: str) -> tuple[trio.MemorySendChannel[Any], trio.MemoryReceiveChannel[Any]]:
    capacity = next(door.capacity for door in DOORS if door.name == name)
    return trio.open_memory_channel[Any](capacity)


class Doors:
    """Both ends of every door but those of a single connection or link (see below)."""

    def __init__(self) -> None:
        self.intake: trio.MemorySendChannel[IntakeItem]
        self.intake_out: trio.MemoryReceiveChannel[IntakeItem]
        self.events: trio.MemorySendChannel[EventItem]
        self.events_out: trio.MemoryReceiveChannel[EventItem]
        self.ledger: trio.MemorySendChannel[Persist]
        self.ledger_out: trio.MemoryReceiveChannel[Persist]
        self.bench: Latest[Batch]
        self.bench_out: trio.MemoryReceiveChannel[Batch]
        self.audits: trio.MemorySendChannel[Audit]
        self.audits_out: trio.MemoryReceiveChannel[Audit]
        self.dry_runs: trio.MemorySendChannel[DryRun]
        self.dry_runs_out: trio.MemoryReceiveChannel[DryRun]
        self.letters: trio.MemorySendChannel[LettersItem]
        self.letters_out: trio.MemoryReceiveChannel[LettersItem]
        self.publications: Latest[News]
        self.publications_out: trio.MemoryReceiveChannel[News]
        self.watches: trio.MemorySendChannel[Watch | Unwatch]
        self.watches_out: trio.MemoryReceiveChannel[Watch | Unwatch]
        self.checkpoints: Latest[WriteCheckpoint]
        self.checkpoints_out: trio.MemoryReceiveChannel[WriteCheckpoint]
        self.lives = 0  # of cores, that are over
        self.wished: WriteCheckpoint | None = None  # by the core that is loaded, newest
        self.due: Latest[int | None]
        self.due_out: trio.MemoryReceiveChannel[int | None]
        self.catch_up: trio.MemorySendChannel[CatchUpItem]
        self.catch_up_out: trio.MemoryReceiveChannel[CatchUpItem]
        self.membership: Latest[Roster]
        self.membership_out: trio.MemoryReceiveChannel[Roster]
        self.peering: trio.MemorySendChannel[PeeringItem]
        self.peering_out: trio.MemoryReceiveChannel[PeeringItem]
        self.claims: Latest[bytes]
        self.claims_out: trio.MemoryReceiveChannel[bytes]
        self.intake, self.intake_out = _open("intake")
        self.events, self.events_out = _open("events")
        self.ledger, self.ledger_out = _open("ledger")
        self.bench, self.bench_out = open_latest()
        self.audits, self.audits_out = _open("audits")
        self.dry_runs, self.dry_runs_out = _open("dry_runs")
        self.letters, self.letters_out = _open("letters")
        self.publications, self.publications_out = open_latest()
        self.watches, self.watches_out = _open("watches")
        self.checkpoints, self.checkpoints_out = open_latest()
        self.due, self.due_out = open_latest()
        self.catch_up, self.catch_up_out = _open("catch_up")
        self.membership, self.membership_out = open_latest()
        self.peering, self.peering_out = _open("peering")
        self.claims, self.claims_out = open_latest()

    def renew_reign(self) -> None:
        """Empty the ledger door: what an ended reign wrote into it is void (R3)."""
        with suppress(trio.WouldBlock):
            while True:
                self.ledger_out.receive_nowait()

    def wish_for(self, effect: WriteCheckpoint) -> None:
        """Ask for a Checkpoint; the keeper begins when later Ticks are in: pinned until then."""
        self.void_wish()
        self.wished = attrs.evolve(effect, pin=effect.world.index.pin())
        self.checkpoints.put(self.wished)

    def end_life(self) -> None:
        """The core ends, its ledger may go: what it wished for and was not begun is not done."""
        self.lives += 1
        self.void_wish()
        with suppress(trio.WouldBlock):
            while True:
                self.catch_up_out.receive_nowait()

    def void_wish(self) -> None:
        """A Checkpoint that was not begun is not written."""
        self.wished = None
        waiting = self.checkpoints.take_back()
        if waiting is not None:
            waiting.world.index.unpin(waiting.pin)

    def publish_nowait(self, publications: list[Publish]) -> None:
        """Hand Ticks to the publisher; what it has not taken yet is joined, newest last."""
        news = News.of(publications)
        unheard = self.publications.take_back()
        self.publications.put(news if unheard is None else news.behind(unheard))


def connection_doors() -> tuple[
    trio.MemorySendChannel[list[Message]],
    trio.MemoryReceiveChannel[list[Message]],
    trio.MemorySendChannel[bytes],
    trio.MemoryReceiveChannel[bytes],
]:
    """Open the two doors of one connection: answers and pages."""
    return *_open("answers"), *_open("pages")


def link_doors() -> tuple[
    trio.MemorySendChannel[PeerMessage],
    trio.MemoryReceiveChannel[PeerMessage],
    trio.MemorySendChannel[PeerMessage],
    trio.MemoryReceiveChannel[PeerMessage],
]:
    """Open the two doors of one connection to a peer: for what hurries, and for bulk."""
    return *_open("peers"), *_open("bulk")


def dial_door() -> tuple[Latest[Own], trio.MemoryReceiveChannel[Own]]:
    """Open the door by which one link is told to dial, and what to say of this node."""
    return open_latest()


def verdict_door() -> tuple[trio.MemorySendChannel[Verdict], trio.MemoryReceiveChannel[Verdict]]:
    """Open the door by which one connection of another node hears whether it is let in."""
    return _open("verdicts")
