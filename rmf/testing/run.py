"""One seed: a factory for some simulated minutes with everything going wrong, then healed, judged.

    python -m rmf.testing.run --seed 7
    python -m rmf.testing.run --seed 7 --seconds 60 --set fault_every_ms=1000
    python -m rmf.testing.run --options '{...}'

A run that committed too little, or met no fault, is void: it would prove nothing. Whatever fails
prints the one command that shows it again.
"""

import argparse
import gc
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs

from rmf import limits
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.knobs import small_bounds
from rmf.testing.liveness import settle
from rmf.testing.options import Options, derived, options_of
from rmf.testing.violation import Violation, Void
from rmf.testing.workload import SIMULATED, Workload

__all__ = ["Report", "main", "run"]

# Of what is asked for, at least this share is to be committed: a leader is away for part of a run.
_SHARE_MIN = 0.1


@attrs.frozen(kw_only=True)
class Report:
    """What came of a run. `why` says what failed; `where` is the place in the code."""

    options: Options
    verdict: Literal["passed", "failed", "void"]
    rule: str
    why: str
    where: str
    digest: str
    seconds: float
    steps: int
    packets: int
    acks: int
    reads: int
    faults: int
    counts: dict[str, int]
    notes: list[str]

    @property
    def command(self) -> str:
        """The command that shows this run again."""
        return f"python -m rmf.testing.run --options {shlex.quote(self.options.text())}"


def run(
    options: Options,
    workload: Workload = SIMULATED,
    judge: Callable[[SimulatedCluster], None] | None = None,
) -> Report:
    """Run it, and judge it; `judge` raises Violation or Void for what it finds at the end."""
    rule, why, where = "", "", ""
    verdict: Literal["passed", "failed", "void"] = "passed"
    with small_bounds(options):
        cluster = SimulatedCluster(options, workload)
        try:
            _live(cluster)
            (judge or _judge)(cluster)
        except Void as exc:
            verdict, why = "void", str(exc)
        except Violation as exc:
            verdict, rule, why, where = "failed", exc.rule, str(exc), traceback.format_exc()
        except Exception as exc:  # noqa: BLE001 whatever a core raises is a bug found
            verdict, rule, why = "failed", "no exception", repr(exc)
            where = traceback.format_exc()
    return Report(
        options=options,
        verdict=verdict,
        rule=rule,
        why=why,
        where=where,
        digest=cluster.env.digest,
        seconds=cluster.agenda.now_ns / limits.SECOND,
        steps=cluster.env.steps,
        packets=cluster.audit.packets,
        acks=cluster.promises.acks,
        reads=cluster.reader.answered,
        faults=cluster.nemesis.met,
        counts=dict(sorted(cluster.counts.items())),
        notes=list(cluster.env.notes),
    )


def _live(cluster: SimulatedCluster) -> None:
    cluster.begin()
    # First a while without faults: there is something to lose.
    cluster.agenda.run_until(int(cluster.options.quiet_seconds * limits.SECOND))
    if cluster.options.faults:
        cluster.nemesis.begin()
    cluster.agenda.run_until(int(cluster.options.seconds * limits.SECOND))
    settle(cluster)


def _judge(cluster: SimulatedCluster) -> None:
    options, packets = cluster.options, cluster.audit.packets
    wanted = int(options.seconds * options.packets_a_second * _SHARE_MIN)
    if packets < wanted:
        raise Void(f"only {packets} packets were committed, {wanted} at least make a run")
    if not cluster.nemesis.met:
        raise Void("no fault was met")


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rmf.testing.run", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="of simulated time before healing")
    parser.add_argument("--options", help="all options, as a failing run prints them")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--notes", type=int, default=0, help="last notes of nodes to show")
    parser.add_argument("--counts", action="store_true", help="show what happened how often")
    return parser.parse_args(arguments)


def _options(parsed: argparse.Namespace) -> Options:
    if parsed.options:
        return options_of(parsed.options)
    chosen: dict[str, Any] = {}
    for pair in parsed.set:
        name, _, value = pair.partition("=")
        before = getattr(derived(parsed.seed), name)
        chosen[name] = type(before)(value)
    if parsed.seconds is not None:
        chosen["seconds"] = parsed.seconds
    return derived(parsed.seed, **chosen)


def say(text: str) -> None:
    """Write a line for the starter of this."""
    sys.stdout.write(text + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one seed from the command line; return 0 if it passed."""
    parsed = _parsed(arguments)
    gc.disable()
    begun_s = time.process_time()
    report = run(_options(parsed))
    took_s = time.process_time() - begun_s
    for note in report.notes[len(report.notes) - parsed.notes :]:
        say(note)
    if parsed.counts:
        for name, count in report.counts.items():
            say(f"{count:8d} {name}")
    say(
        f"seed {report.options.seed}: {report.verdict} {report.why}\n"
        f"{report.seconds:.1f} s simulated in {took_s:.2f} s of CPU"
        f" ({report.seconds / took_s:.0f} x), {report.steps} steps, {report.packets} packets,"
        f" {report.acks} acks, {report.reads} reads, {report.faults} faults, {report.digest}"
    )
    if report.verdict == "passed":
        return 0
    say(f"{report.where}\n{report.command}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
