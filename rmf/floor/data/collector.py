"""Python's collector of cycles, and when it may walk (R45).

It stops the loop while it walks, and whatever it walks over shares nodes with the World: two
thousand new objects cost up to 20 ms, a hundred thousand cells 80. A node makes no cycles while it
serves, so that with a glove box of its own it needs none of that: what fails on the way is to leave
none either (tests/floor/test_collector.py). Where the line runs in the node's own process, its
handlers may make some.
"""

import gc

from rmf import limits

__all__ = ["CollectorOff", "tame"]


def tame(glovebox: str) -> None:
    """From here on the node serves; `glovebox` is "process" or "inline"."""
    gc.collect()
    gc.freeze()
    if glovebox == "process":
        gc.disable()
    else:
        gc.set_threshold(*limits.INLINE_COLLECTOR_THRESHOLDS)


class CollectorOff:
    """A stretch that makes millions of objects and no cycles: the collector would only walk them,
    and shall not do so afterwards either."""

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.freeze()
        if self._was_on:
            gc.enable()
