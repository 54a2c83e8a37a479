"""Where to connect next, and after which wait (`protocol/README.md` section 14). No I/O.

It decides the order of addresses: what a node named (its leader, its alternatives) goes first, then
the others in turn. And the back-off: with jitter, longer after each round of failures, and never
shorter than what the error table says of the code that ended the last connection.
"""

from collections import deque

from rmf import limits
from rmf.client.command import parse_address
from rmf.errors import UsageError

__all__ = ["Address", "Route", "address_text"]

Address = tuple[str, int]


class Route:
    """The addresses known, the next one first. `configured` ones are never forgotten."""

    def __init__(self, configured: list[Address]) -> None:
        if not configured:
            raise UsageError("no address: expected host:port, or several with commas")
        self._configured = frozenset(configured)
        self._queue = deque(dict.fromkeys(configured))
        self._attempts = 0

    @property
    def several(self) -> bool:
        """Return whether there is another node to try."""
        return len(self._queue) > 1

    def next(self) -> Address:
        """Return the address to try, and put it last for the next time."""
        address = self._queue[0]
        self._queue.rotate(-1)
        self._attempts += 1
        return address

    def welcomed(self) -> None:
        """Note that an attempt led to a WELCOME: the back-off begins anew."""
        self._attempts = 0

    def prefer(self, texts: list[str]) -> bool:
        """Put these addresses first, as a node named them; False if none of them can be read."""
        found = False
        for text in reversed(texts):
            try:
                address = parse_address(text)
            except UsageError:
                continue  # a node's slip must not stop a client that knows other addresses
            found = True
            if address in self._queue:
                self._queue.remove(address)
            self._queue.appendleft(address)
        while len(self._queue) > limits.ADDRESSES_MAX:
            self._queue.remove(next(x for x in reversed(self._queue) if x not in self._configured))
        return found

    def wait_s(self, jitter: float, least_s: float) -> float:
        """Return how long to wait before the next attempt; `jitter` is 0 to 1."""
        rounds = min(self._attempts // len(self._queue), 16)
        longest_s: float = min(limits.RECONNECT_S_MAX, limits.RECONNECT_S_MIN * 2**rounds)
        return max(least_s, jitter * longest_s)


def address_text(address: Address) -> str:
    """Return `host:port`, or `[v6]:port`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
