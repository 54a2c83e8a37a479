"""A round goes through all stages, and the follower has what the leader has."""

import pytest

from tools.bench_load import payload_of
from tools.budget_stages import STAGES, Pipeline

AT_FOLLOWERS = {stage for stage, (where, often) in STAGES.items() if often > 1}


@pytest.mark.parametrize("kind", ["bytes", "map"])
def test_a_round_of_three_nodes_goes_through_all_stages(kind: str) -> None:
    pipeline = Pipeline(3, payload_of(64, kind), keys=50)
    for _ in range(3):
        times = pipeline.round(2, 100)
    assert set(times) == set(STAGES)
    assert min(times.values()) > 0
    leader, follower = pipeline.states()
    assert len(leader.world.cells) == 50
    assert leader.digest() == follower.digest()
    assert pipeline.ledger_bytes > 200 * 64


def test_a_round_of_one_node_has_no_follower() -> None:
    pipeline = Pipeline(1, payload_of(64))
    assert set(pipeline.round(1, 1)) == set(STAGES) - AT_FOLLOWERS
    assert len(pipeline.states()) == 1
