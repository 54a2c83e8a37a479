"""Many seeds, one after another or in several processes, and what they met altogether.

    python -m rmf.testing.swarm --seeds 1-1000 --processes 2
    python -m rmf.testing.swarm --life all --seeds 1-50
    python -m rmf.testing.swarm --faults lost_tail,kill --seeds 1-50 --seconds 60

Besides each seed's verdict it counts what ever happened (`sometimes`): a class of fault, a branch
of repair or membership that never fired in the whole suite is a hole in it, and fails it.
"""

import argparse
import gc
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import get_context
from typing import Any

from rmf.testing.lives import LIVES
from rmf.testing.options import FAULTS, derived
from rmf.testing.run import Report, run, say

__all__ = ["SOMETIMES", "main", "never", "reports"]

_SECONDS = 300.0

# What has to happen at least once in a suite: every fault, and every branch that mends or changes.
SOMETIMES = (
    *(f"fault_{name}" for name in FAULTS),
    "add_asked",
    "adopted",
    "checkpoint",
    "chunk_read",
    "disk_failed",
    "entries_read",
    "healed_without_one",
    "installed",
    "note_line_behind",
    "letters_fetched",
    "producer_restarted",
    "refused_no_reign",
    "refused_not_leader",
    "reign",
    "reload_admin",
    "reload_installed",
    "removed",
    "repaired",
    "stopped",
    "strike_ended",
    "torn_tail",
    "transfer_asked",
)


def reports(seeds: Iterable[int], processes: int = 1, **chosen: Any) -> Iterator[Report]:
    """Run these seeds; give each one's Report, in order."""
    if processes == 1:
        for seed in seeds:
            yield _one((seed, chosen))
        return
    # A new process for each few seeds: what one leaves behind disturbs no other.
    with get_context("spawn").Pool(processes, maxtasksperchild=20) as pool:
        yield from pool.imap(_one, [(seed, chosen) for seed in seeds])


def _one(task: tuple[int, dict[str, Any]]) -> Report:
    seed, chosen = task
    gc.disable()  # cores hold no cycles that matter within a run
    try:
        return run(derived(seed, **chosen))
    finally:
        gc.enable()


def never(counts: Counter[str]) -> list[str]:
    """Return what never happened though it should have."""
    return [name for name in SOMETIMES if not counts[name]]


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run many seeds from the command line; return 0 if all passed and nothing was never met."""
    parsed = _parsed(arguments)
    if not parsed.life:
        chosen: dict[str, Any] = {"seconds": parsed.seconds or _SECONDS}
        if parsed.faults:
            chosen["faults"] = dict.fromkeys(parsed.faults.split(","), 1.0)
        return 0 if _sweep(parsed, chosen, complete=not parsed.faults) else 1
    names = list(LIVES) if parsed.life == "all" else [parsed.life]
    passed = []
    for name in names:
        say(f"-- {name}")
        length = {"seconds": parsed.seconds} if parsed.seconds else {}
        passed.append(_sweep(parsed, LIVES[name] | length, complete=False))
    return 0 if all(passed) else 1


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rmf.testing.swarm", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=_seeds("1-100"), metavar="FIRST-LAST")
    parser.add_argument("--seconds", type=float, help=f"simulated, of each seed ({_SECONDS:g})")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--life", choices=[*LIVES, "all"], help="options by name (see lives)")
    parser.add_argument("--faults", help="only these, separated by commas")
    parsed = parser.parse_args(arguments)
    if parsed.faults and not set(parsed.faults.split(",")) <= FAULTS.keys():
        parser.error(f"--faults: expected some of {', '.join(sorted(FAULTS))}")
    return parsed


def _sweep(parsed: argparse.Namespace, chosen: dict[str, Any], *, complete: bool) -> bool:
    """Run the seeds, and say what came of them; return whether all passed. `complete`: whatever
    may happen has to happen at least once."""
    counts: Counter[str] = Counter()
    begun_s, simulated_s, failed = time.monotonic(), 0.0, 0
    for report in reports(parsed.seeds, parsed.processes, **chosen):
        counts.update(report.counts)
        simulated_s += report.seconds
        if report.verdict == "failed" or (complete and report.verdict == "void"):
            failed += 1
            say(f"{report.verdict}: {report.why}\n    {report.command}")
    for name, count in sorted(counts.items()):
        say(f"{count:9d} {name}")
    missing = never(counts) if complete else []
    if missing:
        say(f"never: {', '.join(missing)}")
    took_s = time.monotonic() - begun_s
    say(
        f"{len(parsed.seeds)} seeds, {failed} did not pass, {simulated_s / 3600:.1f} cluster-hours"
        f" simulated in {took_s:.0f} s"
    )
    return not (failed or missing)


if __name__ == "__main__":
    sys.exit(main())
