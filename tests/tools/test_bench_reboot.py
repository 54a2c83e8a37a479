"""That rmf-bench reboot measures real nodes: none knows how old the cells are, so all go (R6)."""

import json

import pytest

from tools.rmf_bench import main


@pytest.mark.long
@pytest.mark.parametrize("more", [[], ["--no-checkpoint"]])
def test_a_factory_without_power_is_back(
    capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert main(["reboot", "--keys", "3000", "--seconds", "3", *more, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["bench"], found["nodes"], found["keys"]) == ("reboot", 3, 3000)
    assert found["checkpoint"] is not bool(more)
    assert found["first_ack_s"] > 0
    assert found["longest_gap_ms"] > 0
    assert found["cells_left"] == 1  # the probe's own
