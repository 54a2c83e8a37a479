"""Corner cases of membership and transfer: 56 to 63 of the list that R28 asks for."""

from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmf import limits
from rmf.core.raft.membership import one_change_apart
from rmf.core.raft.peer_messages import (
    Append,
    AppendReply,
    CampaignNow,
    Heartbeat,
    VoteAsk,
    VoteReply,
)
from rmf.core.raft.quorum import has_majority
from tests.core.raft.cases.test_elections import ask, heartbeat
from tests.core.raft.cluster_kit import Cluster
from tests.core.raft.entries_kit import (
    append,
    entry_after,
    log_of,
    member,
    members_body,
    members_of,
    place_of,
)
from tests.core.raft.one_kit import One, Told, of, only


def change(one: One, names: str) -> Told:
    body = members_body(members_of(names))
    return one.do(lambda raft: raft.propose(body, one.now_ns))


def a_leader(names: str = "n1 n2 n3") -> One:
    """One that has committed an Entry of its term."""
    one = One(names)
    one.lead()
    one.propose()
    for peer in one.raft.membership.others("n1"):
        one.acks(peer, 1)
    assert one.raft.may_change_members
    return one


def test_case_56_one_change_at_a_time() -> None:
    one = a_leader()
    change(one, "n1 n2 n3 n4?")
    assert not one.raft.may_change_members
    one.acks("n2", 2)
    assert one.raft.may_change_members


def test_case_56_a_new_leader_assumes_that_one_is_pending() -> None:
    one = One("n1 n2 n3")
    log = log_of([1])
    log.append(entry_after(place_of(log[0]), 1, members_body(members_of("n1 n2 n3 n4?"))))
    one.hear("n2", append(1, log, 0, commit=1))
    one.cluster.now_ns += limits.SECOND
    one.lead()
    one.propose()
    one.acks("n2", 2)
    assert not one.raft.may_change_members
    one.acks("n2", 3)
    assert one.raft.may_change_members


def test_case_57_no_change_before_an_entry_of_the_own_term_is_committed() -> None:
    one = One("n1 n2 n3", [1], commit=1)
    one.lead()
    assert not one.raft.may_change_members
    one.propose()
    assert not one.raft.may_change_members
    one.acks("n2", 2)
    assert one.raft.may_change_members


def test_case_58_members_go_back_with_an_entry_that_is_truncated() -> None:
    one = One("n1 n2 n3")
    log = log_of([1])
    log.append(entry_after(place_of(log[0]), 1, members_body(members_of("n1 n2 n3 n4?"))))
    one.hear("n2", append(1, log, 0))
    assert [x.name for x in one.raft.members] == ["n1", "n2", "n3", "n4"]
    one.hear("n3", append(2, log_of([1, 2]), 1))
    assert [x.name for x in one.raft.members] == ["n1", "n2", "n3"]


NAMES = ["n1", "n2", "n3", "n4", "n5", "n6"]


@given(st.sets(st.sampled_from(NAMES), min_size=1, max_size=5), st.sampled_from(NAMES))
def test_case_59_majorities_of_successive_configurations_intersect(
    voters: set[str], changed: str
) -> None:
    before, after = frozenset(voters), frozenset(voters ^ {changed})
    assert one_change_apart(tuple(map(member, before)), tuple(map(member, after)))
    for size in range(len(before) + 1):
        for agreed in combinations(before, size):
            others = after - set(agreed)
            assert not (has_majority(agreed, before) and has_majority(others, after))


def test_case_60_commit_is_counted_again_when_the_voters_become_fewer() -> None:
    one = a_leader("n1 n2 n3 n4")
    one.propose()
    one.acks("n2", 2)
    assert one.log.commit == 1
    change(one, "n1 n2 n3")
    one.acks("n2", 3)
    assert one.log.commit == 3


def test_case_60_so_are_reads() -> None:
    one = a_leader("n1 n2")
    one.leads.reads.add("r")
    one.do(lambda _: one.leads.begin_reads(one.now_ns))
    assert one.leads.confirmed_reads() == []
    change(one, "n1")
    assert one.log.commit == 2
    assert one.leads.confirmed_reads() == [("r", 1)]


def test_case_61_a_removed_leader_commits_its_own_removal_and_steps_down() -> None:
    one = a_leader()
    change(one, "n2 n3")
    one.acks("n2", 2)
    assert (one.raft.role, one.log.commit) == ("leader", 1)
    told = one.acks("n3", 2)
    assert (one.raft.leadership, one.log.commit) == (None, 2)
    assert {name: x.commit for name, x in told if isinstance(x, Heartbeat)} == {"n2": 2, "n3": 2}
    assert one.beat(10_000) == []


def test_case_61_the_others_go_on() -> None:
    cluster = Cluster("n1 n2 n3", Random(5).random)
    cluster.start()
    cluster.elect("n1")
    cluster.change("n1", members_of("n2 n3"))
    cluster.settle()
    for _ in range(40):
        cluster.wait(25)
    assert cluster.leader() in {"n2", "n3"}
    assert cluster.core(cluster.leader()).log.commit >= 3


def test_case_61_a_removed_node_disturbs_no_other() -> None:
    cluster = Cluster("n1 n2 n3", Random(5).random)
    cluster.start()
    cluster.elect("n1")
    cluster.cut = {("n1", "n3")}  # it never hears of it
    cluster.change("n1", members_of("n1 n2"))
    cluster.settle()
    cluster.cut.clear()
    for _ in range(80):
        cluster.wait(25)
    assert (cluster.leader(), cluster.core("n1").term) == ("n1", 1)


def test_case_61_a_leader_that_removed_itself_leads_until_that_is_committed() -> None:
    """It was killed once that Entry was on its own disk only: by its log it is no voter, and the
    other lacks the Entry. Without it nobody would ever lead (dissertation §4.2.2)."""
    cluster = Cluster("n1 n2")
    cluster.start()
    cluster.elect("n1")
    cluster.cut = {("n1", "n2"), ("n2", "n1")}
    cluster.change("n1", members_of("n2"))
    cluster.settle()
    cluster.restart("n1")
    cluster.cut.clear()
    for _ in range(40):
        cluster.wait(50)
    assert cluster.leader() == "n2"
    assert cluster.core("n2").members == members_of("n2")
    assert cluster.core("n2").log.commit == cluster.core("n2").log.last.index


def test_case_61_its_own_vote_counts_only_where_it_is_a_voter() -> None:
    one = One("n1 n2 n3")
    log = log_of([1])
    log.append(entry_after(place_of(log[0]), 1, members_body(members_of("n2 n3"))))
    one.hear("n2", append(1, log, 0, commit=1))
    one.cluster.now_ns += limits.SECOND
    one.candidate()
    one.hear("n3", VoteReply(one.raft.term, False, True, 0, False, 0))
    assert one.raft.role == "candidate"
    one.hear("n2", VoteReply(one.raft.term, False, True, 0, False, 0))
    assert one.raft.role == "leader"


def test_case_61_once_it_is_committed_it_stands_no_more() -> None:
    one = One("n1 n2 n3")
    log = log_of([1])
    log.append(entry_after(place_of(log[0]), 1, members_body(members_of("n2 n3"))))
    one.hear("n2", append(1, log, 0, commit=2))
    assert one.beat(1_000) == []
    assert one.raft.role == "learner"


def test_case_61_it_stands_last_when_the_leader_is_lost() -> None:
    one = One("n1 n2 n3")
    log = log_of([1])
    log.append(entry_after(place_of(log[0]), 1, members_body(members_of("n2 n3"))))
    one.hear("n2", append(1, log, 0, commit=1))
    one.do(lambda raft: raft.peer_lost("n2", one.now_ns))
    assert one.raft.voting.due_ns - one.now_ns >= limits.SUCCESSION_STEP_NS


def test_case_62_a_promoted_learner_that_does_not_know_it_still_votes() -> None:
    one = One("n2 n3 n1?")
    assert only(VoteReply, one.hear("n2", ask(1))).granted
    assert only(VoteReply, one.hear("n2", ask(9, pre=True))).granted


def test_case_62_and_its_vote_counts() -> None:
    cluster = Cluster("n1 n2 n3?")
    cluster.start()
    cluster.elect("n1")
    cluster.cut = {("n1", "n3")}
    cluster.change("n1", members_of("n1 n2 n3"))
    cluster.settle()
    cluster.cut.clear()
    cluster.crash("n1")
    cluster.elect("n2")
    assert cluster.core("n3").role == "follower"


# --- Transfer -------------------------------------------------------------------------------------


def test_case_63_the_target_is_caught_up_first_and_nothing_is_proposed_meanwhile() -> None:
    one = a_leader()
    one.propose()
    one.leads.handover.begin("n2", one.now_ns)
    assert not one.raft.may_propose
    assert one.do(lambda _: one.leads.handover.hand_over()) == []
    assert of(CampaignNow, one.acks("n3", 2)) == []
    assert of(CampaignNow, one.acks("n2", 2), "n2") == [CampaignNow(1)]
    assert of(CampaignNow, one.acks("n2", 2)) == []


def test_case_63_what_is_on_the_bench_comes_first_and_nothing_after_it() -> None:
    """The successor would lack that Entry, and lose its election by it."""
    one = a_leader()
    one.leads.handover.busy = True
    one.leads.handover.begin("n2", one.now_ns)
    assert one.do(lambda _: one.leads.handover.hand_over()) == []
    for _ in range(2 * limits.ELECTION_NS_MAX // limits.HEARTBEAT_NS):
        one.answers("n3", only(Heartbeat, one.beat(50), "n3").round)
    assert one.leads.handover.target == "n2", "the time on the bench is not the successor's"
    one.leads.handover.rest(one.now_ns)
    one.propose("what was on the bench")
    assert of(CampaignNow, one.acks("n3", 2)) == []
    assert of(CampaignNow, one.acks("n2", 2), "n2") == [CampaignNow(1)]
    with pytest.raises(AssertionError, match="lose its election"):
        one.propose()


def test_case_63_it_ends_after_an_election_timeout() -> None:
    one = a_leader()
    one.leads.handover.begin("n2", one.now_ns)
    for _ in range(limits.ELECTION_NS_MAX // limits.HEARTBEAT_NS):
        assert not one.raft.may_propose
        one.answers("n3", only(Heartbeat, one.beat(50), "n3").round)
    assert one.raft.may_propose


def test_case_63_a_transfer_takes_one_round_and_asks_no_lease() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.start()
    cluster.elect("n1")
    cluster.wait(50, "n1")
    leads = cluster.core("n1").leadership
    assert leads is not None
    leads.handover.begin("n3", cluster.now_ns)
    cluster.step("n1", lambda _: leads.handover.hand_over())
    cluster.settle()
    assert cluster.leader() == "n3"
    assert cluster.core("n1").leader == "n3"


def test_case_63_writes_on_their_way_survive_it() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.start()
    cluster.elect("n1")
    for number in range(5):
        cluster.propose("n1", str(number))
    leads = cluster.core("n1").leadership
    assert leads is not None
    leads.handover.begin("n2", cluster.now_ns)
    cluster.settle()
    assert cluster.leader() == "n2"
    assert cluster.core("n2").log.commit == 7


def test_case_63_a_leader_names_the_voter_that_has_most() -> None:
    one = a_leader("n1 n2 n3 n4?")
    one.propose()
    one.acks("n4", 2)
    one.acks("n3", 2)
    assert one.leads.handover.successor() == "n3"
    one.hear("n3", AppendReply(1, True, 2, 0, 0, 0, False, 2))
    assert one.leads.handover.successor() == "n2"


def test_case_63_whom_it_avoids_it_names_only_if_no_other_keeps_up() -> None:
    one = a_leader()
    one.propose()
    one.acks("n2", 1)
    one.acks("n3", 2)
    assert one.leads.handover.successor() == "n3"
    assert one.leads.handover.successor({"n3"}) == "n2"
    assert one.leads.handover.successor({"n2", "n3"}) == "n3"
    one.do(lambda raft: raft.peer_lost("n2", one.now_ns))
    assert one.leads.handover.successor({"n3"}) == "n3"


def test_case_63_who_receives_transfer_asks_for_votes_at_once() -> None:
    one = One()
    one.hear("n2", heartbeat(1))
    asks = of(VoteAsk, one.hear("n2", CampaignNow(1)))
    assert [(x.term, x.pre, x.transfer) for x in asks] == [(2, False, True)] * 2


def test_a_change_of_members_reaches_a_new_peer_at_once() -> None:
    one = a_leader()
    told = change(one, "n1 n2 n3 n4?")
    assert len(of(Append, told, "n4")) == 1
    told = change(one, "n1 n2 n3")
    assert of(Append, told, "n4") == []
