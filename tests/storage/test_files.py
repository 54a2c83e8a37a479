"""storage/files: how a byte gets to the disk, and to another one (R23)."""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rmf import limits
from rmf.errors import DiskFailed
from rmf.storage import drive
from rmf.storage.drive import Drive
from rmf.storage.files import (
    TMP,
    fill_with_zeros,
    forget_cached,
    move_durably,
    remove_leftovers,
)
from tests.storage.crashes import before_each_step
from tests.storage.ledger_kit import is_cached


def test_what_memory_holds_of_a_file_is_written_and_then_forgotten(tmp_path: Path) -> None:
    """R23: what failed to be written is clean in memory, and nowhere else."""
    files = [tmp_path / "a", tmp_path / "b"]
    for path in files:
        path.write_bytes(b"content" * 10_000)
        assert is_cached(path) in {True, None}
    forget_cached(*files)
    for path in files:
        assert is_cached(path) in {False, None}
        assert path.read_bytes() == b"content" * 10_000


def test_a_file_that_cannot_be_read_back_is_a_disk_that_fails(tmp_path: Path) -> None:
    with pytest.raises(DiskFailed, match="reading back"):
        forget_cached(tmp_path / "gone")


@pytest.fixture
def two_disks(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two directories, on different file systems where this machine has a second one."""
    here = tmp_path / "here"
    here.mkdir()
    second = Path("/dev/shm")
    with TemporaryDirectory(dir=second if second.is_dir() else tmp_path) as there:
        yield here, Path(there)


def test_files_move_to_another_file_system_and_are_whole_wherever_a_crash_comes(
    two_disks: tuple[Path, Path],
) -> None:
    here, there = two_disks
    files = [here / f"{n:020d}.seg" for n in (1, 2)]
    content = {path.name: path.name.encode() * 100_000 for path in files}
    for path in files:
        path.write_bytes(content[path.name])

    def whole() -> None:
        for name, expected in content.items():
            found = [p for p in (here / name, there / name) if p.exists()]
            assert found
            assert all(p.read_bytes() == expected for p in found)

    with before_each_step(whole):
        move_durably(files, there)
    whole()
    assert list(here.iterdir()) == []
    assert sorted(p.name for p in there.iterdir()) == sorted(content)


def test_what_a_crash_left_unfinished_goes_and_nothing_of_somebodys(tmp_path: Path) -> None:
    own = [f"next-{bytes(8).hex()}", "inline", "first", f"{7:020d}.ckpt", f"{7:020d}.seg"]
    foreign = ["notes", "x", "next-1", "first of all"]
    for name in own + foreign[:-1]:
        (tmp_path / (name + TMP)).write_bytes(b"half")
    (tmp_path / (foreign[-1] + TMP)).mkdir()
    (tmp_path / ("1" * 20 + ".seg" + TMP)).mkdir()
    remove_leftovers(tmp_path)
    left = {path.name.removesuffix(TMP) for path in tmp_path.iterdir()}
    assert left == {*foreign, "1" * 20 + ".seg"}


# --- Zeros ------------------------------------------------------------------------------------


class NotThisWay(Drive):
    """Takes the first writes as they come, then none past the cache, as some file systems."""

    def __init__(self, taken: int) -> None:
        self._taken = taken

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            if not self._taken:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            self._taken -= 1
            return super().pwrite(fd, data if self._taken else data[:4096], offset)
        return super().pwrite(fd, data, offset)


def filled(path: Path, size: int) -> int:
    """Fill a file; return how its descriptor stands afterwards."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fill_with_zeros(fd, size)
        return fcntl.fcntl(fd, fcntl.F_GETFL)
    finally:
        os.close(fd)


def test_what_is_filled_ahead_does_not_wait_in_memory_to_be_written_in_one_go(
    tmp_path: Path,
) -> None:
    """The ledger's fsync waited for it, and a reign ended right after its start (R17)."""
    size = 2 * limits.MIB
    assert not filled(tmp_path / "a", size) & os.O_DIRECT
    assert is_cached(tmp_path / "a") in {False, None}
    assert (tmp_path / "a").read_bytes() == bytes(size)


@pytest.mark.parametrize("size", [0, 1, 512, 2 * limits.MIB + 3])
@pytest.mark.parametrize("there", [None, "/dev/shm"])
def test_any_number_of_zeros_is_filled_on_any_file_system(
    tmp_path: Path, there: str | None, size: int
) -> None:
    with TemporaryDirectory(dir=there if there and Path(there).is_dir() else tmp_path) as place:
        filled(Path(place) / "a", size)
        assert (Path(place) / "a").read_bytes() == bytes(size)


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_where_the_cache_cannot_be_passed_it_is_used(tmp_path: Path, taken: int) -> None:
    with drive.in_the_way(NotThisWay(taken)):
        assert not filled(tmp_path / "a", 3 * limits.MIB) & os.O_DIRECT
    assert (tmp_path / "a").read_bytes() == bytes(3 * limits.MIB)


def test_a_drive_that_fails_is_no_file_system_without_that_way(tmp_path: Path) -> None:
    class Failing(Drive):
        def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
            del fd, data, offset
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with drive.in_the_way(Failing()), pytest.raises(OSError, match="put/output"):
        filled(tmp_path / "a", limits.MIB)
