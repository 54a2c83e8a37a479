"""One subscription: what it was sent, and what it gets next (R35, R36, R37).

It waits for a newer Tick and for its rate, makes a delta from the feed or walks the whole selection
in slices, and sends frames through the connection's pages door, which holds none. So a slow display
is conflated, holds up only itself, and is told how many Ticks it skipped. Equal deltas are encoded
once for all who watch the same filters.
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing

import cbor2
import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.effects import Publish
from rmf.core.feed import Delta, Feed
from rmf.core.turns import Turn
from rmf.floor.history import Gone, History, TurnCursor

__all__ = ["Feeder", "Picture"]

_EMPTY = b"\x80"


class Picture:
    """The feed, a signal for whoever waits for a newer Tick, and the deltas encoded lately."""

    def __init__(self, feed: Feed, turns: Callable[[], bool] = lambda: True) -> None:
        self.feed = feed
        self._turns = turns
        self._newer = trio.Event()
        self._encoded: OrderedDict[tuple[object, ...], tuple[int, list[bytes]]] = OrderedDict()

    @property
    def newest(self) -> Publish:
        """The last publication; there must be one."""
        assert self.feed.newest is not None
        return self.feed.newest

    @property
    def live(self) -> bool:
        """Whether a reigning Arbiter is in touch, as far as this node knows; if its own Arbiter has
        not turned for a while (the process was paused), it does not know (R36)."""
        return self.newest.live and self._turns()

    def take(self, publications: list[Publish]) -> None:
        """Take in what the arbiter published, and wake the feeders."""
        for publication in publications:
            self.feed.publish(publication)
        self._newer.set()
        self._newer = trio.Event()

    async def wait_until(self, enough: Callable[[], bool]) -> None:
        """Wait until a publication makes `enough` true."""
        while not enough():
            await self._newer.wait()

    def delta(self, filters: tuple[str, ...], since: int) -> tuple[int, list[bytes]]:
        """Return how many Ticks changed something since then (-1: too long ago to say), and the
        encoded chunks of cells and removals. Equal questions are answered from memory."""
        key = (filters, since, self.newest.index)
        found = self._encoded.get(key)
        if found is None:
            delta = self.feed.delta(self.feed.selector(filters), since)
            found = (-1, []) if delta is None else (delta.ticks, list(_chunks(delta)))
            self._encoded[key] = found
            if len(self._encoded) > limits.DELTAS_CACHED:
                self._encoded.popitem(last=False)
        return found


def _chunks(delta: Delta) -> list[bytes]:
    """Return cells and removals encoded, in chunks of about SNAPSHOT_CHUNK_BYTES."""
    page = _Page()
    chunks = [page.cut(_EMPTY) for cell in delta.cells if page.add(cell)]
    removed = cbor2.dumps(delta.removed)
    if len(removed) <= limits.SNAPSHOT_CHUNK_BYTES:
        return [*chunks, page.cut(removed)]
    step = limits.SCAN_SLICE_KEYS // 8
    parts = [delta.removed[i : i + step] for i in range(0, len(delta.removed), step)]
    chunks.append(page.cut(_EMPTY))
    return chunks + [_EMPTY + cbor2.dumps(part) for part in parts]


class _Page:
    """Cells encoded one by one until a chunk is full."""

    def __init__(self) -> None:
        self._cells: list[bytes] = []
        self._bytes = 0

    def add(self, cell: m.WireCell) -> bool:
        """Add a cell; True says that the chunk is full."""
        encoded = cbor2.dumps(cell)
        self._cells.append(encoded)
        self._bytes += len(encoded)
        return self._bytes >= limits.SNAPSHOT_CHUNK_BYTES

    def cut(self, removed: bytes) -> bytes:
        """Return the chunk and begin the next."""
        cells = _array_head(len(self._cells)) + b"".join(self._cells)
        self._cells, self._bytes = [], 0
        return cells + removed


def _array_head(items: int) -> bytes:
    if items < 24:
        return bytes([0x80 + items])
    for info, size in ((0x98, 1), (0x99, 2)):
        if items < 1 << (8 * size):
            return bytes([info]) + items.to_bytes(size, "big")
    return b"\x9a" + items.to_bytes(4, "big")


class Feeder:
    """Feeds one subscription until it is cancelled or its display is gone (BrokenResourceError)."""

    def __init__(
        self,
        picture: Picture,
        history: History,
        subscribe: m.Subscribe,
        pages: trio.MemorySendChannel[bytes],
    ) -> None:
        options = subscribe.options
        self._number = subscribe.number
        self._filters = tuple(subscribe.filters)
        self._full = options.get("mode", "delta") == "full"
        self._interval_s = 1 / min(
            float(options.get("rate_hz", limits.RATE_HZ_DEFAULT)), limits.RATE_HZ_MAX
        )
        self._every_tick = bool(options.get("every_tick", False))
        self._from_tick: int | None = options.get("from_tick")
        self._picture = picture
        self._history = history
        self._pages = pages
        self._sent: Publish | None = None
        self._said_s = self._looked_s = trio.current_time()

    async def run(self) -> None:
        """Send the selection, then what changes."""
        picture, since = self._picture, self._from_tick
        await picture.wait_until(lambda: picture.feed.newest is not None)
        while since is not None and picture.newest.tick < since:  # this node lags: it waits
            await self._keep_alive_until(lambda: picture.newest.tick >= since)
        if self._every_tick:
            await self._feed_every_tick(since)
        elif since is None or self._full:
            await self._send_full(0)
        else:
            await self._send_changes(since)
        while True:
            await self._next()

    # --- Newest only ----------------------------------------------------------------------------

    async def _next(self) -> None:
        """Wait for the rate and for a newer Tick; a keepalive if that takes too long (R36)."""
        sent = self._sent
        assert sent is not None
        with trio.move_on_at(self._said_s + limits.KEEPALIVE_S) as waited:
            await trio.sleep_until(self._looked_s + self._interval_s)
            await self._picture.wait_until(lambda: self._picture.newest is not sent)
        if waited.cancelled_caught or self._picture.newest.index == sent.index:
            await self._keep_alive(sent)
        else:
            await self._send_changes(sent.tick)

    async def _keep_alive(self, sent: Publish) -> None:
        """Say that everything was told: up to now, if nothing of it has changed since."""
        newest = self._picture.newest
        ticks, _ = self._picture.delta(self._filters, sent.tick)
        self._sent = newest if ticks == 0 else sent
        await self._send(m.KEEPALIVE, self._sent, _EMPTY + _EMPTY)

    async def _keep_alive_until(self, enough: Callable[[], bool]) -> None:
        """Wait until a publication makes `enough` true, or until a keepalive was due and sent."""
        with trio.move_on_at(self._said_s + limits.KEEPALIVE_S) as waited:
            await self._picture.wait_until(enough)
        if waited.cancelled_caught:
            await self._send(m.KEEPALIVE, self._picture.newest, _EMPTY + _EMPTY)

    async def _send_changes(self, since: int) -> None:
        newest = self._picture.newest
        self._looked_s = trio.current_time()
        ticks, chunks = self._picture.delta(self._filters, since)
        if ticks == 0 and self._sent is not None:
            self._sent = newest  # nothing of what this one watches has changed
        elif ticks < 0 or self._full:
            await self._send_full(max(0, ticks - 1))
        else:
            await self._send_chunks(m.DELTA, newest, chunks, max(0, ticks - 1))

    async def _send_full(self, skipped: int) -> None:
        """Walk the selection of one World in slices; chunks leave as they fill (R35)."""
        newest = self._picture.newest
        index = newest.world.index
        pin = index.pin()
        try:
            page = _Page()
            selector = self._picture.feed.selector(self._filters)
            for cells in Feed.select(newest.world, selector):
                for cell in cells:
                    if page.add(cell):
                        await self._send(m.FULL, newest, page.cut(_EMPTY), skipped, more=True)
                await trio.lowlevel.checkpoint()
            await self._send(m.FULL, newest, page.cut(_EMPTY), skipped)
        finally:
            index.unpin(pin)

    # --- Every tick -------------------------------------------------------------------------------

    async def _feed_every_tick(self, since: int | None) -> None:
        """Tell every Tick once, from the ledger; a gap is said, and a full picture follows it."""
        index = 0
        while True:
            if since is None:
                await self._send_full(0)
                assert self._sent is not None
                since, index = self._sent.tick, self._sent.index
            with closing(self._history.cursor(since, index)) as cursor:
                oldest_tick = await self._tell_all(cursor)
            await self._pages.send(codec.encode(m.Gap(self._number, oldest_tick)))
            since = None

    async def _tell_all(self, cursor: TurnCursor) -> int:
        """Tell what comes, until it comes no more in full; return from which tick on it does."""
        selector = self._picture.feed.selector(self._filters)
        while True:
            turns = await cursor.turns(self._picture.newest.index)
            if isinstance(turns, Gone):
                return turns.oldest_tick
            for turn in turns:
                await self._send_turn(turn, selector)
            if not turns:
                await self._keep_alive_until(lambda: self._picture.newest.index > cursor.index)

    async def _send_turn(self, turn: Turn, selector: Callable[[str], bool]) -> None:
        cells = [cell for cell in turn.cells if selector(cell.key)]
        removed = [pair for pair in turn.removed if selector(pair[0])]
        if not cells and not removed:
            return
        chunks = _chunks(Delta(cells, removed, 1))
        for i, chunk in enumerate(chunks):
            await self._send(m.DELTA, turn, chunk, more=i < len(chunks) - 1)

    # --- Frames -----------------------------------------------------------------------------------

    async def _send_chunks(self, kind: int, at: Publish, chunks: list[bytes], skipped: int) -> None:
        for i, chunk in enumerate(chunks):
            await self._send(kind, at, chunk, skipped, more=i < len(chunks) - 1)

    async def _send(
        self,
        kind: int,
        at: Publish | Turn,
        cells_and_removed: bytes,
        skipped: int = 0,
        *,
        more: bool = False,
    ) -> None:
        """Send one SNAPSHOT; waits for as long as the display takes."""
        head = [at.term, at.tick, at.index, at.digest, self._picture.live, skipped]
        await self._pages.send(
            codec.encode_snapshot(self._number, kind, head, cells_and_removed, more=more)
        )
        self._said_s = trio.current_time()
        if kind != m.KEEPALIVE:
            self._looked_s = self._said_s
            if not more and isinstance(at, Publish):
                self._sent = at
