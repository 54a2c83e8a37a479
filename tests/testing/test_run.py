"""One run: what it reports, when it is void, and what its command line prints."""

import pytest

from rmf.core.raft.raft_values import Place
from rmf.testing import rebirth
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.liveness import settle
from rmf.testing.options import derived
from rmf.testing.run import main, run
from rmf.testing.swarm import SOMETIMES, never, reports
from rmf.testing.violation import Violation, demand
from rmf.testing.workload import expected

CALM = {"seconds": 8.0, "nodes": 3, "spares": 0, "crowd": 0, "places": 0}


@pytest.mark.slow
def test_a_run_says_what_it_did() -> None:
    report = run(derived(1, fault_every_ms=1_000.0, **CALM))
    assert report.verdict == "passed", report.why
    assert report.packets >= report.acks > 0
    assert report.faults > 0
    assert report.command.startswith("python -m rmf.testing.run --options ")


@pytest.mark.slow
def test_a_run_without_a_fault_is_void() -> None:
    report = run(derived(1, fault_every_ms=10.0**9, **CALM))
    assert (report.verdict, report.why) == ("void", "no fault was met")


@pytest.mark.slow
def test_a_run_that_committed_too_little_is_void() -> None:
    report = run(derived(1, producers=1, packets_a_second=0.0001, **CALM))
    assert report.verdict in {"void", "passed"}
    assert report.packets < 5


@pytest.mark.slow
def test_the_command_line_replays_what_it_printed(capsys: pytest.CaptureFixture[str]) -> None:
    options = derived(2, fault_every_ms=1_000.0, **CALM).text()
    assert main(["--options", options, "--counts"]) == 0
    first = capsys.readouterr().out
    assert "seed 2: passed" in first
    assert main(["--options", options]) == 0
    assert first.split()[-1] == capsys.readouterr().out.split()[-1]


@pytest.mark.slow
def test_a_healthy_factory_settles_and_its_checkpoint_travels_unchanged() -> None:
    cluster = SimulatedCluster(derived(3, checkpoint_every_ms=500.0, **CALM))
    cluster.begin()
    cluster.agenda.run_until(5 * 10**9)
    settle(cluster)
    node = next(iter(cluster.nodes.values()))
    found = node.disk.checkpoints[-1]
    again = rebirth.unpacked(rebirth.packed(found), found.base)
    assert again.cells == found.cells
    with pytest.raises(ValueError, match="not the one"):
        rebirth.unpacked(rebirth.packed(found), found.base._replace(place=Place(1, 1, b"")))


def test_a_suite_knows_what_it_never_met() -> None:
    (report,) = reports([4], seconds=4.0)
    missing = never(type(SimulatedCluster(report.options).counts)(report.counts))
    assert set(missing) <= set(SOMETIMES)
    assert "fault_wipe" in missing


def test_an_outcome_follows_from_the_topic() -> None:
    row = ["poison", 1, 0, 1000, b"\x01"]
    assert expected(row, 1, "handler_error")
    assert not expected(row, 1, None)
    assert expected(["count/a", 1, 0, 1000, b"", 3], 4, "stale_term")
    assert not expected(["count/a", 1, 0, 1000, b"", 3], 4, None)


def test_a_demand_names_its_rule() -> None:
    demand(True, "a rule", "it holds")
    with pytest.raises(Violation, match="a rule: it does not"):
        demand(False, "a rule", "it does not")
