"""The end that others send by: into the resting arbiter, else through the door, one at a time."""

from collections.abc import Callable

import pytest
import trio
import trio.testing

from rmf.floor.arbiter_end import ArbiterEnd

KNOCK = "knock"


class Rested:
    """An end whose arbiter rests, and what reached its turn."""

    def __init__(self, *, capacity: float = 4) -> None:
        door, self.out = trio.open_memory_channel[str](capacity)
        self.end = ArbiterEnd(door, KNOCK)
        self.taken: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.goes_on = True

    def turn(self, item: str) -> bool:
        self.taken.append(item)
        self.meanwhile()
        return self.goes_on

    @property
    def waiting(self) -> list[str]:
        return [self.out.receive_nowait() for _ in range(self.out.statistics().current_buffer_used)]


def test_what_is_sent_to_one_that_rests_is_taken_at_once_and_again() -> None:
    one = Rested()
    one.end.rest(one.turn)
    one.end.send_nowait("a")
    one.end.send_nowait("b")
    assert one.taken == ["a", "b"]
    assert one.waiting == []


def test_while_it_does_not_rest_all_goes_through_the_door() -> None:
    one = Rested()
    one.end.send_nowait("a")
    one.end.rest(one.turn)
    one.end.rise()
    one.end.send_nowait("b")
    assert one.taken == []
    assert one.waiting == ["a", "b"]


def test_during_a_turn_others_find_the_door_and_nobody_overtakes_them() -> None:
    one = Rested()
    one.end.rest(one.turn)
    one.meanwhile = lambda: one.end.send_nowait("meanwhile")
    one.end.send_nowait("a")
    one.end.send_nowait("b")
    assert one.taken == ["a"]
    assert one.waiting == ["meanwhile", "b"]


def test_one_that_rests_no_longer_is_woken_and_nothing_more_is_taken_at_once() -> None:
    one = Rested()
    one.end.rest(one.turn)
    one.goes_on = False
    one.end.send_nowait("a")
    one.end.send_nowait("b")
    assert one.taken == ["a"]
    assert one.waiting == [KNOCK, "b"]


def test_where_the_door_is_full_nobody_need_be_woken() -> None:
    one = Rested(capacity=1)
    one.end.rest(one.turn)
    one.goes_on = False
    one.meanwhile = lambda: one.end.send_nowait("meanwhile")
    one.end.send_nowait("a")
    assert one.waiting == ["meanwhile"]


async def test_sending_is_a_checkpoint_either_way_and_waits_at_the_bound() -> None:
    one = Rested(capacity=1)
    one.end.rest(one.turn)
    with trio.testing.assert_checkpoints():
        await one.end.send("a")
    one.end.rise()
    with trio.testing.assert_checkpoints():
        await one.end.send("b")
    assert one.taken == ["a"]
    with pytest.raises(trio.WouldBlock):
        one.end.send_nowait("c")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.end.send, "c")
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        assert one.waiting == ["b"]
    assert one.waiting == ["c"]


async def test_who_is_cancelled_sends_nothing() -> None:
    one = Rested()
    one.end.rest(one.turn)
    with trio.CancelScope() as scope:
        scope.cancel()
        await one.end.send("a")
    assert scope.cancelled_caught
    assert one.taken == one.waiting == []
