"""The drive: what stores something passes here, and a test may put another one in the way."""

import errno
import os
from pathlib import Path

import pytest

from rmf.storage import drive
from rmf.storage.drive import Drive
from rmf.storage.files import replace_durably, write_whole


class Broken(Drive):
    """Takes bytes, and cannot say that they are durable."""

    def fsync(self, fd: int) -> None:
        del fd
        raise OSError(errno.EIO, os.strerror(errno.EIO))


class Halting(Drive):
    """Takes three bytes at a time."""

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        return super().pwrite(fd, data[:3], offset)


def test_what_is_written_and_synced_is_there(tmp_path: Path) -> None:
    replace_durably(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"
    assert drive.free_bytes(tmp_path) > 0


def test_a_drive_in_the_way_is_met_by_all_that_is_stored_and_goes_again(tmp_path: Path) -> None:
    with drive.in_the_way(Broken()), pytest.raises(OSError, match="put/output"):
        replace_durably(tmp_path / "a", b"content")
    assert not (tmp_path / "a").exists()
    replace_durably(tmp_path / "a", b"content")


def test_a_write_that_is_taken_in_parts_is_whole(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT)
    try:
        with drive.in_the_way(Halting()):
            write_whole(fd, b"0123456789", 2)
    finally:
        os.close(fd)
    assert (tmp_path / "a").read_bytes() == b"\0\0" + b"0123456789"
