"""Handing over: when the successor may be told, until when, and who it is (raft-cases 63)."""

from rmf.core.raft.handover import Handover, heir_among
from rmf.core.raft.membership import Membership
from rmf.core.raft.progress import Progress
from rmf.core.raft.raft_log import RaftLog
from tests.core.raft.disk_kit import START
from tests.core.raft.entries_kit import CLUSTER


def handing_over() -> Handover:
    return Handover(1, RaftLog(CLUSTER, START), Membership(0, ()), {}, 400)


def test_the_successor_hears_once_and_not_while_a_tick_is_on_the_bench() -> None:
    handover = handing_over()
    assert not handover.ready
    handover.busy = True
    handover.begin("n2", 0)
    assert (handover.ready, handover.due_ns) == (False, None)
    handover.rest(1_000)
    assert (handover.ready, handover.due_ns) == (True, 1_400)
    handover.told = True
    assert not handover.ready


def test_what_does_not_come_about_in_time_is_given_up_and_may_be_wanted_again() -> None:
    handover = handing_over()
    handover.begin("n2", 0)
    handover.told = True
    handover.beat(399)
    assert [handover.target] == ["n2"]
    handover.beat(400)
    given_up = (handover.target, handover.told, handover.due_ns)
    assert list(given_up) == [None, False, None]
    handover.begin("n3", 500)
    assert (handover.target, handover.ready) == ("n3", True)


def test_the_heir_is_who_has_most_and_counts() -> None:
    peers = {name: Progress(1, 0) for name in ("n2", "n3", "n4")}
    assert heir_among({}) is None
    for name, index in (("n2", 5), ("n3", 7), ("n4", 9)):
        peers[name].accepted(index, 0, 0)
    peers["n4"].whole = False
    assert heir_among(peers) == "n3"
    assert heir_among(peers, {"n3"}) == "n2"
    assert heir_among(peers, {"n2", "n3"}) == "n3"
