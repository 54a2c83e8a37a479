"""That rmf-bench pauses measures a real node, and what it goes through (R45)."""

import json

import pytest

from tools.rmf_bench import main


@pytest.mark.long
def test_a_node_goes_through_all_that_is_large(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pauses", "--keys", "3000", "--seconds", "1", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["bench"], found["nodes"], found["keys"]) == ("pauses", 1, 3000)
    for phase in ("quiet", "picture", "two_pictures", "checkpoint"):
        assert 0 < found[f"{phase}_p50_ms"] <= found[f"{phase}_p99_ms"] <= found[f"{phase}_max_ms"]
        assert found[f"{phase}_longest_ms_max"] > 0
    for start in ("checkpoint", "ledger"):
        assert found[f"ready_by_{start}_s"] > 0
        assert found[f"stop_{start}_s"] > 0
    assert found["all_go_s"] > 0
