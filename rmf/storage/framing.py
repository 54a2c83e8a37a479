"""Frames on disk: `u32 length | u32 CRC32C of the body | body`, big-endian, back to back.

Decides whether the bytes at a place are a whole frame. It knows nothing of what a body says, nor
of what follows from a fault. Ledger segments and Checkpoints are both made of frames.

Eight zero bytes where a frame would start are no frame: files are zero-filled ahead, so this is how
written data ends. (A body is never empty, so a head of a real frame is never zero.)
"""

import os
from struct import Struct
from typing import Final

from crc32c import crc32c

from rmf import limits

__all__ = ["HEAD_BYTES", "FrameFault", "FrameReader", "data_end", "frame_of"]

_HEAD = Struct(">II")
HEAD_BYTES: Final = _HEAD.size


class FrameFault(ValueError):
    """The bytes are no frame; the text says why."""


def frame_of(*parts: bytes) -> bytes:
    """Return the frame whose body is the given parts, joined."""
    crc = 0
    for part in parts:
        crc = crc32c(part, crc)
    return b"".join((_HEAD.pack(sum(map(len, parts)), crc), *parts))


class FrameReader:
    """Frames out of one open file, read in big steps, memory bounded.

    `end` is the offset behind the frame read last. The reader does not own the descriptor. It keeps
    what it has read: against a file that is still being written, `forget` makes it look again.
    """

    def __init__(
        self, fd: int, body_bytes_max: int, read_bytes: int = limits.FILE_READ_BYTES
    ) -> None:
        self.end = 0
        self._fd = fd
        self._body_bytes_max = body_bytes_max
        self._read_bytes = read_bytes
        self._start = 0
        self._buffer = b""

    def forget(self) -> None:
        """Drop what was read ahead."""
        self._buffer = b""

    def body_at(self, offset: int) -> bytes | None:
        """Return the body of the frame at `offset`, or None where only zeros or nothing stand.
        Raises FrameFault, or OSError if the disk cannot be read."""
        place = self._load(offset, HEAD_BYTES)
        if len(self._buffer) - place < HEAD_BYTES:
            if any(self._buffer[place:]):
                raise FrameFault("the file ends within the head of a record")
            return None
        length, crc = _HEAD.unpack_from(self._buffer, place)
        if length == 0:
            if crc:
                raise FrameFault("a length of 0 with a checksum")
            return None
        if length > self._body_bytes_max:
            raise FrameFault(f"a length of {length} bytes, above {self._body_bytes_max}")
        place = self._load(offset, HEAD_BYTES + length) + HEAD_BYTES
        body = self._buffer[place : place + length]
        if len(body) < length:
            raise FrameFault(f"a length of {length} bytes, beyond the end of the file")
        if crc32c(body) != crc:
            raise FrameFault("the checksum (CRC32C) does not fit the bytes")
        self.end = offset + HEAD_BYTES + length
        return body

    def _load(self, offset: int, size: int) -> int:
        """Have `size` bytes from `offset` in the buffer, if there are; return where they start."""
        place = offset - self._start
        if place < 0 or place + size > len(self._buffer):
            self._buffer = os.pread(self._fd, max(size, self._read_bytes), offset)
            self._start, place = offset, 0
        return place


def data_end(fd: int, offset: int) -> int:
    """Return the offset behind the last byte from `offset` on that is not zero, else `offset`."""
    end = offset
    while chunk := os.pread(fd, limits.FILE_READ_BYTES, offset):
        used = len(chunk.rstrip(b"\0"))
        if used:
            end = offset + used
        offset += len(chunk)
    return end
