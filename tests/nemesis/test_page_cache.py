"""A machine that loses its power loses what was not synced, and nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import trio

from tests.nemesis.clock import VirtualClock
from tests.nemesis.trouble import TroubledDrive


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    path = tmp_path / "file"
    path.write_bytes(b"....")
    fd = os.open(path, os.O_RDWR)
    yield path, fd
    os.close(fd)


def test_what_was_synced_stays_and_the_rest_is_there_or_as_it_was(file: tuple[Path, int]) -> None:
    path, fd = file
    found = set()
    for seed in range(40):
        path.write_bytes(b"....")
        drive = TroubledDrive(VirtualClock())
        drive.pwrite(fd, b"s", 0)
        drive.fdatasync(fd)
        drive.pwrite(fd, b"a", 1)
        drive.pwrite(fd, b"long", 2)
        lost = drive.power_on(Random(seed))
        found.add((lost, path.read_bytes()))
    assert found == {(0, b"salong"), (1, b"s.long"), (1, b"sa.."), (2, b"s...")}


def test_a_file_that_is_another_one_by_now_is_left_alone(file: tuple[Path, int]) -> None:
    path, fd = file
    drive = TroubledDrive(VirtualClock())
    drive.pwrite(fd, b"gone", 0)
    path.rename(path.with_suffix(".old"))
    path.write_bytes(b"new.")
    assert drive.power_on(Random(1)) == 0
    assert path.read_bytes() == b"new."


def test_without_power_nothing_is_taken(file: tuple[Path, int]) -> None:
    _, fd = file
    drive = TroubledDrive(VirtualClock())
    drive.power_off()
    with pytest.raises(OSError, match="Input/output"):
        drive.pwrite(fd, b"late", 0)
    with pytest.raises(OSError, match="Input/output"):
        drive.fsync(fd)


def test_what_hangs_in_a_sync_comes_back_with_an_error_when_the_power_is_gone(
    file: tuple[Path, int],
) -> None:
    _, fd = file
    clock = VirtualClock()
    drive = TroubledDrive(clock)
    drive.hangs_until_s = 60.0

    async def main() -> float:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut)
            with pytest.raises(OSError, match="Input/output"):
                await trio.to_thread.run_sync(drive.fsync, fd)
        return trio.current_time()

    async def cut() -> None:
        await trio.sleep(2)
        drive.power_off()

    assert trio.run(main, clock=clock, instruments=[clock]) == 2
