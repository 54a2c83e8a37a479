"""Three nodes keep their promises through all kinds of trouble, and without any one of them (R46).

One seed runs by default, about ten seconds; more by `python -m tests.nemesis --nodes 3`.
"""

from pathlib import Path

import pytest

from tests.nemesis.three import run

SEEDS = 1
LONG_SEEDS = 60


def keeps_its_promises(seed: int, data: Path) -> None:
    report = run(seed, data)
    assert report.faults == [], report.where
    assert report.packets > 10
    assert report.acts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_what_three_nodes_acked_survives_the_loss_of_one(seed: int, tmp_path: Path) -> None:
    keeps_its_promises(seed, tmp_path / "data")


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(SEEDS + 1, LONG_SEEDS + 1))
def test_what_three_nodes_acked_survives_the_loss_of_one_in_many_seeds(
    seed: int, tmp_path: Path
) -> None:
    keeps_its_promises(seed, tmp_path / "data")
