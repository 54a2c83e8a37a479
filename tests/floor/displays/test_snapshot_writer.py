"""What is said to one subscription: in turn with the others of its connection, never silent."""

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import messages as m
from rmf.core.feed import Feed
from rmf.core.selector import SelectionMark
from rmf.floor.displays.published_world import PublishedWorld
from rmf.floor.displays.snapshot_writer import SnapshotWriter
from rmf.floor.doors import connection_doors
from tests.floor.display import Display
from tests.floor.kit import Pictures

TOLD = SelectionMark(1, 2, 3, bytes(16))


class Connection:
    """Two subscriptions of one connection, whose pages a test reads."""

    def __init__(self) -> None:
        self.pictures = Pictures()
        self.picture = PublishedWorld(Feed())
        self.picture.take([self.pictures.next({"a": 1})])
        _, _, pages, pages_out = connection_doors()
        turn = trio.Lock()
        self.display = Display(pages_out)
        self.one, self.other = (SnapshotWriter(self.picture, i, pages, turn) for i in (1, 2))


async def test_one_subscription_at_a_time_makes_pictures_and_the_other_is_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    connection = Connection()

    async def tell() -> None:
        async with connection.other.turn(TOLD):
            await connection.other.say(m.DELTA, TOLD)

    async with trio.open_nursery() as nursery:
        async with connection.one.turn(TOLD):
            nursery.start_soon(tell)
            for _ in range(3):
                began = trio.current_time()
                heard = await connection.display.next()
                assert (heard.number, heard.kind, heard.tick) == (2, m.KEEPALIVE, TOLD.tick)
                assert trio.current_time() - began == pytest.approx(limits.KEEPALIVE_S)
        assert (await connection.display.next()).kind == m.DELTA


async def test_a_turn_ends_with_the_one_that_had_it(autojump_clock: trio.testing.MockClock) -> None:
    connection = Connection()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(in_turn, connection)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    async with connection.other.turn(TOLD):
        pass


async def in_turn(connection: Connection) -> None:
    """Tell a display that does not read."""
    selector = connection.picture.feed.selector(["#"])
    async with connection.one.turn(TOLD):
        await connection.one.say_whole(selector, connection.picture.newest)
