"""What is read off doors and disk."""

from pathlib import Path

from rmf.core.events import Beat
from rmf.floor.web.readings import door_facts, read_disk
from tests.floor.kit import bench


async def test_doors_say_how_full_they_are(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        alone.doors.events.send_nowait(Beat())
        found = {door.name: door for door in door_facts(alone.doors)}
    assert found["events"].depth == 1
    assert found["intake"].depth == 0
    assert all(door.capacity > 0 for door in found.values())
    assert "answers" not in found


def test_the_disk_says_what_is_taken_and_what_is_left(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        before = read_disk(alone.directory)
        assert before.ledger_bytes > 0
        assert (before.archive_bytes, before.checkpoint_index) == (0, 0)
        assert before.free_bytes > 0
        (alone.directory.checkpoints_path / "00000000000000000041.ckpt").write_bytes(b"x" * 4096)
        (alone.directory.archive_path / "1.seg").write_bytes(b"x" * 4096)
        after = read_disk(alone.directory)
    assert after.archive_bytes >= 4096
    assert after.checkpoint_index == 41
