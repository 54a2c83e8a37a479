"""Every Effect the Arbiter core wants done, on one page (R13); they are performed in order.

The duties of the performer (tests/core/test_duties holds all who do to D1…D9):
D1  In order, without waiting: what depends on durability (acks, letters, Snapshots) is only
    returned by the step that took the matching Persisted.
D2  Persist: by one writer, in order. A Persisted speaks for every ticket up to its own, each of
    which is spoken for once. After a DiskFault nothing is written, nor said to be.
D3  Tell, Answer: lost at most with the link or the connection; in order on it, but that what
    hurries overtakes bulk (Append, Chunk). ReadEntries, ReadChunk, WriteChunk, MarkWhole may be
    left out, a Publish joined with the next: the newest counts.
D4  Execute: one Executed for each batch; none is owed to a reign that ended. BoxLost is no answer.
D5  DryRun: one DryRunDone, also where nothing came of it.
D6  StoreLetters: in order, none is dropped. LettersStored counts each letter and each act once, and
    may speak for several; its index never falls.
D7  WriteCheckpoint: one CheckpointEnded; where there is no Checkpoint, it says why.
D8  A pin (Audit, DryRun, WriteCheckpoint) is taken off once, whether it was done or left out.
D9  Reload, Stopped: the rest of that step is done, and this core is stepped no more. Nothing is
    owed to it; what the next core is still told of it, that one lets pass: batches have the term
    in their numbers, and what replaces a core in one process has its tickets begin higher.
D10 Reload: no writer begins before the one of this core has ended. The next core learns who is
    here (PeerMet) and how things stand (core/surroundings).
"""

from typing import TYPE_CHECKING, Any, Literal

import attrs

from rmf import limits
from rmf.core.bag import Letter
from rmf.core.clock import TickClock
from rmf.core.entry import Entry, Member, TickBooks
from rmf.core.messages import Message
from rmf.core.packet import PresetVerdict, Row
from rmf.core.producer_table import Table
from rmf.core.raft.peer_messages import Chunk, PeerMessage
from rmf.core.triage import Act
from rmf.core.world import Cell, World

if TYPE_CHECKING:
    from rmf.core.state import State

__all__ = [
    "Answer",
    "Batch",
    "Broadcast",
    "Close",
    "DryRun",
    "Effect",
    "Execute",
    "ExpiredCell",
    "FrameGroup",
    "LinkPeers",
    "MarkWhole",
    "Note",
    "Persist",
    "Publish",
    "ReadChunk",
    "ReadEntries",
    "RecordDraft",
    "Reload",
    "RunAgain",
    "Stopped",
    "StoreLetters",
    "Tell",
    "WriteCheckpoint",
    "WriteChunk",
]


@attrs.frozen
class RecordDraft:
    """A record before the keeper numbers and dates it (see core/record)."""

    kind: int
    index: int
    term: int
    chain: bytes
    body: bytes
    commit: int


@attrs.frozen
class Persist:
    """Write these records in order and fsync; answer with Persisted(ticket). Tickets only rise."""

    ticket: int
    records: list[RecordDraft]


@attrs.frozen
class ExpiredCell:
    """A cell whose shelf life ended and for which the line has a handler: it takes a slot (R9)."""

    slot: int
    key: str
    cell: Cell
    reason: str


@attrs.frozen
class FrameGroup:
    """Packets of one frame that the line shall run: row i of `rows` has the slot first_slot + i.
    Positions (in `rows`) named in `verdicts` are already decided and are not run. `frame` is the
    SEND frame whose packets behind the first `skip` these are; empty where they are only some of
    them, or none is known."""

    producer: str
    epoch: int
    first_slot: int
    intake_tick: int
    rows: list[Row]
    verdicts: dict[int, PresetVerdict]
    frame: bytes = b""
    skip: int = 0


@attrs.frozen
class Batch:
    """A latched Tick for the line: first the expired cells, then the groups. `gone` are all keys
    that this Tick removes by expiry, with or without a handler. `world` is the World before it.
    `period_ns` and `wall_ns` are the cluster's period and the Entry's wall time: what a cell
    written in this Tick will say of itself is known to the Tick's later handlers. Cells of finite
    shelf life stamped before `void_before` have no known age: no display sees them (R6). With
    `verbatim`, packets that are stored as they came are said as spans."""

    number: int
    term: int
    tick: int
    world: World
    gone: frozenset[str]
    expired: list[ExpiredCell]
    groups: list[FrameGroup]
    slots: int
    period_ns: int = limits.TICK_PERIOD_NS
    wall_ns: int = 0
    void_before: int = 0
    verbatim: bool = False


@attrs.frozen
class Execute:
    """Run the batch in the glove box; answer with Executed."""

    batch: Batch


@attrs.frozen
class DryRun:
    """Run this batch of one packet apart from the bench, and tell what came of it by DryRunDone: it
    changes nothing (R40). The user, once done with it, takes `pin` off its World's index."""

    connection: int
    request: int
    batch: Batch
    pin: int

    @property
    def world(self) -> World:
        """The World whose index is pinned."""
        return self.batch.world


@attrs.frozen
class RunAgain:
    """Run this Tick again, which another node executed, and compare (R21); nothing waits for it,
    and it may be left out. `before` is the state that it was applied to; the user, once done
    with it, takes `pin` off its World's index."""

    index: int
    term: int
    entry: Entry
    books: TickBooks
    before: "State"
    pin: int

    @property
    def world(self) -> World:
        """The World whose index is pinned."""
        return self.before.world


@attrs.frozen
class Answer:
    """Send these messages on a connection, in order."""

    connection: int
    messages: list[Message]


@attrs.frozen
class Broadcast:
    """Send this message on every connection."""

    message: Message


@attrs.frozen
class Close:
    """Close a connection once what was answered before has been sent."""

    connection: int


@attrs.frozen
class Publish:
    """A Tick was committed: the World after it, which keys changed, which went and why.
    `live` is whether that is what the factory shows by now (R36). `clock` shows the factory's time
    as this node knows it, from here on too; None where it is unknown how much time went by."""

    term: int
    tick: int
    index: int
    digest: bytes
    live: bool
    world: World
    changed: frozenset[str]
    removed: dict[str, str]
    clock: TickClock | None = None


@attrs.frozen
class StoreLetters:
    """Committed letters of the line, of the Entries up to `index`, and what people decided about
    such letters, for the DLQ keeper."""

    index: int
    letters: list[Letter]
    acts: list[Act] = attrs.Factory(list)


@attrs.frozen
class WriteCheckpoint:
    """Write a Checkpoint of this state in slices (R25); answer with CheckpointEnded.
    `head` is everything but cells and producers, as CBOR values; `pin` is on the World's index
    until then, once it was handed over."""

    index: int
    head: dict[str, Any]
    producers: Table
    world: World
    pin: int = 0


@attrs.frozen
class Note:
    """A noteworthy fact for the log; `fields` are plain values."""

    level: Literal["debug", "info", "warning", "error"]
    event: str
    fields: dict[str, Any]


@attrs.frozen
class Tell:
    """Send this message to a peer. It may be lost: who needs it sends it again (R16)."""

    peer: str
    message: PeerMessage


@attrs.frozen
class LinkPeers:
    """From now on these are the members: keep a link to each other one, and to no other. Said
    again when a change is committed: a node that it made no member is let in until then; and when
    the same members are named by another Entry."""

    members: tuple[Member, ...]


@attrs.frozen
class ReadEntries:
    """Read Entries behind `after_index` from the ledger, for a peer that is behind what memory
    holds; answer with EntriesRead. All up to `through_index` are committed and on this disk. At
    most `bytes_max` bytes of them, their heads in an append counted, but one at least."""

    peer: str
    after_index: int
    through_index: int
    bytes_max: int = limits.APPEND_BYTES_MAX


@attrs.frozen
class ReadChunk:
    """Read a piece of the newest Checkpoint, or of the one whose content is named, for a peer;
    answer with ChunkRead."""

    peer: str
    content: bytes | None
    offset: int


@attrs.frozen
class WriteChunk:
    """Keep a piece of a Checkpoint that the leader sends (see raft/messages); answer with
    ChunkWritten. The last piece: verify the whole first."""

    peer: str
    chunk: Chunk


@attrs.frozen
class MarkWhole:
    """Note durably whether this node remembers all that it ever promised (R24): not `whole`, it has
    less than it said, and has to catch up first; answer with WholeMarked. Asked again until then.
    `why` is human-readable."""

    whole: bool
    why: str


@attrs.frozen
class Reload:
    """This core is to be replaced by one read from the disk: because a Checkpoint was received and
    verified ("installed"), because what is in memory or on the disk cannot be right ("repair":
    what the ledger holds is set aside first, and fetched again from the peers, R24), because this
    ledger and another node's contradict each other, and either may be damaged ("doubt": it is only
    read again, and set aside where it does not verify), or because an operator ends a strike
    ("admin")."""

    reason: Literal["installed", "repair", "doubt", "admin"]
    why: str


@attrs.frozen
class Stopped:
    """The Tick is finished and everything is on disk: the node may exit (R18)."""


Effect = (
    Persist
    | Execute
    | RunAgain
    | DryRun
    | Answer
    | Broadcast
    | Close
    | Publish
    | StoreLetters
    | WriteCheckpoint
    | Note
    | Tell
    | LinkPeers
    | ReadEntries
    | ReadChunk
    | WriteChunk
    | Reload
    | MarkWhole
    | Stopped
)
