"""The child processes of `rmf-sim`: a job for each, as many at a time as there are cores.

It decides what a child is started with (hash seed, zone, locale, clock, chance) and what it means
when one ends without an answer. It knows neither lines nor findings: jobs and facts are JSON (see
rmf/testing/trial).
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from rmf import limits
from rmf.errors import LineError, RmfError
from rmf.testing import bounds

__all__ = ["Surroundings", "Trials"]

_WALL_NS = 1_764_000_000 * limits.SECOND
_TAIL_LINES = 12
_SEEDS_A_CHILD = 8


@attrs.frozen(kw_only=True)
class Surroundings:
    """What a line may notice of the machine: everything is chosen, and nothing is that of the
    user who asks."""

    hash_seed: int = 0
    wall_ns: int = _WALL_NS
    zone: str = "UTC0"
    locale: str = "C.UTF-8"
    chance: int = 1
    ballast: int = 0

    def environment(self) -> dict[str, str]:
        """Return the environment of a child."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("LC_") and name not in {"LANG", "LANGUAGE"}
        }
        chosen = {
            "PYTHONHASHSEED": str(self.hash_seed),
            "TZ": self.zone,
            "LC_ALL": self.locale,
            "PYTHONUTF8": "1",
        }
        return kept | chosen


@attrs.frozen(kw_only=True)
class Trials:
    """Runs jobs with one line. `call_s` bounds one call of a handler, `whole_s` one piece of
    work."""

    line: str
    processes: int
    call_s: float
    whole_s: float
    packets: str | None = None

    def seeds(self, seeds: Sequence[int], **job: Any) -> Iterator[dict[str, Any]]:
        """Run these seeds in the simulator; give each one's facts, in order. Raises LineError."""
        parts = [seeds[i : i + _SEEDS_A_CHILD] for i in range(0, len(seeds), _SEEDS_A_CHILD)]
        jobs = [{"do": "seeds", "seeds": list(part), **job} for part in parts]
        for facts in self._all([(one, Surroundings()) for one in jobs]):
            yield from facts

    def history(self, surroundings: Surroundings, **job: Any) -> dict[str, Any]:
        """Make a history; return its facts. Raises LineError."""
        (fact,) = self._run({"do": "history", **job}, surroundings)
        return fact

    def reruns(
        self, wanted: Sequence[tuple[Surroundings, bool]], **job: Any
    ) -> Iterator[list[dict[str, Any]]]:
        """Run a history again in each of these, or piece by piece; give the facts of each, in
        order."""
        jobs = [({"do": "rerun", "pieces": pieces, **job}, around) for around, pieces in wanted]
        yield from self._all(jobs)

    # --- One child ------------------------------------------------------------------------------

    def _all(
        self, jobs: Sequence[tuple[dict[str, Any], Surroundings]]
    ) -> Iterator[list[dict[str, Any]]]:
        pool = ThreadPoolExecutor(self.processes)
        try:
            yield from pool.map(lambda pair: self._run(*pair), jobs)
        finally:
            pool.shutdown(cancel_futures=True)

    def _run(self, job: dict[str, Any], around: Surroundings) -> list[dict[str, Any]]:
        pieces = len(job.get("seeds", "12345678"))
        told = {
            **job,
            "line": self.line,
            "packets": self.packets,
            "call_s": self.call_s,
            "whole_s": self.whole_s,
            "wall_ns": around.wall_ns,
            "chance": around.chance,
            "ballast": around.ballast,
        }
        try:
            done = subprocess.run(
                [sys.executable, "-m", "rmf.testing.trial_process"],
                input=json.dumps(told),
                env=around.environment(),
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=bounds.LOAD_S_MAX + pieces * (self.whole_s + 5.0),
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise RmfError(f"a child process did not end within {exc.timeout:g} s") from exc
        facts = [json.loads(text) for text in done.stdout.splitlines()]
        for fact in facts:
            if "error" in fact:
                raise LineError(fact["error"])
        if done.returncode:
            raise LineError(_ended(self.line, done))
        return facts


def _ended(line: str, done: "subprocess.CompletedProcess[str]") -> str:
    """Say how a child ended that should have given facts: the line's import ends it, if anything
    does."""
    tail = "\n".join(done.stderr.splitlines()[-_TAIL_LINES:])
    if done.returncode == -signal.SIGALRM:
        return f"--line {line}: loading it went on for more than {bounds.LOAD_S_MAX} s"
    how = f"exited with {done.returncode}"
    if done.returncode < 0:
        how = f"was killed by {signal.Signals(-done.returncode).name}"
    return f"the process that ran {line} {how}; it said:\n{tail}"
