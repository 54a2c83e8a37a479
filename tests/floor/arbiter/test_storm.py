"""The storm alarm: it tells a bad deploy from a bad packet, once, and knows when it is over."""

from rmf import limits
from rmf.floor.arbiter.storm import Storm

MANY = limits.STORM_LETTERS_MIN


def after(storm: Storm, seconds: float, steps: list[tuple[int, int]], start: int = 0) -> list[bool]:
    """Look once each `seconds` while so many more packets are latched and bagged; is there one?"""
    latched = bagged = 0
    storm.look(float(start), 0, 0)
    found = []
    for number, (packets, bags) in enumerate(steps, start=1):
        latched, bagged = latched + packets, bagged + bags
        storm.look(start + number * seconds, latched, bagged)
        found.append(storm.raging)
    return found


def test_a_few_bad_packets_are_no_storm() -> None:
    storm = Storm()
    assert after(storm, 1, [(MANY - 1, MANY - 1), (10_000, 0), (10_000, 5)]) == [False] * 3
    assert storm.storms == 0


def test_much_of_the_traffic_failing_is_one_and_it_ends() -> None:
    storm = Storm()
    bad, good = (2 * MANY, MANY), (MANY, 0)
    found = after(storm, limits.STORM_WINDOW_S / 4, [good, bad, bad, good, good, good, good, good])
    assert found[0] is False
    assert True in found
    assert found[-1] is False
    assert storm.storms == 1


def test_many_letters_a_second_are_one_however_much_goes_well() -> None:
    storm = Storm()
    bags = int(limits.STORM_LETTERS_PER_S * limits.STORM_WINDOW_S)
    assert after(storm, 1, [(1000 * bags, bags)]) == [True]


def test_it_does_not_flicker_and_a_new_core_starts_over() -> None:
    storm = Storm()
    assert after(storm, 1, [(MANY, MANY), (MANY, 0)]) == [True, True]
    storm.look(2.5, 5, 0)  # fewer than there were: another core tells
    assert not storm.raging
