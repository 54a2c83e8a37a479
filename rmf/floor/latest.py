"""The door of depth 1 that keeps the newest: for what is state between two tasks (R14, Codex 3).

A queue says what happened; this one says how things stand. A slow receiver misses what was true for
a while, never what is true now. It knows nothing of what passes through it.
"""

from contextlib import suppress
from typing import Generic, TypeVar

import trio

__all__ = ["Latest", "Newest", "open_latest"]

T = TypeVar("T")


class Latest(Generic[T]):
    """The sending end. There is one sender, which may look at what it sent."""

    def __init__(
        self, send: "trio.MemorySendChannel[T]", waiting: "trio.MemoryReceiveChannel[T]"
    ) -> None:
        self._send = send
        self._waiting = waiting

    def put(self, item: T) -> T | None:
        """Say what is so now; return what was said before, if it was not heard."""
        unheard = self.take_back()
        self._send.send_nowait(item)
        return unheard

    def take_back(self) -> T | None:
        """Say nothing any more; return what was said, if it was not heard."""
        try:
            return self._waiting.receive_nowait()
        except trio.WouldBlock:
            return None


class Newest(Generic[T]):
    """The receiving end for a task that looks when it needs to know, and never waits. It remembers
    what it heard, also for a task that is restarted: `first` until something was said."""

    def __init__(self, waiting: "trio.MemoryReceiveChannel[T]", first: T) -> None:
        self._waiting = waiting
        self._heard = first

    def look(self) -> T:
        """Return what was said last."""
        with suppress(trio.WouldBlock):
            self._heard = self._waiting.receive_nowait()
        return self._heard


def open_latest() -> tuple[Latest[T], "trio.MemoryReceiveChannel[T]"]:
    """Open such a door: its two ends."""
    send, receive = trio.open_memory_channel[T](1)
    return Latest(send, receive.clone()), receive
