"""Has a stage grown? What each takes is compared with a fixed piece of work of the same moment, and
the ratio with the one that was committed.

Rounds are short and many, the yardstick is run between them, and of both the tenth percentile
counts: what disturbs a round makes it longer, never shorter, so that it stands for what the code
takes on its own. The stages run in a process of their own, without the collector. What was
committed is the median of several such measurements, with their spread: a stage counts as grown if
it is above that by LIMIT, or by twice its spread, and stays so when it is measured again.

Ratios depend on the interpreter, the processor, and whether the compiled piece runs, so they are
kept apart by these. Where none were committed, nothing is compared.
"""

import gc
import json
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from rmf.interpreter import interpreter_build
from rmf.native import COMPILED
from tools.bench_load import payload_of
from tools.budget_stages import STAGES, Pipeline
from tools.budget_yardstick import yardstick_ns
from tools.compare_servers import in_a_process

__all__ = [
    "COMMITTED",
    "LIMIT",
    "MODES",
    "Committed",
    "Mode",
    "committed_here",
    "committed_of",
    "grown",
    "here",
    "measured",
    "measured_where",
    "ratios",
    "with_committed",
]

COMMITTED: Final = Path(__file__).with_name("budget.json")
LIMIT: Final = 0.18  # so that a fifth is seen
_ATTEMPTS = 3
_WARM_ROUNDS = 20

Ratios = dict[str, dict[str, float]]  # by mode and stage: in times of the yardstick


class Mode(NamedTuple):
    """How a stage is looked at: frames of so many packets a Tick, in so many rounds."""

    frames: int
    batch: int
    rounds: int


MODES: Final = {"batch": Mode(1, 125, 600), "lone": Mode(1, 1, 1000)}


class Committed(NamedTuple):
    """What was committed: ratios, and by how much measurements of them differed."""

    ratios: Ratios
    spreads: Ratios


def here() -> str:
    """Return what ratios depend on: interpreter, processor, and whether the compiled piece runs."""
    return (
        f"{interpreter_build()}; {_processor()}; {'compiled piece' if COMPILED else 'Python alone'}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


# --- Measuring ------------------------------------------------------------------------------------


def measured() -> Ratios:
    """Return the ratios of now, measured in a process of its own. Raises RmfError."""
    return in_a_process(ratios, takes_s=30)


def measured_where() -> tuple[str, Ratios]:
    """Return the same, and what they depend on there (see `here`). Raises RmfError."""
    return in_a_process(_ratios_where, takes_s=30)


def _ratios_where() -> tuple[str, Ratios]:
    return here(), ratios()


def ratios(make: Callable[[], Pipeline] | None = None) -> Ratios:
    """Return the ratios, measured in this process; `make` makes what is measured."""
    gc.disable()
    try:
        return {name: _of_mode(mode, make or _pipeline) for name, mode in MODES.items()}
    finally:
        gc.enable()


def _pipeline() -> Pipeline:
    return Pipeline(3, payload_of(64))


def _of_mode(mode: Mode, make: Callable[[], Pipeline]) -> dict[str, float]:
    pipeline = make()
    yardsticks = []
    times: dict[str, list[int]] = {stage: [] for stage in STAGES}
    for number in range(-_WARM_ROUNDS, mode.rounds):
        took = pipeline.round(mode.frames, mode.batch)
        yardstick = yardstick_ns()
        if number >= 0:
            yardsticks.append(yardstick)
            for stage, taken in times.items():
                taken.append(took[stage])
    unit = _tenth(yardsticks)
    return {stage: _tenth(taken) / unit for stage, taken in times.items()}


def _tenth(values: list[int]) -> float:
    return statistics.quantiles(values, n=10)[0]


# --- Comparing ------------------------------------------------------------------------------------


def committed_here(text: str | None = None) -> Committed | None:
    """Return what was committed for a machine and an interpreter like these; None if nothing."""
    found = json.loads(COMMITTED.read_text() if text is None else text).get(here())
    return None if found is None else Committed(found["ratios"], found["spreads"])


def committed_of(measurements: list[Ratios]) -> Committed:
    """Return what is to be committed after these measurements."""
    ratios_of: Ratios = {}
    spreads: Ratios = {}
    for mode in MODES:
        ratios_of[mode], spreads[mode] = {}, {}
        for stage in STAGES:
            found = [one[mode][stage] for one in measurements]
            ratios_of[mode][stage] = round(statistics.median(found), 5)
            spreads[mode][stage] = round(max(found) / min(found) - 1, 3)
    return Committed(ratios_of, spreads)


def with_committed(text: str, where: str, committed: Committed) -> str:
    """Return the text of the file, with what is to be committed for a machine (see `here`) in
    it."""
    every: dict[str, Any] = {**json.loads(text), where: committed._asdict()}
    return json.dumps(every, indent=1, sort_keys=True) + "\n"


def grown(committed: Committed, measure: Callable[[], Ratios] = measured) -> list[str]:
    """Return in words which stages have grown: in each of several measurements. Raises RmfError."""
    least: dict[tuple[str, str], float] = {}
    found: list[str] = []
    for _ in range(_ATTEMPTS):
        for mode, stages in measure().items():
            for stage, ratio in stages.items():
                least[mode, stage] = min(ratio, least.get((mode, stage), ratio))
        found = _above(committed, least)
        if not found:
            break
    return found


def _above(committed: Committed, least: Mapping[tuple[str, str], float]) -> list[str]:
    found = []
    for (mode, stage), ratio in least.items():
        before = committed.ratios.get(mode, {}).get(stage)
        if before is None:
            continue
        growth = ratio / before - 1
        if growth > max(LIMIT, 2 * committed.spreads[mode][stage]):
            found.append(
                f"{stage} ({mode}) has grown by {growth:.0%}: it took {before:.3f} times the"
                f" yardstick, it takes {ratio:.3f}"
            )
    return found
