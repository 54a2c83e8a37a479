"""That rmf-bench steps measures real nodes, and what it prints."""

import json

import pytest

from tools.rmf_bench import main

PHASES = (
    "checkpoint_with_removals",
    "expiries_at_once",
    "producers",
    "display_begins",
    "failover",
)


@pytest.mark.long
def test_a_large_world_goes_through_all_phases(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--keys", "3000", "--changes", "1000", "--producers", "20")
    assert main(["steps", *options, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["bench"], found["nodes"], found["keys"]) == ("steps", 3, 3000)
    for phase in PHASES:
        assert found[phase]["steps"] > 0
        assert found[phase]["over_50_ms"] <= found[phase]["over_10_ms"]
        assert found[phase]["longest_gap_ms"] > 0
