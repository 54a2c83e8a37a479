"""While nothing is wrong there is one reign, and a hand-over gives it to the named node."""

import pytest

from rmf import limits
from rmf.testing.calm import live_calmly
from rmf.testing.cluster import Cluster
from rmf.testing.options import Options
from rmf.testing.violation import Violation


def cluster() -> Cluster:
    found = Cluster(Options(seed=2, spares=0, calm_seconds=2.0, faults={}))
    found.begin()
    found.agenda.run_until(2 * limits.SECOND)
    return found


def term_of(found: Cluster) -> int:
    return max(found.invariants.leaders)


def test_hand_overs_in_the_middle_of_work_raise_the_term_by_one_each() -> None:
    found = cluster()
    before = term_of(found)
    assert live_calmly(found, before) == term_of(found) > before


def test_a_reign_that_ends_by_itself_is_a_violation() -> None:
    found = cluster()
    with pytest.raises(Violation, match="calm"):
        live_calmly(found, term_of(found) - 1)


def test_a_packet_that_waits_for_long_is_a_violation() -> None:
    found = cluster()
    before = term_of(found)
    for node in found.nodes.values():
        node.performing.line_ns = 10 * limits.SECOND
    producer = found.producers["producer-1"]
    producer.work()
    found.agenda.run_until(found.agenda.now_ns + 6 * limits.SECOND)
    with pytest.raises(Violation, match="waits for"):
        live_calmly(found, before)
