"""Whatever happens to the tasks, the drive and the clients of a node, it keeps its promises (R46).

A few seeds run by default, about ten seconds; thousands by `python -m tests.nemesis`. That the
nemesis can find something is shown by faults that were found once, planted again.
"""

from pathlib import Path

import pytest

from tests.nemesis.planted import PLANTED, seeds_needed
from tests.nemesis.seed import run
from tests.planting import stated, what_stays

STATED = stated(Path(__file__).with_name("found.md"))
SEEDS = 4
AT_ONCE = [
    "f1_a_companion_is_not_supervised",
    "f13_the_loop_itself_asks_the_drive",
]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_a_node_keeps_its_promises_through_all_kinds_of_trouble(seed: int, tmp_path: Path) -> None:
    report = run(seed, tmp_path / "data")
    assert report.faults == [], report.where
    assert report.packets > 20
    assert report.acts


def test_every_planted_fault_is_in_the_table_and_no_other() -> None:
    assert STATED.keys() == PLANTED.keys()
    assert len(PLANTED) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("name", AT_ONCE)
def test_a_planted_fault_that_shows_at_once_is_found(name: str) -> None:
    assert seeds_needed(name, STATED[name]) is not None


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", list(PLANTED))
def test_a_planted_fault_is_found_within_the_stated_seeds(name: str) -> None:
    assert seeds_needed(name, STATED[name]) is not None


def test_nothing_stays_planted() -> None:
    assert what_stays(PLANTED) == []
