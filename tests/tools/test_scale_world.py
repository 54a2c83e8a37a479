"""What cells cost a node."""

import pytest

from tools.scale_world import world


@pytest.mark.long
def test_a_small_world_is_filled_written_shown_and_read_again() -> None:
    found = world(2000, 0.2)
    assert 0 < found["bytes_a_cell"] < 20_000
    positive = ("fill_per_s", "hot_us", "all_us", "wait_ms", "cat_once_s", "stop_s", "restart_s")
    assert min(found[name] for name in positive) > 0
