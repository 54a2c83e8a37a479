"""Acts of operators on their way: each is answered once, when what it asked for is so, or cannot be
(R28)."""

import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.admin_requests import AdminRequests
from rmf.core.effects import Answer, Effect
from rmf.core.producer_sessions import IntakeRefusal
from rmf.core.raft.peer_messages import Heartbeat
from tests.core.cluster import Cluster


@pytest.fixture
def play() -> Cluster:
    return Cluster()


def remove(node: str = "n3", request: int = 1) -> ev.Asked:
    return ev.Asked(9, request, "admin.remove", args={"node": node})


def ends(effects: list[Effect]) -> list[tuple[int, str | None]]:
    """Each END as (request, code)."""
    return [
        (message.request, message.code)
        for x in effects
        if isinstance(x, Answer)
        for message in x.messages
        if isinstance(message, m.End)
    ]


def test_an_order_is_answered_once_its_entry_is_committed(play: Cluster) -> None:
    n1 = play["n1"]
    play["n2"].disk.hold()
    asking = n1.ask("admin.remove", node="n3")
    play.advance(50)
    assert asking.heard == []
    play.sync("n2")
    assert asking.code is None
    assert [x["node"] for x in asking.item["members"]] == ["n1", "n2"]


def test_what_is_so_already_is_answered_once_a_commit_proves_it(play: Cluster) -> None:
    """RMF-38: a leader that was deposed and has not noticed knows the members of before."""
    n1 = play["n1"]
    for other in ("n2", "n3"):
        play[other].disk.hold()
    asking = n1.ask("admin.add", node="n2", peer_address="n2:7510")
    play.advance(20)
    assert asking.heard == []
    assert n1.ask("admin.add", node="n2", peer_address="n2:7510").code == "change_pending"
    for other in ("n2", "n3"):
        play.sync(other)
    assert (asking.code, len(asking.item["members"])) == (None, 3)


def test_who_waits_when_the_reign_ends_has_to_look_again(play: Cluster) -> None:
    """Raft-cases 34."""
    n1 = play["n1"]
    play["n2"].disk.hold()
    play["n3"].disk.hold()
    asking = n1.ask("admin.remove", node="n3")
    raft = n1.core.raft
    n1.happen(ev.Heard("n2", Heartbeat(raft.term + 1, 0, raft.log.last.index, 0, False, 1, 0, 0)))
    assert asking.code == "not_leader"
    assert [x for x in asking.heard if isinstance(x, m.Item)] == []


def test_without_a_reign_an_order_is_refused_by_name(play: Cluster) -> None:
    node = play["n2"]
    acts = AdminRequests(node.core.raft, node.core.book)
    why = IntakeRefusal("not_leader", "n1:7410", "node n1 reigns, this one does not")
    assert ends(acts.ask(remove(), None, why, node.now())) == [(1, "not_leader")]
    assert ends(acts.ask(remove(), None, None, node.now())) == [(1, "no_reign")]


def test_while_a_tick_is_on_the_bench_orders_wait_for_it_within_a_bound(play: Cluster) -> None:
    """The Tick has its number already: what is decreed meanwhile would come before it."""
    n1 = play["n1"]
    probe = n1.join("probe")
    core = n1.core
    n1.runner.held = True
    probe.send(1)
    asking = n1.ask("admin.remove", node="n3")
    many = [n1.ask("admin.remove", node="n9") for _ in range(limits.READS_WAITING_MAX)]
    assert asking.heard == []
    assert many[-1].code == "busy"
    assert core.raft.log.last.index == core.committed.index
    n1.run()
    play.advance(20)
    assert probe.told == {1: "applied"}
    assert asking.code is None
    assert {x.code for x in many[:-1]} == {"no_such_member"}


def test_no_more_orders_are_written_than_may_be_in_flight(play: Cluster) -> None:
    """A reign that lost its majority must leave no more Entries than a ledger may void."""
    n1 = play["n1"]
    play.cut("n1")
    before = n1.core.raft.log.last.index
    asked = [n1.ask("admin.triage", act="purge", before=1, why="old") for _ in range(10)]
    assert n1.core.raft.log.last.index == before + limits.ENTRIES_IN_FLIGHT
    assert [x.heard for x in asked] == [[]] * 10
    play.heal("n1")
    play.advance(200)
    assert {x.code for x in asked} == {None}
    assert n1.core.raft.log.last.index == before + 10


def test_orders_that_wait_for_the_bench_are_let_go_with_the_reign(play: Cluster) -> None:
    n1 = play["n1"]
    probe = n1.join("probe")
    n1.runner.held = True
    probe.send(1)
    asking = n1.ask("admin.remove", node="n3")
    n1.happen(ev.DiskFault("no room"))
    assert asking.code == "not_leader"
    n1.run()  # it comes too late: its reign is over
    assert n1.core.raft.log.last.index == n1.core.committed.index
    assert probe.refusals == [(1, "strike", 1)]


# --- The end of a reign ---------------------------------------------------------------------------


def asked(play: Cluster) -> tuple[AdminRequests, int]:
    """An order whose Entry is written and not committed, and the index of that."""
    n1 = play["n1"]
    play["n2"].disk.hold()
    play["n3"].disk.hold()
    acts, reign = AdminRequests(n1.core.raft, n1.core.book), n1.core.lifecycle.reign
    acts.ask(remove(), reign, None, n1.now())
    return acts, n1.core.raft.log.last.index


def test_what_is_not_committed_when_the_reign_ends_is_in_doubt(play: Cluster) -> None:
    acts, index = asked(play)
    assert ends(acts.drop(index - 1)) == [(1, "not_leader")]
    assert acts.committed(index) == []  # answered once
    assert acts.drop(0) == []


def test_what_is_committed_when_the_reign_ends_is_answered_once_it_is_applied(
    play: Cluster,
) -> None:
    acts, index = asked(play)
    assert acts.drop(index) == []
    assert ends(acts.committed(index)) == [(1, None)]
    assert acts.committed(index) == []


def test_a_leader_that_is_ordered_out_says_that_it_is_done(play: Cluster) -> None:
    """Its reign ends with the commit of that Entry; the order is answered all the same."""
    n1 = play["n1"]
    asking = n1.ask("admin.remove", node="n1")
    play.advance(50)
    assert not n1.core.reigns
    assert asking.code is None
    assert [x["node"] for x in asking.item["members"]] == ["n2", "n3"]
