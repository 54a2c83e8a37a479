"""rmf-send: produce packets from a file or a pipe (INTERFACES).

It decides what the options mean. What a line is, send_lines says; how packets are streamed and
their outcomes reported, send_flow; exactly once is the client's matter.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import trio

from rmf import limits
from rmf.client.command import (
    EXIT_BAGGED,
    EXIT_DONE,
    EXIT_TIME_OUT,
    add_connect_option,
    argument,
    command_parser,
    notice,
    parse_duration_ms,
    run_command,
)
from rmf.core import topics
from rmf.errors import UsageError
from tools.send_flow import Flow, Pace, Report, TimedOut
from tools.send_lines import FORMATS, LineReader, Wanted

__all__ = ["main"]

_EXAMPLES = """\
examples:
  echo '{"celsius": 21.5}' | rmf-send --topic greenhouse/3/temp
  rmf-send temps.csv --topic city/seattle --ttl 2h --producer seattle --resume
  sensor | rmf-send --format raw --topic sensor/1 -o jsonl

formats: a jsonl line is a payload (with --topic), or {"topic":..., "payload":..., "ttl_ms":...,
"harvested_at": ns}; {"$bytes": "base64"} is a byte string. csv: a map for each row, from the
header's names; exact numbers are numbers. raw: each line's bytes are the payload, as they stand.

exit codes: 0 all applied, 1 a line could not be read (what stands before it was sent), 2 usage,
3 something was bagged, 4 cannot connect, 5 refused (forgotten: the outcomes that are not known are
counted as unknown, and not sent again), 6 no outcome in time, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = _parser().parse_args(argv)
    return run_command("rmf-send", lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "rmf-send", "Send packets to a factory and report what became of each.", _EXAMPLES
    )
    add = parser.add_argument
    add("file", nargs="?", default="-", metavar="FILE", help="what to send (default: stdin, -)")
    add_connect_option(parser)
    add("--producer", metavar="NAME", help="who sends (default: an ephemeral name); with a name, "
        "a rerun numbers on after its last seq, and sends all again but with --resume")  # fmt: skip
    add("--topic", type=argument(_topic), metavar="T", help="topic of lines that bring none")
    add("--ttl", type=argument(parse_duration_ms), default="5s", metavar="5s",
        help="shelf life of lines that bring none (default 5s)")  # fmt: skip
    add("--format", choices=FORMATS, help="default: csv for *.csv, else jsonl")
    add("--rate", type=argument(_rate), metavar="N", help="packets per second, at most")
    add("--batch", type=argument(_batch), metavar="N",
        default=limits.SEND_BATCH_PACKETS,
        help="packets handed over at once, at most (default %(default)s)")  # fmt: skip
    add("--fence", type=argument(_term), metavar="TERM",
        help="bag packets if another term reigns")  # fmt: skip
    add("--resume", action="store_true",
        help="line n is seq n: send only what is missing (needs --producer)")  # fmt: skip
    add("-o", "--output", choices=("summary", "jsonl"), default="summary",
        help="one line at the end (default), or one per packet")  # fmt: skip
    add("-W", "--timeout", type=argument(parse_duration_ms), metavar="TIMEOUT",
        default=f"{limits.SEND_PATIENCE_S}s",
        help="bound on being without connection, or outcome (default %(default)s)")  # fmt: skip
    add("-q", "--quiet", action="store_true", help="no notices")
    return parser


def _topic(text: str) -> str:
    fault = topics.topic_fault(text)
    if fault is not None:
        raise UsageError(fault)
    return text


def _natural(text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise UsageError(f"expected a whole number from {low} to {high}, found {text!r}")
    return int(text)


def _batch(text: str) -> int:
    return _natural(text, 1, limits.FRAME_PACKETS_MAX)


def _term(text: str) -> int:
    return _natural(text, 0, limits.SEQ_MAX)


def _rate(text: str) -> float:
    try:
        rate_hz = float(text)
    except ValueError:
        rate_hz = 0.0
    if not 0.001 <= rate_hz <= 1e9:
        raise UsageError(f"expected packets per second, as 100 or 0.5, found {text!r}")
    return rate_hz


def _run(args: argparse.Namespace) -> int:
    if args.resume and args.producer is None:
        raise UsageError("--resume compares with a producer's last seq: give --producer NAME")
    name = args.format or ("csv" if args.file.endswith(".csv") else "jsonl")
    if args.topic is None and name != "jsonl":
        raise UsageError(f"--format {name} needs --topic: its lines bring none")
    report = Report(per_packet=args.output == "jsonl")
    pace = Pace(args.batch, args.rate, args.timeout / 1000)
    say = _talker(quiet=args.quiet)
    try:
        with _opened(args.file) as file:
            reader = LineReader(name, Wanted(args.topic, args.ttl, args.fence))
            flow = Flow(file, reader, report, pace)
            trio.run(flow.run, args.connect, args.producer, args.resume, say)
    except TimedOut as exc:
        notice(f"rmf-send: {exc}")
        return EXIT_TIME_OUT
    finally:
        report.finish()
    return EXIT_BAGGED if report.counts["bagged"] else EXIT_DONE


def _talker(*, quiet: bool) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not quiet:
            notice(f"rmf-send: {text}")

    return say


def _opened(name: str) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    try:
        return Path(name).open("rb")
    except OSError as exc:
        raise UsageError(f"cannot read {name}: {exc.strerror}") from exc


if __name__ == "__main__":
    sys.exit(main())
