"""rmf-sim: a user's line under the simulator, and run again in other surroundings (R12, R22, R27).

Two questions about a line that is to run on several nodes and to be replayed. Seeds: does the
factory keep every promise with it while networks, disks, clocks, processes and members go wrong?
Determinism: does the same history come out the same under other hash seeds, clocks, zones, random
numbers, processes, and with the line begun again on the way? It decides what is asked and what the
answer amounts to; the line itself is only ever run in child processes.

Exit: 0 fine, 3 something was found, 1 void (no packet was committed, or no fault met though faults
were asked for), 2 usage, a line that cannot be loaded included.
"""

import argparse
import io
import os
import re
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rmf.client import command
from rmf.client.command import EXIT_BAGGED, EXIT_DONE, EXIT_FAILED, notice
from rmf.errors import UsageError
from rmf.testing import bounds
from rmf.testing.rehearsal import SECONDS_MIN, faults_met, kinds_of
from tools.sim_findings import examine
from tools.sim_output import json_of, table_of
from tools.sim_packets import read_packets, write_packets
from tools.sim_trials import Trials

__all__ = ["main"]

_SEEDS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_CHECKS = ("all", "seeds", "determinism")
_HISTORY_SEED = 1

_EXAMPLES = """\
examples:
  rmf-sim greenhouse.py:line                  20 seeds, all faults; and: is it deterministic?
  rmf-sim greenhouse.py:line --seeds 1000     more of them, for a night
  rmf-sim greenhouse.py:line --seeds 7-7 --check seeds          one seed, as a failure prints it
  rmf-sim greenhouse.py:line --faults network,process --nodes 5
  rmf-sim greenhouse.py:line --check determinism --packets day.jsonl    packets as for rmf-send
  rmf-sim greenhouse.py:line --packets ~/.local/state/rmf/n1            or those of a ledger

manual: rmf help testing
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    return command.run_command("rmf-sim", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rmf-sim-") as directory:
        packets = None
        if args.packets is not None:
            packets = Path(directory) / "packets"
            given = read_packets(args.packets, topic=args.topic, ttl_ms=args.ttl)
            write_packets(given, packets)
            notice(f"rmf-sim: {len(given)} packets of {args.packets}")
        trials = Trials(
            line=_absolute(args.line),
            processes=args.processes,
            call_s=args.call_timeout / 1000,
            whole_s=args.timeout / 1000,
            packets=None if packets is None else str(packets),
        )
        result: dict[str, Any] = {"line": args.line, "seeds": None, "determinism": None}
        if args.check != "seeds":
            records = Path(directory) / "history"
            result["determinism"] = examine(trials, records, count=args.number, seed=_HISTORY_SEED)
        if args.check != "determinism":
            result["seeds"] = _seeds(args, trials)
    result["seconds"] = round(time.monotonic() - begun_s, 1)
    result["verdict"] = _verdict(result)
    output = args.output or ("table" if sys.stdout.isatty() else "json")
    print(table_of(result) if output == "table" else json_of(result))
    return {"passed": EXIT_DONE, "found": EXIT_BAGGED, "void": EXIT_FAILED}[result["verdict"]]


def _absolute(spec: str) -> str:
    """Return the line's name with the path of its file made absolute: children receive it."""
    place, colon, name = spec.rpartition(":")
    return f"{Path(place).absolute()}{colon}{name}" if place.endswith(".py") else spec


# --- Seeds --------------------------------------------------------------------------------------


def _seeds(args: argparse.Namespace, trials: Trials) -> dict[str, Any]:
    """Run the seeds; return what came of them, in terms of JSON."""
    begun_s = time.monotonic()
    seen: dict[str, int] = {"passed": 0, "failed": 0, "void": 0, "hung": 0, "overdue": 0, "died": 0}
    failures: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    packets, cpu_s = 0, 0.0
    job = {"nodes": args.nodes, "seconds": args.seconds, "faults": args.faults}
    for fact in trials.seeds(args.seeds, **job):
        fate = fact.get("fate")
        verdict = fact["verdict"] if fate is None else fate["kind"]
        seen[verdict] += 1
        if fate is None:
            packets += fact["packets"]
            cpu_s += fact["cpu_s"]
            for name, count in fact["counts"].items():
                counts[name] = counts.get(name, 0) + count
        if verdict != "passed":
            failures.append(_failure(args, fact))
            notice(f"rmf-sim: seed {fact['seed']}: {verdict}: {failures[-1]['why']}")
    took_s = time.monotonic() - begun_s
    return {
        "first": args.seeds[0],
        "last": args.seeds[-1],
        **seen,
        "nodes": args.nodes,
        "kinds": args.faults,
        "packets": packets,
        "faults": faults_met(counts),
        "counts": dict(sorted(counts.items())),
        "failures": failures,
        "seconds": round(took_s, 1),
        "cpu_seconds": round(cpu_s, 1),
        "seeds_per_minute": round(60 * len(args.seeds) / took_s, 1),
    }


def _failure(args: argparse.Namespace, fact: dict[str, Any]) -> dict[str, Any]:
    fate = fact.get("fate")
    seed = fact["seed"]
    if fate is not None:
        said = {"verdict": fate["kind"], "rule": "", "where": "", **fate}
        del said["kind"]
    else:
        said = {name: fact[name] for name in ("verdict", "rule", "why", "where")}
        said |= {"handler": None, "packet": None}
    return {"seed": seed, **said, "command": _command(args, seed)}


def _command(args: argparse.Namespace, seed: int) -> str:
    """Return the command that shows this seed again."""
    words = ["rmf-sim", args.line, "--seeds", f"{seed}-{seed}", "--nodes", str(args.nodes)]
    words += ["--faults", args.faults, "--seconds", f"{args.seconds:g}", "--check", "seeds"]
    if args.packets is not None:
        words += ["--packets", str(args.packets)]
        if args.topic is not None:
            words += ["--topic", args.topic]
    return shlex.join(words)


def _verdict(result: dict[str, Any]) -> str:
    """Return what it all amounts to: found before void, for what was found is there."""
    seeds, determinism = result["seeds"], result["determinism"]
    if determinism is not None and not determinism["deterministic"]:
        return "found"
    if seeds is not None:
        if any(seeds[name] for name in ("failed", "hung", "overdue", "died")):
            return "found"
        if seeds["void"]:
            return "void"
    if determinism is not None and not determinism["packets"]:
        return "void"
    return "passed"


# --- Arguments ----------------------------------------------------------------------------------


def _range(text: str) -> range:
    found = _SEEDS.fullmatch(text)
    if found is None:
        raise UsageError(f"seeds {text!r}: expected a number of them, or FIRST-LAST")
    first, last = (1, int(found[1])) if found[2] is None else (int(found[1]), int(found[2]))
    if not first <= last < first + bounds.SEEDS_MAX:
        raise UsageError(f"seeds {text!r}: expected 1 to {bounds.SEEDS_MAX} of them")
    return range(first, last + 1)


def _faults(text: str) -> str:
    kinds_of(text)
    return text


def _number(low: int, high: int) -> Any:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise UsageError(f"{text!r}: expected {low} to {high}")
        return int(text)

    return command.argument(parse)


def _seconds(text: str) -> float:
    try:
        seconds = command.parse_duration_ms(text) / 1000
    except UsageError:
        if not (text.isascii() and text.isdigit()):
            raise
        seconds = float(text)
    if seconds < SECONDS_MIN:
        raise UsageError(f"{seconds:g} seconds: expected {SECONDS_MIN:g} at least")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = command.command_parser(
        "rmf-sim", "Run a line under the simulator, and again in other surroundings.", _EXAMPLES
    )
    add = parser.add_argument
    add("line", metavar="LINE", help="FILE.py:NAME or package.module:NAME")
    add(
        "--seeds",
        type=command.argument(_range),
        default=range(1, 21),
        metavar="N|A-B",
        help="so many seeds from 1 on, or these (default: 20)",
    )
    add("--nodes", type=_number(1, 7), default=3, metavar="N", help="1 to 7 (default: 3)")
    add(
        "--faults",
        type=command.argument(_faults),
        default="all",
        help="all, none, or some of network,disk,clock,process,members (default: all)",
    )
    add(
        "--seconds",
        type=command.argument(_seconds),
        default=60.0,
        metavar="S",
        help="virtual time of a seed before all is healed (default: 60)",
    )
    add("--check", choices=_CHECKS, default="all", help="what to look at (default: all)")
    add(
        "--packets",
        type=Path,
        metavar="FILE.jsonl|DIR",
        help="packets as rmf-send takes them, or those of a data directory's ledger, in order and"
        " again from the first (default: made up for the line's topics and classes)",
    )
    _add_bounds(parser)
    add("-o", "--output", choices=("table", "json"), help="default: table on a terminal, else json")
    return parser


def _add_bounds(parser: argparse.ArgumentParser) -> None:
    duration = command.argument(command.parse_duration_ms)
    add = parser.add_argument
    add("--topic", help="of payloads in a file that name none")
    add("--ttl", type=duration, default=60_000, help="of packets that name none (default: 60s)")
    add(
        "-n",
        "--number",
        type=_number(1, 1_000_000),
        default=2000,
        metavar="N",
        help="packets of the history that is run again (default: 2000)",
    )
    add(
        "--processes",
        type=_number(1, 256),
        default=os.cpu_count() or 1,
        metavar="N",
        help="child processes at a time (default: one a core)",
    )
    add(
        "--call-timeout",
        type=duration,
        default=int(bounds.CALL_S_MAX * 1000),
        metavar="TIME",
        help=f"one call of a handler (default: {bounds.CALL_S_MAX:g}s)",
    )
    add(
        "--timeout",
        type=duration,
        default=int(bounds.SEED_S_MAX * 1000),
        metavar="TIME",
        help=f"one seed (default: {bounds.SEED_S_MAX:g}s)",
    )


if __name__ == "__main__":
    sys.exit(main())
