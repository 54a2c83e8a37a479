"""Entries and Checkpoints for a peer that is far behind, and a Checkpoint that comes: the disk's
side of it, as rmf/storage/entries, chunks and install do it.

A Checkpoint travels in small pieces, so that what happens between two of them happens here too. The
pieces that came outlive the process, but for the last one.
"""

import hashlib
from typing import TYPE_CHECKING

import crc32c

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.raft.messages import Chunk, ChunkReply, WireEntry
from rmf.core.raft.values import Place
from rmf.core.record import ENTRY, GENESIS_CHAIN
from rmf.testing.disk import Base, StoredCheckpoint
from rmf.testing.rebirth import packed, unpacked

if TYPE_CHECKING:
    from rmf.testing.node import Node

__all__ = ["CatchingUp"]

_READ_NS = 2 * limits.MS
_ENTRIES_AT_ONCE = 64
_CHUNK_BYTES = 2 * limits.KIB


class CatchingUp:
    """One node's readings for peers, and what it receives itself."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._packed: dict[Base, tuple[StoredCheckpoint, bytes, bytes]] = {}
        self._key = (b"", -1)
        self._received = b""
        self._complete = False

    def crash(self) -> None:
        """The process dies; the last piece may not have got to the disk whole."""
        self._received = self._received[: -_CHUNK_BYTES or None]
        self._complete = False

    # --- For peers ------------------------------------------------------------------------------

    def read_entries(self, effect: ef.ReadEntries) -> None:
        """Read Entries of the ledger."""
        self._node.cluster.count("entries_read")
        self._node.performing.later(_READ_NS, self._entries_read, effect)

    def _entries_read(self, effect: ef.ReadEntries) -> None:
        disk, after = self._node.disk, effect.after_index
        before = self._place(after)
        entries: list[WireEntry] = []
        if before is not None:
            last = min(effect.through_index, after + _ENTRIES_AT_ONCE)
            by_index = {
                x.index: x
                for x in disk.records
                if x.kind == ENTRY and disk.durable.get(x.index) == x.chain
            }
            for index in range(after + 1, last + 1):
                record = by_index[index]
                entries.append(WireEntry(record.term, crc32c.crc32c(record.body), record.body))
        _, term, chain = before if before is not None else (0, 0, b"")
        self._node.happen(ev.EntriesRead(effect.peer, after, term, chain, entries))

    def _place(self, index: int) -> Place | None:
        disk = self._node.disk
        if index == disk.base.place.index:
            return disk.base.place
        if index == 0 and not disk.base.serial:
            return Place(0, 0, GENESIS_CHAIN)
        record = disk.entry(index)
        return Place(index, record.term, record.chain) if record is not None else None

    def read_chunk(self, effect: ef.ReadChunk) -> None:
        """Read a piece of a Checkpoint."""
        self._node.performing.later(_READ_NS, self._chunk_read, effect)

    def _chunk_read(self, effect: ef.ReadChunk) -> None:
        for found, content, data in self._all_packed():
            if effect.content in {None, content} and effect.offset <= len(data):
                piece = data[effect.offset : effect.offset + _CHUNK_BYTES]
                place = found.base.place
                event = ev.ChunkRead(effect.peer, *place, content, len(data), effect.offset, piece)
                self._node.cluster.count("chunk_read")
                self._node.happen(event)
                return
        self._node.happen(ev.ChunkRead(effect.peer, 0, 0, b"", b"", 0, 0, b""))

    def _all_packed(self) -> list[tuple[StoredCheckpoint, bytes, bytes]]:
        """Return the Checkpoints that verify, newest first, with the name of their content."""
        living = [x for x in self._node.disk.checkpoints if not x.rotten]
        known: dict[Base, tuple[StoredCheckpoint, bytes, bytes]] = {}
        for found in living:
            if found.base not in self._packed:
                data = packed(found)
                name = hashlib.blake2b(data, digest_size=16).digest()
                self._packed[found.base] = (found, name, data)
            known[found.base] = self._packed[found.base]
        self._packed = known
        return [known[base] for base in sorted(known, reverse=True)]

    # --- For oneself ----------------------------------------------------------------------------

    def write_chunk(self, effect: ef.WriteChunk) -> None:
        """Keep a piece of a Checkpoint."""
        performing = self._node.performing
        performing.later(performing.fsync_wait_ns(), self._write_chunk, effect)

    def _write_chunk(self, effect: ef.WriteChunk) -> None:
        chunk, disk = effect.chunk, self._node.disk
        if disk.broken:
            return
        if (chunk.content, chunk.index) != self._key or len(self._received) > chunk.total:
            self._key, self._received = (chunk.content, chunk.index), b""
            self._complete = False
        if chunk.offset == len(self._received) and chunk.data:
            self._received += chunk.data
        whole = chunk.total > 0 and len(self._received) == chunk.total
        if whole and not self._complete:
            self._complete = self._made_ready(chunk)
        place = (chunk.term, chunk.index, chunk.content)
        reply = ChunkReply(*place, len(self._received), True, chunk.round)
        self._node.happen(ev.ChunkWritten(effect.peer, reply, self._complete and whole))

    def _made_ready(self, chunk: Chunk) -> bool:
        disk = self._node.disk
        base = Base(disk.serial, Place(chunk.index, chunk.entry_term, chunk.chain))
        try:
            disk.ready = unpacked(self._received, base)
        except ValueError:
            self._received = b""
            return False
        return True
