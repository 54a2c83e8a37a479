"""The doors: every channel between tasks, on one page (R14, R16).

Sends that can block form no cycle: all of them lead to the arbiter or to a keeper that only reports
to the arbiter, and the arbiter itself never awaits a send. `DOORS` is the table; `Doors` are the
channels themselves, opened once and kept while tasks come and go.
"""

from contextlib import suppress
from typing import Any, Literal, NamedTuple

import attrs
import trio

from rmf import limits
from rmf.core.effects import Batch, DryRun, Persist, RunAgain, WriteCheckpoint
from rmf.core.messages import Message
from rmf.core.raft.greetings import Own
from rmf.core.raft.peer_messages import PeerMessage
from rmf.floor import items
from rmf.floor.displays.news import News, Unwatch, Watched
from rmf.floor.latest import Latest, open_latest

__all__ = [
    "DOORS",
    "Door",
    "Doors",
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
    latest: bool = False  # what waits gives way to what comes (see latest)


def _newest(name: str, payload: str, sender: str, receiver: str, when_full: str) -> Door:
    return Door(name, payload, sender, receiver, 1, when_full, latest=True)


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
    _newest(
        "due",
        "boot ns of the next Beat that is needed; None: none",
        "arbiter",
        "beats",
        "the newest counts",
    ),
    _newest(
        "bench",
        "Batch",
        "arbiter",
        "glove_box",
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
        "the sample is left out, and counted: an audit may miss, and never holds up packets",
    ),
    Door(
        "dry_runs",
        "DryRun",
        "arbiter",
        "dry_run",
        limits.DRY_RUNS_MAX,
        "cannot be: the core says `busy` before; those of an ended core go with it",
    ),
    Door(
        "letters",
        "StoreLetters, EdgeLetter, EdgeTriage, Fetched",
        "arbiter, connections, supervisor, audit, letter_fetch",
        "dlq_keeper",
        # Each batch holds a letter at least, a connection waits for its own: there is room.
        limits.LETTERS_IN_FLIGHT_MAX + 2 * limits.CONNECTIONS_MAX,
        "never dropped: edges wait; the core stops latching at LETTERS_IN_FLIGHT_MAX",
    ),
    _newest(
        "restored",
        "Through",
        "arbiter",
        "letter_fetch",
        "the core that was read now takes its place: it is further on",
    ),
    _newest(
        "archive_cursor",
        "the Entry up to which the DLQ has all letters",
        "dlq_keeper",
        "checkpoint_keeper",
        "how far it is by now counts",
    ),
    _newest("shed_cursor", "the same", "dlq_keeper", "disk_watch", "how far it is by now counts"),
    _newest(
        "publications",
        "News",
        "arbiter",
        "publisher",
        "what waits is joined with what comes; beyond the ring the oldest Ticks are left out",
    ),
    Door(
        "file_turns",
        "TurnAsked",
        "arbiter (while no core is loaded), checkpoint_keeper, catch_up, disk_watch",
        "file_turns",
        limits.FILE_TURNS_ASKED,
        "the sender waits, as it would for its turn",
    ),
    Door(
        "watches",
        "Watch, Unwatch",
        "connections",
        "publisher",
        limits.CONNECTIONS_MAX,
        "the edge waits",
    ),
    _newest(
        "checkpoints",
        "WriteCheckpoint; None: what was not begun is not done",
        "arbiter",
        "checkpoint_keeper",
        "only the wish of an ended core can be there: what is so now takes its place",
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
    _newest("standing", "`reigns`, `stopped`", "arbiter", "serve", "the newest counts"),
    _newest("founded", "the id of a cluster", "founding", "arbiter", "the newest counts"),
    _newest("membership", "Roster", "arbiter", "peering", "who is a member by now takes its place"),
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
    _newest(
        "claims",
        "the id of a cluster",
        "peering",
        "founding",
        "who claims this node for a member now takes the place: they are of one cluster",
    ),
    _newest("dials", "Own", "peering", "one peer_link", "what this node is by now takes its place"),
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


def _open(name: str) -> tuple[Any, trio.MemoryReceiveChannel[Any]]:
    door = next(door for door in DOORS if door.name == name)
    return open_latest() if door.latest else trio.open_memory_channel[Any](door.capacity)


def _empty(door: trio.MemoryReceiveChannel[Any]) -> None:
    with suppress(trio.WouldBlock):
        while True:
            door.receive_nowait()


class Doors:
    """Both ends of every door but those of a single connection or link (see below)."""

    intake: trio.MemorySendChannel[items.IntakeItem]
    intake_out: trio.MemoryReceiveChannel[items.IntakeItem]
    events: trio.MemorySendChannel[items.EventItem]
    events_out: trio.MemoryReceiveChannel[items.EventItem]
    ledger: trio.MemorySendChannel[Persist]
    ledger_out: trio.MemoryReceiveChannel[Persist]
    bench: Latest[Batch]
    bench_out: trio.MemoryReceiveChannel[Batch]
    audits: trio.MemorySendChannel[RunAgain]
    audits_out: trio.MemoryReceiveChannel[RunAgain]
    dry_runs: trio.MemorySendChannel[DryRun]
    dry_runs_out: trio.MemoryReceiveChannel[DryRun]
    letters: trio.MemorySendChannel[items.LettersItem]
    letters_out: trio.MemoryReceiveChannel[items.LettersItem]
    restored: Latest[items.Through]
    restored_out: trio.MemoryReceiveChannel[items.Through]
    archive_cursor: Latest[int]
    archive_cursor_out: trio.MemoryReceiveChannel[int]
    shed_cursor: Latest[int]
    shed_cursor_out: trio.MemoryReceiveChannel[int]
    publications: Latest[News]
    publications_out: trio.MemoryReceiveChannel[News]
    file_turns: trio.MemorySendChannel[items.TurnAsked]
    file_turns_out: trio.MemoryReceiveChannel[items.TurnAsked]
    watches: trio.MemorySendChannel[Watched | Unwatch]
    watches_out: trio.MemoryReceiveChannel[Watched | Unwatch]
    checkpoints: Latest[WriteCheckpoint | None]
    checkpoints_out: trio.MemoryReceiveChannel[WriteCheckpoint | None]
    due: Latest[int | None]
    due_out: trio.MemoryReceiveChannel[int | None]
    catch_up: trio.MemorySendChannel[items.CatchUpItem]
    catch_up_out: trio.MemoryReceiveChannel[items.CatchUpItem]
    standing: Latest[Literal["reigns", "stopped"]]
    standing_out: trio.MemoryReceiveChannel[Literal["reigns", "stopped"]]
    founded: Latest[bytes]
    founded_out: trio.MemoryReceiveChannel[bytes]
    membership: Latest[items.Roster]
    membership_out: trio.MemoryReceiveChannel[items.Roster]
    peering: trio.MemorySendChannel[items.PeeringItem]
    peering_out: trio.MemoryReceiveChannel[items.PeeringItem]
    claims: Latest[bytes]
    claims_out: trio.MemoryReceiveChannel[bytes]

    def __init__(self) -> None:
        self.lives = 0  # of cores, that are over
        for door in DOORS:
            if door.name in Doors.__annotations__:
                ends = _open(door.name)
                for name, end in zip((door.name, f"{door.name}_out"), ends, strict=True):
                    setattr(self, name, end)

    def renew_reign(self) -> None:
        """Empty the ledger door: what an ended reign wrote into it is void (R3)."""
        _empty(self.ledger_out)

    def wish_for(self, effect: WriteCheckpoint) -> None:
        """Ask for a Checkpoint; the keeper begins when later Ticks are in: pinned until then."""
        _unpin(self.checkpoints.put(attrs.evolve(effect, pin=effect.world.index.pin())))

    def end_life(self) -> None:
        """The core ends, its ledger may go: what it wished for and was not begun is not done."""
        self.lives += 1
        self.void_wish()
        _empty(self.catch_up_out)

    def void_wish(self) -> None:
        """A Checkpoint that was not begun is not written."""
        _unpin(self.checkpoints.put(None))


def _unpin(unheard: WriteCheckpoint | None) -> None:
    if unheard is not None:
        unheard.world.index.unpin(unheard.pin)


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
    """Open the door by which one link learns to dial, and what to say of this node."""
    return _open("dials")


def verdict_door() -> tuple[
    trio.MemorySendChannel[items.Verdict], trio.MemoryReceiveChannel[items.Verdict]
]:
    """Open the door by which one connection of another node hears whether it is let in."""
    return _open("verdicts")
