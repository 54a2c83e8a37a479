"""Where a node's line runs: in a glove box, or in the node's own process (R19).

It has the line loaded, tells who it is, and gives the task that keeps the glove box. With a glove
box the node itself never loads the user's code.
"""

from functools import partial
from typing import TYPE_CHECKING

from rmf import limits
from rmf.floor import glove_box
from rmf.floor.box_keeper import Bench
from rmf.floor.doors import Doors
from rmf.floor.instruments import Durations
from rmf.floor.supervisor import Child
from rmf.line.glovebox.handle import BoxSettings, LineFacts
from rmf.line.inline import Inline
from rmf.line.load import load_line

if TYPE_CHECKING:
    from rmf.config import Config

__all__ = ["LineFront"]


class LineFront:
    """`inline` runs the line here, None if a glove box does. The first box is started at once, and
    loads the line while the node does other things. Raises LineError."""

    def __init__(self, config: "Config") -> None:
        self.inline: Inline | None = None
        self._bench: Bench | None = None
        if config.glovebox == "inline":
            self.inline = Inline(load_line(config.line))
            return
        settings = BoxSettings(config.line, config.handler_memory_bytes)
        self._bench = Bench(settings, config.handler_time_ns / limits.SECOND)

    def facts(self) -> LineFacts:
        """Return who the line is; waits, blocking, until it is loaded. Raises LineError."""
        if self._bench is None:
            assert self.inline is not None
            return LineFacts.of(self.inline.line)
        return self._bench.wait_ready()

    def children(self, doors: Doors, execute: Durations) -> list[Child]:
        """Return the task that keeps the glove box, if there is one; `execute` measures."""
        if self._bench is None:
            return []
        # A leader without a box commits nothing: it is better to strike, and let another one lead.
        return [
            Child(
                "glove_box",
                partial(glove_box.run, doors, self._bench, execute),
                limits.BOX_TASK_RESTARTS_MAX,
                limits.BOX_TASK_RESTARTS_PERIOD_S,
            )
        ]

    def close(self) -> None:
        """Let go of a box that no task has taken over."""
        if self._bench is not None:
            self._bench.close()
