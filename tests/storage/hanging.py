"""A disk that hangs in the middle of a write."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rmf.storage.fence import Pen

__all__ = ["hanging"]


@contextmanager
def hanging(pen: Pen) -> Iterator[threading.Event]:
    """A write with this pen is in the kernel, and returns when the event is set."""
    begun, back = threading.Event(), threading.Event()

    def write() -> None:
        with pen:
            begun.set()
            back.wait()

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait()
    try:
        yield back
    finally:
        back.set()
        thread.join()
