"""Every state in which a crash can leave a directory, one after each step that names a file.

A step is a call that creates, renames or removes something; between two of them nothing visible
happens but writes into temporary files, which nobody reads. `crash_states` runs an act, and before
each step copies the directory: what a crash there would leave behind.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}
_watching: list[Callable[[], None]] = []
_hooked: list[bool] = []


def crash_states(path: Path, into: Path, act: Callable[[], object]) -> list[Path]:
    """Run `act`, which changes the directory `path`; return copies of it as it was before each
    step, and as it was at the end."""
    states: list[Path] = []

    def copy() -> None:
        states.append(into / f"{len(states):03d}")
        shutil.copytree(path, states[-1])

    with before_each_step(copy):
        act()
    copy()
    return states


@contextmanager
def before_each_step(see: Callable[[], None]) -> Iterator[None]:
    """Look at what a crash would leave, before each step of the block."""
    if not _hooked:
        sys.addaudithook(_hear)  # for good: a hook cannot be taken off
        _hooked.append(True)
    _watching.append(see)
    try:
        yield
    finally:
        _watching.clear()


def _hear(event: str, _args: tuple[Any, ...]) -> None:
    if event in _STEPS and _watching:
        see = _watching.pop()  # not for the steps of the copy itself
        try:
            see()
        finally:
            _watching.append(see)
