"""Entries and Checkpoints for a peer that is far behind, and a Checkpoint that comes: the disk's
side of it, as rmf/storage/entries, chunks and install do it.

A Checkpoint travels in small pieces, so that what happens between two of them happens here too. The
pieces that came outlive the process, but for the last one.
"""

import hashlib
from collections.abc import Callable
from typing import Protocol

import attrs
import crc32c

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.raft.peer_messages import Chunk, ChunkReply, WireEntry
from rmf.core.raft.raft_values import Place
from rmf.core.record import ENTRY
from rmf.testing.disk import DiskStart, SimulatedDisk, StoredCheckpoint
from rmf.testing.performer import Arms, Happen, Later, at_once, uncounted
from rmf.testing.rebirth import packed, unpacked

__all__ = ["CatchingUp", "Pieces"]

_READ_NS = 2 * limits.MS
_ENTRIES_AT_ONCE = 64
_CHUNK_BYTES = 2 * limits.KIB


class _Holder(Protocol):
    """Who has a disk, which may be replaced."""

    @property
    def disk(self) -> SimulatedDisk: ...


@attrs.define
class Pieces:
    """How large they are, and how a Checkpoint becomes bytes and comes out of them again."""

    entries: int = _ENTRIES_AT_ONCE
    chunk_bytes: int = _CHUNK_BYTES
    pack: Callable[[StoredCheckpoint], bytes] = packed
    unpack: Callable[[bytes, DiskStart], StoredCheckpoint] = unpacked


class CatchingUp:
    """One node's readings for peers, and what it receives itself; to keep a piece takes
    `fsync_wait_ns`. `received` are the bytes of a Checkpoint that came so far."""

    def __init__(
        self,
        holder: _Holder,
        happen: Happen,
        later: Later = at_once,
        fsync_wait_ns: Callable[[], int] = int,
        count: Callable[[str], None] = uncounted,
        pieces: Pieces | None = None,
    ) -> None:
        self.pieces = pieces or Pieces()
        self._holder = holder
        self._happen = happen
        self._later = later
        self._fsync_wait_ns = fsync_wait_ns
        self._count = count
        self.replaced()

    def replaced(self) -> None:
        """Another disk took the place of the one that was lost."""
        self._packed: dict[DiskStart, tuple[StoredCheckpoint, bytes, bytes]] = {}
        self._key = (b"", -1)
        self.received = b""
        self._complete = False

    def arms(self) -> Arms:
        """What this part does."""
        return {
            ef.ReadEntries: self._read_entries,
            ef.ReadChunk: self._read_chunk,
            ef.WriteChunk: self._write_chunk,
        }

    def crash(self) -> None:
        """The process dies; the last piece may not have got to the disk whole."""
        self.received = self.received[: -self.pieces.chunk_bytes or None]
        self._complete = False

    # --- For peers ------------------------------------------------------------------------------

    def _read_entries(self, effect: ef.ReadEntries) -> None:
        self._count("entries_read")
        self._later(_READ_NS, self._entries_read, effect)

    def _entries_read(self, effect: ef.ReadEntries) -> None:
        disk, after = self._holder.disk, effect.after_index
        before = self._place(after)
        entries: list[WireEntry] = []
        if before is not None:
            last = min(effect.through_index, after + self.pieces.entries)
            by_index = {
                x.index: x
                for x in disk.records
                if x.kind == ENTRY and disk.durable.get(x.index) == x.chain
            }
            left_bytes = effect.bytes_max
            for index in range(after + 1, last + 1):
                record = by_index[index]
                left_bytes -= len(record.body) + limits.ENTRY_HEAD_BYTES
                if entries and left_bytes < 0:
                    break
                entries.append(WireEntry(record.term, crc32c.crc32c(record.body), record.body))
        _, term, chain = before if before is not None else (0, 0, b"")
        self._happen(ev.EntriesRead(effect.peer, after, term, chain, entries))

    def _place(self, index: int) -> Place | None:
        disk = self._holder.disk
        if index == disk.base.place.index:
            return disk.base.place
        record = disk.entry(index)
        return Place(index, record.term, record.chain) if record is not None else None

    def _read_chunk(self, effect: ef.ReadChunk) -> None:
        self._later(_READ_NS, self._chunk_read, effect)

    def _chunk_read(self, effect: ef.ReadChunk) -> None:
        for found, content, data in self._all_packed():
            if effect.content in {None, content} and effect.offset <= len(data):
                piece = data[effect.offset : effect.offset + self.pieces.chunk_bytes]
                place = found.base.place
                event = ev.ChunkRead(effect.peer, *place, content, len(data), effect.offset, piece)
                self._count("chunk_read")
                self._happen(event)
                return
        self._happen(ev.ChunkRead(effect.peer, 0, 0, b"", b"", 0, 0, b""))

    def _all_packed(self) -> list[tuple[StoredCheckpoint, bytes, bytes]]:
        """Return the Checkpoints that verify, newest first, with the name of their content."""
        living = [x for x in self._holder.disk.checkpoints if not x.rotten]
        known: dict[DiskStart, tuple[StoredCheckpoint, bytes, bytes]] = {}
        for found in living:
            if found.base not in self._packed:
                data = self.pieces.pack(found)
                name = hashlib.blake2b(data, digest_size=16).digest()
                self._packed[found.base] = (found, name, data)
            known[found.base] = self._packed[found.base]
        self._packed = known
        return [known[base] for base in sorted(known, reverse=True)]

    # --- For oneself ----------------------------------------------------------------------------

    def _write_chunk(self, effect: ef.WriteChunk) -> None:
        self._later(self._fsync_wait_ns(), self._chunk_written, effect)

    def _chunk_written(self, effect: ef.WriteChunk) -> None:
        chunk, disk = effect.chunk, self._holder.disk
        if disk.broken:
            return
        if (chunk.content, chunk.index) != self._key or len(self.received) > chunk.total:
            self._key, self.received = (chunk.content, chunk.index), b""
            self._complete = False
        if chunk.offset == len(self.received) and chunk.data:
            self.received += chunk.data
        whole = chunk.total > 0 and len(self.received) == chunk.total
        if whole and not self._complete:
            self._complete = self._made_ready(chunk)
        place = (chunk.term, chunk.index, chunk.content)
        reply = ChunkReply(*place, len(self.received), True, chunk.round)
        self._happen(ev.ChunkWritten(effect.peer, reply, self._complete and whole))

    def _made_ready(self, chunk: Chunk) -> bool:
        disk = self._holder.disk
        base = DiskStart(disk.serial, Place(chunk.index, chunk.entry_term, chunk.chain))
        try:
            disk.ready = self.pieces.unpack(self.received, base)
        except ValueError:
            self.received = b""
            return False
        return True
