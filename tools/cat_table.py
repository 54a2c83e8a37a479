"""The live table of `rmf-cat` on a terminal, by rich; imported only where one is shown.

It decides what people see: the picture in key order, as much of it as the terminal holds, how old
each cell is, and always how old the picture is and whether the node is in touch with a reigning
Arbiter (R36). It reads the Follower and never changes it.
"""

import time

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rmf.core.messages import KEEPALIVE, Snapshot
from tools.cat_follow import Follower
from tools.cat_output import Output, row
from tools.text_table import printable

__all__ = ["LiveTable"]

_LINES_AROUND = 5  # header, head of the table with its rule, line for the rest, prompt
_STATIC_HEIGHT = 1_000_000  # a table that is printed once may scroll


class LiveTable(Output):
    """Redraws the picture in place. `refreshing` False: prints it once, whole."""

    def __init__(self, follower: Follower, *, refreshing: bool) -> None:
        self._follower = follower
        self._console = Console()  # honours NO_COLOR and TERM by itself
        self._heard_at = time.monotonic()
        self._live = Live(console=self._console, auto_refresh=False) if refreshing else None
        if self._live is not None:
            self._live.start()

    def show(self, whole: Snapshot) -> None:
        """Show the picture as it is after this Snapshot."""
        self._heard_at = time.monotonic()
        if self._live is not None:
            self.refresh()
        elif whole.kind != KEEPALIVE:
            self._console.print(self._drawn(self._heard_at, _STATIC_HEIGHT))

    def refresh(self) -> None:
        """Show the picture again: it has grown older."""
        if self._live is not None:
            rows_max = max(self._console.height - _LINES_AROUND, 1)
            self._live.update(self._drawn(time.monotonic(), rows_max), refresh=True)

    def close(self) -> None:
        """Leave the last table on the screen."""
        if self._live is not None:
            self._live.stop()

    def _drawn(self, now: float, rows_max: int) -> Group:
        return Group(
            _header(self._follower, now - self._heard_at),
            _table(self._follower, self._follower.time.tick(now), rows_max),
        )


def _header(follower: Follower, silent_s: float) -> Text:
    picture = follower.picture
    text = Text(no_wrap=True, overflow="ellipsis")
    if picture.tick is None:
        return text.append(f"{follower.node}: no picture yet")
    if picture.live:
        text.append(" live ", style="black on green")
    else:
        text.append(" NOT LIVE ", style="white on red")
    if not picture.complete:
        text.append(" incomplete: only what changed since ", style="black on yellow")
    text.append(
        f" tick {picture.tick} · term {picture.term} · {len(picture.cells)} cells"
        f" · heard {silent_s:.1f} s ago · {printable(follower.node)}"
        f" · 1 tick = {follower.time.period_s * 1_000_000:g} us"
    )
    return text


def _table(follower: Follower, tick: int, rows_max: int) -> Table:
    """Return the picture at a tick as a table of at most `rows_max` rows, in key order."""
    cells = follower.picture.cells
    keys = sorted(cells)
    drawn = Table(expand=True, box=None, header_style="bold", pad_edge=False)
    drawn.add_column("key", ratio=3, no_wrap=True, overflow="ellipsis")
    drawn.add_column("value", ratio=4, no_wrap=True, overflow="ellipsis")
    drawn.add_column("age (ticks)", justify="right", no_wrap=True)
    drawn.add_column("producer", ratio=1, no_wrap=True, overflow="ellipsis")
    drawn.add_column("expires in", justify="right", no_wrap=True)
    for key in keys[:rows_max]:
        fields = row(cells[key], tick)
        stale = fields[-1] == "expired"
        drawn.add_row(*map(Text, fields), style="red" if stale else None)
    if len(keys) > rows_max:
        drawn.add_row(Text(f"… and {len(keys) - rows_max} more: narrow the FILTER", style="dim"))
    return drawn
