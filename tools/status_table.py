"""The tables of `rmf-status` on a terminal, by rich; imported only where they are shown.

It decides colours and when to draw again. What a row or a remark says is decided elsewhere
(status_words) and comes in as plain text.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

__all__ = ["show_on_terminal"]

_A = TypeVar("_A")
Rows = list[list[str]]


def show_on_terminal(
    ask_all: Callable[[], list[_A]],
    tables_of: Callable[[Sequence[_A]], list[Rows]],
    remarks_of: Callable[[Sequence[_A]], list[str]],
    watch_s: float | None,
) -> list[_A]:
    """Ask and show once, or every `watch_s` seconds until interrupted; return the last answers."""

    def shown(answers: Sequence[_A]) -> Group:
        tables = map(_table, tables_of(answers))
        return Group(*tables, *(Text(remark, style="red") for remark in remarks_of(answers)))

    console = Console()  # honours NO_COLOR and TERM by itself
    answers = ask_all()
    if watch_s is None:
        console.print(shown(answers))
        return answers
    with Live(shown(answers), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(watch_s)
            live.update(shown(ask_all()), refresh=True)


def _table(rows: Rows) -> Table:
    headings, *nodes = rows
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for node in nodes:
        well = "STRIKE" not in headings or node[headings.index("STRIKE")] == "-"
        table.add_row(*map(Text, node), style=None if well else "red")
    return table
