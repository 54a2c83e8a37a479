"""The child process in which `rmf-sim` runs a user's line: a job comes in, facts go out.

    python -m rmf.testing.trial_process < job.json > facts.jsonl

One JSON object in, one JSON object a line out; whatever the line prints goes to stderr. The line is
loaded once, behind a false clock, and each piece of work is done in a fork of that state: so a seed
gives the same whether it comes first or last, and a handler that hangs, exits or kills the process
costs that piece, and is named.

    {"do": "seeds", "seeds": [1, 2], …}     each of them in the simulator → one fact a seed
    {"do": "history", "records": PATH, …}   make a history on a bench, and write it there
    {"do": "rerun", "records": PATH, …}     run it again in these surroundings → what differs
"""

import contextlib
import gc
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import process_time  # the real one, whatever a line is shown
from typing import Any, TextIO

import attrs
import cbor2

from rmf.core.record import Record
from rmf.errors import RmfError
from rmf.line.line import Line
from rmf.line.load import load_line
from rmf.testing import bounds
from rmf.testing.false_surroundings import FalseClock, attended
from rmf.testing.forked import CallMark, Fate, work
from rmf.testing.line_workload import Given
from rmf.testing.rehearsal import simulate
from rmf.testing.rerun import differences, history

__all__ = ["main"]

_PIECES = 8
_BALLAST = 1013


def main() -> int:
    """Do the job on stdin; return 0 if it could be done at all."""
    job = json.load(sys.stdin)
    facts = _apart(sys.stdout)
    clock = FalseClock(job["wall_ns"])
    # Addresses depend on what was made before: no test may count on them.
    ballast = [bytearray(_BALLAST) for _ in range(job["ballast"])]
    clock.install()
    random.seed(job["chance"])
    signal.alarm(bounds.LOAD_S_MAX)
    try:
        line = load_line(job["line"])
    except RmfError as exc:
        _say(facts, {"error": str(exc)})
        return 1
    finally:
        signal.alarm(0)
    gc.freeze()
    trial = _Trial(job, line, clock)
    for fact in {"seeds": trial.seeds, "history": trial.history, "rerun": trial.rerun}[job["do"]]():
        _say(facts, fact)
    del ballast
    return 0


def _apart(stdout: TextIO) -> TextIO:
    """Keep stdout for the facts; whatever else is written to it goes to stderr."""
    stdout.flush()
    facts = os.fdopen(os.dup(stdout.fileno()), "w", encoding="utf-8")
    os.dup2(2, stdout.fileno())
    return facts


def _say(facts: TextIO, fact: dict[str, Any]) -> None:
    facts.write(json.dumps(fact) + "\n")
    facts.flush()


class _Trial:
    """One job with its line."""

    def __init__(self, job: dict[str, Any], line: Line, clock: FalseClock) -> None:
        self._job = job
        self._line = line
        self._clock = clock
        self._given: list[Given] = []
        if job.get("packets"):
            self._given = [Given(*row) for row in cbor2.loads(Path(job["packets"]).read_bytes())]

    def _forked(self, job: Callable[[Line], Any]) -> "Any | Fate":
        def with_line(mark: CallMark) -> Any:
            return job(attended(self._line, self._clock, self._job["chance"], mark))

        return work(
            with_line,
            call_s=self._job["call_s"],
            whole_s=self._job["whole_s"],
            memory_bytes=bounds.MEMORY_BYTES_MAX,
        )

    # --- Seeds ----------------------------------------------------------------------------------

    def seeds(self) -> Iterator[dict[str, Any]]:
        """Run each seed in the simulator."""
        for seed in self._job["seeds"]:
            yield {"seed": seed} | _fate_or(self._forked(partial(self._seed, seed)))

    def _seed(self, seed: int, line: Line) -> dict[str, Any]:
        gc.disable()
        begun_s = process_time()
        report = simulate(
            line,
            seed,
            nodes=self._job["nodes"],
            seconds=self._job["seconds"],
            faults=self._job["faults"],
            packets=self._given,
        )
        found = attrs.asdict(report)
        del found["options"], found["notes"]
        return found | {"cpu_s": round(process_time() - begun_s, 3)}

    # --- Determinism ----------------------------------------------------------------------------

    def history(self) -> Iterator[dict[str, Any]]:
        """Make a history, and write it."""
        yield _fate_or(self._forked(self._history))

    def _history(self, line: Line) -> dict[str, Any]:
        bench, unfit = history(line, self._given, self._job["count"], self._job["seed"])
        rows = [[x.index, x.term, x.chain, x.cluster, x.body] for x in bench.ledger]
        Path(self._job["records"]).write_bytes(cbor2.dumps(rows))
        reasons: dict[str, int] = {}
        for letter in bench.letters:
            reasons[letter.reason] = reasons.get(letter.reason, 0) + 1
        return {
            "entries": len(rows),
            "packets": self._job["count"],
            "cells": len(bench.world),
            "bagged": dict(sorted(reasons.items())),
            "unfit": sorted(unfit),
        }

    def rerun(self) -> Iterator[dict[str, Any]]:
        """Run a history again: at once, or piece by piece, each with the line as it was loaded."""
        rows = cbor2.loads(Path(self._job["records"]).read_bytes())
        records = [
            Record(cluster, 0, index, index, term, chain, 0, b"", 0, body, index)
            for index, term, chain, cluster, body in rows
        ]
        pieces = _PIECES if self._job["pieces"] else 1
        edges = [len(records) * i // pieces for i in range(pieces + 1)]
        for begin, end in pairwise(edges):
            yield _fate_or(self._forked(_rerun(records, begin, end)))


def _rerun(records: list[Record], begin: int, end: int) -> Callable[[Line], dict[str, Any]]:
    def job(line: Line) -> dict[str, Any]:
        found = list(differences(line, records, begin, end))
        kept = found[: bounds.DIFFERENCES_KEPT]
        return {"begin": begin, "end": end, "different": len(found), "differences": kept}

    return job


def _fate_or(found: "Any | Fate") -> dict[str, Any]:
    if isinstance(found, Fate):
        return {"fate": attrs.asdict(found)}
    facts: dict[str, Any] = found
    return facts


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
