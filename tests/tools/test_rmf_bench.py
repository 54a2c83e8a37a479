"""rmf-bench measures real nodes; here only that it does, and what it prints (INTERFACES)."""

import json
from pathlib import Path
from typing import Any

import pytest

from rmf.errors import RmfError, UsageError
from tools import bench_load
from tools.bench_node import BenchNode
from tools.rmf_bench import main

pytestmark = pytest.mark.slow

COMMON = {"bench", "nodes", "fsync", "payload_bytes", "seconds"}


def figures(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main([*argv, "-o", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(found) >= COMMON
    assert (found["bench"], found["nodes"], found["fsync"]) == (argv[0], 1, True)
    return found


def test_throughput_counts_what_was_acked(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(capsys, "throughput", "--seconds", "0.4", "--batch", "50", "--producers", "2")
    assert found["packets"] > 0
    assert found["packets_per_s"] == pytest.approx(found["packets"] / found["seconds"], rel=0.01)
    assert found["payload_bytes"] == 64


def test_latency_gives_quantiles_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(capsys, "latency", "--seconds", "0.3")
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]


def test_recovery_replays_what_a_killed_node_had(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(capsys, "recovery", "--packets", "2000", "--batch", "100")
    assert found["packets"] == 2000
    assert found["packets_per_s"] > 0


def test_fanout_measures_what_displays_cost(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(capsys, "fanout", "--seconds", "0.5", "--displays", "3", "--batch", "50")
    assert (found["displays"], found["kind"]) == (3, "own")
    assert found["packets_per_s"] > 0
    assert 0 < found["begin_p50_ms"] <= found["begin_max_ms"]


def test_start_times_an_empty_node_and_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(capsys, "start", "--runs", "1")
    assert found["ready_s"] > 0
    assert 0 < found["cat_once_p50_ms"] <= found["cat_once_max_ms"]


@pytest.mark.long
def test_idle_reads_the_nodes_own_time_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(capsys, "idle", "--seconds", "0.5")
    assert 0 <= found["core_percent"] < 100
    assert found["memory_mib"] > 10


def test_a_payload_is_of_the_size_asked_for() -> None:
    assert [len(bench_load.payload_of(size)) for size in (64, 10, 500)] == [64, 10, 500]
    assert len(bench_load.payload_of(64, "map")) == 64
    with pytest.raises(UsageError, match="the map has 64 bytes"):
        bench_load.payload_of(65, "map")


def test_a_node_that_does_not_start_is_an_error_not_a_figure(tmp_path: Path) -> None:
    with (
        pytest.raises(RmfError, match="did not start"),
        BenchNode(data=tmp_path, line="no.such:line"),
    ):
        pass


@pytest.mark.long
@pytest.mark.parametrize("bench", ["throughput", "latency"])
def test_the_same_load_goes_to_the_leader_of_three(
    bench: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([bench, "--nodes", "3", "--seconds", "0.5", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["nodes"], found["fsync"]) == (3, True)
    assert found["packets"] > 0
