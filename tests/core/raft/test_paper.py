"""The Raft paper, rule by rule: figure 2, then the sections (extended version of 2014).

Where RMF departs from it, `rmf/core/raft/__init__.py` says how and why.
"""

from random import Random

import pytest

from rmf import limits
from rmf.core.effects import ReadChunk, ReadEntries
from rmf.core.raft.peer_messages import (
    Append,
    AppendReply,
    Chunk,
    ChunkReply,
    Heartbeat,
    HeartbeatReply,
    VoteAsk,
    VoteReply,
)
from tests.core.raft.cases.test_elections import ask, heartbeat, no, yes
from tests.core.raft.cases.test_membership import a_leader, change
from tests.core.raft.cluster_kit import Cluster
from tests.core.raft.entries_kit import append, log_of
from tests.core.raft.one_kit import One, of, only

# --- Figure 2: state ------------------------------------------------------------------------------


def test_figure_2_term_vote_and_log_are_persistent_before_answers_to_rpcs() -> None:
    one = One()
    one.hear("n2", ask(3))
    one.hear("n2", append(3, log_of([1, 3]), 0))
    one.restart()
    assert (one.raft.term, one.raft.durable.voted_for, one.terms) == (3, "n2", [1, 3])


def test_figure_2_the_term_increases_monotonically() -> None:
    one = One(term=5)
    for term in [4, 5, 2, 7, 6]:
        before = one.raft.term
        one.hear("n2", heartbeat(term))
        assert one.raft.term == max(before, term)


def test_figure_2_next_index_starts_after_the_leaders_last_and_match_index_at_zero() -> None:
    one = One(terms=[1, 1, 1])
    one.lead()
    assert [(x.next, x.match) for x in one.leads.peers.values()] == [(4, 0), (4, 0)]


# --- Figure 2: AppendEntries RPC ------------------------------------------------------------------


def test_figure_2_append_1_false_if_its_term_is_older_5_1() -> None:
    one = One(terms=[2], term=3)
    reply = only(AppendReply, one.hear("n2", append(2, log_of([2, 2]), 1)))
    assert (reply.accepted, reply.term, one.terms) == (False, 3, [2])


@pytest.mark.parametrize("mine", [[1], [1, 1]])
def test_figure_2_append_2_false_without_a_matching_entry_before_5_3(mine: list[int]) -> None:
    one = One(terms=mine)
    reply = only(AppendReply, one.hear("n2", append(2, log_of([1, 2, 2]), 2)))
    assert (reply.accepted, one.terms) == (False, mine)


def test_figure_2_append_3_a_conflicting_entry_goes_and_all_that_follow_it_5_3() -> None:
    one = One(terms=[1, 1, 1, 1])
    one.hear("n2", append(2, log_of([1, 2]), 1))
    assert one.terms == [1, 2]


def test_figure_2_append_4_new_entries_are_appended() -> None:
    one = One(terms=[1])
    one.hear("n2", append(2, log_of([1, 1, 2]), 0))
    assert one.terms == [1, 1, 2]


@pytest.mark.parametrize(("leaders", "expected"), [(1, 1), (2, 2), (9, 2)])
def test_figure_2_append_5_commit_is_the_lesser_of_the_leaders_and_the_last_new(
    leaders: int, expected: int
) -> None:
    one = One()
    one.hear("n2", append(1, log_of([1, 1]), 0, commit=leaders))
    assert one.log.commit == expected


# --- Figure 2: RequestVote RPC --------------------------------------------------------------------


def test_figure_2_vote_1_false_if_its_term_is_older_5_1() -> None:
    assert only(VoteReply, One(term=3).hear("n2", ask(2, 9, 2))) == no(3)


@pytest.mark.parametrize(("voted", "granted"), [(None, True), ("n2", True), ("n3", False)])
def test_figure_2_vote_2_granted_if_none_was_given_to_another_5_2(
    voted: str | None, *, granted: bool
) -> None:
    assert only(VoteReply, One(term=3, voted=voted).hear("n2", ask(3))).granted is granted


def test_figure_2_vote_2_and_the_log_is_at_least_as_up_to_date_5_4() -> None:
    assert not only(VoteReply, One(terms=[1, 3]).hear("n2", ask(4, 5, 2))).granted
    assert only(VoteReply, One(terms=[1, 3]).hear("n2", ask(4, 2, 3))).granted


# --- Figure 2: rules for servers ------------------------------------------------------------------


def test_figure_2_all_what_is_committed_is_applied_5_3() -> None:
    one = One()
    one.hear("n2", append(1, log_of([1, 1, 1]), 0, commit=2))
    assert one.raft.applicable == 2


@pytest.mark.parametrize(
    "message",
    [append(9, [], 0), heartbeat(9), ask(9), yes(9), AppendReply(9, False, 0, 0, 0, 0, True, 0)],
)
def test_figure_2_all_a_newer_term_makes_a_follower_5_1(
    message: Append | Heartbeat | VoteAsk | VoteReply | AppendReply,
) -> None:
    one = One()
    one.lead()
    one.cluster.now_ns += limits.SECOND
    one.hear("n2", message)
    assert (one.raft.role, one.raft.term) == ("follower", 9)


def test_figure_2_followers_answer_candidates_and_leaders_5_2() -> None:
    one = One()
    assert of(VoteReply, one.hear("n2", ask(1)))
    assert of(AppendReply, one.hear("n2", append(1, [], 0)))
    assert of(HeartbeatReply, one.hear("n2", heartbeat(1)))


def test_figure_2_followers_that_hear_nothing_become_candidates_5_2() -> None:
    one = One()
    one.hear("n2", heartbeat(1))
    assert one.beat(limits.ELECTION_NS_MIN / limits.MS - 1) == []
    assert of(VoteAsk, one.beat(limits.ELECTION_NS_MAX / limits.MS))
    assert one.raft.role == "candidate"


def test_figure_2_candidates_raise_the_term_vote_for_themselves_and_ask_all_5_2() -> None:
    one = One(term=4)
    due = one.raft.voting.due_ns
    one.cluster.now_ns += limits.SECOND
    told = one.candidate()
    assert (one.raft.term, one.raft.durable.voted_for) == (5, "n1")
    assert [name for name, x in told if isinstance(x, VoteAsk)] == ["n2", "n3"]
    assert one.raft.voting.due_ns > due


def test_figure_2_candidates_with_a_majority_lead_5_2() -> None:
    one = One("n1 n2 n3 n4 n5")
    one.candidate()
    for voter, role in [("n2", "candidate"), ("n3", "leader")]:
        one.hear(voter, yes(1))
        assert one.raft.role == role


def test_figure_2_candidates_yield_to_a_new_leader_5_2() -> None:
    one = One()
    one.candidate()
    one.hear("n2", append(1, log_of([1]), 0))
    assert (one.raft.role, one.terms) == ("follower", [1])


def test_figure_2_candidates_whose_time_is_over_begin_another_election_5_2() -> None:
    one = One()
    one.candidate()
    asks = of(VoteAsk, one.beat(limits.ELECTION_NS_MAX / limits.MS))
    assert [(x.term, x.pre) for x in asks] == [(2, True)] * 2


def test_figure_2_leaders_speak_to_all_at_once_and_then_again_and_again_5_2() -> None:
    one = One()
    one.lead()
    assert len(of(Heartbeat, one.beat())) == 2
    one.beat(limits.HEARTBEAT_NS / limits.MS - 1)
    assert len(of(Heartbeat, one.beat(1))) == 2


def test_figure_2_leaders_append_what_clients_want_5_3() -> None:
    one = One()
    one.lead()
    told = one.propose()
    assert (one.terms, len(of(Append, told))) == ([1], 2)


def test_figure_2_leaders_send_from_next_index_and_move_it_on_success_5_3() -> None:
    one = One(terms=[1, 1, 1])
    one.lead()
    one.acks("n2", 1)
    peer = one.leads.peers["n2"]
    assert (peer.match, peer.next) == (1, 4)
    one.acks("n2", 3)
    assert (peer.match, peer.next) == (3, 4)


def test_figure_2_leaders_go_back_and_try_again_on_a_mismatch_5_3() -> None:
    one = One(terms=[1, 2, 2])
    one.lead()
    told = one.hear("n2", AppendReply(3, False, 3, 1, 1, 0, True, 0))
    again = only(Append, told, "n2")
    assert (again.prev_index, [x.term for x in again.entries]) == (1, [2, 2])


def test_figure_2_leaders_commit_what_a_majority_has_if_it_is_of_their_term_5_3_5_4() -> None:
    one = One("n1 n2 n3 n4 n5", [1])
    one.lead()
    one.propose()
    one.acks("n2", 2)
    assert one.log.commit == 0
    one.acks("n3", 2)
    assert one.log.commit == 2


# --- The sections ---------------------------------------------------------------------------------


def test_5_2_each_server_votes_for_one_candidate_first_come_first_served() -> None:
    one = One()
    assert only(VoteReply, one.hear("n3", ask(1))).granted
    assert not only(VoteReply, one.hear("n2", ask(1))).granted


def test_5_2_election_timeouts_are_random_so_that_split_votes_are_rare() -> None:
    cluster = Cluster("n1 n2 n3 n4 n5", Random(1).random)
    cluster.start()
    dues = {cluster.core(x).voting.due_ns for x in cluster.nodes}
    assert len(dues) == 5


def test_5_3_log_matching_the_same_index_and_term_mean_the_same_log() -> None:
    one = One(terms=[1, 2])
    theirs = log_of([1, 1, 2])
    reply = only(AppendReply, one.hear("n2", append(2, theirs, 2)))
    assert not reply.accepted
    assert log_of([1, 2])[1].chain != theirs[2].chain


def test_5_3_an_uncommitted_entry_of_a_lost_leader_is_replaced_everywhere() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.furnish("n1", [1, 2, 2, 2], term=2)
    cluster.furnish("n2", [1, 3], term=3)
    cluster.furnish("n3", [1], term=3)
    cluster.start()
    cluster.elect("n2")
    cluster.wait(50)
    assert len({cluster.core(x).log.last for x in cluster.nodes}) == 1


def test_5_4_1_a_candidate_without_all_that_is_committed_finds_no_majority() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.furnish("n1", [1, 1], term=1)
    cluster.furnish("n2", [1, 1], term=1)
    cluster.furnish("n3", [1], term=1)
    cluster.start()
    for _ in range(5):
        cluster.wait(500, "n3")
        assert cluster.core("n3").leadership is None


def test_5_4_2_entries_of_older_terms_are_committed_indirectly() -> None:
    one = One(terms=[1, 2])
    one.lead()
    one.acks("n2", 2)
    one.acks("n3", 2)
    assert one.log.commit == 0
    one.propose()
    one.acks("n2", 3)
    assert one.log.commit == 3


def test_5_5_a_repeated_rpc_does_no_harm() -> None:
    one = One()
    message = append(1, log_of([1, 1]), 0, commit=1)
    first = one.hear("n2", message)
    assert one.hear("n2", message) == first
    assert (one.terms, one.persists) == ([1, 1], [])


def test_5_6_broadcast_time_is_far_below_the_election_timeout() -> None:
    assert 4 * limits.HEARTBEAT_NS <= limits.ELECTION_NS_MIN
    assert limits.ELECTION_NS_MIN < limits.ELECTION_NS_MAX <= 2 * limits.ELECTION_NS_MIN


def test_6_a_server_uses_the_newest_configuration_in_its_log_committed_or_not() -> None:
    one = a_leader()
    change(one, "n1 n2 n3 n4?")
    assert (one.log.commit, len(one.raft.members)) == (1, 4)


def test_6_new_servers_join_without_a_vote() -> None:
    one = a_leader("n1 n2 n3 n4? n5?")
    one.propose()
    one.acks("n4", 2)
    one.acks("n5", 2)
    assert one.log.commit == 1


def test_6_a_leader_that_is_no_member_steps_down_once_that_is_committed() -> None:
    one = a_leader()
    change(one, "n2 n3")
    one.acks("n2", 2)
    assert one.raft.role == "leader"
    one.acks("n3", 2)
    assert one.raft.leadership is None


def test_6_removed_servers_do_not_disrupt() -> None:
    one = One()
    one.hear("n2", heartbeat(1))
    assert one.hear("n9", ask(7, 99, 99)) == []
    assert (one.raft.term, one.raft.leader) == (1, "n2")


def test_7_a_peer_that_lags_far_behind_gets_the_snapshot() -> None:
    one = One(terms=[1] * 5, commit=5)
    one.raft.log.compact(5, 0)
    one.lead()
    one.hear("n2", AppendReply(2, False, 5, 0, 0, 0, True, 0))
    assert ReadEntries("n2", 0, 5, limits.PROBE_BYTES_MAX) in one.effects
    one.cluster.checkpoint("n1")
    one.cluster.serve("n1")
    assert [type(x) for _, x in one.cluster.nodes["n1"].asked] == [ReadChunk]


def test_7_install_1_a_snapshot_of_an_older_term_is_refused() -> None:
    one = One(term=3)
    reply = only(ChunkReply, one.hear("n2", Chunk(2, 9, 2, b"", b"c", 5, 0, b"", 1)))
    assert reply.term == 3


def test_7_install_6_an_entry_that_is_there_keeps_what_follows_it() -> None:
    one = One(terms=[1, 1, 1])
    at = log_of([1, 1])[1]
    one.hear("n2", Chunk(1, *at[:3], b"c", 5, 0, b"", 1))
    assert (one.log.commit, one.terms) == (2, [1, 1, 1])


def test_8_a_leader_begins_with_an_entry_of_its_own() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.start()
    cluster.elect("n1")
    assert cluster.core("n1").leadership is not None
    assert (cluster.core("n1").log.commit, cluster.core("n1").log.last.term) == (1, 1)


def test_8_a_read_is_answered_only_after_a_majority_has_confirmed_the_leader() -> None:
    one = a_leader()
    one.leads.reads.add("r")
    beats = of(Heartbeat, one.do(lambda _: one.leads.begin_reads(one.now_ns)))
    assert one.leads.confirmed_reads() == []
    one.answers("n2", beats[0].round)
    assert one.leads.confirmed_reads() == [("r", 1)]
