"""A data directory whose ledger an Author writes: real files, real states, no Arbiter."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmf import limits
from rmf.core.effects import RecordDraft
from rmf.core.record import ENTRY, SEAL, Record
from rmf.core.state import State, head_of
from rmf.storage import checkpoint
from rmf.storage.archive import archive_behind
from rmf.storage.checkpoint import CheckpointWriter
from rmf.storage.directory import DataDirectory
from rmf.storage.hard_state import HardStateCopy
from rmf.storage.ledger import LedgerWriter
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS
from tests.core.author import BOOT_ID, BOOT_NS, Author

CLUSTER = b"the same for all"
SEGMENT_BYTES = 4 * limits.KIB


class WrittenNode:
    """A node of the cluster; `author` writes what a leader would have."""

    def __init__(self, path: Path, node: str = "n1") -> None:
        self.path = path
        self.node = node
        self.segment_bytes = SEGMENT_BYTES
        self.base = GENESIS  # where the ledger is read from
        self.directory = self.opened()
        if not self.directory.founded:
            self.directory.found(CLUSTER)
        self.author = Author(CLUSTER)

    def opened(self) -> DataDirectory:
        return DataDirectory.open(
            self.path, node=self.node, found=False, first_segment_bytes=SEGMENT_BYTES
        )

    def reopen(self) -> None:
        """Let go of the directory and open it again, as a restart does."""
        self.directory.close()
        self.directory = self.opened()

    @property
    def copy(self) -> HardStateCopy:
        directory = self.directory
        return HardStateCopy(self.path, directory.cluster, directory.incarnation)

    def scan(self) -> LedgerScan:
        return LedgerScan(self.directory.ledgers, self.directory.cluster, self.base)

    def records(self) -> list[Record]:
        return list(self.scan())

    def entries(self) -> list[Record]:
        return [record for record in self.records() if record.kind == ENTRY]

    def write(self, *drafts: RecordDraft, boot_id: bytes = BOOT_ID, copy: bool = True) -> State:
        """Write these drafts in one batch; return the state that the Author has got to."""
        scan = self.scan()
        list(scan)
        writer = LedgerWriter(
            self.directory.ledger_path,
            scan,
            boot_id=boot_id,
            boot_ns=lambda: BOOT_NS,
            copy=self.copy if copy else None,
            segment_bytes=self.segment_bytes,
            inline_segment_bytes=self.segment_bytes,
        )
        writer.append(list(drafts))
        writer.close()
        return self.author.state

    def commit(self) -> State:
        """Say in the ledger that all that the Author wrote is committed."""
        author = self.author
        author.commit = author.index
        place = (author.index, author.term, author.chain)
        return self.write(RecordDraft(SEAL, *place, b"", author.commit))

    def checkpoint(self, index: int | None = None, **head: Any) -> Path:
        """Write a Checkpoint of the state after Entry `index`, the last one if none is given."""
        state = self.author.states[self.author.index if index is None else index]
        draft = self.author.drafts[state.index]
        serial = next(r.serial for r in self.entries() if r.chain == draft.chain)
        fields = head_of(state) | {
            "cluster": CLUSTER,
            "clock": [state.tick, BOOT_NS],
            "chain": draft.chain,
            "serial": serial,
            "boot_id": BOOT_ID,
        }
        place, table = self.directory.checkpoints_path, state.producers
        writer = CheckpointWriter(place, CLUSTER, fields | head, table)
        writer.add([(key, *cell[:-1]) for key, cell in state.world.scan() if cell])
        return writer.finish()

    def archive(self) -> None:
        """Move what lies behind the newest Checkpoint into the archive."""
        checkpoint.prune(self.directory.checkpoints_path, self.directory.archive_path, keep=1)
        archive_behind(self.directory, pinned_index=self.author.index)

    @property
    def segments(self) -> list[Path]:
        return sorted(self.directory.ledger_path.glob("*.seg"))

    def close(self) -> None:
        self.directory.close()


@contextmanager
def written_node(path: Path, node: str = "n1") -> Iterator[WrittenNode]:
    made = WrittenNode(path, node)
    try:
        yield made
    finally:
        made.close()
