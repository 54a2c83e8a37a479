"""Time in which nobody reigned is counted out of how late something is."""

from rmf.testing.outages import Outages


def outages(*spans: tuple[int, int]) -> Outages:
    found = Outages()
    for begun, ended in spans:
        found.note(begun, ended)
    return found


def test_without_outages_all_of_the_time_counts() -> None:
    assert outages().reigned(10, 50) == 40


def test_an_outage_counts_as_far_as_it_lies_within() -> None:
    found = outages((20, 30), (40, 60))
    assert found.reigned(10, 100) == 60
    assert found.reigned(25, 50) == 10
    assert found.reigned(45, 55) == 0
    assert found.reigned(60, 70) == 10


def test_a_clock_that_went_back_adds_nothing() -> None:
    assert outages((30, 20)).reigned(10, 50) == 40


def test_no_time_is_counted_out_twice() -> None:
    assert outages((10, 40), (20, 50)).reigned(0, 60) == 20
