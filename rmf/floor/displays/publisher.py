"""The publisher: Snapshots to subscribers (R35, R36).

It keeps the feed (core/feed) up to date and runs one feeder (floor/feeder) for each subscription,
which waits for no other display.

Errors: a failing feeder ends its subscription with END `internal`; the others go on. A failure of
the publisher itself ends all subscriptions; connections tell their displays, which come back.
Shutdown: cancel it.
"""

import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.feed import Feed
from rmf.floor import log
from rmf.floor.displays.feeder import Feeder
from rmf.floor.displays.history import History
from rmf.floor.displays.news import Unwatch, Watched
from rmf.floor.displays.published_world import PublishedWorld
from rmf.floor.doors import Doors
from rmf.floor.instruments import Pulse
from rmf.floor.supervisor import InProgress

__all__ = ["run"]


async def run(
    doors: Doors, feed: Feed, history: History, pulse: Pulse, in_progress: InProgress
) -> None:
    """Serve the publications and watches doors until cancelled. The feed outlives this task, so
    that subscribers find the last picture when it is back. By `pulse` it sees that the Arbiter's
    loop turns: if it does not, no picture is live."""
    in_progress.free()  # it holds no packets: what it publishes is in the World
    picture = PublishedWorld(feed, pulse.is_fresh, packets_age_s=pulse.age_s)
    watches = _Watches(picture, history)
    failure: Exception | None = None
    async with trio.open_nursery() as feeders:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watches.picture.run)
                nursery.start_soon(_take_publications, doors, watches.picture)
                await _take_watches(doors, watches, feeders)
        except Exception as exc:  # noqa: BLE001 raised below, once the displays heard of it
            failure = exc
            watches.fail()
            feeders.cancel_scope.deadline = trio.current_time() + limits.GOODBYE_S_MAX
    if failure is not None:
        raise failure


async def _take_watches(doors: Doors, watches: "_Watches", feeders: trio.Nursery) -> None:
    async for item in doors.watches_out:
        if isinstance(item, Watched):
            watches.begin(item, feeders)
        else:
            watches.end(item)


async def _take_publications(doors: Doors, picture: PublishedWorld) -> None:
    async for news in doors.publications_out:
        await picture.take(news.publications, news.pin).wait()


class _Watches:
    """The subscriptions by (connection, number), each with the scope that ends it."""

    def __init__(self, picture: PublishedWorld, history: History) -> None:
        self.picture = picture
        self._history = history
        self._scopes: dict[tuple[int, int], trio.CancelScope] = {}
        self._turns: dict[int, trio.Lock] = {}  # by connection
        self._failed = False

    def begin(self, item: Watched, nursery: trio.Nursery) -> None:
        """Start a feeder; the connection has checked that the number is free."""
        scope = trio.CancelScope()
        self._turns.setdefault(item.connection, trio.Lock())
        self._scopes[item.connection, item.subscribe.number] = scope
        nursery.start_soon(self._feed, item, scope)

    def end(self, item: Unwatch) -> None:
        """End one subscription, or all of a connection that is gone."""
        for (connection, number), scope in list(self._scopes.items()):
            wanted = item.unsubscribe is None or item.unsubscribe.number == number
            if connection == item.connection and wanted:
                scope.cancel()
        if item.unsubscribe is None:
            self._turns.pop(item.connection, None)

    def fail(self) -> None:
        """End all subscriptions: their displays hear END `internal`, and may come back."""
        self._failed = True
        for scope in self._scopes.values():
            scope.cancel()

    async def _feed(self, item: Watched, scope: trio.CancelScope) -> None:
        number = item.subscribe.number
        end = m.End(number, None, None)
        with item.pages:
            with scope:
                try:
                    await self._feeder(item).run()
                except trio.BrokenResourceError:
                    pass  # the display is gone; the END below finds none
                except Exception as exc:  # noqa: BLE001 one display's failure is its own
                    log.note("error", "feeder_failed", error=type(exc).__name__, text=str(exc))
                    end = _failed_end(number)
            if self._failed:
                end = _failed_end(number)
            self._scopes.pop((item.connection, number), None)
            try:
                await item.pages.send(codec.encode(end))
            except trio.BrokenResourceError:
                return

    def _feeder(self, item: Watched) -> Feeder:
        turn = self._turns.get(item.connection)
        pages, dated = item.pages, item.dated
        return Feeder(self.picture, self._history, item.subscribe, pages, turn, dated=dated)


def _failed_end(number: int) -> m.End:
    return m.End(number, "internal", "the subscription failed; subscribe again")
