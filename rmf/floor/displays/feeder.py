"""One subscription: what it was sent, and what it gets next (R35, R36).

While it waits for a change of its selection, for its rate and for keepalives, the rounds tell it
what is due: a keepalive, or a delta of one page. What is more, or finds the display still reading,
its own task tells: it has a delta or a whole picture made at the desk, page by page, and sends
frames through the connection's pages door, which holds none. So a slow display is conflated, holds
up only itself, and learns how many Ticks it skipped. Who receives every Tick, logging_feeder
serves.
"""

import math

import trio

from rmf import limits
from rmf.core import messages as m
from rmf.core.effects import Publish
from rmf.core.page import EMPTY_PAGE
from rmf.core.selector import SelectionMark, Selector
from rmf.floor.displays.history import History
from rmf.floor.displays.logging_feeder import LoggingFeeder
from rmf.floor.displays.published_world import PublishedWorld, SharedDelta
from rmf.floor.displays.rounds import Onlooker
from rmf.floor.displays.snapshot_writer import SnapshotWriter

__all__ = ["Feeder"]

_EPSILON = 1e-6  # of a step of the grid: what is on it stays there


class Feeder:
    """Feeds one subscription until it is cancelled or its display is gone (BrokenResourceError).
    `turn` is shared by the subscriptions of one connection (see floor/speech); `dated` SNAPSHOTs
    carry the present tick."""

    def __init__(
        self,
        picture: PublishedWorld,
        history: History,
        subscribe: m.Subscribe,
        pages: trio.MemorySendChannel[bytes],
        turn: trio.Lock | None = None,
        *,
        dated: bool = False,
    ) -> None:
        options = subscribe.options
        self._filters = subscribe.filters
        self._full = options.get("mode", "delta") == "full"
        self._interval_s = 1 / min(
            float(options.get("rate_hz", limits.RATE_HZ_DEFAULT)), limits.RATE_HZ_MAX
        )
        self._every_tick = bool(options.get("every_tick", False))
        self._from_tick: int | None = options.get("from_tick")
        self._picture = picture
        self._history = history
        turn = turn or trio.Lock()
        self._speech = SnapshotWriter(picture, subscribe.number, pages, turn, dated=dated)

    async def run(self) -> None:
        """Send the selection, then what changes."""
        feed, every_tick = self._picture.feed, self._every_tick
        selector = feed.selector(self._filters, every_tick=every_tick)
        try:
            if every_tick:
                logger = LoggingFeeder(self._picture, self._history, self._speech, selector)
                await logger.run(self._from_tick)
            else:
                newest = _Newest(
                    self._picture, self._speech, selector, self._interval_s, full=self._full
                )
                await newest.run(self._from_tick)
        finally:
            feed.release(selector, every_tick=every_tick)


class _Newest:
    """A newest-only subscription: what was sent, and when it was looked at last."""

    def __init__(
        self,
        picture: PublishedWorld,
        speech: SnapshotWriter,
        selector: Selector,
        interval_s: float,
        *,
        full: bool,
    ) -> None:
        self._picture = picture
        self._speech = speech
        self._selector = selector
        self._interval_s = interval_s
        self._full = full
        self._looked_s = trio.current_time()
        self._told = SelectionMark(0, 0, 0, b"")
        self._told_live = False
        self._refused = 0  # how often in a row the connection took nothing at once
        self._waiting = Onlooker(picture.rounds, self._tell_at_once)

    async def run(self, from_tick: int | None) -> None:
        """Begin with all there is, or behind `from_tick`; go on with changes."""
        await self._speech.wait_for(from_tick)
        known = self._picture.feed.mark_at(from_tick) if from_tick is not None else None
        if known is None or from_tick is None:
            async with self._speech.turn(self._told):
                with self._picture.held() as at:
                    await self._tell_whole(at)
        else:
            self._told = known._replace(tick=from_tick)
            await self._speech.say(m.KEEPALIVE, self._told)
            await self._tell_changes()
        try:
            await self._go_on()
        finally:
            self._picture.tell_no_news(self._selector, self._hear_news)

    async def _go_on(self) -> None:
        """Tell what the rounds do not."""
        while True:
            self._told_live, self._refused = self._picture.newest.live, 0
            await self._waiting.wait()
            if self._has_changed and trio.current_time() >= self._next_look_s:
                await self._tell_changes()
            else:
                await self._keep_alive()

    @property
    def _has_changed(self) -> bool:
        """Whether there is something to tell; it may turn out that there is not."""
        told = self._told.tick
        return self._selector.newest_tick > told or self._selector.since.tick > told

    @property
    def _next_look_s(self) -> float:
        return self._looked_s + self._interval_s

    # --- In the rounds ----------------------------------------------------------------------------

    def _tell_at_once(self) -> float | None:
        """Tell what is due, a keepalive if nothing was said for too long (R36); return when
        something is next, None if it cannot be told at once."""
        now_s = trio.current_time()
        is_told: bool | None = True
        if now_s >= self._next_look_s and self._has_changed:
            is_told = self._tell_delta_at_once(now_s)
        elif now_s >= self._next_word_s:
            is_told = self._keep_alive_at_once()
        if not is_told:
            return None if is_told is None else now_s
        self._told_live, self._refused = self._picture.newest.live, 0
        return self._next_word_s

    def _keep_alive_at_once(self) -> bool | None:
        if not self._has_changed:
            self._told = SelectionMark.of(self._picture.newest)
        return self._say_at_once(m.KEEPALIVE, self._told)

    def _tell_delta_at_once(self, now_s: float) -> bool | None:
        """Tell what changed; False: not yet, None: it is more than a page."""
        age_s = self._interval_s * limits.SHARED_AGE
        shared = self._picture.delta(self._selector, self._told.tick, age_s)
        if self._full or shared is None or not self._speech.is_free:
            return None
        page, delta = shared.go_on(), shared.delta
        if shared.is_begun:
            return False
        if delta.is_lost or (page is not None and page.told < len(delta.keys)):
            return None
        at = SelectionMark.of(delta.at)
        if page is not None:
            is_said = self._say_at_once(m.DELTA, at, page.body, delta.ticks - 1)
            if not is_said:
                return is_said
        self._told, self._looked_s = at, now_s
        return True

    def _say_at_once(
        self, kind: int, at: SelectionMark, page: bytes = EMPTY_PAGE, skipped: int = 0
    ) -> bool | None:
        """Say it if the connection has a hand free; False: not yet, None: it does not get one."""
        if self._speech.say_at_once(kind, at, page, skipped):
            return True
        self._refused += 1
        return None if self._refused > limits.PAGE_TRIES_MAX else False

    @property
    def _next_word_s(self) -> float:
        """When something is to be said, as far as it is known by now; news are waited for."""
        alive_s = _on_the_grid(self._speech.said_s + limits.KEEPALIVE_S)
        if self._has_changed or self._picture.newest.live != self._told_live:
            return min(alive_s, self._next_look_s)
        self._picture.tell_news(self._selector, self._hear_news)
        return alive_s

    def _hear_news(self) -> None:
        self._waiting.expect(self._next_look_s)

    async def _keep_alive(self) -> None:
        """Say that everything was sent: up to now, if nothing of it has changed since (R35)."""
        if not self._has_changed:
            self._told = SelectionMark.of(self._picture.newest)
        await self._speech.say(m.KEEPALIVE, self._told)

    # --- Telling ----------------------------------------------------------------------------------

    async def _tell_changes(self) -> None:
        self._looked_s = trio.current_time()
        async with self._speech.turn(self._told):
            with self._picture.held() as at:
                shared = self._picture.delta(self._selector, self._told.tick)
                if shared is not None:
                    await self._picture.desk.make(shared.gather())
                if shared is None or shared.delta.is_lost:
                    await self._tell_whole(at)
                elif not shared.delta.ticks:
                    self._told = SelectionMark.of(
                        at
                    )  # nothing of what this one watches has changed
                elif self._full:
                    await self._tell_whole(at, shared.delta.ticks - 1)
                else:
                    await self._tell_delta(shared, at)

    async def _tell_whole(self, at: Publish, skipped: int = 0) -> None:
        await self._speech.say_whole(self._selector, at, skipped)
        self._note_told(at)

    async def _tell_delta(self, shared: SharedDelta, at: Publish) -> None:
        await self._speech.say_delta(shared)
        self._note_told(at)

    def _note_told(self, at: Publish) -> None:
        self._told = SelectionMark.of(at)
        self._looked_s = trio.current_time()


def _on_the_grid(due_s: float) -> float:
    """Return when a keepalive leaves that is due then at the latest: together with others."""
    grid_s = limits.KEEPALIVE_GRID_S
    return math.floor(due_s / grid_s + _EPSILON) * grid_s
