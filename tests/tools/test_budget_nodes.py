"""What a packet costs a real node, by process and thread."""

import pytest

from tools.bench_load import payload_of
from tools.budget_nodes import nodes_cost

OURS = {"leader, main thread", "leader, other threads", "leader, boxes", "client"}


@pytest.mark.slow
@pytest.mark.parametrize("lone", [pytest.param(False, marks=pytest.mark.long), True])
def test_a_packet_costs_each_process_something(lone: bool) -> None:
    cost = nodes_cost(1, 0.4, payload_of(64), lone=lone, window=4)
    assert set(cost.parts) == OURS
    assert min(cost.parts.values()) > 0
    assert (cost.p50_ms > 0) is lone


@pytest.mark.long
def test_followers_cost_something_too() -> None:
    cost = nodes_cost(3, 1.0, payload_of(64), lone=False, window=16)
    assert set(cost.parts) > OURS
    assert cost.parts["follower, main thread"] > 0
