"""The reserve holds real space, and gives it back (R38)."""

from pathlib import Path

from rmf import limits
from rmf.storage import reserve


def space_bytes(directory: Path) -> int:
    return sum(512 * path.stat().st_blocks for path in directory.iterdir())


def test_a_reserve_holds_space_that_is_not_a_hole(tmp_path: Path) -> None:
    reserve.hold(tmp_path)
    assert space_bytes(tmp_path) >= limits.DISK_RESERVE_BYTES


def test_a_reserve_that_is_there_is_left_alone(tmp_path: Path) -> None:
    reserve.hold(tmp_path)
    (before,) = [path.stat() for path in tmp_path.iterdir()]
    reserve.hold(tmp_path)
    (after,) = [path.stat() for path in tmp_path.iterdir()]
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_reserve_that_was_cut_is_filled_again(tmp_path: Path) -> None:
    reserve.hold(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"")
    reserve.hold(tmp_path)
    assert path.stat().st_size == limits.DISK_RESERVE_BYTES


def test_a_released_reserve_is_gone_and_may_be_released_again(tmp_path: Path) -> None:
    reserve.hold(tmp_path)
    reserve.release(tmp_path)
    reserve.release(tmp_path)
    assert list(tmp_path.iterdir()) == []
