"""`python -m tools.check`: everything that can be known without running a test. It writes nothing.

It decides what "clean" means for this repository: format, lint, the rules of async code, types,
and vectors that match what the code generates. All steps run even if one fails, so that one call
shows all there is to do; the exit code is 1 if any failed. It knows commands, not code. The sibling
that writes is `tools.fix`.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main", "run_steps", "steps"]

_ROOT = Path(__file__).resolve().parent.parent
_FOLDERS = ("rmf", "tools", "tests")

# 114 wants each startable named here: ours are all `run`. 124 would have a coroutine without
# an await be a function: interfaces and tests need them. 9 counts checkpoints: noise outside trio.
_NOT_WANTED = "ASYNC114,ASYNC124,ASYNC9"

Step = tuple[str, Sequence[str]]


def steps() -> list[Step]:
    """Return the steps by name: arguments after `python -m`, to be run at the repository's root."""
    files = sorted(str(p.relative_to(_ROOT)) for d in _FOLDERS for p in (_ROOT / d).rglob("*.py"))
    return [
        ("format", ["ruff", "format", "--check", "--diff", "."]),
        ("lint", ["ruff", "check", "."]),
        ("async", ["flake8_async", "--enable", "ASYNC", "--disable", _NOT_WANTED, *files]),
        ("types", ["mypy"]),
        ("vectors", ["tools.rmf_vectors", "--check"]),
    ]


def run_steps(wanted: Sequence[Step]) -> int:
    """Run steps one by one, say how each went, and return 1 if any failed."""
    failed = []
    for name, arguments in wanted:
        print(f"-- {name}", flush=True)
        # Our own fixed commands, run by this interpreter.
        code = subprocess.run([sys.executable, "-m", *arguments], cwd=_ROOT, check=False).returncode  # noqa: S603
        if code:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all clean", flush=True)
    return 1 if failed else 0


def main() -> int:
    """Run all checks and return the exit code."""
    return run_steps(steps())


if __name__ == "__main__":
    sys.exit(main())
