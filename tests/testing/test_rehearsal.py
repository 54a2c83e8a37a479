"""A user's line in the simulator: it passes, it is judged, and what is wrong is found."""

import pytest

from rmf import UsageError
from rmf.testing import simulate
from rmf.testing.line_workload import Given
from rmf.testing.options import FAULTS
from rmf.testing.rehearsal import KINDS, faults_met, kinds_of, options_for
from tests.simulation.planted import planted
from tests.testing.lines import greenhouse, workshop
from tests.testing.stubborn import stubborn


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_good_line_survives_everything(seed: int) -> None:
    for line in (greenhouse, workshop):
        report = simulate(line, seed, seconds=20)
        assert report.verdict == "passed", f"{report.why}\n{report.where}"
        assert report.packets >= report.acks > 50
        assert faults_met(report.counts) > 0


@pytest.mark.slow
def test_the_same_seed_gives_the_same_history() -> None:
    one, other = (simulate(greenhouse, 4, seconds=10) for _ in range(2))
    assert one.digest == other.digest
    assert simulate(greenhouse, 5, seconds=10).digest != one.digest


@pytest.mark.slow
@pytest.mark.parametrize(("nodes", "faults"), [(1, "all"), (2, "disk"), (5, "network,members")])
def test_any_number_of_nodes_and_kinds(nodes: int, faults: str) -> None:
    report = simulate(greenhouse, 1, nodes=nodes, faults=faults, seconds=15)
    assert report.verdict == "passed", f"{report.why}\n{report.where}"
    asked = kinds_of(faults)
    met = {name.removeprefix("fault_") for name in report.counts if name.startswith("fault_")}
    assert met <= {name for kind in asked for name in KINDS[kind]}


@pytest.mark.slow
def test_without_faults_nothing_goes_wrong_and_that_is_not_void() -> None:
    report = simulate(greenhouse, 1, faults="none", seconds=10)
    assert (report.verdict, faults_met(report.counts)) == ("passed", 0)
    assert report.counts["reign"] == 1


@pytest.mark.slow
def test_a_run_that_met_no_fault_is_void() -> None:
    report = simulate(greenhouse, 1, faults="members", seconds=5)
    assert (report.verdict, report.why) == ("void", "no fault was met")


@pytest.mark.slow
def test_packets_may_be_given() -> None:
    given = [Given("keep/a", b"\x01", 60_000, 5), Given("keep/b", b"\x02", 60_000)]
    report = simulate(workshop, 1, faults="none", packets=given, seconds=10)
    assert report.verdict == "passed", report.why


@pytest.mark.slow
def test_a_line_that_keeps_something_to_itself_is_found_and_named() -> None:
    report = simulate(stubborn(), 1, faults="none", seconds=10)
    assert (report.verdict, report.rule) == ("failed", "replay")
    assert "count" in report.why
    assert "stubborn.py" in report.why


@pytest.mark.slow
@pytest.mark.parametrize(
    "bug",
    [
        pytest.param("the_leader_counts_its_own_disk_before_the_fsync", marks=pytest.mark.long),
        pytest.param("a_restart_loses_letters", marks=pytest.mark.long),
        "followers_keep_no_letters",
    ],
)
def test_what_breaks_a_promise_is_found_with_a_users_line_too(bug: str) -> None:
    with planted(bug):
        assert any(simulate(workshop, x, seconds=20).verdict == "failed" for x in range(1, 9))


def test_kinds_are_all_faults_there_are() -> None:
    known = {name for kind in KINDS.values() for name in kind}
    assert known - {"wall_jump"} == set(FAULTS)
    assert kinds_of("all") == ("network", "disk", "clock", "process", "members")
    assert kinds_of("none") == ()
    assert kinds_of("disk, disk,clock") == ("disk", "clock")
    with pytest.raises(UsageError, match="'foo': expected all, none"):
        kinds_of("disk,foo")


def test_options_have_what_was_asked_for_and_no_more() -> None:
    for seed in range(50):
        options = options_for(seed, ("process",), nodes=3)
        assert set(options.faults) <= set(KINDS["process"])
        assert len(options.faults) >= 3
        assert (options.loss, options.drift_ppm, options.spares) == (0.0, 0, 0)
        assert options.lines == 1
        assert not set(options_for(seed, ("disk",), nodes=1).faults) & {"rot", "wipe"}
    with pytest.raises(UsageError, match="8 nodes"):
        options_for(1, (), nodes=8)
    with pytest.raises(UsageError, match="2 seconds"):
        options_for(1, (), seconds=2)
