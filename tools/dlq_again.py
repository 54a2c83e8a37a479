"""rmf-dlq's verbs that run a letter again: their options, and the way to what does the work.

Decides what a user may write behind `debug` and `export --as pytest`. What is behind them loads the
line, attrs and the storage: it is imported only once it is wanted, so that rmf-dlq starts quickly.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from rmf import limits

__all__ = [
    "DEBUG",
    "add_debug_options",
    "add_export_options",
    "export_tests",
    "needs_no_dlq",
    "run",
]

DEBUG = "Run a letter's handler again on the World as it was, and stop at the raise (--data DIR)."


def add_debug_options(parser: argparse.ArgumentParser) -> None:
    """Add what stands behind `debug`."""
    parser.add_argument("letter", metavar="ID", help="a letter of the line: 3.1841.0")
    _add_line(parser)
    parser.add_argument(
        "--no-pdb",
        action="store_true",
        help="run it in a child process, with limits, and say whether it fails as it did: exit 0"
        " the same, 3 another way or not any more; so does -o",
    )
    parser.add_argument(
        "--step",
        action="store_true",
        help="start at the handler's first line, whether it raises or not",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="run the handler here even if it was bagged for time, memory or death",
    )


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add what stands behind `export`, beside the filters."""
    parser.add_argument("letters", metavar="ID", nargs="*", help="these letters only")
    parser.add_argument(
        "--as",
        dest="form",
        choices=("jsonl", "pytest"),
        default="jsonl",
        help="pytest: a test file that reproduces the failures (with --data and --line; at most"
        f" {limits.EXPORT_TESTS} letters unless --limit says more)",
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="where the tests go, not stdout")
    _add_line(parser)


def _add_line(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--line",
        metavar="SPEC",
        help="FILE.py:NAME or package.module:NAME (default: the built-in line `board`)",
    )


def needs_no_dlq(args: argparse.Namespace) -> bool:
    """Whether the ledger alone answers: then a copy without the DLQ's file will do."""
    verb: str = args.verb
    return verb == "debug" or (verb == "export" and args.form == "pytest" and bool(args.letters))


def run(args: argparse.Namespace) -> int:
    """Do what needs no DLQ; return the exit code."""
    if args.verb == "export":
        return export_tests(args.letters, args)
    from tools import dlq_debug

    return dlq_debug.debug(args)


def export_tests(ids: Iterable[str], args: argparse.Namespace) -> int:
    """Do what `export --as pytest` is for; return the exit code."""
    from tools import dlq_pytest

    return dlq_pytest.export_tests(ids, args)
