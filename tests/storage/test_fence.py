"""storage/fence: one writer at a time, and none beside one that hangs (R23)."""

import threading

import pytest

from rmf import limits
from rmf.errors import DiskHangs, PenTaken
from rmf.storage.fence import Fence
from tests.storage.hanging import hanging


def test_the_newest_pen_writes_and_no_older_one_ever_again() -> None:
    fence = Fence()
    first = fence.take()
    with first:
        pass
    second = fence.take()
    with pytest.raises(PenTaken), first:
        pass
    with second:
        pass
    with pytest.raises(PenTaken), first:
        pass


def test_no_writer_takes_the_pen_from_a_write_that_hangs_but_it_is_that_ones_last() -> None:
    fence = Fence()
    old = fence.take()
    with hanging(old) as back:
        with pytest.raises(DiskHangs, match="start the node again once it answers"):
            fence.take()
        back.set()
    with pytest.raises(PenTaken), old:
        pass
    with fence.take():
        pass


def test_a_write_that_returns_in_time_is_waited_for() -> None:
    fence = Fence()
    with hanging(fence.take()) as back:
        threading.Timer(limits.PEN_S_MAX / 10, back.set).start()
        with fence.take():
            pass
