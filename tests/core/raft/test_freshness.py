"""What a node shows is as old as the last Entry named that it has applied (R36)."""

import pytest

from rmf import limits
from rmf.core.raft.freshness import Freshness
from rmf.core.raft.peer_messages import INDEX_MAX

T = 1000 * limits.SECOND


def test_a_node_that_has_applied_what_was_named_is_as_fresh_as_the_naming() -> None:
    fresh = Freshness(7)
    assert not fresh.is_fresh(T)
    fresh.named(7, T)
    assert fresh.is_fresh(T + limits.LIVE_NS - 1)
    assert not fresh.is_fresh(T + limits.LIVE_NS)


def test_contact_alone_makes_nothing_fresh() -> None:
    """C3: heartbeats come, and nothing is applied."""
    fresh = Freshness(7)
    for beat in range(100):
        fresh.named(8 + beat, T + beat * limits.HEARTBEAT_NS)
        assert not fresh.is_fresh(T + beat * limits.HEARTBEAT_NS)


def test_who_catches_up_is_as_fresh_as_what_was_named_then() -> None:
    fresh = Freshness(7)
    fresh.named(9, T)
    fresh.named(12, T + 60 * limits.MS)
    fresh.applied(11)
    assert fresh.fresh_ns == T
    fresh.applied(12)
    assert fresh.fresh_ns == T + 60 * limits.MS


def test_what_is_remembered_of_namings_is_bounded() -> None:
    """A read begins a round, and with it a naming: there may be thousands in a second."""
    fresh = Freshness(7)
    for beat in range(5000):
        fresh.named(8 + beat, T + beat * limits.MS // 2)
    assert len(fresh._named) <= limits.LIVE_NS // limits.NAMING_NS + 1


def test_a_reign_that_can_name_nothing_makes_nothing_fresh() -> None:
    fresh = Freshness(7)
    fresh.named(INDEX_MAX, T)
    fresh.applied(8)
    assert not fresh.is_fresh(T)


def test_what_a_reign_named_that_came_to_nothing_stands_in_no_way() -> None:
    """Its Entries were never committed; the next reign's have lower numbers."""
    fresh = Freshness(7)
    fresh.named(20, T)
    fresh.named(8, T + 100 * limits.MS)
    fresh.applied(8)
    fresh.named(8, T + 150 * limits.MS)
    assert fresh.fresh_ns == T + 150 * limits.MS


def test_what_brings_a_cell_that_is_over_is_no_fresher_than_its_end() -> None:
    """It was on the bench, while what was before it was named."""
    fresh = Freshness(7)
    fresh.named(7, T)
    assert fresh.outlasts(T - limits.OWED_LATE_NS - 1)
    assert not fresh.outlasts(T - limits.OWED_LATE_NS)
    fresh.applied(8, T - 300 * limits.MS)
    assert fresh.fresh_ns == T - 300 * limits.MS + limits.OWED_LATE_NS
    fresh.named(8, T + 1)
    assert fresh.fresh_ns == T + 1


def test_a_cell_that_is_not_over_makes_nothing_fresher() -> None:
    fresh = Freshness(7)
    fresh.named(7, T)
    fresh.applied(8, T + limits.SECOND)
    assert fresh.fresh_ns == T


def test_what_was_named_for_what_is_applied_answers_for_what_it_brought() -> None:
    fresh = Freshness(7)
    fresh.named(8, T)
    fresh.applied(8, T - 300 * limits.MS)
    assert fresh.fresh_ns == T


def test_an_older_entry_that_is_named_late_answers_for_nothing_newer() -> None:
    """The naming was overtaken on its way; what is shown by now it did not know."""
    fresh = Freshness(8)
    fresh.named(7, T)
    assert not fresh.is_fresh(T)


def test_a_clock_that_was_late_made_old_namings_look_new() -> None:
    """All that it dated is older: what is applied, and what is not yet."""
    fresh = Freshness(7)
    fresh.named(7, T)
    fresh.named(8, T + 20 * limits.MS)
    fresh.aged(300 * limits.MS)
    assert fresh.fresh_ns == T - 300 * limits.MS
    fresh.applied(8)
    assert fresh.fresh_ns == T - 280 * limits.MS


def test_what_is_applied_never_goes_back() -> None:
    fresh = Freshness(7)
    with pytest.raises(AssertionError, match="goes back"):
        fresh.applied(6)
