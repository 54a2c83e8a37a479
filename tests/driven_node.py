"""A node on a real disk without the floor: the core, a line, the ledger, driven step by step.

What is written is what a node would have written, so recovery, replay and the tools can be shown
it. Time is an argument: it goes on when a test says so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import cbor2

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.arbiter import NodeIdentity
from rmf.core.codec import encode
from rmf.core.effects import (
    DryRun,
    Effect,
    Execute,
    Persist,
    StoreLetters,
    WriteCheckpoint,
)
from rmf.core.entry import Entry, Member, decode_entry
from rmf.core.intake import open_send
from rmf.core.record import ENTRY, Record
from rmf.floor.arbiter.recover_node import recover
from rmf.line import Inline, Line
from rmf.storage.archive import archive_behind
from rmf.storage.checkpoint import CheckpointWriter, prune
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_store import DlqStore
from rmf.storage.ledger import LedgerWriter
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS
from rmf.testing.driven_core import DrivenCore
from rmf.testing.performer import Arms, LetterStore, LineRunner, Performer, Runner
from rmf.testing.rebirth import core_at

WALL_NS = 1_700_000_000 * limits.SECOND
SEGMENT_BYTES = 64 * limits.KIB

Packet = tuple[str, Any]  # topic, payload; bytes as payload are taken as they are


# Nobody is connected to it, and nobody asks it to end: it is closed.
LEFT_OUT = tuple(set(get_args(Effect)) - {Persist, WriteCheckpoint, Execute, DryRun, StoreLetters})


class DrivenNode(DrivenCore):
    """One node. Each call returns when everything it led to is on the disk."""

    def __init__(
        self,
        path: Path,
        line: Line,
        runner: Runner | None = None,
        period_ns: int = limits.TICK_PERIOD_NS,
    ) -> None:
        super().__init__()
        self.path = path
        self.line = line
        self._runner = runner
        self._period_ns = period_ns
        self.boot_ns = limits.SECOND
        self._seqs: dict[str, int] = {}
        self._epochs: dict[str, int] = {}
        self._boots = 0
        self._open()

    def _open(self) -> None:
        self._boots += 1
        self.directory = DataDirectory.open(self.path, node="n1", first_segment_bytes=SEGMENT_BYTES)
        cluster = self.directory.cluster
        self.store = DlqStore.open(self.directory.dlq_path, cluster=cluster, node="n1")
        recovered = recover(
            self.directory,
            self.store,
            boot_id=bytes([self._boots]) * 16,
            boot_ns=lambda: self.boot_ns,
        )
        recovered.writer.close()
        self.writer = self._writer_of_small_segments()
        identity = NodeIdentity(
            node="n1",
            incarnation=self.directory.incarnation,
            line=self.line.identity,
            period_ns=self._period_ns,
            address="",
            agent="",
        )
        core = core_at(
            identity,
            cluster,
            recovered.standing,
            recovered.state,
            recovered.shelf,
            bridge=recovered.bridge,
            listens=self.line.listens,
            members=(Member("n1", self.directory.incarnation),),
        )
        happen = self.waiting.append
        runner = LineRunner(self._runner or Inline(self.line), happen)
        parts = (runner, LetterStore(happen), self)
        self.perform = Performer(*parts, leaves_out=LEFT_OUT).perform
        self.begin(core)

    def _writer_of_small_segments(self) -> LedgerWriter:
        scan = LedgerScan(self.directory.ledgers, self.directory.cluster, GENESIS)
        for _ in scan:
            pass
        return LedgerWriter(
            self.directory.ledger_path,
            scan,
            boot_id=bytes([self._boots]) * 16,
            boot_ns=lambda: self.boot_ns,
            segment_bytes=SEGMENT_BYTES,
            inline_segment_bytes=SEGMENT_BYTES,
        )

    def close(self) -> None:
        self.writer.close()
        self.store.close()
        self.directory.close()

    def restart(self, line: Line | None = None) -> None:
        """Stop and start again after a power cut: ages are unknown then."""
        self.close()
        if line is not None:
            self.line, self._runner = line, None
        self._epochs.clear()
        self._open()

    # --- What happens -------------------------------------------------------------------------

    def send(self, producer: str, *packets: Packet, ttl_ms: int = 60_000) -> None:
        """Have these packets latched in one Tick, if they fit."""
        self._join(producer)
        frame, rows = self._frame(producer, packets, ttl_ms)
        intake = open_send(
            frame,
            rows,
            connection=1,
            producer=producer,
            epoch=self._epochs[producer],
            arrived_ns=self.boot_ns,
        )
        self.happen(*intake.offers)

    def _join(self, producer: str) -> None:
        if producer not in self._epochs:
            self.happen(ev.Joined(1, producer, producer, ephemeral=False))
            self._epochs[producer] = self.core.committed.producers.rows[producer].epoch

    def _frame(
        self, producer: str, packets: tuple[Packet, ...], ttl_ms: int
    ) -> tuple[bytes, list[Any]]:
        rows = []
        for topic, payload in packets:
            seq = self._seqs[producer] = self._seqs.get(producer, 0) + 1
            raw = payload if isinstance(payload, bytes) else cbor2.dumps(payload)
            rows.append([topic, seq, WALL_NS + seq, ttl_ms, raw])
        return encode(m.Send(rows))[4:], rows

    def wait(self, ms: int) -> None:
        """Let time go on, and look whether something is due."""
        self.boot_ns += ms * limits.MS
        self.happen(ev.Beat())

    def checkpoint(self) -> None:
        """Write a Checkpoint, and archive what lies behind it."""
        self.happen(ev.CheckpointAsked())
        prune(self.directory.checkpoints_path, self.directory.archive_path, keep=1)
        archive_behind(self.directory, pinned_index=self.core.committed.index)

    # --- What there is ------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """All Entries of archive and ledger."""
        scan = LedgerScan(self.directory.ledgers, self.directory.cluster, GENESIS)
        return [record for record in scan if record.kind == ENTRY]

    def entries(self) -> list[Entry]:
        return [decode_entry(record.body) for record in self.records()]

    @property
    def tick(self) -> int:
        """The last Tick."""
        return self.core.committed.tick

    # --- The loop -----------------------------------------------------------------------------

    def now(self) -> ev.Now:
        """The time, which goes on when a test says so."""
        return ev.Now(self.boot_ns, WALL_NS + self.boot_ns)

    def arms(self) -> Arms:
        """What a real disk does."""
        return {Persist: self._persist, WriteCheckpoint: self._write_checkpoint}

    def _persist(self, effect: Persist) -> None:
        self.waiting.append(ev.Persisted(effect.ticket, self.writer.append(effect.records)))

    def _write_checkpoint(self, effect: WriteCheckpoint) -> None:
        effect.head["boot_id"] = bytes(16)
        place = (self.directory.checkpoints_path, self.directory.cluster)
        writer = CheckpointWriter(*place, effect.head, effect.producers)
        writer.add([(key, *cell[:-1]) for key, cell in effect.world.scan()])
        writer.finish()
        self.waiting.append(ev.CheckpointEnded(effect.index, None))


@contextmanager
def node_in(
    path: Path,
    line: Line,
    runner: Runner | None = None,
    period_ns: int = limits.TICK_PERIOD_NS,
) -> Iterator[DrivenNode]:
    node = DrivenNode(path, line, runner, period_ns)
    try:
        yield node
    finally:
        node.close()
