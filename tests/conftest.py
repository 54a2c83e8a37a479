"""What all tests share: the switches, how many run at once, signals that arrive, bytecode."""

import gc
import os
import shutil
import signal
import tempfile
from functools import partial
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, too")
    parser.addoption("--rewrite", action="store_true", help="write the transcripts anew")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run two tests at once where there are two cores; no more, for many start nodes of their own.
    0: within this process, which starts sooner and can be watched. That is for files by name, for
    `-s`, and for the long tests: they use both cores themselves, or measure what there is."""
    files = [argument.partition("::")[0] for argument in config.args]
    if all(Path(file).is_file() for file in files):
        return 0
    if config.getoption("--long") or config.getoption("capture") == "no":
        return 0
    return 2 if len(os.sched_getaffinity(0)) > 1 else 0


def pytest_collection_finish() -> None:
    """Leave what was collected out of every later collection. A node collects once as it starts;
    in a process that holds five thousand tests that took as long as the rest of its life."""
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Hear SIGINT. A shell that starts the tests in the background has it ignored, and every
    command that a test starts would inherit that.

    Where Python shall write no bytecode into the tree, keep it elsewhere while the tests run: each
    of the hundreds of processes that they start would compile RMF anew, a fifth of their work."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        os.environ["PYTHONPYCACHEPREFIX"] = elsewhere = tempfile.mkdtemp(prefix="rmf-bytecode-")
        config.add_cleanup(partial(shutil.rmtree, elsewhere, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests out, unless they are asked for."""
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
