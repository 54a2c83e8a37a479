"""What the tests of the ledger share: drafts that follow each other, ledgers in a directory."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cbor2

from rmf.core.effects import RecordDraft
from rmf.core.record import ENTRY, GENESIS_CHAIN, HARD, Record, chain_of
from rmf.storage.directory import DataDirectory
from rmf.storage.framing import data_end
from rmf.storage.ledger import LedgerWriter
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS, LedgerPlace

BOOT_ID = b"b" * 16
BOOT_NS = 12_345
SEGMENT_BYTES = 2048


class Drafts:
    """Drafts as a core would make them, each following the one before. `commit` is what they say
    is committed: unless told otherwise the first Entry, so that the last byte of a record is one
    that can be found."""

    def __init__(self, cluster: bytes) -> None:
        self.cluster = cluster
        self.index = 0
        self.term = 1
        self.commit = 1
        self.chains = [GENESIS_CHAIN]

    def entry(self, body: bytes) -> RecordDraft:
        self.index += 1
        chain = chain_of(self.chains[-1], self.cluster, self.index, self.term, body)
        self.chains.append(chain)
        return RecordDraft(ENTRY, self.index, self.term, chain, body, self.commit)

    def hard(self) -> RecordDraft:
        body = cbor2.dumps([self.term, "n1"])
        return RecordDraft(HARD, self.index, self.term, self.chains[-1], body, self.commit)

    def void_after(self, index: int) -> None:
        """Go on behind `index`, in a new term."""
        self.commit = min(self.commit, index)
        self.index = index
        self.term += 1
        del self.chains[index + 1 :]


class Ledger:
    """A data directory with its writer, and the drafts that fit it."""

    def __init__(self, path: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.path = path
        self.segment_bytes = self.inline_bytes = segment_bytes
        self.directory = DataDirectory.open(path, node="n1", first_segment_bytes=segment_bytes)
        self.cluster = self.directory.cluster
        self.drafts = Drafts(self.cluster)
        self.writer = self.opened()

    def opened(self) -> LedgerWriter:
        pen = self.directory.fence.take()
        scan = self.scan()
        list(scan)
        return LedgerWriter(
            self.directory.ledger_path,
            scan,
            pen=pen,
            boot_id=BOOT_ID,
            boot_ns=lambda: BOOT_NS,
            segment_bytes=self.segment_bytes,
            inline_segment_bytes=self.inline_bytes,
        )

    def reopen(self) -> None:
        """Stop the writer and start another, as a restart does."""
        self.writer.close()
        self.writer = self.opened()

    def scan(self, base: LedgerPlace = GENESIS) -> LedgerScan:
        return LedgerScan(self.directory.ledgers, self.cluster, base)

    def records(self, base: LedgerPlace = GENESIS) -> list[Record]:
        return list(self.scan(base))

    def entries(self, *bodies: bytes) -> int:
        """Append one batch of Entries."""
        return self.writer.append([self.drafts.entry(body) for body in bodies])

    @property
    def segments(self) -> list[Path]:
        return sorted(self.directory.ledger_path.glob("*.seg"))

    def close(self) -> None:
        self.writer.close()
        self.directory.close()


@contextmanager
def ledger_in(path: Path, segment_bytes: int = SEGMENT_BYTES) -> Iterator[Ledger]:
    ledger = Ledger(path, segment_bytes)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def file_bytes_limit(file_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond that: the next write there fails (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Whatever opens a file in this process fails (EMFILE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def is_cached(path: Path) -> bool | None:
    """Whether memory holds the beginning of a file; None where the file system does not say."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(fd, [bytearray(1)], 0, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
    except OSError:
        return None
    finally:
        os.close(fd)


def data_end_of(path: Path, content: bytes | None = None) -> int:
    if content is not None:
        return len(content.rstrip(b"\0"))
    with path.open("rb") as file:
        return data_end(file.fileno(), 0)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
