"""rmf-replay: run a ledger again and compare every change and digest (R27), or show a past World.

It decides what a user may ask and what is read: a data directory (a node may be running in it), its
archive, or a copy of either, from the oldest start that verifies, and nothing there is changed.
What is compared, and how, decides rmf/line/replay; how it is shown, replay_output.

With a line that the ledger does not name, or with one of the options of a what-if, all differences
are looked for, not the first one: see rmf/line/what_if.

Exit: 0 identical, 3 a difference was found (with --fail-on: one that counts), 1 damage (after
saying how far history could be read), 2 usage. A torn tail is no damage, and neither is a write
under way: both are said on stderr.
"""

import argparse
import contextlib
import gc
import io
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path

from rmf import limits
from rmf.client import command
from rmf.client.command import EXIT_BAGGED, EXIT_DONE, notice
from rmf.core.entry import LineId
from rmf.errors import StorageError, UsageError
from rmf.line.glovebox.handle import BoxSettings
from rmf.line.glovebox.waiting_box import WaitingBox
from rmf.line.line import Line
from rmf.line.load import load_line
from rmf.line.replay import Replay
from rmf.line.what_if import WhatIf
from rmf.storage.archive import Start, starts
from rmf.storage.directory import DataView, inspect
from rmf.storage.ledger_extent import Survey, holding, survey
from rmf.storage.restore import Restored, restore
from rmf.storage.scan import LedgerScan
from tools.replay_output import Result, json_of, line_notices, summary_of, world_lines
from tools.what_if_output import FAIL_ON, FailOn, WhatIfResult

__all__ = ["main"]

# A replay makes millions of objects, few of them in cycles: the collector looks after this many new
# ones, not after 700. It is not switched off, because a line may make cycles.
_COLLECT_OBJECTS = 200_000

_EXAMPLES = """\
examples:
  rmf-replay DIR                                 does `board` do the same again?
  rmf-replay DIR --line greenhouse.py:line       does the line that wrote it?
  rmf-replay DIR --line new.py:line              what would another line have done differently?
  rmf-replay DIR --line new.py:line --forward    the same, its own changes carried on
  rmf-replay DIR --line new.py:line --fail-on new-letters -o json         a gate before a roll-out
  rmf-replay DIR --until 1841 --world            the World as it was after tick 1841

manuals: rmf help history, rmf help rollout
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    with _ended_by_interrupts(), _rare_collections():
        return command.run_command("rmf-replay", lambda: _run(args))


@contextlib.contextmanager
def _ended_by_interrupts() -> Iterator[None]:
    """Let Ctrl-C end the process: an exception out of a handler would be bagged like any other."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _run(args: argparse.Namespace) -> int:
    if args.world and (args.line is not None or _asks_what_if(args)):
        raise UsageError("--world shows the World as the ledger has it: no line is run for it")
    with contextlib.redirect_stdout(sys.stderr):  # what a user's line prints is no data of ours
        line = None if args.world else load_line(args.line)
        result, fault = _replay(args, line)
    different = _is_different(result, args.fail_on or "any-difference")
    if fault is not None and different:
        notice(f"rmf-replay: {fault}")
    elif fault is not None and result.what_if is None:
        raise fault
    output = args.output or ("summary" if args.world or sys.stdout.isatty() else "json")
    told = summary_of(result) if output == "summary" else json_of(result)
    if args.world:
        for text in world_lines(result.replay.state.world):
            print(text)
        notice(told)
    else:
        print(told)
    if different:
        return EXIT_BAGGED
    if fault is not None:
        raise fault
    return EXIT_DONE


def _is_different(result: Result, fail_on: FailOn) -> bool:
    found = result.divergence
    if result.what_if is None or (found is not None and found.kind == "digest"):
        return found is not None
    return result.what_if.fails(fail_on)


def _replay(args: argparse.Namespace, line: Line | None) -> tuple[Result, StorageError | None]:
    path, until_tick = args.directory, args.until
    view = inspect(path)
    restored = _oldest(view)
    if until_tick is not None and until_tick < restored.state.tick:
        raise UsageError(
            f"--until {until_tick}: what is left of history in {path} begins after tick"
            f" {restored.state.tick}"
        )
    seen = survey(_scan(view, restored.start))
    lines = seen.lines | ({restored.state.line} if restored.state.index else set())
    what_if, box = None, None
    if line is not None and _is_what_if(args, line, lines):
        replay = Replay(restored.state, restored.shelf, None)
        if args.glovebox == "process":  # what that line does is unknown yet
            box = WaitingBox(BoxSettings(args.line))
        what_if = WhatIf(
            replay,
            line,
            forward=args.forward,
            run_poison=args.run_poison,
            runner=box,
            shown=args.limit,
        )
    else:
        replay = Replay(restored.state, restored.shelf, line)
    records = holding(_scan(view, restored.start), seen)
    if args.committed:
        records = takewhile(lambda record: record.index <= seen.commit, records)
    began = time.perf_counter()
    try:
        divergence = (what_if or replay).run(records, until_tick)
    except StorageError as exc:
        raise _explained(exc, view, restored.start) from exc
    finally:
        if box is not None:
            box.close()
    seconds = time.perf_counter() - began
    told = None
    if what_if is not None:
        told = WhatIfResult(what_if, what_if.end(args.limit) if args.forward else None)
        divergence = divergence or what_if.differences.divergence
    left = seen.uncommitted(replay.state)
    result = Result(replay, divergence, line, restored, seconds, left, told)
    for text in line_notices(result):
        notice(f"rmf-replay: {text}")
    return result, _where_it_ends(view, result, seen, until_tick)


def _is_what_if(args: argparse.Namespace, line: Line, lines: Iterable[LineId]) -> bool:
    """Whether all differences are asked for: by an option, or by a line that wrote nothing here."""
    known = {named[:2] for named in lines}
    other = (line.name, line.version) not in known
    return _asks_what_if(args) or (args.line is not None and other)


def _asks_what_if(args: argparse.Namespace) -> bool:
    return bool(args.what_if or args.forward or args.run_poison or args.fail_on)


def _oldest(view: DataView) -> Restored:
    """Return the oldest start that verifies; say which ones do not."""
    try:
        places = starts(view.ledgers, view.checkpoints, view.cluster)
        restored, faults = restore(places, view.cluster)
    except OSError as exc:
        raise StorageError(f"{view.path} cannot be read: {exc}") from exc
    for fault in faults:
        notice(f"rmf-replay: {fault}")
    if restored is None:
        raise StorageError(
            f"{view.path}: there is nothing to begin at, neither the first segment of a ledger nor"
            f" a Checkpoint that verifies. Expected a data directory, its archive, or a whole copy"
            f" of one."
        )
    return restored


def _scan(view: DataView, start: Start) -> LedgerScan:
    return LedgerScan(view.ledgers, view.cluster, start.base)


def _explained(fault: StorageError, view: DataView, start: Start) -> StorageError:
    """Return the fault, or what it really is: a node at work sheds the oldest of its archive."""
    try:
        places = starts(view.ledgers, view.checkpoints, view.cluster)
    except (OSError, StorageError):
        return fault
    if any(place.base == start.base for place in places):
        return fault
    return StorageError(
        f"{view.path}: the node shed the history that was being replayed, from Entry"
        f" {start.base.index} on, to keep its archive within bounds. Run this again, or on a copy."
    )


def _where_it_ends(
    view: DataView, result: Result, seen: Survey, until_tick: int | None
) -> StorageError | None:
    """Say on stderr what stands behind the last Entry; return it if it is damage."""
    replay = result.replay
    if replay.until_reached:
        return None
    if seen.fault is not None:
        fault = _explained(seen.fault, view, result.restored.start)
        if result.divergence is None or result.what_if is not None:
            so_far = " and are identical;" if result.identical else ""
            notice(
                f"rmf-replay: {replay.entries} Entries could be read, up to tick"
                f" {replay.state.tick},{so_far} history ends there:"
            )
        return fault
    if seen.cut is not None:
        notice(
            f"rmf-replay: {seen.cut.path}, byte {seen.cut.offset}: the ledger ends in a torn record"
            f" ({seen.cut.why}): a write that was never acknowledged, or is just being made"
        )
    if until_tick is not None and result.divergence is None and replay.state.tick < until_tick:
        notice(f"rmf-replay: the ledger ends at tick {replay.state.tick}, before {until_tick}")
    return None


def _tick(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{text!r}: expected the number of a tick")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = command.command_parser(
        "rmf-replay", "Run a ledger again and compare every change and digest.", _EXAMPLES
    )
    parser.add_argument(
        "directory",
        metavar="DIR",
        type=Path,
        help="a data directory (a node may be running in it), its archive, or a copy of either",
    )
    parser.add_argument(
        "--line",
        metavar="SPEC",
        help="FILE.py:NAME or package.module:NAME (default: the built-in line `board`). Slots that"
        " were bagged for time, death or memory are not run again",
    )
    parser.add_argument(
        "--until",
        metavar="TICK",
        type=command.argument(_tick),
        help="stop after this tick",
    )
    parser.add_argument(
        "--world",
        action="store_true",
        help="run no line; print the World at the end as JSON lines, a cell each",
    )
    parser.add_argument(
        "--committed",
        action="store_true",
        help="stop at the last Entry that this directory knows to be committed",
    )
    _add_what_if(parser)
    parser.add_argument(
        "-o",
        "--output",
        choices=("summary", "json"),
        help="default: summary on a terminal, else json; with --world on stderr",
    )
    return parser


def _add_what_if(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "what-if", "with a line that the ledger does not name, or with one of these options"
    )
    group.add_argument(
        "--what-if",
        action="store_true",
        help="look for all differences, not for the first (a line changed under its version)",
    )
    group.add_argument(
        "--forward",
        action="store_true",
        help="let the line's own changes carry on from Tick to Tick: an alternative history, whose"
        " World is compared at the end. Else each Tick begins on the World as it was",
    )
    group.add_argument(
        "--fail-on",
        choices=FAIL_ON,
        help="which differences exit 3 (default: any-difference); new-letters: packets that are"
        " bagged now and were not, or were for another failure",
    )
    group.add_argument(
        "--run-poison",
        action="store_true",
        help="run the slots too that hung, died or ran out of memory, each in a child process",
    )
    group.add_argument(
        "--glovebox",
        choices=("process", "inline"),
        default="process",
        help="where the new line runs; inline it may hang or end this tool (default: %(default)s)",
    )
    group.add_argument(
        "--limit",
        metavar="N",
        type=command.argument(_tick),
        default=limits.WHAT_IF_SHOWN,
        help="keys and groups of letters that are shown; all are counted (default: %(default)s)",
    )


if __name__ == "__main__":
    sys.exit(main())
