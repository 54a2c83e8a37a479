"""The data directory: whose it is, who uses it, and where things lie in it.

Decides that one process at a time uses a directory, that it belongs to the node it says, and what a
new one looks like. It does not know what ledger, Checkpoints and DLQ say.

    lock            held (flock) while a node runs; holds its pid, for operators
    identity.json   format, cluster, node, incarnation, and its own birthmark, by which a copy is
                    found out. The cluster is null as long as the node
                    waits for one (R29); it is written last, so that where it stands the ledger's
                    first segment stands, and a lost ledger is not a new one
    vote            term and vote, once more (see hard_state)
    ledger/  checkpoints/  archive/  dlq.sqlite
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

import attrs

from rmf import limits
from rmf.errors import DirectoryInUse, ForeignDirectory, StorageError
from rmf.storage import refound
from rmf.storage.fence import Fence
from rmf.storage.files import TMP, forget_cached, remove_leftovers
from rmf.storage.framing import FrameFault, FrameReader
from rmf.storage.identity import DirectoryIdentity, read_identity, write_identity
from rmf.storage.segments import (
    GENESIS,
    fill_segment,
    first_serial_of,
    place_segment,
    read_header,
    segments_in,
)
from rmf.storage.swap_directories import finish, is_unfinished, make_directory, take_place

__all__ = ["DataDirectory", "DataView", "inspect"]

_ID_BYTES = 16


@attrs.frozen
class DataView:
    """A data directory, an archive or a copy of either, as a tool reads it. `node` is None where
    nothing says it. `ledgers` and `checkpoints` are the directories to look in."""

    path: Path
    node: str | None
    cluster: bytes
    ledgers: tuple[Path, ...]
    checkpoints: tuple[Path, ...]
    dlq_path: Path


class DataDirectory:
    """The data directory of a node that runs: locked until `close`. `cluster` is empty, and there
    is no ledger, until it is `founded`. `copied`: what is here is a copy, until `own` is called."""

    def __init__(
        self,
        path: Path,
        lock_fd: int,
        identity: DirectoryIdentity,
        first_segment_bytes: int,
        *,
        fresh: bool,
    ) -> None:
        self.path = path
        self.node = identity.node
        self.cluster = identity.cluster
        self.incarnation = identity.incarnation
        self.copied = identity.copied
        self.fresh = fresh
        self.ledger_path = path / "ledger"
        self.checkpoints_path = path / "checkpoints"
        self.archive_path = path / "archive"
        self.dlq_path = path / "dlq.sqlite"
        self.ledgers = (self.ledger_path, self.archive_path)
        self.checkpoints = (self.checkpoints_path, self.archive_path)
        self.fence = Fence()  # who may write the ledger, of the threads of this process
        self._lock_fd = lock_fd
        self._first_segment_bytes = first_segment_bytes

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        node: str,
        create: bool = True,
        found: bool = True,
        first_segment_bytes: int = limits.LEDGER_FIRST_SEGMENT_BYTES,
    ) -> "DataDirectory":
        """Lock the directory of this node; with `create`, make it (private to its owner) if there
        is nothing. `fresh` then says so. With `found` a directory without a cluster gets a new one
        at once, else it stays without until `found` is called. An exchange of its ledger that was
        interrupted, or is ready, happens here.

        Raises DirectoryInUse, ForeignDirectory (another node's), StorageError.
        """
        if not create and not path.is_dir():
            raise StorageError(f"{path} is not a directory; expected the data of node {node!r}")
        try:
            make_directory(path)
            lock_fd = _locked(path)
        except OSError as exc:
            raise StorageError(f"{path} cannot be used as data directory: {exc.strerror}") from exc
        try:
            directory = cls._open_locked(path, lock_fd, node, create, first_segment_bytes)
            directory._prepare(found=found)
        except OSError as exc:
            os.close(lock_fd)
            raise StorageError(f"{path} cannot be prepared: {exc}") from exc
        except StorageError:
            os.close(lock_fd)
            raise
        return directory

    @classmethod
    def _open_locked(
        cls, path: Path, lock_fd: int, node: str, create: bool, first_segment_bytes: int
    ) -> "DataDirectory":
        refound.finish(path)
        identity = read_identity(path)
        fresh = identity is None
        if identity is None:
            if not create:
                raise StorageError(f"{path} has no identity.json: no factory has run here")
            _refuse_used(path)
            identity = DirectoryIdentity(b"", os.urandom(_ID_BYTES), node)
            (path / "vote").unlink(missing_ok=True)  # of another incarnation
            write_identity(path, identity)
        if identity.node != node:
            cluster = (
                f"of cluster {identity.cluster.hex()}" if identity.cluster else "no cluster yet"
            )
            raise ForeignDirectory(
                f"{path} belongs to node {identity.node!r} ({cluster}), "
                f"this is node {node!r}. Start with --node {identity.node}, or name another "
                f"directory with --data."
            )
        return cls(path, lock_fd, identity, first_segment_bytes, fresh=fresh)

    def _prepare(self, *, found: bool) -> None:
        finish(self.path)
        forget_cached(*segments_in(self.ledger_path))
        if self.founded:
            take_place(self.path, self.cluster)
        elif found:
            self.found(os.urandom(_ID_BYTES))
        for part in (self.checkpoints_path, self.archive_path):
            make_directory(part)
            remove_leftovers(part)

    @property
    def founded(self) -> bool:
        """Whether this node belongs to a cluster."""
        return bool(self.cluster)

    def found(self, cluster: bytes) -> None:
        """Belong to this cluster from now on, with an empty ledger. Raises OSError, StorageError.
        After a crash it may be called again, for another cluster too: nothing was promised yet."""
        assert cluster
        assert not self.founded
        _genesis(self.path, cluster, self._first_segment_bytes)
        write_identity(self.path, DirectoryIdentity(cluster, self.incarnation, self.node))
        self.cluster = cluster

    def refounded(self) -> None:
        """Belong to the new cluster that was staged here (see refound). Raises OSError,
        StorageError."""
        refound.finish(self.path)
        identity = read_identity(self.path)
        assert identity is not None
        self.cluster, self.incarnation = identity.cluster, identity.incarnation
        self.copied = identity.copied

    def own(self) -> None:
        """Take what is here for this node's own: a copy of it, and one that was made before, is
        found out from now on. On a disk without room all stays as it is."""
        with suppress(OSError):
            write_identity(self.path, DirectoryIdentity(self.cluster, self.incarnation, self.node))
            self.copied = False

    def close(self) -> None:
        """Let another process have it."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def inspect(path: Path) -> DataView:
    """Return what there is to read in a data directory (a node may be running in it), in an
    archive, or in a copy of either. Nothing is locked or changed. Raises StorageError."""
    try:
        identity = read_identity(path)
        places = (path / "ledger", path / "archive", path)
        segments = segments_in(*places)
        if identity is not None:
            cluster = _cluster_of(identity, path)
        elif segments:
            with segments[0].open("rb", buffering=0) as file:
                cluster = read_header(file.fileno(), segments[0]).cluster
        else:
            raise StorageError(
                f"{path} has neither an identity.json nor segments (*.seg): expected a data "
                f"directory of RMF, its archive, or a copy of one"
            )
    except OSError as exc:
        raise StorageError(f"{path} cannot be read: {exc.strerror}") from exc
    node = identity.node if identity else None
    checkpoints = (path / "checkpoints", path / "archive", path)
    return DataView(path, node, cluster, places, checkpoints, path / "dlq.sqlite")


def _cluster_of(identity: DirectoryIdentity, path: Path) -> bytes:
    if is_unfinished(path):
        raise StorageError(
            f"{path}: its ledger is being exchanged for another one, or that was interrupted. Look "
            f"again once node {identity.node!r} runs: it finishes this when it starts."
        )
    if not identity.cluster:
        raise StorageError(
            f"{path} has no cluster yet, hence no ledger: node {identity.node!r} waits there until "
            f"all its peers are met, or until it is added (rmf-admin add)"
        )
    return identity.cluster


def _locked(path: Path) -> int:
    """Return the descriptor that holds the lock. Raises DirectoryInUse."""
    fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise DirectoryInUse(
            f"{path} is in use by the process {pid}. Stop that one, or name another directory "
            f"with --data."
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _genesis(path: Path, cluster: bytes, first_segment_bytes: int) -> None:
    """Make a new ledger; the identity that vouches for it comes after."""
    ledger = path / "ledger"
    make_directory(ledger)
    _refuse_used(path)
    for old in segments_in(ledger):
        old.unlink()
    tmp = ledger / f"first{TMP}"
    fill_segment(tmp, first_segment_bytes)
    place_segment(tmp, ledger, cluster, GENESIS)


def _refuse_used(path: Path) -> None:
    """Raise StorageError if there is a ledger with records, which no identity vouches for."""
    for old in segments_in(path / "ledger"):
        if not _is_unused(old):
            raise StorageError(
                f"{path} holds a ledger ({old.name}) but no identity.json that names its cluster. "
                f"Put that file back from a backup of this directory, or name an empty one with "
                f"--data."
            )


def _is_unused(segment: Path) -> bool:
    """Whether a genesis that was interrupted left this segment: the first, without a record."""
    if first_serial_of(segment) != 1:
        return False
    with segment.open("rb", buffering=0) as file:
        header = read_header(file.fileno(), segment)
        try:
            reader = FrameReader(file.fileno(), limits.RECORD_BYTES_MAX)
            return reader.body_at(header.end) is None
        except FrameFault:
            return False
