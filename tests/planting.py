"""Bugs to plant, to show that what looks for bugs finds them: each as changes of attributes.

    PLANTED, bug = registry()

    @bug
    def the_stop_has_no_bound() -> list[Change]:
        return [(stopping, "_overdue", nothing)]

A table (`found.md`) says within how many seeds each of them is found. While one is planted nothing
else may run in this process.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Bug", "Change", "changed", "registry", "stated", "what_stays"]

Change = tuple[Any, str, Any]
Bug = Callable[[], list[Change]]


def registry() -> tuple[dict[str, Bug], Callable[[Bug], Bug]]:
    """Return bugs by name, and the decorator that enters a function under its name."""
    bugs: dict[str, Bug] = {}

    def bug(function: Bug) -> Bug:
        bugs[function.__name__] = function
        return function

    return bugs, bug


@contextmanager
def changed(changes: list[Change]) -> Iterator[None]:
    """Have these changes in the code while the block runs."""
    before = [vars(owner)[attribute] for owner, attribute, _ in changes]
    for owner, attribute, value in changes:
        setattr(owner, attribute, value)
    try:
        yield
    finally:
        for (owner, attribute, _), value in zip(changes, before, strict=True):
            setattr(owner, attribute, value)


def stated(found: Path) -> dict[str, int]:
    """Return how many seeds each bug needs at most, as a table says."""
    rows = [line.split("|") for line in found.read_text().splitlines() if line.startswith("| `")]
    return {row[1].strip(" `"): int(row[2]) for row in rows}


def what_stays(bugs: dict[str, Bug]) -> list[str]:
    """Return which of them are still in the code after they were planted."""
    stays = []
    for name, bug in bugs.items():
        before = [vars(owner)[attribute] for owner, attribute, _ in bug()]
        with changed(bug()):
            pass
        if before != [vars(owner)[attribute] for owner, attribute, _ in bug()]:
            stays.append(name)
    return stays
