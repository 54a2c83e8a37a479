"""How contenders are chosen, and what is told of their rounds."""

import json
import sys
from typing import Any

import pytest

from rmf.errors import RmfError, UsageError
from tools.bench_compare import Round, all_contenders, as_lines, chosen, in_rounds, medians, ratio
from tools.rmf_bench import main

ROUNDS: dict[str, list[Round | None]] = {
    "rmf": [Round(100, 2.0, 3.0, 8.0, 0.5), Round(300, 2.0, 3.0, 8.0, 0.5), None],
    "rmf-1": [Round(400, 1.0, 2.0, 4.0, 0.5)] * 3,
    "etcd": [Round(10, 1.0, 2.0, 90.0, 7.0), Round(60, 4.0, 5.0, 90.0, 7.0), None],
    "redis-streams": [Round(800, 0.5, 1.0, 2.0, 0.1)] * 3,
    "pysyncobj": [None, None, None],
}
FACTS: dict[str, dict[str, Any]] = {
    name: {
        "nodes": 1 if name in {"rmf-1", "redis-streams"} else 3,
        "version": "1",
        "fsync": "yes",
        "client": "bytes",
    }
    for name in ROUNDS
}


def names(*wanted: str) -> set[str]:
    return {one.name for one in chosen(all_contenders(), wanted)}


def test_without_names_all_stand_there_but_special_ones() -> None:
    assert names() >= {"rmf", "rmf-1", "pysyncobj"}
    assert names().isdisjoint({"rmf-map", "rmf-keys"})


def test_a_name_means_itself_and_what_goes_on_with_a_dash() -> None:
    assert names("rmf", "rmf-map") == {"rmf", "rmf-map"}
    assert all(name.startswith("nats") for name in names("nats"))
    on_another = {one.name for one in chosen(all_contenders([sys.executable]), ["rmf"])}
    assert on_another == {"rmf", f"rmf-on-{sys.executable}"}
    with pytest.raises(UsageError, match=r"no contender 'kafka'; known are rmf, "):
        names("kafka")


def test_a_ratio_is_of_rounds_in_which_both_did_well() -> None:
    assert ratio([100, 300, None], [10, 60, 5]) == 7.5
    assert ratio([None], [1.0]) is None


def test_medians_stand_beside_as_many_nodes_of_ours() -> None:
    found = medians(ROUNDS, FACTS)
    assert found["rmf"]["packets_per_s"] == 200
    assert (found["etcd"]["ratio"], found["etcd"]["ratio_p50"]) == (7.5, 1.25)
    assert (found["redis-streams"]["ratio"], found["redis-streams"]["ratio_p50"]) == (0.5, 2.0)
    assert "ratio" not in found["rmf"]
    assert [one["failed"] for one in found.values()] == [1, 0, 1, 0, 3]


def test_the_table_says_versions_and_what_is_left_out() -> None:
    figures = {
        "contenders": medians(ROUNDS, FACTS),
        "left_out": {"nats": "nats-server is not installed"},
        "rounds": 3,
        "interpreter": "CPython",
    }
    lines = as_lines(figures)
    assert lines[0].split() == [
        *("messages/s", "least-most", "RMF", "x", "p50", "ms", "p99", "ms", "µs", "CPU"),
        *("of", "client"),
    ]
    assert any(line.split()[:3] == ["etcd", "35", "10-60"] for line in lines)
    assert any(line.split() == ["pysyncobj", "failed"] for line in lines)
    assert "left out: nats: nats-server is not installed" in lines
    assert any(line.startswith("etcd: 1; nodes: 3; fsync: yes") for line in lines)


def test_rounds_alternate_and_one_that_fails_does_not_end_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    order = []

    def well() -> int:
        order.append("a")
        return len(order)

    def fails() -> int:
        order.append("b")
        raise RmfError("no leader")

    assert in_rounds({"a": well, "b": fails}, 2) == {"a": [1, 3], "b": [None, None]}
    assert order == ["a", "b", "a", "b"]
    assert "b failed: no leader" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_tells_what_it_compared(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--with", "rmf-1", "--seconds", "0.3", "--rounds", "1", "-o", "json"]
    assert main(["compare", *argv]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["bench"], found["fsync"], found["payload_bytes"]) == ("compare", True, 64)
    assert found["contenders"]["rmf-1"]["packets_per_s"] > 0
    assert "CPython" in found["contenders"]["rmf-1"]["version"]
