"""The ledger as it is written (R23): numbered records, group commit, segments that roll.

Decides serials, what `durable_through` and `commit` say, when a segment is full, and that one
failure ends all writing. It knows nothing of what records mean. It is called from one thread, the
ledger keeper's; only `prepare_next` may run in another one meanwhile. All that it writes where
another writer would write, it writes with the pen in hand (see fence), and only where nothing
stands yet: both are looked at, for either would be enough.

Theory. A batch is one pwrite into space that is zero-filled already, and one fdatasync: nothing
else moves on the disk. Each record says which serial was durable when it was written, so who
reads it later knows that damage up to there is damage and not a torn tail (R24). The last
batch has no successor to say so for it; `seal` writes one once there is nothing else to do.

What was read back at start may still be in memory only (the process died, the machine did not), so
opening fsyncs before it calls anything durable.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from rmf import limits
from rmf.core.effects import RecordDraft
from rmf.core.raft.raft_values import HardState
from rmf.core.record import ENTRY, HARD, SEAL, Record
from rmf.core.recovery import hard_state_of
from rmf.errors import WAY_BACK, DiskFailed, LedgerDamaged
from rmf.storage import drive
from rmf.storage.drive import free_bytes
from rmf.storage.fence import Fence, Pen
from rmf.storage.files import (
    NO_DESCRIPTOR,
    TMP,
    disk_failed,
    failing_disk,
    fsync_directory,
    remove_leftovers,
    write_whole,
    write_zeros,
)
from rmf.storage.hard_state import HardStateCopy
from rmf.storage.records import record_frame
from rmf.storage.scan import LedgerScan, Tail
from rmf.storage.segments import LedgerPlace, fill_segment, place_segment, segment_path

__all__ = ["LedgerWriter"]

_LOOK_BYTES = 64  # at a place before it is written


class LedgerWriter:
    """Appends to the ledger in `path`, from where an exhausted scan found its end.

    Opening cuts the torn tail that the scan found. `boot_ns` returns CLOCK_BOOTTIME, `boot_id`
    names the boot that it counts from (R6). HARD records are written to `copy` first, if there is
    one (see hard_state). The `pen` was taken before the scan began; without one no other writes
    here. After the first DiskFailed every call raises it again and nothing is written any more
    (R17); once another has taken the pen, every call raises PenTaken.
    """

    def __init__(
        self,
        path: Path,
        scan: LedgerScan,
        *,
        boot_id: bytes,
        boot_ns: Callable[[], int],
        copy: HardStateCopy | None = None,
        pen: Pen | None = None,
        segment_bytes: int = limits.LEDGER_SEGMENT_BYTES,
        inline_segment_bytes: int = limits.LEDGER_FIRST_SEGMENT_BYTES,
    ) -> None:
        tail = scan.tail
        assert tail is not None, "the scan has to be read to its end first"
        if tail.path.parent != path:
            raise LedgerDamaged(
                f"{path} holds no segment; the newest is {tail.path}. Move the segments that "
                f"belong to {path} back there. {WAY_BACK}"
            )
        self._path = path
        self._cluster = scan.cluster
        self._boot_id = boot_id
        self._boot_ns = boot_ns
        self._copy = copy
        self.pen = pen or Fence().take()
        self._segment_bytes = segment_bytes
        self._inline_segment_bytes = inline_segment_bytes
        self._failure: str | None = None
        self._prepared: Path | None = None
        self._declined = False  # too little space for a big segment: not asked again until a roll
        self._preparing = threading.Lock()
        with failing_disk("opening the ledger", tail.path), self.pen:
            self._open(tail, torn=scan.cut is not None)

    def _open(self, tail: Tail, *, torn: bool) -> None:
        base = tail.base
        assert tail.first_offset <= tail.offset, "it would be written over a segment's header"
        assert tail.commit <= base.index, "more is committed than there is"
        assert (
            tail.last is None
            or LedgerPlace(tail.last.serial, tail.last.index, base.term, tail.last.chain) == base
        ), "the reader's last record is not where it says that the ledger stands"
        self.durable_through = base.serial
        self._index, self._term, self._chain = base.index, base.term, base.chain
        self._commit, self._hard = tail.commit, tail.hard
        # Of the record at a Checkpoint nothing is known: one seal too many does no harm.
        self._sealed = tail.last.kind == SEAL if tail.last else base.serial == 0
        remove_leftovers(self._path)
        self._enter(tail.path, tail.first_offset, tail.offset)
        if torn:
            # Everything behind, so that no record of the old tail can ever follow a new one.
            write_zeros(self._fd, tail.offset, os.fstat(self._fd).st_size)
        drive.fsync(self._fd)
        fsync_directory(self._path)

    def _enter(self, path: Path, first_offset: int, offset: int) -> None:
        """Make this the segment that is written."""
        self._fd = os.open(path, os.O_RDWR)
        self._segment = path
        self._first_offset = first_offset
        self._offset = offset
        self._capacity = max(os.fstat(self._fd).st_size, self._inline_segment_bytes)

    @property
    def place(self) -> LedgerPlace:
        """Where the ledger stands: everything up to here is on the disk."""
        return LedgerPlace(self.durable_through, self._index, self._term, self._chain)

    @property
    def wants_next(self) -> bool:
        """Whether the next segment should be prepared now."""
        return (
            self._prepared is None
            and not self._declined
            and self._failure is None
            and self._offset * 4 > self._capacity
            and not self._preparing.locked()
        )

    def append(self, drafts: list[RecordDraft]) -> int:
        """Write these records and fsync once. Returns the serial of the last of them, which is
        then `durable_through`. Raises DiskFailed, PenTaken."""
        with self.pen:
            return self._append(drafts)

    def _append(self, drafts: list[RecordDraft]) -> int:
        self._refuse_after_failure()
        if not drafts:
            return self.durable_through
        batch, place, commit = self._encoded(drafts)
        assert place.serial == self.durable_through + len(drafts), "a serial is left out"
        hard = next((x.body for x in reversed(drafts) if x.kind == HARD), None)
        if hard is not None:
            self._keep_hard(hard)
        try:
            if self._offset + len(batch) > self._capacity and self._offset > self._first_offset:
                self._roll()
            self._write(batch)
        except OSError as exc:
            raise self._failed("writing", self._segment, exc) from exc
        self._offset += len(batch)
        self.durable_through = place.serial
        self._index, self._term, self._chain = place.index, place.term, place.chain
        self._commit = commit
        self._hard = self._hard if hard is None else hard
        self._sealed = False
        return place.serial

    def _write(self, batch: bytes) -> None:
        """One pwrite and one fdatasync, after a look at the place: any other that writes here is
        found out before an acknowledged record is written over. Raises OSError."""
        if os.pread(self._fd, _LOOK_BYTES, self._offset).strip(b"\0"):
            raise self._not_alone()
        write_whole(self._fd, batch, self._offset)
        drive.fdatasync(self._fd)

    @property
    def is_sealed(self) -> bool:
        """Whether the disk says that everything so far is durable."""
        return self._sealed

    def seal(self) -> None:
        """Say on the disk that everything so far is durable, unless that stands there already.
        Raises DiskFailed, PenTaken."""
        self._refuse_after_failure()
        if not self._sealed:
            seal = RecordDraft(SEAL, self._index, self._term, self._chain, b"", self._commit)
            self.append([seal])
            self._sealed = True

    def prepare_next(self) -> bool:
        """Fill the next segment ahead; to be called in another thread when `wants_next`. Returns
        whether there is one now: not if another call is at it, nor if the disk is filling up or the
        process has no descriptor left (then a small one is filled when it is needed). Raises
        DiskFailed."""
        self._refuse_after_failure()
        if not self._preparing.acquire(blocking=False):
            return False
        try:
            if self._prepared is not None:
                return True
            if free_bytes(self._path) < self._segment_bytes + limits.DISK_SOFT_FREE_BYTES:
                self._declined = True
                return False
            # A name of its own: a filling that outlives its writer must not meet the next one's.
            tmp = self._path / f"next-{os.urandom(8).hex()}{TMP}"
            fill_segment(tmp, self._segment_bytes)
            self._prepared = tmp
        except OSError as exc:
            if exc.errno in NO_DESCRIPTOR:
                self._declined = True
                return False
            raise self._failed("preparing a segment in", self._path, exc) from exc
        finally:
            self._preparing.release()
        return True

    def close(self) -> None:
        """Close the files. Everything appended is on the disk already."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._failure = self._failure or f"{self._segment}: the ledger is closed"

    def _encoded(self, drafts: list[RecordDraft]) -> tuple[bytes, LedgerPlace, int]:
        """Return the bytes of a batch, where the ledger stands behind it, and up to which index it
        says that Entries are committed. A record speaks of what is on this disk with it: a draft
        that knows of more (a follower that catches up) is held back to its own index."""
        now_ns = self._boot_ns()
        place = self.place
        serial, index, commit = place.serial, place.index, self._commit
        frames = []
        for draft in drafts:
            serial += 1
            if draft.kind == ENTRY:
                lowest = max(commit, index - limits.VOID_ENTRIES_MAX)
                assert lowest < draft.index <= index + 1, "a hole, or it voids what is committed"
                place = LedgerPlace(serial, draft.index, draft.term, draft.chain)
                index = draft.index
            assert (draft.index, draft.chain) == (index, place.chain), "it stands elsewhere"
            commit = max(commit, min(draft.commit, index))
            assert commit <= index, "more is committed than there is"
            assert self.durable_through < serial, "it would say that it was durable before"
            record = Record(
                self._cluster,
                draft.kind,
                serial,
                index,
                draft.term,
                draft.chain,
                self.durable_through,
                self._boot_id,
                now_ns,
                draft.body,
                commit,
            )
            frames.append(record_frame(record))
        return b"".join(frames), LedgerPlace(serial, index, place.term, place.chain), commit

    def _keep_hard(self, body: bytes) -> None:
        """Write the copy of term and vote, ahead of the record."""
        hard, copy = hard_state_of(body), self._copy
        before = hard_state_of(self._hard) if self._hard else HardState(0, None)
        assert hard.follows(before), "the hard state goes back"
        if copy is None:
            return
        try:
            copy.write(hard)
        except OSError as exc:
            raise self._failed("writing", copy.path, exc) from exc

    def _roll(self) -> None:
        """Go on in the next segment: the prepared one, or one filled here and now. A process that
        has no descriptor left goes on in this one, which grows, until there is one again: that is
        no disk that fails."""
        place = self.place
        try:
            tmp = self._prepared or self._filled_now()
            path, first_offset = place_segment(tmp, self._path, self._cluster, place, self._hard)
        except OSError as exc:
            if exc.errno in NO_DESCRIPTOR and not segment_path(self._path, place).exists():
                return
            raise
        self._prepared = None
        os.close(self._fd)
        self._enter(path, first_offset, first_offset)
        self._declined = False

    def _filled_now(self) -> Path:
        tmp = self._path / f"inline{TMP}"
        size = self._inline_segment_bytes
        # What little a full disk has left is for records, not for zeros.
        room = free_bytes(self._path) >= size + limits.DISK_HARD_FREE_BYTES
        fill_segment(tmp, size if room else 0)
        return tmp

    def _refuse_after_failure(self) -> None:
        if self._failure is not None:
            raise DiskFailed(self._failure)

    def _not_alone(self) -> DiskFailed:
        self._failure = (
            f"{self._segment}, byte {self._offset}: bytes stand where the next record belongs. "
            f"Something else writes this ledger; nothing is written any more. Find it (another "
            f"process, a foreign tool), then start the node again: it verifies what it has."
        )
        return DiskFailed(self._failure)

    def _failed(self, what: str, path: Path, exc: OSError) -> DiskFailed:
        failure = disk_failed(what, path, exc)
        self._failure = str(failure)
        return failure
