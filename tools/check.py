"""`python -m tools.check`: everything that can be known without running a test. It writes nothing.

It decides what "clean" means for this repository: format, lint, the rules of async code, types,
and vectors that match what the code generates. All steps run even if one fails, so that one call
shows all there is to do, and as many at once as there are cores; the exit code is 1 if any failed.
It knows commands, not code. The sibling that writes is `tools.fix`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["main", "may_break_async_rules", "run_steps", "steps"]

_ROOT = Path(__file__).resolve().parent.parent
_FOLDERS = ("rmf", "tools", "tests")

# 114 wants each startable named here: ours are all `run`. 124 would have a coroutine without
# an await be a function: interfaces and tests need them. 9 counts checkpoints: noise outside trio.
_NOT_WANTED = "ASYNC114,ASYNC124,ASYNC9"

# Each of its rules is about one of these words. It takes a second for a page of code: what has none
# of them is left out, which is most of it.
_OF_ASYNC = re.compile(
    r"\b(async|await|trio|anyio|asyncio|BaseException)\b|Cancel|ExceptionGroup|\bexcept\s*[:*]"
)

Step = tuple[str, Sequence[str]]


def may_break_async_rules(code: str) -> bool:
    """Say whether a file with this code is one for the rules of async code."""
    return _OF_ASYNC.search(code) is not None


def steps() -> list[Step]:
    """Return the steps by name: arguments after `python -m`, to be run at the repository's root.
    Those that take longest come first."""
    sources = [path for folder in _FOLDERS for path in sorted((_ROOT / folder).rglob("*.py"))]
    files = [str(p.relative_to(_ROOT)) for p in sources if may_break_async_rules(p.read_text())]
    rules = ["flake8_async", "--enable", "ASYNC", "--disable", _NOT_WANTED]
    return [
        ("async, one half", [*rules, *files[::2]]),
        ("async, the other half", [*rules, *files[1::2]]),
        ("types", ["mypy"]),
        ("lint", ["ruff", "check", "."]),
        ("format", ["ruff", "format", "--check", "--diff", "."]),
        ("vectors", ["tools.rmf_vectors", "--check"]),
    ]


def run_steps(wanted: Sequence[Step], at_once: int = 1) -> int:
    """Run steps, so many at once, say in their order how each went, and return 1 if any failed."""
    failed = []
    with ThreadPoolExecutor(at_once) as pool:
        for (name, _), done in zip(wanted, pool.map(_run, wanted), strict=True):
            print(f"-- {name}\n{done.stdout}", end="", flush=True)
            if done.returncode:
                failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all clean", flush=True)
    return 1 if failed else 0


def _run(step: Step) -> subprocess.CompletedProcess[str]:
    # Our own fixed commands, run by this interpreter.
    command = [sys.executable, "-m", *step[1]]
    return subprocess.run(  # noqa: S603
        command,
        cwd=_ROOT,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def main() -> int:
    """Run all checks and return the exit code."""
    return run_steps(steps(), len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    sys.exit(main())
