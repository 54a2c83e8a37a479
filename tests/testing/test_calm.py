"""While nothing is wrong there is one reign, and a hand-over gives it to the named node."""

import pytest

from rmf import limits
from rmf.testing.calm import live_calmly
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.options import Options
from rmf.testing.violation import Violation


def cluster() -> SimulatedCluster:
    found = SimulatedCluster(Options(seed=2, spares=0, calm_seconds=2.0, faults={}))
    found.begin()
    found.agenda.run_until(2 * limits.SECOND)
    return found


def term_of(found: SimulatedCluster) -> int:
    return max(found.invariants.leaders)


def test_hand_overs_in_the_middle_of_work_raise_the_term_by_one_each() -> None:
    found = cluster()
    before = term_of(found)
    assert live_calmly(found, before) == term_of(found) > before


def test_a_reign_that_ends_by_itself_is_a_violation() -> None:
    found = cluster()
    with pytest.raises(Violation, match="calm"):
        live_calmly(found, term_of(found) - 1)


def slow_line(found: SimulatedCluster, waited_s: int) -> None:
    """Let a packet wait on the bench for `waited_s` by now, and for seconds more."""
    for node in found.nodes.values():
        node.performing.line.line_ns = 12 * limits.SECOND
    found.producers["producer-1"].work()
    found.agenda.run_until(found.agenda.now_ns + waited_s * limits.SECOND)


def test_a_packet_that_waits_for_long_is_a_violation() -> None:
    found = cluster()
    before = term_of(found)
    slow_line(found, 8)
    with pytest.raises(Violation, match="waits for"):
        live_calmly(found, before)


def test_a_packet_of_before_the_calm_may_have_waited_for_a_silent_node() -> None:
    found = cluster()
    slow_line(found, 6)
    with pytest.raises(Violation, match="was to lead"):  # the line is busy: no hand-over
        live_calmly(found, term_of(found))
