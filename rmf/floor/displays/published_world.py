"""What all feeders look at: the feed, who waits for news of it, and the deltas that they share.

It dates pictures (R36): whether they are live, and the factory's present tick.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from itertools import chain

import trio

from rmf import limits
from rmf.core.delta import Delta, DeltaPage
from rmf.core.effects import Publish
from rmf.core.feed import Feed
from rmf.core.selector import Selector
from rmf.floor.displays.desk import Desk, Job
from rmf.floor.displays.rounds import DisplayRounds
from rmf.floor.node_clock import now

__all__ = ["PublishedWorld", "SharedDelta"]


class _Room:
    """How many bytes of pages may still be kept."""

    def __init__(self) -> None:
        self.left = limits.DELTAS_CACHED_BYTES


class SharedDelta:
    """A Delta that several feeders send, made at `made_s`; its pages are kept while there is room.
    `is_begun`: the first page is being made in the rounds, and is not whole yet."""

    def __init__(self, delta: Delta, room: _Room) -> None:
        self.delta = delta
        self.made_s = trio.current_time()
        self._room: _Room | None = room
        self._gathering: Iterator[None] | None = delta.gather()
        self._making: Iterator[DeltaPage | None] | None = None
        self._pages: dict[int, DeltaPage] = {}

    @property
    def is_begun(self) -> bool:
        """Whether `go_on` is to be called again."""
        return self._making is not None

    def gather(self) -> Generator[None]:
        """Find out what it holds, once for all."""
        while self._gathering is not None:
            if next(self._gathering, False) is False:
                self._gathering = None
            yield

    def go_on(self) -> DeltaPage | None:
        """Work on the first page, for a little and for all; return it once it is whole. None, too,
        if there is none, since nothing changed or it is lost."""
        if (found := self._pages.get(0)) is not None:
            return found
        if self._making is None:
            self._making = chain(self.gather(), self._first())
        for _ in range(limits.FEED_STEPS_AT_ONCE):
            step = next(self._making, False)
            if step is not None:
                self._making = None
                return step if isinstance(step, DeltaPage) else None
        return None

    def _first(self) -> Generator[DeltaPage | None]:
        if self.delta.keys:
            yield from self.page(0)

    def page(self, begin: int) -> Generator[DeltaPage | None]:
        """Encode the page that begins with this key, unless it is encoded already."""
        found = self._pages.get(begin)
        if found is not None:
            yield found
            return
        for piece in self.delta.piece(begin):
            room = self._room
            if piece is not None and room is not None and room.left >= len(piece.body):
                room.left -= len(piece.body)
                self._pages[begin] = piece
            yield piece

    def let_go(self) -> None:
        """Keep no pages any more."""
        if self._room is not None:
            self._room.left += sum(len(piece.body) for piece in self._pages.values())
        self._room = None
        self._pages.clear()


class PublishedWorld:
    """`turns` says whether the Arbiter's loop turned lately; if it did not, nothing is live."""

    def __init__(
        self,
        feed: Feed,
        turns: Callable[[], bool] = lambda: True,
        boot_ns: Callable[[], int] = lambda: now().boot_ns,
        packets_age_s: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.feed = feed
        self.desk = Desk()
        self.rounds = DisplayRounds(packets_age_s)
        self._turns = turns
        self._boot_ns = boot_ns
        self._waiting: dict[Selector, trio.Event] = {}
        self._quiet: dict[Selector, dict[Callable[[], None], None]] = {}
        self._newer = trio.Event()
        self._room = _Room()
        self._deltas: OrderedDict[tuple[Selector, int], SharedDelta] = OrderedDict()

    @property
    def newest(self) -> Publish:
        """The last publication; there must be one."""
        assert self.feed.newest is not None
        return self.feed.newest

    @property
    def live(self) -> bool:
        """Whether the picture is fresh, as far as this node knows; if its own Arbiter has not
        turned for a while (the process was paused), it does not know (R36)."""
        newest = self.feed.newest
        return newest is not None and newest.live and self._turns()

    @property
    def tick(self) -> int | None:
        """The factory's present tick, as far as this node knows it (R36)."""
        newest = self.feed.newest
        if newest is None or newest.clock is None:
            return None
        return max(newest.tick, newest.clock.tick_at(self._boot_ns()))

    # --- Taking in --------------------------------------------------------------------------------

    def take(self, publications: list[Publish], pin: int | None = None) -> Job[None]:
        """Take in what the arbiter published, and wake whose selection has changed; what there is
        no time for is done at the desk, in turn. `pin` is on the index of the last one's World."""
        if pin is None:
            pin = publications[-1].world.index.pin()
        return self.desk.begin(self._take(publications, pin))

    def _take(self, publications: list[Publish], pin: int) -> Generator[None]:
        *before, last = publications
        for publication in before:
            self._wake((yield from self.feed.take(publication)))
        self._wake((yield from self.feed.take(last, pin)))

    def _wake(self, touched: Collection[Selector] | None) -> None:
        self._newer.set()
        self._newer = trio.Event()
        for selector in list(self._waiting) if touched is None else touched:
            event = self._waiting.pop(selector, None)
            if event is not None:
                event.set()
        for selector in list(self._quiet) if touched is None else touched:
            for hear in self._quiet.pop(selector, ()):
                hear()

    async def reaches(self, tick: int) -> None:
        """Wait until there is a picture of that tick or a later one."""
        while self.feed.newest is None or self.newest.tick < tick:
            await self._newer.wait()

    async def news(self, selector: Selector) -> None:
        """Wait until the selection changes, or what is said of all pictures does."""
        await self._waiting.setdefault(selector, trio.Event()).wait()

    def tell_news(self, selector: Selector, hear: Callable[[], None]) -> None:
        """Call `hear` once there are some, at most once."""
        self._quiet.setdefault(selector, {})[hear] = None

    def tell_no_news(self, selector: Selector, hear: Callable[[], None]) -> None:
        """Do not call it any more."""
        if (quiet := self._quiet.get(selector)) is not None:
            quiet.pop(hear, None)
            if not quiet:
                del self._quiet[selector]

    async def run(self) -> None:
        """Do the work for displays until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.desk.run)
            nursery.start_soon(self.rounds.run)

    @contextmanager
    def held(self) -> Iterator[Publish]:
        """Give the newest publication, and keep its keys in their index while it is read."""
        at, pin = self.feed.hold()
        try:
            yield at
        finally:
            at.world.index.unpin(pin)

    # --- Deltas -----------------------------------------------------------------------------------

    def delta(self, selector: Selector, since_tick: int, age_s: float = 0.0) -> SharedDelta | None:
        """Return what changed since then, or None if it is too long ago to say. Equal questions get
        the same answer, for as long as it is the newest, or of that age: so displays of one filter
        that ask behind each other stay together, and its pages are encoded once."""
        key = (selector, since_tick)
        found = self._deltas.get(key)
        if found is not None and self._may_serve(found, age_s):
            self._deltas.move_to_end(key)
            return found
        delta = self.feed.delta(selector, since_tick)
        if delta is None:
            return None
        if found is not None:
            self._deltas.pop(key).let_go()
        while len(self._deltas) >= limits.DELTAS_CACHED or (self._deltas and self._is_crowded):
            self._deltas.popitem(last=False)[1].let_go()
        shared = self._deltas[key] = SharedDelta(delta, self._room)
        return shared

    def _may_serve(self, found: SharedDelta, age_s: float) -> bool:
        if found.delta.at.index == self.newest.index:
            return True
        return bool(found.delta.keys) and trio.current_time() - found.made_s < age_s

    @property
    def _is_crowded(self) -> bool:
        return self._room.left < limits.DELTAS_CACHED_BYTES // 2
