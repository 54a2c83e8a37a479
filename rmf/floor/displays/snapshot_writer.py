"""What is said to one subscription: SNAPSHOTs, dated as they leave, and when the last one left.

It knows frames and the connection's pages door. Of the subscriptions of one connection one at a
time makes pictures: nothing is made while no display reads. Keepalives need no such turn, so that a
subscription is not silent while another one is sent a World.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.effects import Publish
from rmf.core.page import EMPTY_PAGE
from rmf.core.selection import pages_of_selection
from rmf.core.selector import SelectionMark, Selector
from rmf.floor.displays.published_world import PublishedWorld, SharedDelta

__all__ = ["SnapshotWriter"]

_NO_DIGEST = bytes(16)


class SnapshotWriter:
    """`said_s` is when the last frame was taken by the connection."""

    def __init__(
        self,
        picture: PublishedWorld,
        number: int,
        pages: trio.MemorySendChannel[bytes],
        turn: trio.Lock,
        *,
        dated: bool = False,
    ) -> None:
        self.said_s = trio.current_time()
        self._picture = picture
        self._number = number
        self._pages = pages
        self._turn = turn
        self._dated = dated

    @asynccontextmanager
    async def turn(self, told: SelectionMark) -> AsyncIterator[None]:
        """Wait until no other subscription of the connection makes pictures; keepalives name what
        was sent so far."""
        while True:
            with trio.move_on_at(self.said_s + limits.KEEPALIVE_S) as waited:
                await self._turn.acquire()
            if not waited.cancelled_caught:
                break
            await self.say(m.KEEPALIVE, told)
        try:
            yield
        finally:
            self._turn.release()

    @property
    def is_free(self) -> bool:
        """Whether no subscription of the connection makes pictures."""
        return not self._turn.locked()

    async def say(
        self,
        kind: int,
        at: SelectionMark,
        page: bytes = EMPTY_PAGE,
        skipped: int = 0,
        *,
        more: bool = False,
    ) -> None:
        """Send one SNAPSHOT; waits for as long as the display takes."""
        await self._pages.send(self._frame(kind, at, page, skipped, more=more))
        self.said_s = trio.current_time()

    def say_at_once(self, kind: int, at: SelectionMark, page: bytes, skipped: int) -> bool:
        """Send one SNAPSHOT, if the connection waits for one; return whether it did."""
        try:
            self._pages.send_nowait(self._frame(kind, at, page, skipped, more=False))
        except trio.WouldBlock:
            return False
        self.said_s = trio.current_time()
        return True

    def _frame(
        self, kind: int, at: SelectionMark, page: bytes, skipped: int, *, more: bool
    ) -> bytes:
        head = [*at, self._picture.live, skipped]
        now = self._picture.tick if self._dated else None
        return codec.encode_snapshot(self._number, kind, head, page, more=more, now=now)

    async def say_gap(self, oldest_tick: int) -> None:
        """Say that Ticks before this one are not retained."""
        await self._pages.send(codec.encode(m.Gap(self._number, oldest_tick)))

    async def say_whole(
        self, selector: Selector, at: Publish, skipped: int = 0, *, with_removed: bool = False
    ) -> None:
        """Send the whole selection of one World, which must be `held`."""
        gone = at.removed.items() if with_removed else ()
        removed = sorted(pair for pair in gone if selector(pair[0]))
        work = pages_of_selection(at.world, selector, removed)
        more = True
        while more:
            made = await self._picture.desk.make(work)
            assert made is not None  # the last page says that it is the last
            page, more = made
            await self.say(m.FULL, SelectionMark.of(at), page, skipped, more=more)

    async def say_delta(self, shared: SharedDelta) -> None:
        """Send a delta that was gathered."""
        delta, told, more = shared.delta, 0, True
        skipped = delta.ticks - 1
        while more:
            piece = await self._picture.desk.make(shared.page(told))
            assert piece is not None
            told = piece.told
            more = told < len(delta.keys)
            await self.say(m.DELTA, SelectionMark.of(delta.at), piece.body, skipped, more=more)

    async def wait_for(self, from_tick: int | None) -> None:
        """Wait until there is a picture, and one of that tick if it is named. Keepalives say that
        there is none yet: of no Entry, and the first at once if a tick was named."""
        picture, least = self._picture, from_tick or 0
        is_due = from_tick is not None
        while picture.feed.newest is None or picture.newest.tick < least:
            if is_due:
                term = picture.newest.term if picture.feed.newest is not None else 0
                await self.say(m.KEEPALIVE, SelectionMark(term, least, 0, _NO_DIGEST))
            with trio.move_on_at(self.said_s + limits.KEEPALIVE_S):
                await picture.reaches(least)
            is_due = True
