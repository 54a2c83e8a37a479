"""What all feeders look at: deltas are made once for all that ask nearly the same (R35, R45)."""

import trio
import trio.testing

from rmf import limits
from rmf.core.delta import DeltaPage
from rmf.core.feed import Feed
from rmf.floor.displays.published_world import PublishedWorld, SharedDelta
from tests.floor.kit import Pictures


class Shown:
    """A picture that a test publishes, and the deltas of all of it since the first Tick."""

    def __init__(self, cells: int = 1) -> None:
        self.pictures = Pictures()
        self.picture = PublishedWorld(Feed())
        self._keys = [f"cell/{i:05}" for i in range(cells)]
        self.everything = self.picture.feed.selector(["#"])
        self.publish(0)
        self.since = self.pictures.tick

    def publish(self, value: int) -> None:
        self.picture.take([self.pictures.next(dict.fromkeys(self._keys, value))])

    def delta(self, age_s: float = 0.0) -> SharedDelta:
        found = self.picture.delta(self.everything, self.since, age_s)
        assert found is not None
        return found


async def test_who_asks_a_little_later_gets_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The line may be at another Tick each time: displays of one filter stay together."""
    shown = Shown()
    shown.publish(1)
    first = shown.delta()
    assert first.go_on() is not None
    shown.publish(2)
    await trio.sleep(0.02)
    assert shown.delta(age_s=0.025) is first
    await trio.sleep(0.01)
    later = shown.delta(age_s=0.025)
    assert later is not first
    assert later.delta.at is shown.picture.newest
    assert shown.delta() is later


async def test_what_held_nothing_is_not_told_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    shown = Shown()
    first = shown.delta()
    assert (first.go_on(), first.is_begun) == (None, False)
    shown.publish(1)
    assert shown.delta(age_s=1.0) is not first


async def test_a_first_page_is_made_a_little_at_a_time_by_all_that_ask() -> None:
    """Nobody begins it again, and nobody does more than a little of it."""
    shown = Shown(cells=20 * limits.FEED_STEPS_AT_ONCE * limits.FEED_STEP_KEYS // 10)
    shown.publish(1)
    turns, page = 0, None
    while page is None:
        page = shown.delta().go_on()
        turns += 1
        assert shown.delta().is_begun == (page is None)
    assert isinstance(page, DeltaPage)
    assert turns > 1
    assert shown.delta().go_on() is page
