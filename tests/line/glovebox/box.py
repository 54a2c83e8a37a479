"""A glove box with a test in the place of its node."""

import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmf.core.effects import Batch
from rmf.line.glovebox import pipe
from rmf.line.glovebox.cells_along import keys_of, known, page_of
from rmf.line.glovebox.handle import BoxHandle, BoxSettings

PATIENCE_S = 10
POISON = f"{Path(__file__).parent / 'poison.py'}:poison"


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that no event tells of."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.002)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, though perhaps nobody has waited for it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in {"Z", "X"}


class Box:
    """A box that is ready."""

    def __init__(self, line: str | None = POISON, **settings: Any) -> None:
        self.handle = BoxHandle(BoxSettings(line, **settings))
        self._frames: list[tuple[int, bytes]] = []
        try:
            self.facts = self.handle.wait_ready()
        except BaseException:
            self.handle.close()
            raise

    def say(self, batch: Batch) -> None:
        """Have a batch run."""
        self.handle.clear()
        self._send(pipe.frame(pipe.RUN, pipe.encode_run(batch, ())))

    def _send(self, data: bytes) -> None:
        while data:
            select.select([], [self.handle.socket], [], PATIENCE_S)
            data = data[self.handle.socket.send(data) :]

    def hear(self) -> tuple[int, bytes] | None:
        """Return the next word of the box, None once it has ended."""
        while not self._frames:
            ready, _, _ = select.select([self.handle.socket], [], [], PATIENCE_S)
            assert ready
            frames = self.handle.receive()
            if frames is None:
                return None
            self._frames += frames
        return self._frames.pop(0)

    def outcome(self, batch: Batch) -> pipe.BatchDone | None:
        """Return what came of the batch, answering the box's questions; None if it has ended."""
        while (word := self.hear()) is not None:
            kind, body = word
            if kind == pipe.DONE:
                return pipe.decode_done(body, batch)
            self.answer(kind, body, batch)
        return None

    def answer(self, kind: int, body: bytes, batch: Batch) -> None:
        """Answer a question of the box."""
        found = pipe.read_item(body)
        if kind == pipe.NEED:
            cells = pipe.cells_body(known(keys_of(found), batch.world))
        else:
            assert kind == pipe.SCAN
            page, more = page_of(found, batch.world)
            cells = pipe.cells_body(page, more=more)
        self._send(pipe.frame(pipe.CELLS, cells))

    def run(self, batch: Batch) -> pipe.BatchDone | None:
        """Have a batch run, and return what came of it."""
        self.say(batch)
        return self.outcome(batch)

    def at_work(self, batch: Batch, slot: int = 0) -> None:
        """Wait until it is at work on a slot."""
        until(lambda: self.handle.slot_of(batch.number) == slot)


@contextmanager
def a_box(line: str | None = POISON, **settings: Any) -> Iterator[Box]:
    """Start a box, and see to it that it is gone."""
    box = Box(line, **settings)
    try:
        yield box
    finally:
        box.handle.close()
        assert is_gone(box.handle.pid)


def open_fds() -> int:
    """Return how many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))
