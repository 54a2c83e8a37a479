"""What ends in a Tick: cells whose time has come, and how they share Ticks with packets (R9, R20).

A reign asks at each Tick. Cells that no handler wants to hear of end at once, up to the bounds of
a Tick, and packets come on in the same one. The others take slots, before those of the packets
(R11), as long as that goes well. Once a handler of theirs has used up its time, or their results
the room of the Tick, these ends are set aside as a producer is: they get Ticks of their own, in
turns with those of packets, until one of these has run well. So no packet waits for two of them,
however many there are.

It changes the shelf, and knows nothing of Entries.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from rmf import limits
from rmf.core.entry import Expiry
from rmf.core.shelf import Shelf, due_tick
from rmf.core.state import State, expiries_of

__all__ = ["Expiring"]


class Expiring:
    """The ends of one reign. `listens` says whether the line wants to hear of a key's end.

    `_waiting` are keys that are due, listened to and taken off the shelf, in the order in which
    they are to end.
    """

    def __init__(self, shelf: Shelf, listens: Callable[[str], bool]) -> None:
        self.aside = False
        self._shelf = shelf
        self._listens = listens
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._packets_are_next = False

    def next_tick(self) -> int | None:
        """Return the tick at which something may be due; it may turn out a false alarm."""
        return 0 if self._waiting else self._shelf.next_tick()

    @property
    def waiting(self) -> Iterable[str]:
        """Keys that are taken off the shelf, and in no Tick yet."""
        return self._waiting.keys()

    def latch(self, tick: int, state: State, *, packets_wait: bool) -> tuple[list[Expiry], bool]:
        """Return what ends in a Tick, and whether packets may come on in it."""
        keys = self._shelf.due(tick, state.world, state.void_before)
        if not self.aside and not self._waiting:
            return expiries_of(keys, state, self._listens), True
        quiet = []
        for key in keys:
            if self._listens(key):
                self._waiting[key] = None
            else:
                quiet.append(key)
        if self.aside and self._packets_are_next and packets_wait:
            self._packets_are_next = False
            return expiries_of(quiet, state, self._listens), True
        heard = self._next_heard(tick, state, quiet)
        cells = state.world.cells
        keys = sorted(quiet + heard, key=lambda key: (cells[key].expires, key))
        return expiries_of(keys, state, self._listens), not (self.aside and heard)

    def _next_heard(self, tick: int, state: State, beside: list[str]) -> list[str]:
        """Take the next keys that wait, as many as a Tick has room for beside others; what was
        written again meanwhile goes back on the shelf."""
        heard: list[str] = []
        most = limits.TICK_EXPIRIES_MAX - len(beside)
        room = limits.TICK_BYTES_MAX - 4 * sum(map(len, beside))
        while self._waiting and len(heard) < most and room > 0:
            key, _ = self._waiting.popitem(last=False)
            cell = state.world.get(key)
            if cell is None or not cell.expires:
                continue
            due = due_tick(cell, state.void_before)
            if due <= tick:
                heard.append(key)
                room -= 4 * len(key)
            else:
                self._shelf.arm(key, due)
        return heard

    def ran(self, expiries: list[Expiry], done: int, slots: int, *, cut_short: bool) -> None:
        """A Tick with these expiries ran up to the slot `done` of `slots`; what was not done waits
        for another one."""
        heard = [expiry for expiry in expiries if expiry.slot is not None]
        if not heard:
            return
        self.aside = done <= len(heard) and (cut_short or done < slots)
        self._packets_are_next = True  # no packet waits for two such Ticks in a row
        for expiry in reversed(heard[done:]):
            self._waiting[expiry.key] = None
            self._waiting.move_to_end(expiry.key, last=False)

    def arm_again(self, keys: Iterable[str], committed: State) -> None:
        """Put keys that were touched in vain on the shelf again, as the committed cells say."""
        for key in keys:
            cell = committed.world.get(key)
            if cell is None:
                self._shelf.disarm(key)
            elif cell.expires:
                self._shelf.arm(key, due_tick(cell, committed.void_before))
