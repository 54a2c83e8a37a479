"""Many clients of a node: here only that they are there and are counted, in small."""

import pytest

from tools.bench_edges import edges

pytestmark = pytest.mark.slow


def test_producers_are_acked() -> None:
    found = edges(seconds=0.3, clients=5, kind="producers")
    assert (found["clients"], found["kind"]) == (5, "producers")
    assert found["packets_per_s"] > 0
    assert found["cpu_us_a_packet"] > 0


def test_idle_displays_cost_something() -> None:
    found = edges(seconds=0.3, clients=5, kind="idle")
    assert found["cpu_percent"] > 0
    assert found["before_cpu_percent"] > 0


@pytest.mark.parametrize("kind", ["one", "own"])
def test_a_probe_is_timed_before_and_beside_displays(kind: str) -> None:
    found = edges(seconds=1.5, clients=5, kind=kind)
    for name in ("", "before_"):
        assert 0 < found[f"{name}p50_ms"] <= found[f"{name}p99_ms"]
    assert found["display_kib_per_s"] > 0
    assert found["p99_ratio"] > 0
