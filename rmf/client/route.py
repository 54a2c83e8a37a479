"""Where to connect next, and after which wait (`protocol/README.md` section 14). No I/O.

It decides the order of addresses. In a *round* each known address is tried once, without a pause:
what a node named (its leader, its alternatives) goes first, who left the last attempt without an
answer goes last. Between rounds stands the back-off, with jitter: short at first, because an
election takes a fifth of a second, then ever longer. So a client is with the new leader at once,
and two nodes that point at each other cost it no more than nodes that are down. A code of the error
table holds off the node that said it, not the others.

Time comes in as seconds of a monotonic clock, jitter as a number of 0 to 1.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from rmf import limits
from rmf.client.command import parse_address
from rmf.errors import UsageError

__all__ = ["Address", "Route", "address_text", "back_off_s", "readable"]

Address = tuple[str, int]


class Route:
    """The addresses known, in the order in which they are tried; `configured` ones are never
    forgotten."""

    def __init__(self, configured: list[Address]) -> None:
        if not configured:
            raise UsageError("no address: expected host:port, or several with commas")
        self._configured = frozenset(configured)
        self._queue = deque(dict.fromkeys(configured))
        self._rounds = 0
        self._tried: set[Address] = set()  # in this round
        self._silent: set[Address] = set()  # left the last attempt unanswered
        self._held: dict[Address, float] = {}  # until when
        self._welcomed_s = 0.0

    @property
    def addresses(self) -> list[Address]:
        """Return every address known, the next one first."""
        return list(self._queue)

    @property
    def several(self) -> bool:
        """Return whether there is another node to try."""
        return len(self._queue) > 1

    # --- Attempts -----------------------------------------------------------------------------

    def pause_s(self, now_s: float, jitter: float) -> float:
        """Return how long to wait before `next`: 0 while this round is not over."""
        if self._ready(now_s):
            return 0.0
        ready_s = min(self._held.get(address, now_s) for address in self._queue)
        pause_s = back_off_s(self._rounds, jitter) if self._tried else 0.0
        return max(pause_s, ready_s - now_s)

    def next(self, now_s: float) -> Address:
        """Return the address to try now, and put it last for the next time."""
        ready = self._ready(now_s)
        if not ready:
            self._rounds += 1
            self._tried.clear()
            ready = self._ready(now_s) or list(self._queue)
        address = min(ready, key=self._silent.__contains__)  # of equals the first
        self._queue.remove(address)
        self._queue.append(address)
        self._tried.add(address)
        return address

    def _ready(self, now_s: float) -> list[Address]:
        return [
            address
            for address in self._queue
            if address not in self._tried and self._held.get(address, now_s) <= now_s
        ]

    def attempt_s(self) -> float:
        """Return how long to wait for this attempt's WELCOME: where there are other nodes to try, a
        dead one must not keep us from them; where there is none but slow ones, patience grows."""
        if not self.several:
            return limits.CONNECT_S_MAX
        return min(limits.CONNECT_S_MAX, limits.ATTEMPT_S_MIN * 2.0 ** min(self._rounds, 16))

    def failed(
        self, address: Address, now_s: float, hold_off_s: float, *, silent: bool = False
    ) -> None:
        """Note an attempt without a WELCOME; `silent` if nothing at all was answered in time."""
        self._hold_off(address, now_s, hold_off_s)
        (self._silent.add if silent else self._silent.discard)(address)

    def welcomed(self, address: Address, now_s: float) -> None:
        """Note that an attempt led to a WELCOME."""
        self._silent.discard(address)
        self._welcomed_s = now_s

    def lost(
        self, address: Address, now_s: float, hold_off_s: float, *, silent: bool = False
    ) -> None:
        """Note that the welcomed connection is gone. If it was good for a while, the back-off
        begins again, and the others are tried at once; else this round goes on, so that nodes that
        welcome us only to send us away are no busier than those that refuse."""
        if now_s - self._welcomed_s >= limits.SETTLED_S:
            self._rounds = 0
            self._tried = {address}
        self.failed(address, now_s, hold_off_s, silent=silent)

    def _hold_off(self, address: Address, now_s: float, hold_off_s: float) -> None:
        self._held.pop(address, None)
        if hold_off_s > 0 and address in self._queue:
            self._held[address] = now_s + min(hold_off_s, limits.RECONNECT_S_MAX)

    # --- Addresses ----------------------------------------------------------------------------

    def prefer(self, texts: list[str]) -> bool:
        """Put these addresses first, as a node named them; False if none of them can be read.

        In the present round an address that was tried is not tried again for that; what it was held
        off for is over.
        """
        named = list(readable(texts))
        for address in reversed(named):
            self._held.pop(address, None)
            if address in self._queue:
                self._queue.remove(address)
            self._queue.appendleft(address)
        self._forget_beyond_the_bound()
        return bool(named)

    def learn(self, texts: Iterable[object]) -> None:
        """Know these addresses, and no others beside the configured ones: the nodes of the factory
        as a WELCOME names them. They are tried after those that were known before."""
        named = list(readable(texts))
        if not named:
            return
        keep = self._configured | set(named)
        self._queue = deque(
            dict.fromkeys([*(address for address in self._queue if address in keep), *named])
        )
        self._forget_beyond_the_bound()

    def _forget_beyond_the_bound(self) -> None:
        while len(self._queue) > limits.ADDRESSES_MAX:
            self._queue.remove(next(x for x in reversed(self._queue) if x not in self._configured))
        known = set(self._queue)
        self._tried &= known
        self._silent &= known
        self._held = {address: s for address, s in self._held.items() if address in known}


def back_off_s(rounds: int, jitter: float) -> float:
    """Return how long to wait after so many rounds before this one; `jitter` is 0 to 1.

    It grows with the time it has taken, not faster: a client that has waited for an election of 200
    ms must not wait as long again.
    """
    growth = limits.RECONNECT_GROWTH ** min(rounds, 64)
    longest_s: float = min(limits.RECONNECT_S_MIN * growth, limits.RECONNECT_S_MAX)
    return longest_s * (0.5 + jitter)


def readable(texts: Iterable[object]) -> Iterator[Address]:
    """Give the addresses among what a node named that can be read: its slips must not stop a client
    that knows other addresses."""
    for text in texts:
        if isinstance(text, str):
            try:
                yield parse_address(text)
            except UsageError:
                continue


def address_text(address: Address) -> str:
    """Return `host:port`, or `[v6]:port`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
