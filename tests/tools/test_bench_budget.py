"""The budget as people read it, and as the manual keeps it."""

import json
from typing import Any

import pytest

from rmf import manual
from tools.bench_budget import PAGE, as_lines, page_of
from tools.budget_nodes import NodesCost
from tools.budget_stages import STAGES
from tools.rmf_bench import main

PARTS = {"leader, main thread": 5.0, "leader, boxes": 2.0, "client": 1.0}
COSTS = {
    f"{nodes} {kind}": NodesCost(
        {**PARTS, **({"follower, main thread": 4.0} if nodes == 3 else {})}, 1000, 0.0
    )._asdict()
    for nodes in (1, 3)
    for kind in ("batch", "lone")
}
FIGURES: dict[str, Any] = {
    "seconds": 3.0,
    "by_process": COSTS,
    "by_stage": {
        stage: {"batch_us": 1.0, "floor_us": 0.5, "floor_compiled_us": 0.25, "lone_us": 10.0}
        for stage in STAGES
    },
    "ledger_bytes_a_packet": {"batch": 100.0, "lone": 277.0},
    "compiled_piece": True,
    "interpreter": "CPython 3.11 (GCC)",
}


def row(lines: list[str], begins: str) -> list[str]:
    (found,) = (line for line in lines if line.startswith(begins))
    return found.removeprefix(begins).split()


def test_a_follower_counts_as_often_as_there_are_followers() -> None:
    lines = as_lines(FIGURES)
    by_process, by_stage = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert row(by_process, "all of it") == ["8.00", "16.00", "8.00", "16.00"]
    alone = sum(often == 1 for _, often in STAGES.values())
    three = sum(often for _, often in STAGES.values())
    assert row(by_stage, "all of it, 1 node(s)")[0] == f"{alone:.2f}"
    assert row(by_stage, "all of it, 3 node(s)")[0] == f"{three:.2f}"
    assert "with the compiled piece; CPython 3.11 (GCC)" in lines


def test_the_page_of_the_manual_is_one_that_the_command_writes() -> None:
    assert manual.text_of("budget") == PAGE.read_text()
    begin, end = (page_of(FIGURES).split("\n\n")[at] for at in (0, -1))
    assert PAGE.read_text().startswith(begin)
    assert PAGE.read_text().endswith(end)
    assert all(stage in PAGE.read_text() for stage in STAGES)


@pytest.mark.long
def test_the_command_measures_nodes_and_stages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["budget", "--seconds", "0.5", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["by_stage"]) == set(STAGES)
    assert set(found["by_process"]) == set(COSTS)
