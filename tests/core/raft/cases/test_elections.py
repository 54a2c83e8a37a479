"""Corner cases of elections: 1 to 18 of the list of corner cases that R28 asks for."""

from random import Random

import crc32c
import pytest

from rmf import limits
from rmf.core.raft.peer_messages import (
    Append,
    AppendReply,
    CampaignNow,
    Heartbeat,
    HeartbeatReply,
    VoteAsk,
    VoteReply,
)
from rmf.core.record import HARD
from tests.core.raft.cluster_kit import Cluster
from tests.core.raft.disk_kit import START
from tests.core.raft.entries_kit import append, log_of, members_body, members_of, wire_of
from tests.core.raft.one_kit import One, of, only


def ask(term: int, index: int = 0, last_term: int = 0, *, pre: bool = False) -> VoteAsk:
    return VoteAsk(term, index, last_term, pre, transfer=False)


def transfer(term: int, index: int = 0, last_term: int = 0) -> VoteAsk:
    return VoteAsk(term, index, last_term, pre=False, transfer=True)


def heartbeat(term: int, *, commit: int = 0, last: int = 0, round_: int = 1) -> Heartbeat:
    return Heartbeat(term, commit, last, 1, False, round_, commit, 0)


def yes(term: int, *, pre: bool = False) -> VoteReply:
    return VoteReply(term, pre, True, 0, False, 0)


def no(term: int, *, pre: bool = False) -> VoteReply:
    return VoteReply(term, pre, False, 0, False, 0)


def test_case_01_one_vote_a_term_and_again_to_the_same() -> None:
    one = One()
    assert only(VoteReply, one.hear("n2", ask(1))).granted
    assert not only(VoteReply, one.hear("n3", ask(1))).granted
    assert only(VoteReply, one.hear("n2", ask(1))).granted
    assert only(VoteReply, one.hear("n3", ask(2))).granted


def test_case_02_the_vote_is_durable_before_the_reply_and_after_a_restart() -> None:
    one = One()
    one.slow = True
    assert one.hear("n2", ask(1)) == []
    (persist,) = one.persists
    assert [x.kind for x in persist.records] == [HARD]
    assert only(VoteReply, one.sync()).granted
    one.restart()
    assert one.hear("n3", ask(1)) == [("n3", VoteReply(1, False, False, 0, False, 0))]
    assert only(VoteReply, one.hear("n2", ask(1))).granted


def test_case_02_a_vote_that_the_disk_lost_was_never_told() -> None:
    one = One()
    one.slow = True
    one.hear("n2", ask(1))
    one.restart()
    assert one.raft.term == 0


def test_case_03_a_grant_counts_once() -> None:
    one = One("n1 n2 n3 n4 n5")
    one.candidate()
    one.hear("n2", yes(1))
    one.hear("n2", yes(1))
    assert one.raft.role == "candidate"
    one.hear("n3", yes(1))
    assert one.raft.role == "leader"


def test_case_03_grants_of_learners_and_strangers_count_for_nothing() -> None:
    one = One("n1 n2 n3 n4?")
    one.candidate()
    one.hear("n4", yes(1))
    one.hear("n9", yes(1))
    assert one.raft.role == "candidate"


@pytest.mark.parametrize(
    ("index", "term", "granted"),
    [(2, 2, True), (3, 2, True), (1, 2, False), (9, 1, False), (1, 3, True), (0, 0, False)],
)
def test_case_04_recency_is_term_then_index(index: int, term: int, *, granted: bool) -> None:
    one = One(terms=[1, 2])
    assert only(VoteReply, one.hear("n2", ask(4, index, term))).granted is granted


def test_case_05_a_pre_vote_changes_nothing() -> None:
    one = One(terms=[1], term=3)
    due = one.raft.voting.due_ns
    one.cluster.now_ns += 300 * limits.MS
    assert only(VoteReply, one.hear("n2", ask(9, 1, 1, pre=True))).granted
    assert (one.raft.term, one.raft.durable.voted_for, one.raft.voting.due_ns) == (3, None, due)
    assert one.persists == []


def test_case_06_a_granted_pre_vote_carries_the_asked_term() -> None:
    one = One(term=3)
    assert only(VoteReply, one.hear("n2", ask(9, pre=True))).term == 9
    assert only(VoteReply, one.hear("n2", ask(3, pre=True))) == no(3, pre=True)


def test_case_06_a_laggard_with_the_better_log_completes_its_election() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.furnish("n1", [1, 1, 2], term=2)
    cluster.furnish("n2", [1], term=9)
    cluster.start("n1", "n2")
    cluster.wait(500, "n2")
    assert cluster.core("n2").leadership is None
    cluster.wait(500, "n1")
    cluster.wait(500, "n1")
    assert (cluster.leader(), cluster.core("n1").term) == ("n1", 10)
    cluster.wait(50, "n1")
    assert cluster.core("n2").log.commit == 4


def test_case_07_who_comes_back_from_a_partition_deposes_no_leader_and_rejoins() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.start()
    cluster.elect("n1")
    cluster.cut = {("n1", "n3"), ("n3", "n1"), ("n2", "n3"), ("n3", "n2")}
    for _ in range(20):
        cluster.wait(50, "n1")
        cluster.beat("n3")
    assert cluster.core("n3").term == 1
    cluster.cut.clear()
    cluster.step("n3", lambda raft: raft.campaign(cluster.now_ns))
    cluster.wait(50, "n1")
    assert (cluster.leader(), cluster.core("n1").term) == ("n1", 1)
    assert cluster.core("n3").leader == "n1"


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        (append(1, [], 0), AppendReply(5, False, 0, 0, 0, 0, True, 0)),
        (heartbeat(1), HeartbeatReply(5, 0, True)),
    ],
)
def test_case_08_an_older_leader_learns_the_newer_term(
    message: Append | Heartbeat, reply: AppendReply | HeartbeatReply
) -> None:
    assert One(term=5).hear("n2", message) == [("n2", reply)]


def test_case_08_a_node_stuck_in_a_higher_term_is_freed() -> None:
    cluster = Cluster("n1 n2 n3", Random(1).random)
    cluster.furnish("n3", term=9)
    cluster.start("n1", "n2")
    cluster.elect("n1")
    cluster.start("n3")
    for _ in range(40):
        cluster.wait(50)
    assert {cluster.core(x).leader for x in cluster.nodes} == {cluster.leader()}
    assert cluster.core("n3").log.commit == cluster.core("n1").log.last.index
    assert cluster.core("n3").term == 10


def test_case_09_a_vote_is_ignored_while_a_leader_is_heard() -> None:
    one = One()
    one.hear("n2", heartbeat(1))
    one.cluster.now_ns += limits.ELECTION_NS_MIN - 1
    assert one.hear("n3", ask(2)) == []
    assert one.raft.term == 1
    one.cluster.now_ns += 1
    assert only(VoteReply, one.hear("n3", ask(2))).granted


def test_case_09_a_pre_vote_is_answered_no_so_that_none_waits() -> None:
    one = One()
    one.hear("n2", heartbeat(1))
    assert one.hear("n3", ask(2, pre=True)) == [("n3", no(1, pre=True)._replace(tick=1))]


def test_case_09_a_leader_with_a_majority_votes_for_no_node() -> None:
    one = One()
    one.lead()
    assert one.hear("n3", ask(2, 9, 9)) == []
    assert one.raft.role == "leader"


def test_case_09_but_for_a_transfer() -> None:
    one = One()
    one.hear("n2", heartbeat(1))
    assert only(VoteReply, one.hear("n3", transfer(2))).granted


def test_case_10_a_leader_without_a_majority_for_a_second_steps_down_and_says_who_was_silent() -> (
    None
):
    one = One()
    one.lead()
    one.beat()
    one.beat(500)
    one.beat(500)
    assert one.raft.role == "leader"
    one.beat(1)
    assert (one.raft.role, one.raft.term, one.raft.leader) == ("follower", 1, None)
    assert "not heard for so long: n3 1001 ms, n2 1001 ms" in one.raft.why_over


def test_case_10_while_it_stood_still_no_node_was_asked() -> None:
    """Its process was paused, or a step took long: silence counts from the round it begins then."""
    one = One()
    one.lead()
    one.answers("n2", only(Heartbeat, one.beat(), "n2").round)
    asked = only(Heartbeat, one.beat(5_000), "n2")
    assert not one.raft.in_touch(one.now_ns), "and it does not speak as one that reigns"
    one.answers("n2", asked.round)
    assert one.raft.in_touch(one.now_ns)
    one.beat(999)
    one.beat(999)
    assert one.raft.role == "leader"
    one.beat(2)
    assert one.raft.role == "follower"


def test_case_10_a_leader_that_hears_a_majority_goes_on() -> None:
    one = One()
    one.lead()
    for _ in range(20):
        beat = only(Heartbeat, one.beat(50), "n2")
        one.answers("n2", beat.round)
    assert one.raft.role == "leader"


ONE_WAY = {
    "the leader speaks and hears nothing": {("n2", "n1"), ("n3", "n1")},
    "the leader hears and says nothing": {("n1", "n2"), ("n1", "n3")},
    "a follower speaks and hears nothing": {("n1", "n3"), ("n2", "n3")},
    "a follower hears and says nothing": {("n3", "n1"), ("n3", "n2")},
}


@pytest.mark.parametrize("cut", ONE_WAY.values(), ids=ONE_WAY.keys())
def test_case_11_a_link_that_fails_one_way_stops_no_node(cut: set[tuple[str, str]]) -> None:
    cluster = Cluster("n1 n2 n3", Random(3).random)
    cluster.start()
    cluster.elect("n1")
    cluster.cut = set(cut)
    for _ in range(60):
        cluster.wait(25)
    before = cluster.laws.commit
    cluster.propose(cluster.leader(), "goes on")
    cluster.settle()
    assert cluster.laws.commit == before + 1
    cluster.cut.clear()
    for _ in range(60):
        cluster.wait(25)
    assert {cluster.core(x).leader for x in cluster.nodes} == {cluster.leader()}


def test_case_12_a_vote_for_oneself_that_is_durable_too_late_counts_for_nothing() -> None:
    one = One()
    one.candidate()
    one.raft.durable.enter(5)  # so that there is something to write
    one.slow = True
    one.do(lambda raft: raft.campaign(one.now_ns, transfer=True))
    assert one.raft.term == 6
    one.hear("n2", ask(7))
    while one.cluster.nodes["n1"].disk.waiting:
        one.sync()
    one.hear("n3", yes(6))
    assert (one.raft.term, one.raft.role) == (7, "follower")


def test_case_12_a_write_of_a_reign_that_is_over_commits_nothing() -> None:
    one = One("n1 n2 n3")
    one.lead()
    one.slow = True
    one.propose()
    one.acks("n2", 1)
    log = log_of([2])
    one.hear("n3", append(2, log, 0))
    one.sync()
    assert (one.log.commit, one.log.durable) == (0, 0)
    one.sync()
    assert (one.log.commit, one.log.durable) == (0, 1)


def test_case_13_a_candidate_yields_to_a_leader_of_its_term() -> None:
    one = One()
    one.candidate()
    assert (one.raft.role, one.raft.term) == ("candidate", 1)
    one.hear("n2", append(1, [], 0))
    assert (one.raft.role, one.raft.leader) == ("follower", "n2")
    one.hear("n3", yes(1))
    assert one.raft.role == "follower"


def test_case_14_only_a_grant_or_the_leader_resets_the_election_timer() -> None:
    one = One(terms=[2], term=3)

    def resets(peer: str, message: Append | Heartbeat | VoteAsk | VoteReply) -> bool:
        one.cluster.now_ns += limits.MS
        before = one.raft.voting.due_ns
        one.hear(peer, message)
        return one.raft.voting.due_ns > before

    assert not resets("n2", append(1, [], 0))  # a leader that was
    assert not resets("n2", ask(4, 1, 1))  # a vote refused
    assert not resets("n2", ask(9, 5, 5, pre=True))
    assert not resets("n2", no(4))
    assert resets("n2", ask(5, 5, 5))
    assert resets("n2", heartbeat(5))
    assert resets("n2", append(5, log_of([2]), 1))


def test_case_15_timeouts_are_drawn_again_at_each_attempt() -> None:
    random = Random(7)
    cluster = Cluster("n1 n2 n3", random.random)
    cluster.start("n1")
    waits = set()
    for _ in range(20):
        due = cluster.core("n1").voting.due_ns
        waits.add(due - cluster.now_ns)
        cluster.now_ns = due
        cluster.beat("n1")
    assert len(waits) == 20
    assert limits.ELECTION_NS_MIN <= min(waits) < max(waits) <= limits.ELECTION_NS_MAX


def test_case_15_a_split_vote_resolves() -> None:
    cluster = Cluster("n1 n2 n3 n4", Random(2).random)
    cluster.start()
    for name in ["n1", "n2"]:
        cluster.step(name, lambda raft: raft.campaign(0))
    cluster.cut = {(x, y) for x in ["n1", "n3"] for y in ["n2", "n4"]}
    cluster.cut |= {(y, x) for x, y in cluster.cut}
    cluster.settle()
    cluster.cut.clear()
    for _ in range(200):
        cluster.wait(10)
    assert cluster.laws.commit > 0


def test_case_16_who_votes_alone_elects_itself_without_a_message() -> None:
    one = One("n1", noop=True)
    assert (one.raft.role, one.raft.term, one.log.commit) == ("leader", 1, 1)
    assert one.cluster.wire == []


def test_case_16_and_after_a_restart_it_does_so_again() -> None:
    one = One("n1")
    one.slow = True
    one.restart()
    assert (one.raft.role, one.raft.term) == ("candidate", 2)
    one.sync()
    assert one.raft.role == "leader"


def test_case_17_a_change_counts_from_its_append_so_that_none_is_ever_unapplied() -> None:
    one = One("n1 n2 n3")
    log = log_of([1])
    body = members_body(members_of("n2 n3 n1?"))
    entry = wire_of(log)[0]._replace(body=body, crc=crc32c.crc32c(body))
    one.hear("n2", Append(1, *START, 0, 1, 1, False, 1, [entry]))
    assert (one.raft.applicable, one.raft.role) == (0, "learner")
    one.hear("n2", Append(1, *one.log.last, 1, 1, 1, False, 1, []))
    assert one.raft.applicable == 1
    assert one.beat(1000) == []


def test_case_18_a_leader_told_to_stand_for_election_does_nothing() -> None:
    one = One()
    one.lead()
    assert one.hear("n2", CampaignNow(1)) == []
    assert one.do(lambda raft: raft.campaign(one.now_ns)) == []
    assert (one.raft.role, one.raft.term) == ("leader", 1)


def test_case_18_a_node_that_does_not_vote_never_stands() -> None:
    one = One("n2 n3 n1?")
    assert one.hear("n2", CampaignNow(1)) == []
    assert one.beat(1000) == []


def test_a_late_refusal_does_not_outvote_a_grant() -> None:
    """An answer to an older attempt came late; the same voter grants this one."""
    one = One("n1 n2 n3")
    one.beat(500)
    one.beat(500)
    one.hear("n2", no(0, pre=True))
    told = one.hear("n2", yes(1, pre=True))
    assert [x.pre for x in of(VoteAsk, told)] == [False, False]
