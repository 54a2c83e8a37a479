"""`rmf-bench compare --job`: a job from packet to subscriber, with a kill in its middle."""

import json

import pytest

from tools.bench_job import Came, all_jobs, as_lines, summary
from tools.job_values import Books
from tools.rmf_bench import main

WELL = Came(1000, 2000, 20.0, 2.0, 5.0, Books(0, 0, 0), 0, 0.1)
CAME: dict[str, list[Came | None]] = {
    "rmf": [WELL, WELL._replace(seen_per_s=3000)],
    "nats": [WELL._replace(seen_per_s=100, books=Books(0, 7, 0)), None],
    "pysyncobj": [None, None],
}
FACTS = {
    name: {"version": "1", "nodes": 3, "fsync": "yes", "made of": "parts", "killed": "a part"}
    for name in CAME
}


def test_all_systems_are_known_installed_or_not() -> None:
    names = {one.name.split("-")[0] for one in all_jobs()}
    assert names == {"rmf", "nats", "redis", "pysyncobj"}


def test_what_was_doubled_in_any_round_is_told_and_ratios_are_of_rounds() -> None:
    found = summary(CAME, FACTS)
    assert found["rmf"]["packets_per_s"] == 2000
    assert (found["nats"]["ratio"], found["nats"]["doubled"], found["nats"]["failed"]) == (10, 7, 1)
    assert "packets_per_s" not in found["pysyncobj"]


def test_the_table_says_what_was_killed_and_what_that_cost() -> None:
    figures = {
        "contenders": summary(CAME, FACTS),
        "left_out": {"redis-streams": "not installed"},
        "rounds": 2,
        "rate": 200.0,
        "interpreter": "CPython",
    }
    lines = as_lines(figures)
    assert any(line.split()[0] == "nats" and line.endswith("7") for line in lines)
    assert any(line.split() == ["pysyncobj", "failed"] for line in lines)
    assert any("nats: 1;" in line and "killed: a part" in line for line in lines)
    assert "left out: redis-streams: not installed" in lines


@pytest.mark.long
def test_the_leader_is_killed_and_each_packet_counts_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["--job", "--with", "rmf", "--seconds", "1", "--rounds", "1", "-o", "json"]
    assert main(["compare", *argv]) == 0
    found = json.loads(capsys.readouterr().out)["contenders"]["rmf"]
    assert found["packets_per_s"] > 0
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert (found["lost"], found["doubled"], found["wrong"], found["unacked"]) == (0, 0, 0, 0)
