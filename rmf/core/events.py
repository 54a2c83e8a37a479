"""Every Event the Arbiter core takes, on one page (R13). Values only; `connection` is a number.

Each step of the core takes a list of these and the present `Now`.
"""

from typing import Any

import attrs

from rmf.core.entry import LineId
from rmf.core.outcome import Change, Outcome, Span
from rmf.core.packet import PresetVerdict, Row
from rmf.core.raft.peer_messages import ChunkReply, PeerMessage, WireEntry
from rmf.core.world import World

__all__ = [
    "Asked",
    "Beat",
    "BoxLost",
    "CheckpointAsked",
    "CheckpointEnded",
    "ChunkRead",
    "ChunkWritten",
    "DiskFault",
    "DiskMark",
    "DryRunDone",
    "EntriesRead",
    "Event",
    "Executed",
    "Heard",
    "Joined",
    "Left",
    "LettersStored",
    "Lost",
    "Now",
    "Offered",
    "PeerLost",
    "PeerMet",
    "Persisted",
    "StopAsked",
    "Struck",
    "Unfounded",
    "WholeMarked",
]


@attrs.frozen
class Now:
    """The time of a step: `boot_ns` is CLOCK_BOOTTIME, which decides; `wall_ns` is a reference that
    is kept and shown, never compared (R7)."""

    boot_ns: int
    wall_ns: int


@attrs.frozen
class Joined:
    """A producer said HELLO. Its epoch is raised by an Entry; WELCOME follows the commit (R32).
    `epoch` is that of its last WELCOME if it has sent packets since; 0: it begins."""

    connection: int
    producer: str
    identity: str
    ephemeral: bool
    epoch: int = 0


@attrs.frozen
class Offered:
    """Packets with consecutive seqs out of one SEND frame: the frame's bytes as they came, the
    `rows` after its first `skip`, preset verdicts by position in `rows`, and when the frame was
    complete (boot ns). `after_hole`: they stand for the rest of a frame whose seqs are not
    consecutive, and are refused."""

    connection: int
    producer: str
    epoch: int
    frame: bytes
    rows: list[Row]
    skip: int
    verdicts: dict[int, PresetVerdict]
    arrived_ns: int
    after_hole: bool = False


@attrs.frozen
class Left:
    """A producer said BYE."""

    connection: int
    producer: str
    epoch: int


@attrs.frozen
class Lost:
    """A connection is gone: nothing more can be answered on it."""

    connection: int


@attrs.frozen
class Asked:
    """A client wants a fact of this moment: "welcome", "ping", "status", "get" with a key, or
    "line.would" with `args` (see core/dry_run); or, with `args`, an act of an operator:
    "admin.add", "admin.remove", "admin.transfer", "admin.checkpoint", "admin.strike",
    "admin.set", "admin.triage" (see core/admin); `by` says whose."""

    connection: int
    request: int
    subject: str
    key: str = ""
    linearizable: bool = False
    args: dict[str, Any] = attrs.Factory(dict)
    by: str = ""


@attrs.frozen
class Executed:
    """What came of a batch: the slots up to `done` (exclusive) were executed, in order; the rest
    waits for the next Tick. `listed` are changes in slot order, `encoded` their CBOR, as an Entry
    keeps it; `verbatim` are slots whose packet is stored as it came, if the Batch wants them said
    so. `cut_short`: the last slot used up its time, or killed the glove box (R20)."""

    batch: int
    done: int
    listed: list[Change]
    encoded: bytes
    outcomes: list[Outcome]
    cut_short: bool = False
    verbatim: list[Span] = attrs.Factory(list)


@attrs.frozen
class DryRunDone:
    """What came of a DryRun on this World; None and `why`: nothing, for want of a glove box or of
    time."""

    connection: int
    request: int
    world: World
    executed: Executed | None
    why: str = ""


@attrs.frozen
class BoxLost:
    """A glove box has died; `restarts` of them since this node started. For the log."""

    restarts: int


@attrs.frozen
class Persisted:
    """All records of the Persist effects up to this ticket are on this node's disk; `serial` is
    the number of the last of them (see core/record)."""

    ticket: int
    serial: int


@attrs.frozen
class DiskFault:
    """A write or fsync failed: the node strikes and never retries (R17)."""

    why: str


@attrs.frozen
class DiskMark:
    """The disk passed a watermark (R38): "ok", "soft" or "hard"."""

    mark: str
    free_bytes: int


@attrs.frozen
class LettersStored:
    """The DLQ keeper has stored so many letters of the line, up to this index. `facts` are what
    the status shows of the DLQ: letters, groups, bytes, complete."""

    letters: int
    index: int
    facts: dict[str, Any]


@attrs.frozen
class CheckpointEnded:
    """The Checkpoint of Entry `index` is verified and in place, and has `file_bytes`; or it was not
    written, and `why` says why not."""

    index: int
    why: str | None
    file_bytes: int = 0


@attrs.frozen
class CheckpointAsked:
    """An operator wants a Checkpoint of what is committed, now."""


@attrs.frozen
class StopAsked:
    """The node shall stop: refuse new intake, finish the Tick (R18)."""


@attrs.frozen
class Struck:
    """A task below the Arbiter cannot go on, or an operator says stop: strike (R17)."""

    kind: str
    why: str


@attrs.frozen
class Unfounded:
    """This node belongs to no cluster yet: what it waits for, human-readable (R29)."""

    why: str


@attrs.frozen
class Heard:
    """A message of a peer. Those of an older link of that peer come no more once `PeerMet` said
    that a newer one is up."""

    peer: str
    message: PeerMessage


@attrs.frozen
class PeerMet:
    """A link from this peer is up: what its HELLO said of itself. `client_address` is what it tells
    clients, `version` the highest cluster version it knows, `line` the line it runs, if it said.
    Not `linked`: it only knocked, and was not let in; an operator may want to add it."""

    peer: str
    incarnation: bytes
    client_address: str
    version: int
    line: LineId | None = None
    linked: bool = True


@attrs.frozen
class PeerLost:
    """The link from this peer broke: the process may be dead. A hint, no proof."""

    peer: str


@attrs.frozen
class EntriesRead:
    """What ReadEntries found: Entries behind `after_index`, with its own term and chain.
    None of them: the ledger does not hold them any more (the peer needs a Checkpoint)."""

    peer: str
    after_index: int
    after_term: int
    after_chain: bytes
    entries: list[WireEntry]


@attrs.frozen
class ChunkRead:
    """What ReadChunk found: a piece of a Checkpoint, as core/raft/messages.Chunk names it; `total`
    0: there is none (any more)."""

    peer: str
    index: int
    entry_term: int
    chain: bytes
    content: bytes
    total: int
    offset: int
    data: bytes


@attrs.frozen
class ChunkWritten:
    """A piece is on the disk, or the Checkpoint was refused; `reply` tells the leader how far it
    is. `complete`: the whole is there, verified, and ready to take this ledger's place."""

    peer: str
    reply: ChunkReply
    complete: bool


@attrs.frozen
class WholeMarked:
    """MarkWhole was done: this is what the disk says."""

    whole: bool


@attrs.frozen
class Beat:
    """Nothing came, but time went on: expiries may be due, elections too."""


Event = (
    Joined
    | Offered
    | Left
    | Lost
    | Asked
    | Executed
    | DryRunDone
    | BoxLost
    | Persisted
    | DiskFault
    | DiskMark
    | LettersStored
    | CheckpointEnded
    | CheckpointAsked
    | StopAsked
    | Struck
    | Unfounded
    | Heard
    | PeerMet
    | PeerLost
    | EntriesRead
    | ChunkRead
    | ChunkWritten
    | WholeMarked
    | Beat
)
