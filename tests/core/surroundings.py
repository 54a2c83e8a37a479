"""What stands around a core in a Playbook: a line, a disk, producers, and the packets they send.

Each is a few lines that do one thing, and says when it is contradicted.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import cbor2

from rmf import limits
from rmf.core import codec
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.arbiter import Arbiter, NodeIdentity
from rmf.core.entry import Member
from rmf.core.intake import open_send
from rmf.core.packet import Row
from rmf.core.raft.raft_values import Timing
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply, genesis_state
from rmf.line import REMOVE, Fresh, Keep, Line
from rmf.testing.drifting_clock import WALL_NS
from rmf.testing.held_disk import BOOT_ID, HeldDisk
from rmf.testing.rebirth import reborn

CLUSTER = b"cluster-of-tests"
PERIOD_NS = limits.TICK_PERIOD_NS
BOOT_NS = 1_000 * limits.SECOND
ALL_STORED = 2**62  # how far a DLQ is that lacks no letter
MEMBERS = (Member("n1", b"incarnation-of-1", "", "here:1"),)


def shop() -> Line:
    """A line whose topics say what its handlers do."""
    line = Line("shop", version=7)

    @line.on("cell/#")
    def cell(_world: Any, packet: Any) -> Any:
        return {packet.topic: packet.payload}

    @line.on("keep/#")
    def keep(_world: Any, packet: Any) -> Any:
        return {packet.topic: Keep(packet.payload)}

    @line.on("fresh/#")
    def fresh(_world: Any, packet: Any) -> Any:
        return {packet.topic: Fresh(packet.payload, ttl_ms=packet.payload)}

    @line.on("count/#")
    def count(world: Any, packet: Any) -> Any:
        return {packet.topic: Keep(world.get(packet.topic, 0) + 1)}

    @line.on("remove")
    def remove(_world: Any, packet: Any) -> Any:
        return dict.fromkeys(packet.payload, REMOVE)

    @line.on("see")
    def see(world: Any, packet: Any) -> Any:
        return {"seen": Keep(world.get(packet.payload, "nothing"))}

    @line.on("nosy")
    def nosy(world: Any, packet: Any) -> Any:
        raise ValueError(world.get("count/a"))

    @line.on("poison")
    def poison(_world: Any, packet: Any) -> Any:
        raise ValueError(packet.seq)

    @line.on_expired("cell/loud/#")
    def lost(_world: Any, cell: Any) -> Any:
        return {f"lost/{cell.key}": [cell.value, cell.reason]}

    @line.on_expired("cell/cursed/#")
    def cursed(_world: Any, cell: Any) -> Any:
        raise LookupError(cell.key)

    return line


def row_of(
    seq: int,
    *,
    topic: str = "cell/a",
    ttl_ms: int = 60_000,
    payload: Any = None,
    fence: int | None = None,
) -> Row:
    """A packet; its payload is its seq if nothing else is said."""
    raw = cbor2.dumps(seq if payload is None else payload)
    row = [topic, seq, WALL_NS + seq, ttl_ms, raw]
    return row if fence is None else [*row, fence]


def frame_of(rows: list[Any]) -> bytes:
    """The SEND frame of these packets, without its length."""
    return codec.encode(m.Send(rows))[4:]


class Disk(HeldDisk):
    """A disk of a node of these tests."""

    def __init__(
        self, cluster: bytes = CLUSTER, incarnation: bytes = MEMBERS[0].incarnation
    ) -> None:
        super().__init__(cluster, incarnation)

    @classmethod
    def that_holds_back(cls) -> "Disk":
        """An empty one that is held."""
        disk = cls()
        disk.hold()
        return disk


class Replayed(NamedTuple):
    """What `replay` found."""

    state: State
    shelf: Shelf


def replay(disk: Disk) -> Replayed:
    """Apply every durable Entry from genesis on, comparing each digest (R26)."""
    state, shelf = genesis_state(CLUSTER), Shelf()
    for record, entry in disk.entries:
        state, _ = apply(state, entry, record.term, record.index, shelf)
        assert state.digest() == entry.digest, f"Entry {record.index} states another digest"
    return Replayed(state, shelf)


def core_of(
    disk: Disk,
    identity: NodeIdentity,
    line: Line,
    *,
    bridged: bool,
    members: tuple[Member, ...] = (),
    dice: float = 0.5,
    depth: int = limits.INGEST_DEPTH_PACKETS,
    audit_ppm: int = 0,
) -> Arbiter:
    """The core that a disk gives, whose DLQ has everything. `bridged`: this boot wrote it."""
    return reborn(
        disk,
        identity,
        ALL_STORED,
        boot_id=BOOT_ID if bridged else b"another boot",
        dice=lambda: dice,
        timing=Timing(),
        listens=line.listens,
        members=members,
        depth_packets_max=depth,
        audit_ppm=audit_ppm,
    ).core


class Told(NamedTuple):
    """What a producer was told of one seq."""

    what: str  # "applied", "unknown", or the reason of its bag
    stamp: tuple[int, int, int] | None
    letter: str | None


class Producer:
    """A connection that said HELLO, and everything it heard."""

    def __init__(
        self,
        name: str,
        connection: int,
        happen: Callable[..., None],
        boot_ns: Callable[[], int],
    ) -> None:
        self.name = name
        self.connection = connection
        self.heard: list[m.Message] = []
        self.outcomes: dict[int, Told] = {}
        self.duplicates: list[int] = []
        self.epoch: int | None = None
        self.last_seq: int | None = None
        self.closed = False
        self._happen = happen
        self._boot_ns = boot_ns

    @property
    def told(self) -> dict[int, str]:
        """What became of each seq, as far as it was told."""
        return {seq: told.what for seq, told in self.outcomes.items()}

    @property
    def refusals(self) -> list[tuple[int, str, int]]:
        """Each REFUSE as (seq, code, expected)."""
        return [(x.seq, x.code, x.expected) for x in self.heard if isinstance(x, m.Refuse)]

    @property
    def errors(self) -> list[str]:
        """The code of each ERROR."""
        return [x.code for x in self.heard if isinstance(x, m.Error)]

    def send(self, *seqs: int, **label: Any) -> None:
        """Send packets of these seqs in one frame, all with the same label otherwise."""
        self.send_rows([row_of(seq, **label) for seq in seqs])

    def send_rows(self, rows: list[Any]) -> None:
        """Send these packets in one frame."""
        assert self.epoch is not None, "no WELCOME came yet"
        frame = frame_of(rows)
        intake = open_send(
            frame,
            rows,
            connection=self.connection,
            producer=self.name,
            epoch=self.epoch,
            arrived_ns=self._boot_ns(),
        )
        self._happen(*intake.offers)

    def bye(self) -> None:
        """Leave on purpose."""
        assert self.epoch is not None
        self._happen(ev.Left(self.connection, self.name, self.epoch))

    def hear(self, message: m.Message) -> None:
        """Take in an answer; two answers about one seq must not contradict each other (R33)."""
        if self.closed:
            return
        assert codec.decode(codec.encode(message)[4:]) == message
        self.heard.append(message)
        if isinstance(message, m.Welcome):
            self.epoch, self.last_seq = message.facts["epoch"], message.facts["last_seq"]
        elif isinstance(message, m.Ack):
            for run in message.runs:
                self._note(run)

    def _note(self, run: m.Run) -> None:
        for i in range(run.packets):
            stamp = None
            if run.term is not None and run.tick is not None and run.slot is not None:
                stamp = (run.term, run.tick, run.slot + i)
            told = Told(run.reason or m.OUTCOMES[run.outcome], stamp, run.letter)
            if run.duplicate:
                self.duplicates.append(run.seq + i)
            else:
                assert run.seq + i not in self.outcomes, "acked twice"
            if told.what != "unknown":
                assert self.outcomes.get(run.seq + i, told) == told
            self.outcomes.setdefault(run.seq + i, told)
