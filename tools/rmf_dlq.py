"""rmf-dlq: read the DLQ of a node, or of a data directory without a running node (R38, R39).

It decides what a user may ask and how the answer is shown. Both ways in answer the same questions
(storage/dlq_query): a node by QUERY, a directory through the reader of its file, which changes
nothing and may run beside the node. What people decide about letters (dlq_triage, dlq_redrive) goes
through a node.

Its start-up imports hold neither trio nor attrs; SQLite and rich are imported where they are used.
"""

import argparse
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rmf import limits
from rmf.client import command, dlq, opened_letters
from rmf.client.command import EXIT_DONE, EXIT_TIME_OUT, notice
from rmf.client.render import json_block, json_line
from rmf.core.bag import REASONS
from rmf.errors import RmfError, StorageError, UsageError
from tools import dlq_again, dlq_redrive, dlq_triage
from tools.text_table import aligned

__all__ = ["main"]

_EXAMPLES = """\
examples:
  rmf-dlq stats                                  how many letters, in how many groups
  rmf-dlq groups                                 what keeps failing, the latest first
  rmf-dlq list --reason handler_error --topic 'greenhouse/#'
  rmf-dlq show 3.1841.0                          one letter: packet, payload, traceback
  rmf-dlq tail | jq .error.message               letters as they come
  rmf-dlq export --data /var/lib/rmf > letters.jsonl
  rmf-dlq debug 3.1841.0 --data DIR --line greenhouse.py:line        pdb at the raise
  rmf-dlq export 3.1841.0 --as pytest --data DIR --line greenhouse.py:line --out test_it.py
  rmf-dlq resolve --group 2-5f3c... --why "probe 3 was replaced"
  rmf-dlq purge --before 720h --why "a month is over" --yes
  rmf-dlq redrive --group 2-5f3c... --why "line 8 knows Kelvin" --yes

manuals: rmf help dlq, rmf help debug
"""

Body = dlq.Body


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    return command.run_command("rmf-dlq", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if dlq_again.needs_no_dlq(args):
        return dlq_again.run(args)
    args.output = args.output or ("table" if sys.stdout.isatty() else "jsonl")
    try:
        source = _open(args)
        try:
            code: int = args.work(source, args)
        finally:
            source.close()
    except TimeoutError as exc:
        notice(f"rmf-dlq: time-out: {exc}")
        return EXIT_TIME_OUT
    return code


class _Directory(dlq.Source):
    def __init__(self, path: Path) -> None:
        from rmf.storage.dlq_query import answer
        from rmf.storage.dlq_reader import DlqReader
        from rmf.storage.dlq_schema import DLQ_FILE

        if not path.is_dir():
            raise StorageError(f"{path}: no such directory; --data takes a node's data directory")
        self.name = str(path)
        self._reader = DlqReader.open(path / DLQ_FILE)
        self._answer = answer

    def ask(self, subject: str, query: Body) -> Iterator[Body]:
        return self._answer(self._reader, subject, query)

    def close(self) -> None:
        self._reader.close()


def _open(args: argparse.Namespace) -> dlq.Source:
    return (
        dlq.QueriedNode(args.connect, args.timeout_s)
        if args.data is None
        else _Directory(args.data)
    )


def _stats(source: dlq.Source, args: argparse.Namespace) -> int:
    for body in source.ask("dlq.stats", {}):
        if args.output == "table":
            _print_table(tuple(body), [tuple(map(opened_letters.plain, body.values()))])
        else:
            print(_json_of(args.output)(body))
    return EXIT_DONE


def _groups(source: dlq.Source, args: argparse.Namespace) -> int:
    found: list[Body] = []
    after = ""
    while page := list(source.ask("dlq.groups", {"after": after})):
        found += page
        after = page[-1]["group"]
    if args.state is not None:
        found = [body for body in found if body["state"] == args.state]
    found.sort(key=lambda body: body["last_seen"], reverse=True)
    if args.output == "table":
        names = ("group", "state", "count", "first seen", "last seen", "reason", "stage", "error")
        _print_table(names, map(_group_cells, found[: args.limit]))
    else:
        _print_json(found[: args.limit], args.output)
    return EXIT_DONE


def _group_cells(body: Body) -> tuple[str, ...]:
    group, count, reason, stage = (
        opened_letters.plain(body.get(name)) for name in ("group", "count", "reason", "stage")
    )
    times = (
        opened_letters.time_of(body.get("first_seen")),
        opened_letters.time_of(body.get("last_seen")),
    )
    state = opened_letters.plain(body.get("state"))
    return (group, state, count, *times, reason, stage, opened_letters.error_of(body, 100))


def _list(source: dlq.Source, args: argparse.Namespace) -> int:
    limit = limits.DLQ_LIST_LETTERS if args.limit is None else args.limit
    bodies = dlq.walk(
        source, dlq_triage.filters_of(args), limit, newest_first=not args.oldest_first
    )
    if args.output == "table":
        shown = _print_table(opened_letters.COLUMNS, map(opened_letters.cells_of, bodies))
    else:
        shown = _print_json(map(opened_letters.for_scripts, bodies), args.output)
    if shown == limit:
        notice(f"rmf-dlq: {limit} letters shown, there may be more: see --limit, or use export")
    return EXIT_DONE


def _show(source: dlq.Source, args: argparse.Namespace) -> int:
    from tools import dlq_show

    body = _one(source, args.letter)
    if args.output == "table":
        print(dlq_show.text_of(source, body))
    else:
        print(_json_of(args.output)(dlq_show.for_scripts(source, body)))
    return EXIT_DONE


def _one(source: dlq.Source, letter: str) -> Body:
    for body in source.ask("dlq.show", {"letter": letter}):
        return body
    raise RmfError(
        f"unknown_letter: {source.name} has no letter {opened_letters.plain(letter, 80)};"
        " `rmf-dlq list` names those it has"
    )


def _export(source: dlq.Source, args: argparse.Namespace) -> int:
    bodies = (
        (_one(source, letter) for letter in args.letters)
        if args.letters
        else dlq.walk(source, dlq_triage.filters_of(args), args.limit)
    )
    if args.form == "pytest":
        return dlq_again.export_tests((body["letter"] for body in bodies), args)
    for body in bodies:
        print(json_line(opened_letters.for_scripts(body)))
    return EXIT_DONE


def _tail(source: dlq.Source, args: argparse.Namespace) -> int:
    past = limits.DLQ_TAIL_LETTERS if args.limit is None else args.limit
    for body in islice(dlq.follow(source, dlq_triage.filters_of(args), past), args.count):
        if args.output == "table":
            print("  ".join(opened_letters.cells_of(body)))
        else:
            print(json_line(opened_letters.for_scripts(body)))
    return EXIT_DONE


def _json_of(output: str) -> Callable[[Body], str]:
    return json_block if output == "json" else json_line


def _print_json(bodies: Iterable[Body], output: str) -> int:
    """Print bodies, a line each or as one array; return how many."""
    if output == "json":
        together = list(bodies)
        print(json_block(together))
        return len(together)
    shown = 0
    for body in bodies:
        print(json_line(body))
        shown += 1
    return shown


def _print_table(names: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> int:
    """Print a table, folded to the terminal's width or, piped, a line a row; return how many."""
    shown = list(rows)
    if not sys.stdout.isatty():
        print("\n".join(aligned([names, *shown])))
        return len(shown)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in shown:
        table.add_row(*map(Text, row))
    Console().print(table)
    return len(shown)


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{text!r}: expected a number, 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    return command.parse_duration_ms(text) / 1000


def _parser() -> argparse.ArgumentParser:
    parser = command.command_parser(
        "rmf-dlq",
        "Dead letters of a node, or of its data directory: read them, deal with them.",
        _EXAMPLES,
    )
    command.add_connect_option(parser)
    _add_common(parser)
    parser.set_defaults(timeout_s=limits.GET_S_MAX)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, work: Callable[[dlq.Source, argparse.Namespace], int], text: str) -> Any:
        sub = verbs.add_parser(name, help=text, description=text)
        _add_common_again(sub)
        sub.set_defaults(work=work, verb=name)
        return sub

    verb("stats", _stats, "How many letters, in how many groups, and how big.")
    groups = verb("groups", _groups, "What failed in the same way, the latest first.")
    groups.add_argument("--state", choices=("open", "resolved", "reopened"), help="only such")
    _add_limit(groups, "-n")
    listing = verb("list", _list, "Letters, the newest first.")
    _add_filters(listing, "-n")
    listing.add_argument("--oldest-first", action="store_true", help="turn the order around")
    verb("show", _show, "One letter: packet, payload, traceback.").add_argument(
        "letter", metavar="ID", help="as `list` shows it: 3.1841.0 or n1:edge:12"
    )
    tail = verb("tail", _tail, "The last letters, then each new one as it comes.")
    _add_filters(tail)
    tail.add_argument("-n", dest="count", metavar="N", type=_number, help="end after N letters")
    export = verb("export", _export, "Letters as JSON lines, the oldest first, or as tests.")
    _add_filters(export)
    dlq_again.add_export_options(export)
    dlq_again.add_debug_options(verb("debug", _show, dlq_again.DEBUG))
    dlq_triage.add_verbs(verb)
    _add_filters(dlq_redrive.add_verb(verb))
    return parser


def _add_common(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add what stands before or behind the verb."""
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="read this data directory instead of asking a node",
        default=default,
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json", "jsonl"),
        help="default: table on a terminal, else jsonl; export: always jsonl",
        default=default,
    )
    parser.add_argument(
        "-W",
        "--timeout",
        dest="timeout_s",
        metavar="DURATION",
        type=command.argument(_seconds),
        help=f"longest wait for an answer, as 500ms or 5s (default: {limits.GET_S_MAX:g}s)",
        default=default,
    )


def _add_common_again(parser: argparse.ArgumentParser) -> None:
    """Add the same behind the verb. Without defaults: argparse would put those in place of what
    stood before the verb."""
    parser.add_argument(
        "-c",
        "--connect",
        metavar="HOST:PORT[,HOST:PORT...]",
        type=command.argument(command.parse_addresses),
        default=argparse.SUPPRESS,
        help="nodes to try (default: see rmf-dlq --help)",
    )
    _add_common(parser, argparse.SUPPRESS)


def _add_filters(parser: argparse.ArgumentParser, *short: str) -> None:
    parser.add_argument("--reason", choices=REASONS, metavar="REASON", help=", ".join(REASONS))
    parser.add_argument("--group", help="a fingerprint, as `groups` shows it")
    parser.add_argument("--producer", help="a producer's name")
    parser.add_argument("--topic", metavar="FILTER", help="a topic or a filter: greenhouse/+/temp")
    parser.add_argument("--state", choices=("open", "resolved", "redriven"), help="only such")
    for name, text in (("--since", "bagged since then"), ("--until", "bagged before then")):
        parser.add_argument(name, metavar="TIME", type=dlq_triage.moment, help=text)
    _add_limit(parser, *short)


def _add_limit(parser: argparse.ArgumentParser, *short: str) -> None:
    parser.add_argument(
        *short,
        "--limit",
        metavar="N",
        type=_number,
        help=f"at most N (default: list {limits.DLQ_LIST_LETTERS},"
        f" tail {limits.DLQ_TAIL_LETTERS} of those there are already, else all)",
    )


_number = command.argument(_natural)

if __name__ == "__main__":
    sys.exit(main())
