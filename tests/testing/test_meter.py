"""What work costs is counted: the same for the same work, more for more of it."""

from rmf.core.world import KeyIndex
from rmf.testing.meter import Meter


def cost_of(keys: int) -> int:
    index, meter = KeyIndex(), Meter()

    def work() -> None:
        for i in range(keys):
            index.add(f"{i:04}")

    meter.run(work)
    return meter.calls


def test_the_same_work_costs_the_same_whenever_it_is_done() -> None:
    assert cost_of(50) == cost_of(50)


def test_twice_the_work_costs_about_twice_as_much() -> None:
    assert 1.8 < cost_of(200) / cost_of(100) < 2.2


def test_what_is_done_between_two_pieces_costs_nothing() -> None:
    meter = Meter()
    assert meter.run(len, "abc") == 3
    calls = meter.calls
    cost_of(10)
    meter.run(len, "abc")
    assert meter.calls == calls


def test_work_that_raises_is_counted_and_raises() -> None:
    meter = Meter()
    try:
        meter.run(int, "no number")
    except ValueError:
        assert meter.calls
    else:
        raise AssertionError("nothing was raised")
