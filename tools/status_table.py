"""The table of `rmf-status` on a terminal, by rich; imported only where one is shown.

It decides colours and when to draw again. What a row says is decided by rmf_status, which hands it
in as plain text.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

__all__ = ["show_on_terminal"]

_A = TypeVar("_A")


def show_on_terminal(
    ask_all: Callable[[], list[_A]],
    rows_of: Callable[[Sequence[_A]], list[list[str]]],
    watch_s: float | None,
) -> list[_A]:
    """Ask and show once, or every `watch_s` seconds until interrupted; return the last answers."""
    console = Console()  # honours NO_COLOR and TERM by itself
    answers = ask_all()
    if watch_s is None:
        console.print(_table(rows_of(answers)))
        return answers
    with Live(_table(rows_of(answers)), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(watch_s)
            live.update(_table(rows_of(ask_all())), refresh=True)


def _table(rows: list[list[str]]) -> Table:
    headings, *nodes = rows
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for node in nodes:
        strike = node[headings.index("STRIKE")]
        well = strike == "-"
        table.add_row(*map(Text, node), style=None if well else "red")
    return table
