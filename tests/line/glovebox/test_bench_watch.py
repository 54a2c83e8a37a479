import pytest

from rmf import limits
from rmf.line.glovebox.bench_watch import BenchWatch

LOOK_S = 1 / 64  # in floats as exact as the sums of it
assert limits.BOX_WATCH_S <= LOOK_S <= limits.BOX_WATCH_S_MAX


def looks(watch: BenchWatch, count: int, slot: int | None = 0, run: int = 1) -> list[str | None]:
    return [watch.look(run, slot, LOOK_S) for _ in range(count)]


def test_a_slot_is_interrupted_once_when_its_time_is_used_up_and_then_killed() -> None:
    watch = BenchWatch(10 * LOOK_S)
    found = looks(watch, 11)
    assert found == [*[None] * 10, "interrupt"]
    rest = looks(watch, 6)
    assert rest[:3] == [None, None, "kill"]  # after HANDLER_GRACE_S
    assert "interrupt" not in rest


def test_each_slot_has_its_own_time() -> None:
    watch = BenchWatch(10 * LOOK_S)
    for slot in range(5):
        assert looks(watch, 10, slot) == [None] * 10
    assert looks(watch, 1, 4) == ["interrupt"]
    assert looks(watch, 10, 5) == [None] * 10  # it was interrupted, and another one is at work
    assert looks(watch, 1, 5) == ["interrupt"]


def test_the_same_slot_of_another_run_is_another_one() -> None:
    watch = BenchWatch(10 * LOOK_S)
    assert looks(watch, 10, 3, run=1) == [None] * 10
    assert looks(watch, 10, 3, run=2) == [None] * 10
    assert looks(watch, 1, 3, run=2) == ["interrupt"]


def test_time_in_which_the_node_did_not_turn_is_no_slots_fault() -> None:
    watch = BenchWatch(1.0)
    assert watch.look(1, 0, LOOK_S) is None
    for _ in range(int(1.0 / limits.BOX_WATCH_S_MAX)):
        assert watch.look(1, 0, 60.0) is None  # the node was stopped for a minute each time
    assert watch.look(1, 0, 60.0) == "interrupt"


@pytest.mark.parametrize("slot", [0, None])
def test_the_time_before_the_first_look_at_a_slot_does_not_count(slot: int | None) -> None:
    watch = BenchWatch(0.0)
    assert watch.look(1, slot, 1000.0) is None


def test_a_box_that_hangs_outside_any_slot_is_killed_at_last_and_never_interrupted() -> None:
    watch = BenchWatch(LOOK_S)
    count = round(limits.BOX_STUCK_S_MAX / limits.BOX_WATCH_S_MAX)
    found = [watch.look(1, None, 1.0) for _ in range(count + 2)]
    assert found[:count] == [None] * count
    assert found[-1] == "kill"
    assert "interrupt" not in found
