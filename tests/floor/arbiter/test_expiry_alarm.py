"""The alarm of a crowd: more cells end than packets come, and many of them. It begins and ends."""

from rmf import limits
from rmf.floor.arbiter.expiry_alarm import ExpiryAlarm

MANY = int(limits.CROWD_ENDS_PER_S)


def after(crowd: ExpiryAlarm, seconds: list[tuple[int, int]]) -> list[bool]:
    """Look each second, in which so many cells end and so many packets come; is there one?"""
    ended = latched = 0
    crowd.look(0.0, 0, 0)
    found = []
    for second, (cells, packets) in enumerate(seconds, start=1):
        ended, latched = ended + cells, latched + packets
        crowd.look(float(second), ended, latched)
        found.append(crowd.here)
    return found


def test_many_ends_for_a_moment_are_none() -> None:
    assert after(ExpiryAlarm(), [(100 * MANY, 0)] + [(0, 0)] * 12) == [False] * 13


def test_ends_that_go_on_and_outnumber_the_packets_are_one_and_it_ends() -> None:
    found = after(ExpiryAlarm(), [(MANY, MANY // 2)] * 12 + [(0, MANY)] * 12)
    assert found[8:12] == [False, True, True, True]
    assert found[-1] is False
    assert found == sorted(found[:12]) + sorted(found[12:], reverse=True)


def test_as_many_ends_as_packets_are_a_factory_at_work() -> None:
    assert not any(after(ExpiryAlarm(), [(5 * MANY, 6 * MANY)] * 15))


def test_books_of_another_core_start_over() -> None:
    crowd = ExpiryAlarm()
    after(crowd, [(MANY, 0)] * 9)
    crowd.look(10.0, 5, 0)
    assert not crowd.here
