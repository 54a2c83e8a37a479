"""`python -m tools.fix`: put right what a program can put right: format, lint, vectors.

It writes into the working tree and decides nothing that `tools.check` does not: whatever it leaves
is for a person. What the vectors should say is decided by the code that generates them.
"""

import sys

from tools.check import Step, run_steps

__all__ = ["STEPS", "main"]

STEPS: list[Step] = [
    ("lint", ["ruff", "check", "--fix", "."]),
    ("format", ["ruff", "format", "."]),
    ("vectors", ["tools.rmf_vectors"]),
]


def main() -> int:
    """Fix what can be fixed and return the exit code."""
    return run_steps(STEPS)


if __name__ == "__main__":
    sys.exit(main())
