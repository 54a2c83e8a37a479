"""What subscribers may see: the newest World, and which keys changed in which Tick (R35, R45).

The Feed keeps the last published World and a ring of what the last Ticks changed, bounded in Ticks,
keys and matches. Each changed key is looked up once, for all filters together; a Selector keeps
what was its own of each Tick. So a Tick costs what it changed, and a display what it shows. Who
gets which, and how often, is floor/publisher's part. A delta that would reach back beyond the ring
is not made: the subscriber gets a full picture.

Whatever may be large is a generator: it yields None after each FEED_STEP_KEYS keys, so that its
user may let others run, and does no work that was not asked for.
"""

from collections import deque
from collections.abc import Collection, Generator, Iterable

import attrs

from rmf import limits
from rmf.core.answers import wire_cell
from rmf.core.delta import Delta, DeltaChanges
from rmf.core.effects import Publish
from rmf.core.filter_tree import FilterTree
from rmf.core.page import cell_bytes
from rmf.core.selector import Own, SelectionMark, Selector, TickChange
from rmf.core.world import KeyIndex, World

__all__ = ["Feed"]


class Feed:
    """The newest publication and the ring behind it."""

    def __init__(
        self,
        matches_max: int = limits.FEED_MATCHES_KEPT,
        tail_bytes_max: int = limits.FEED_TAIL_BYTES,
    ) -> None:
        self._matches_max = matches_max
        self._tail_bytes_max = tail_bytes_max
        self.newest: Publish | None = None
        self._base = SelectionMark(0, 0, 0, b"")  # where the ring begins
        self._fell_back = False
        self._pin: tuple[KeyIndex, int] | None = None
        self._ring: deque[TickChange] = deque()
        self._keys = 0
        self._matches = 0
        self._selectors: dict[tuple[str, ...], Selector] = {}
        self._all: dict[Selector, None] = {}
        self._tree: FilterTree[Selector] = FilterTree()
        self._known: dict[str, tuple[Selector, ...]] = {}
        self._tail: deque[TickChange] = deque()
        self._tail_bytes = 0

    @property
    def since_tick(self) -> int:
        """The oldest tick from which a delta can still be made."""
        return self._base.tick

    # --- Who watches ------------------------------------------------------------------------------

    def selector(self, filters: Iterable[str], *, every_tick: bool = False) -> Selector:
        """Return the Selector that equal filters share; to be released by the caller."""
        key = tuple(sorted(set(filters)))
        selector = self._selectors.get(key)
        if selector is None:
            selector = self._selectors[key] = Selector(key)
            selector.since = self._base if self.newest is None else SelectionMark.of(self.newest)
            self._known.clear()
            if selector.takes_all:
                self._all[selector] = None
            else:
                for pattern in key:
                    self._tree.add(pattern, selector)
        selector.users += 1
        selector.loggers += every_tick
        return selector

    def release(self, selector: Selector, *, every_tick: bool = False) -> None:
        """One subscription less: what no display watches is forgotten."""
        selector.users -= 1
        selector.loggers -= every_tick
        if selector.users:
            return
        del self._selectors[selector.filters]
        self._all.pop(selector, None)
        self._known.clear()
        if not selector.takes_all:
            for pattern in selector.filters:
                self._tree.discard(pattern, selector)
            self._matches -= sum(len(keys) for _, keys in selector.turns)
        selector.turns.clear()
        selector.filling = None

    # --- What comes -------------------------------------------------------------------------------

    def publish(self, publication: Publish) -> None:
        """Take in a publication at once."""
        for _ in self.take(publication, publication.world.index.pin()):
            pass

    def take(
        self, publication: Publish, pin: int | None = None
    ) -> Generator[None, None, Collection[Selector] | None]:
        """Take in a publication; it is the newest once this is done. Return whose selection has
        changed, None: that of any. `pin` is on its World's index since it was committed, and is
        taken over: a later one would not hold what was removed meanwhile. Without one, others come
        with it, and what was held is held until the last of them.

        A core that was read again may publish once more what was shown before: its pictures count
        from the newest one on (ticks only rise), and of the older ones just whether they are live.
        """
        newest = self.newest
        if newest is not None and publication.index <= newest.index:
            return self._again(newest, publication, pin)
        follows = newest is not None and publication.index == newest.index + 1
        if newest is not None and not (publication.changed or publication.removed):
            # A core that was read again does not know what its last Entry changed: if that was
            # something, it does not follow, though its index is the next one.
            follows = follows and publication.world.total == newest.world.total
        if not follows or self._fell_back:
            self._begin_at(publication, pin)
            return None
        change = TickChange(SelectionMark.of(publication), publication.changed, publication.removed)
        matches = 0
        for selector, keys in (yield from self._owners(change)).items():
            change.owners.append(selector)
            selector.turns.append((change, keys))
            matches += 0 if selector.takes_all else len(keys)
        self._matches += matches
        self._ring.append(change)
        self._keys += len(change.changed) + len(change.removed)
        yield from self._keep_for_loggers(change, publication.world)
        self._show(publication, pin)
        self._trim()
        if self._matches > self._matches_max:
            self._begin_at(publication, None)
            return None
        return change.owners

    def _again(
        self, newest: Publish, again: Publish, pin: int | None
    ) -> Collection[Selector] | None:
        """Take in what is not newer than what was shown."""
        if again.index == newest.index and again.digest == newest.digest:
            self._show(again, pin)
        else:
            self._fell_back = True
            if pin is not None:
                again.world.index.unpin(pin)
            self.newest = attrs.evolve(newest, live=again.live, clock=again.clock)
        return None if again.live != newest.live else ()

    def _show(self, publication: Publish, pin: int | None) -> None:
        """Make this the newest, and keep its keys in their index for as long as it is."""
        self.newest = publication
        index, before = publication.world.index, self._pin
        if pin is None and before is not None and before[0] is index:
            return
        self._pin = (index, index.pin() if pin is None else pin)
        if before is not None:
            before[0].unpin(before[1])

    def hold(self) -> tuple[Publish, int]:
        """Return the newest publication and a pin that holds its keys in their index; the caller,
        once done, takes the pin off."""
        assert self.newest is not None
        assert self._pin is not None
        index, pin = self._pin
        index.share(pin)
        return self.newest, pin

    def _begin_at(self, publication: Publish, pin: int | None) -> None:
        """Start over: no display gets a delta across this."""
        self._fell_back = False
        self._show(publication, pin)
        self._base = SelectionMark.of(publication)
        self._ring.clear()
        self._tail.clear()
        self._keys = self._matches = self._tail_bytes = 0
        for selector in self._selectors.values():
            selector.turns.clear()
            selector.since = self._base
            selector.filling = None

    def _owners(self, change: TickChange) -> Generator[None, None, dict[Selector, Collection[str]]]:
        """Look up each key once; return what is whose."""
        found: dict[Selector, list[str]] = {}
        keys = change.keys
        exact = self._tree.exact_keys
        if exact is not None:
            keys = [*(change.changed & exact), *(change.removed.keys() & exact)]
        for i, key in enumerate(keys):
            owners = self._known.get(key)
            if owners is None:
                owners = self._look_up(key)
            for selector in owners:
                found.setdefault(selector, []).append(key)
            if i % limits.FEED_STEP_KEYS == limits.FEED_STEP_KEYS - 1:
                yield
        own: dict[Selector, Collection[str]] = {x: y for x, y in found.items() if x.users}
        if change.changed or change.removed:
            own.update(dict.fromkeys(self._all, change.keys))
        return own

    def _look_up(self, key: str) -> tuple[Selector, ...]:
        if len(self._known) >= limits.FEED_KEYS_KNOWN:
            self._known.clear()
        owners = self._known[key] = tuple(self._tree.match(key))
        return owners

    def _keep_for_loggers(self, change: TickChange, world: World) -> Generator[None]:
        """Encode what a display of every Tick will want of this one, once for all."""
        loggers = [selector for selector in change.owners if selector.loggers]
        if not loggers:
            return
        encoded: dict[str, bytes] = {}
        size = 0
        for selector in loggers:
            for i, key in enumerate(selector.turns[-1][1]):
                cell = world.get(key) if key not in encoded else None
                if cell is not None:
                    encoded[key] = cell_bytes(wire_cell(key, cell))
                    size += len(encoded[key])
                if i % limits.FEED_STEP_KEYS == limits.FEED_STEP_KEYS - 1:
                    yield
        change.encoded = encoded
        self._tail.append(change)
        self._tail_bytes += size
        while self._tail_bytes > self._tail_bytes_max:
            self._forget_tail()

    def _forget_tail(self) -> None:
        oldest = self._tail.popleft()
        assert oldest.encoded is not None
        self._tail_bytes -= sum(map(len, oldest.encoded.values()))
        oldest.encoded = None

    def _trim(self) -> None:
        """Let the oldest leave the ring at its bounds."""
        while (
            len(self._ring) > limits.CHANGED_TICKS_KEPT
            or self._keys > limits.CHANGED_KEYS_KEPT
            or (self._matches > self._matches_max and len(self._ring) > 1)
        ):
            gone = self._ring.popleft()
            self._base = gone.mark
            self._keys -= len(gone.changed) + len(gone.removed)
            if gone.encoded is not None:
                self._forget_tail()
            for selector in gone.owners:
                if selector.turns and selector.turns[0][0] is gone:
                    keys = selector.turns.popleft()[1]
                    self._matches -= 0 if selector.takes_all else len(keys)
                    selector.since = gone.mark

    # --- What is sent -----------------------------------------------------------------------------

    def mark_at(self, tick: int) -> SelectionMark | None:
        """Return where a display stands that has this tick, None if the ring begins later."""
        if self.newest is None or tick < self._base.tick:
            return None
        older = (x.mark for x in reversed(self._ring) if x.mark.tick <= tick)
        return next(older, self._base)

    def reaches(self, selector: Selector, since_tick: int) -> bool:
        """Return whether a delta from that tick on can be made."""
        return since_tick >= min(selector.since.tick, self._base.tick)

    def delta(self, selector: Selector, since_tick: int) -> Delta | None:
        """Return what changed after `since_tick`, still to be gathered (see core/delta), or None if
        the ring does not reach back so far."""
        assert self.newest is not None
        if not self.reaches(selector, since_tick):
            return None
        return Delta(self.newest, self._own_turns(selector, since_tick, self.newest.tick))

    def changes(self, selector: Selector, since_tick: int) -> DeltaChanges | None:
        """Return a delta at once."""
        delta = self.delta(selector, since_tick)
        return None if delta is None else delta.whole()

    def _own_turns(
        self, selector: Selector, since_tick: int, through_tick: int
    ) -> Generator[None, None, list[Own] | None]:
        """Find what was the selection's of the Ticks between; None: the ring went on without."""
        while selector.since.tick > since_tick:
            if selector.filling is None:
                selector.filling = self._fill(selector)
            if next(selector.filling, False) is False:
                selector.filling = None
                if selector.since.tick > since_tick:
                    return None
            yield
        own = []
        for turn in reversed(selector.turns):
            if turn[0].mark.tick <= since_tick:
                break
            if turn[0].mark.tick <= through_tick:
                own.append(turn)
        return own[::-1]

    def _fill(self, selector: Selector) -> Generator[None]:
        """Look through the Ticks that were in the ring before the selection was, newest first."""
        ring = [x for x in self._ring if x.mark.tick <= selector.since.tick]
        while ring:
            change = ring.pop()
            keys = yield from selector.own_keys(change)
            if change.mark.tick <= self._base.tick or not selector.users:
                return  # it left the ring meanwhile
            if keys:
                selector.turns.appendleft((change, keys))
                change.owners.append(selector)
                self._matches += 0 if selector.takes_all else len(keys)
            selector.since = ring[-1].mark if ring else self._base
            yield

    def tail(self, selector: Selector, after_index: int) -> list[Own] | None:
        """Return the Ticks after that Entry that changed the selection, while the cells of all of
        them are held, encoded; None: the ledger has them."""
        if after_index < selector.since.entry_index:
            return None
        found: list[Own] = []
        for change, keys in reversed(selector.turns):
            if change.mark.entry_index <= after_index:
                break
            if change.encoded is None:
                return None
            found.append((change, keys))
        return found[::-1]
