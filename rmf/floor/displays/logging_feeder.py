"""One subscription that receives every Tick, none left out (R37).

At the tail of history all such feeders share what the feed holds encoded; further back each reads
the ledger for itself, page by page. Where Ticks are not retained any more a GAP says so; what is
retained is sent behind it, and then a full picture makes the display's own whole again.
"""

from contextlib import closing

import trio

from rmf import limits
from rmf.core import messages as m
from rmf.core.delta import pages_of_tick
from rmf.core.effects import Publish
from rmf.core.selector import Own, SelectionMark, Selector
from rmf.floor.displays.history import Gone, History, TurnCursor
from rmf.floor.displays.published_world import PublishedWorld
from rmf.floor.displays.snapshot_writer import SnapshotWriter

__all__ = ["LoggingFeeder"]


class LoggingFeeder:
    """Feeds until it is cancelled. `told` is the Entry up to which everything was sent; its index
    is 0 while only its tick is known."""

    def __init__(
        self, picture: PublishedWorld, history: History, speech: SnapshotWriter, selector: Selector
    ) -> None:
        self.told = SelectionMark(0, 0, 0, b"")
        self._picture = picture
        self._history = history
        self._speech = speech
        self._selector = selector
        self._owes_whole = False  # after a gap: what was sent since builds on a picture unknown

    async def run(self, from_tick: int | None) -> None:
        """Begin with all there is, or behind `from_tick`; go on with every Tick."""
        await self._speech.wait_for(from_tick)
        if from_tick is None:
            await self._tell_whole()
        else:
            known = self._picture.feed.mark_at(from_tick)
            self.told = (known or SelectionMark(0, 0, 0, b""))._replace(tick=from_tick)
            if known is not None:
                await self._speech.say(m.KEEPALIVE, self.told)
        while True:
            own = self._tail()
            if own is None:
                await self._tell_history()
            elif own:
                await self._tell_tail(own)
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Wait for the next Tick of the selection; a keepalive if that takes too long (R36)."""
        live = self._picture.newest.live
        with trio.move_on_at(self._speech.said_s + limits.KEEPALIVE_S) as waited:
            while not self._has_more and self._picture.newest.live == live:
                await self._picture.news(self._selector)
        if waited.cancelled_caught or not self._has_more:
            if not self._has_more:
                self.told = SelectionMark.of(self._picture.newest)
            await self._speech.say(m.KEEPALIVE, self.told)

    @property
    def _has_more(self) -> bool:
        return self._selector.newest_tick > self.told.tick or (
            self._selector.since.entry_index > self.told.entry_index
        )

    # --- The tail ---------------------------------------------------------------------------------

    def _tail(self) -> list[Own] | None:
        """Return what is to be sent from memory; None: it is not there."""
        if self._owes_whole or not self.told.entry_index:
            return None
        return self._picture.feed.tail(self._selector, self.told.entry_index)

    async def _tell_tail(self, own: list[Own]) -> None:
        async with self._speech.turn(self.told):
            for change, keys in own:
                pages = await self._picture.desk.make(pages_of_tick(change, keys))
                if pages is None:
                    return  # it left the tail while this display was slow: the ledger has it
                await self._tell(change.mark, pages)

    async def _tell(self, mark: SelectionMark, pages: list[bytes]) -> None:
        for i, page in enumerate(pages):
            await self._speech.say(m.DELTA, mark, page, more=i < len(pages) - 1)
        self.told = mark

    async def _tell_whole(self) -> None:
        """Tell the whole selection of the newest picture."""
        async with self._speech.turn(self.told):
            with self._picture.held() as at:
                await self._tell_held(at)

    async def _tell_held(self, at: Publish) -> None:
        await self._speech.say_whole(self._selector, at, with_removed=self._owes_whole)
        self.told, self._owes_whole = SelectionMark.of(at), False

    # --- History ----------------------------------------------------------------------------------

    async def _tell_history(self) -> None:
        """Tell from the ledger until the tail is reached."""
        after = self.told
        with closing(self._history.cursor(self._selector, after.tick, after.entry_index)) as cursor:
            while self._tail() is None:
                behind = self._picture.newest.index - cursor.mark.entry_index
                if self._owes_whole and behind <= limits.EVERY_TICK_BATCH_ENTRIES:
                    await self._catch_up(cursor)
                else:
                    await self._read(cursor, self._picture.newest.index - self._owes_whole)

    async def _catch_up(self, cursor: TurnCursor) -> None:
        """Tell what is left but the newest Tick, and that one as a full picture: whatever a display
        builds on, from here on it is whole."""
        with self._picture.held() as at:
            while cursor.mark.entry_index < at.index - 1:
                await self._read(cursor, at.index - 1)
            async with self._speech.turn(self.told):
                await self._tell_held(at)

    async def _read(self, cursor: TurnCursor, through_index: int) -> None:
        """Tell the next Ticks up to this Entry, or that some are gone."""
        async with self._speech.turn(self.told):
            found = await cursor.turns(through_index)
            if cursor.bookmark is not None and not self.told.entry_index:
                self.told = cursor.bookmark._replace(tick=self.told.tick)
                await self._speech.say(m.KEEPALIVE, self.told)
            if isinstance(found, Gone):
                self._owes_whole = True
                await self._speech.say_gap(found.oldest_tick or self._picture.newest.tick)
                return
            for tick in found:
                await self._tell(tick.mark, tick.pages)
        if cursor.mark.digest:
            self.told = cursor.mark
