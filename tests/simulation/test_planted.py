"""The simulator finds what it is there for: each planted bug, within a stated number of seeds.

`found.md` keeps how many seeds each one needed; `--long` measures them all again.
"""

from pathlib import Path

import pytest

from rmf.testing.run import run
from tests.planting import stated, what_stays
from tests.simulation.field import OF_THEIR_OWN
from tests.simulation.planted import PLANTED, life, seeds_needed

STATED = stated(Path(__file__).with_name("found.md"))


def test_every_planted_bug_is_in_the_table_and_no_other() -> None:
    assert STATED.keys() == PLANTED.keys()
    assert OF_THEIR_OWN.keys() <= PLANTED.keys()
    assert len(PLANTED) >= 30


QUICK = [name for name, seeds in STATED.items() if seeds <= 3]


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_bug_that_shows_at_once_is_found_within_the_stated_seeds(name: str) -> None:
    assert seeds_needed(name, STATED[name]) is not None


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", [name for name in PLANTED if name not in QUICK])
def test_a_bug_is_found_within_the_stated_seeds(name: str) -> None:
    assert seeds_needed(name, STATED[name]) is not None


@pytest.mark.long
def test_without_a_bug_a_hard_life_is_survived() -> None:
    for seed in range(1, 4):
        report = run(life(seed))
        assert report.verdict == "passed", f"{report.why}\n{report.command}"


def test_nothing_stays_planted() -> None:
    assert what_stays(PLANTED) == []
