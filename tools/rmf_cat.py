"""rmf-cat: tail the Snapshots of a factory (INTERFACES).

It decides what the options mean and when enough was shown; cat_follow keeps the subscription alive,
cat_output and cat_table show it. Its import closure holds neither trio nor attrs, and rich only
where a terminal wants a table, so that `rmf-cat --once` answers within 100 ms (DESIGN §16).
"""

import argparse
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from rmf import limits
from rmf.client.command import (
    EXIT_DONE,
    EXIT_GAP,
    EXIT_TIME_OUT,
    add_connect_option,
    argument,
    command_parser,
    notice,
    parse_duration_ms,
    run_command,
)
from rmf.core import topics
from rmf.core.messages import KEEPALIVE
from rmf.errors import UsageError
from tools.cat_follow import Follower, GapFound, Wanted
from tools.cat_output import FORMATS, Output, plain_output

__all__ = ["main"]

_EXAMPLES = """\
examples:
  rmf-cat                               the whole World, live
  rmf-cat 'greenhouse/+/temp' --once    one picture of a selection
  rmf-cat -o jsonl | jq .cells          every change, for scripts
  rmf-cat --every-tick --strict         lossless, or exit 7

exit codes: 0 done, 2 usage, 4 cannot connect, 5 refused, 6 time-out, 7 gap, 130 interrupted

A filter is a key; in it + stands for one level, and # at the end for all that follows. Output is a
table on a terminal and jsonl on a pipe: first the full picture, then deltas; keepalives say that
nothing changed, and count neither for -n nor for -W.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = _parser().parse_args(argv)
    return run_command("rmf-cat", lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("rmf-cat", "Show the World of a factory, and follow it.", _EXAMPLES)
    add = parser.add_argument
    add("filters", nargs="*", metavar="FILTER", type=argument(_filter), help="what (default: #)")
    add_connect_option(parser)
    add("-x", "--exclude", action="append", default=[], metavar="FILTER", type=argument(_filter),
        help="leave out what matches; may be repeated")  # fmt: skip
    add("-o", "--output", choices=FORMATS, help="default: table on a terminal, else jsonl")
    enough = parser.add_mutually_exclusive_group()
    enough.add_argument("--once", action="store_true", help="one full picture, then exit")
    enough.add_argument("-n", "--count", type=argument(_count), metavar="N", help="N Snapshots")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--full", action="store_true", help="every Snapshot is the whole picture")
    shape.add_argument("--delta", action="store_true", help="changes only (default)")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--every-tick", action="store_true", help="every Tick, none conflated")
    pace.add_argument("--rate", type=argument(_rate_hz), metavar="HZ",
        help=f"Snapshots a second, at most (default {limits.RATE_HZ_DEFAULT:g})")  # fmt: skip
    add("--from", dest="from_tick", type=argument(_tick), metavar="TICK",
        help="go on after this tick")  # fmt: skip
    add("-W", "--wait", type=argument(parse_duration_ms), metavar="TIMEOUT",
        help="give up (exit 6) when no Snapshot came for so long, as 5s")  # fmt: skip
    add("--no-reconnect", action="store_true", help="exit 4 when the connection is lost")
    add("--strict", action="store_true", help="exit 7 at the first gap")
    talk = parser.add_mutually_exclusive_group()
    talk.add_argument("-q", "--quiet", action="store_true", help="no notices")
    talk.add_argument("-v", "--verbose", action="store_true", help="more notices")
    return parser


def _filter(text: str) -> str:
    fault = topics.filter_fault(text)
    if fault is not None:
        raise UsageError(fault if repr(text) in fault else f"{fault} (in {text!r})")
    return text


def _count(text: str) -> int:
    return _natural(text, 1)


def _tick(text: str) -> int:
    return _natural(text, 0)


def _natural(text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) < 2**63):
        raise UsageError(f"expected a whole number, at least {least}; found {text!r}")
    return int(text)


def _rate_hz(text: str) -> float:
    try:
        rate_hz = float(text)
    except ValueError:
        rate_hz = 0.0
    if not 0 < rate_hz <= limits.RATE_HZ_MAX:
        raise UsageError(f"expected a rate up to {limits.RATE_HZ_MAX:g} Hz, found {text!r}")
    return rate_hz


def _run(args: argparse.Namespace) -> int:
    if len(args.filters) > limits.FILTERS_PER_SUBSCRIPTION_MAX:
        raise UsageError(
            f"{len(args.filters)} filters; at most {limits.FILTERS_PER_SUBSCRIPTION_MAX} are taken"
        )
    if args.once and args.from_tick is not None:
        raise UsageError("--once shows the present picture; leave out --from, or use -n 1")
    on_terminal = sys.stdout.isatty()
    name = args.output or ("table" if on_terminal else "jsonl")
    live_table = name == "table" and on_terminal
    follower = Follower(_wanted(args, live_table=live_table), _talker(args))
    try:
        with _collector_off() if args.once else nullcontext():
            return _show(args, follower, live_table=live_table, name=name)
    except TimeoutError as exc:
        notice(f"rmf-cat: {exc}")
        return EXIT_TIME_OUT
    except GapFound as exc:
        notice(f"rmf-cat: {exc}")
        return EXIT_GAP


@contextmanager
def _collector_off() -> Iterator[None]:
    """Python's collector would walk a large picture again and again, and find no cycle in it: that
    took as long as all else."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _wanted(args: argparse.Namespace, *, live_table: bool) -> Wanted:
    mode = "full" if args.full or args.once else "delta"
    options: dict[str, object] = {"mode": "delta" if live_table else mode}
    rate_hz = args.rate or (limits.TABLE_RATE_HZ if live_table and not args.every_tick else None)
    if rate_hz is not None:
        options["rate_hz"] = rate_hz
    if args.every_tick:
        options["every_tick"] = True
    if args.from_tick is not None:
        options["from_tick"] = args.from_tick
    patience_s = args.wait / 1000 if args.wait else None
    if args.once and patience_s is None:
        patience_s = limits.GET_S_MAX
    return Wanted(
        addresses=args.connect,
        filters=args.filters or ["#"],
        options=options,
        keep=_keep(args.exclude),
        patience_s=patience_s,
        reconnect=not (args.no_reconnect or args.once),
        strict=args.strict,
    )


def _keep(excluded: Sequence[str]) -> Callable[[str], bool] | None:
    matchers = [topics.matcher(pattern) for pattern in excluded]
    if not matchers:
        return None
    return lambda key: not any(matches(key) for matches in matchers)


def _talker(args: argparse.Namespace) -> Callable[..., None]:
    def say(text: str, *, detail: bool = False) -> None:
        if not args.quiet and (args.verbose or not detail):
            notice(f"rmf-cat: {text}")

    return say


def _show(args: argparse.Namespace, follower: Follower, *, live_table: bool, name: str) -> int:
    """Show Snapshots until there are enough of them."""
    left = 1 if args.once else args.count
    output = _output(name, follower, live_table=live_table, refreshing=left != 1)
    try:
        for whole in follower.snapshots():
            if whole is None:
                output.refresh()
                continue
            if args.once and whole.kind == KEEPALIVE:
                continue
            output.show(whole)
            if left is not None and whole.kind != KEEPALIVE:
                left -= 1
                if left == 0:
                    break
    finally:
        output.close()
    return EXIT_DONE


def _output(name: str, follower: Follower, *, live_table: bool, refreshing: bool) -> Output:
    if not live_table:
        return plain_output(name, follower)
    from tools.cat_table import LiveTable  # rich costs more than all else together

    return LiveTable(follower, refreshing=refreshing)


if __name__ == "__main__":
    sys.exit(main())
