"""One subscription over a Link of its own (trio): what a user iterates over (R35, R36).

It decides what a user who is slower than the node gets: newest-only, what came meanwhile is merged
into one Snapshot that counts what it skipped; every-tick, nothing is merged, reading stops, and TCP
makes the node wait. Because of that each subscription has its own connection: a slow display never
holds up another's acks. What the chunks of a Tick amount to, picture.py knows.
"""

from typing import Any

import attrs
import trio

from rmf import limits
from rmf.client.client_session import refused_by, same_cluster
from rmf.client.client_values import KINDS, Snapshot, cells_of
from rmf.client.link import ClientLink
from rmf.client.picture import ClientPicture, HistoryChanged
from rmf.core import codec, topics
from rmf.core import messages as m
from rmf.errors import RmfError, UsageError

__all__ = ["Watching", "merged", "subscription"]

_NUMBER = 1  # of the one subscription on the connection


def subscription(
    filters: str | list[str],
    *,
    mode: str,
    rate_hz: float | None,
    every_tick: bool,
    from_tick: int | None,
) -> m.Subscribe:
    """Return the SUBSCRIBE of a user's wishes. Raises UsageError for what no node would take."""
    patterns = [filters] if isinstance(filters, str) else list(filters)
    if not 1 <= len(patterns) <= limits.FILTERS_PER_SUBSCRIPTION_MAX:
        most = limits.FILTERS_PER_SUBSCRIPTION_MAX
        raise UsageError(f"expected 1 to {most} filters, found {len(patterns)}")
    for pattern in patterns:
        fault = topics.filter_fault(pattern)
        if fault is not None:
            raise UsageError(fault)
    if mode not in {"full", "delta"}:
        raise UsageError(f"mode: expected 'full' or 'delta', found {mode!r}")
    options: dict[str, Any] = {"mode": mode}
    if rate_hz is not None:
        if not 0 < rate_hz <= limits.RATE_HZ_MAX:
            most_hz = limits.RATE_HZ_MAX
            raise UsageError(f"rate_hz: expected more than 0, at most {most_hz:g}, found {rate_hz}")
        options["rate_hz"] = rate_hz
    if every_tick:
        options["every_tick"] = True
    if from_tick is not None:
        if from_tick < 0:
            raise UsageError(f"from_tick: expected a tick, found {from_tick}")
        options["from_tick"] = from_tick
    return m.Subscribe(_NUMBER, patterns, options)


class Watching:
    """The Speaker of a subscription, and the async iterator over its Snapshots.

    `picture` is what was shown so far. Iterating raises the RmfError that ended the subscription.
    One task at a time may iterate.
    """

    link: ClientLink

    def __init__(self, hello: dict[str, Any], subscribe: m.Subscribe) -> None:
        self.picture = ClientPicture()
        self._hello = {**hello, "now": True}
        self._subscribe = subscribe
        self._full = subscribe.options["mode"] == "full"
        self._subscribed = False
        self._gap: str | None = None
        self._failure: RmfError | None = None
        size = limits.EVERY_TICK_WAITING_TICKS_MAX if subscribe.options.get("every_tick") else 0
        self._every, self._every_out = trio.open_memory_channel[Snapshot](size)
        self._lossless = size > 0
        self._newest: Snapshot | None = None
        self._came = trio.Event()

    def __aiter__(self) -> "Watching":
        return self

    async def __anext__(self) -> Snapshot:
        """Return the next Snapshot: whole, never a chunk."""
        if self._lossless:
            try:
                return await self._every_out.receive()
            except trio.EndOfChannel:
                raise self._end() from None
        await trio.lowlevel.checkpoint()
        while self._newest is None:
            if self._failure is not None:
                raise self._failure
            self._came = trio.Event()
            await self._came.wait()
        snapshot, self._newest = self._newest, None
        return self._completed(snapshot)

    def _end(self) -> BaseException:
        return self._failure if self._failure is not None else StopAsyncIteration()

    async def run(self) -> None:
        """Keep the Link up until goodbye; what ends it is raised to the user."""
        try:
            await self.link.run()
        except RmfError as exc:
            self._failure = exc
        self._every.close()
        self._came.set()

    def _completed(self, snapshot: Snapshot) -> Snapshot:
        """Give a full picture its cells: all that are selected, as of the newest Tick."""
        if not self._full:
            return snapshot
        return attrs.evolve(snapshot, cells=cells_of(self.picture.cells.values()))

    async def _offer(self, whole: m.Snapshot) -> None:
        snapshot = Snapshot(
            term=whole.term,
            tick=whole.tick,
            index=whole.entry_index,
            digest=whole.digest,
            kind=KINDS[whole.kind],
            skipped=whole.skipped,
            live=whole.live,
            cells={} if self._full else cells_of(whole.cells),
            removed=dict(whole.removed),
            gap=self._gap,
            now=whole.now,
        )
        self._gap = None
        if self._lossless:
            await self._every.send(self._completed(snapshot))
        else:
            self._set_newest(snapshot)

    def _set_newest(self, snapshot: Snapshot) -> None:
        self._newest = snapshot if self._newest is None else merged(self._newest, snapshot)
        self._came.set()

    # --- Speaker ------------------------------------------------------------------------------

    def hello(self) -> dict[str, Any]:
        """Return the options of HELLO: they name no producer."""
        return self._hello

    def welcomed(self, welcome: m.Welcome) -> None:
        """Subscribe again."""
        self._hello = same_cluster(self._hello, welcome)
        self._subscribed = False

    async def took(self, message: m.Message) -> None:
        """Take in SNAPSHOT, GAP, END, ERROR."""
        if isinstance(message, m.Snapshot):
            await self._took_snapshot(message)
        elif isinstance(message, m.Gap):
            self._gap = self.picture.take_gap(message)
        elif isinstance(message, m.Error):
            raise refused_by(message)
        elif isinstance(message, m.End):
            self.link.drop(f"the node ended the subscription: {message.text}")

    async def _took_snapshot(self, chunk: m.Snapshot) -> None:
        try:
            whole = self.picture.take(chunk)
        except HistoryChanged as exc:
            self._begin_anew(str(exc))
            return
        if whole is not None:
            await self._offer(whole)

    def _begin_anew(self, why: str) -> None:
        """Drop the picture: its ticks mean nothing where the node is. A whole one comes next."""
        self.picture = ClientPicture()
        self._gap = f"gap: {why}"
        options = {key: x for key, x in self._subscribe.options.items() if key != "from_tick"}
        self._subscribe = self._subscribe._replace(options=options)
        self.link.drop(why)

    def outgoing(self, now_ns: int) -> list[bytes]:  # noqa: ARG002 -- part of a Speaker
        """Return SUBSCRIBE, once per connection; after a loss, it resumes behind what was shown."""
        if self._subscribed:
            return []
        self._subscribed = True
        subscribe = self._subscribe
        if self.picture.tick is not None:
            options = {**subscribe.options, "from_tick": self.picture.tick}
            subscribe = subscribe._replace(options=options)
        return [codec.encode(subscribe)]

    def owed(self) -> bool:
        """Return whether a SNAPSHOT is due: it always is, a keepalive if nothing else (R36)."""
        return self._subscribed

    def due_ns(self) -> int | None:
        """Nothing here depends on time."""
        return None

    def leaving(self) -> None:
        """Snapshots may come until the node closes."""

    def lost(self) -> None:
        """Say that the picture is not live any more: a display must show it (R36)."""
        picture = self.picture
        picture.lost()
        if picture.tick is None or self._lossless:
            return
        self._set_newest(
            Snapshot(
                term=picture.term,
                tick=picture.tick,
                index=picture.index,
                digest=picture.digest,
                kind="keepalive",
                skipped=0,
                live=False,
                cells={},
                removed={},
            )
        )


def merged(older: Snapshot, newer: Snapshot) -> Snapshot:
    """Return one Snapshot that says what two in a row say; the older one counts as skipped."""
    gap = newer.gap if older.gap is None else older.gap
    if older.kind == "keepalive":
        return attrs.evolve(newer, skipped=older.skipped + newer.skipped, gap=gap)
    if newer.kind == "keepalive":
        return attrs.evolve(
            older,
            term=newer.term,
            tick=newer.tick,
            index=newer.index,
            digest=newer.digest,
            live=newer.live,
            skipped=older.skipped + newer.skipped,
            gap=gap,
            now=newer.now,
        )
    skipped = older.skipped + newer.skipped + 1
    if newer.kind == "full":
        return attrs.evolve(newer, skipped=skipped, gap=gap)
    cells = {key: cell for key, cell in older.cells.items() if key not in newer.removed}
    cells.update(newer.cells)
    removed = {key: why for key, why in older.removed.items() if key not in newer.cells}
    removed.update(newer.removed)
    return attrs.evolve(
        newer, kind=older.kind, skipped=skipped, cells=cells, removed=removed, gap=gap
    )
