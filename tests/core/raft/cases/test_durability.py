"""Corner cases of durability in the core: 35 to 38, 44 and 45 of the list that R28 asks for."""

from rmf import limits
from rmf.core.effects import MarkWhole, Note
from rmf.core.entry import Member
from rmf.core.events import Persisted
from rmf.core.raft.following import Following
from rmf.core.raft.peer_messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    VoteAsk,
    VoteReply,
)
from rmf.core.raft.raft_log import RaftLog
from rmf.core.record import ENTRY, HARD
from rmf.testing.ways import around
from tests.core.raft.cases.test_elections import ask, heartbeat, yes
from tests.core.raft.cluster_kit import Cluster
from tests.core.raft.disk_kit import START
from tests.core.raft.entries_kit import CLUSTER, append, entry_after, log_of, member, members_body
from tests.core.raft.one_kit import One, of, only


def test_case_35_a_term_is_durable_before_any_entry_of_it() -> None:
    one = One()
    one.hear("n2", append(3, log_of([1, 3]), 0))
    (persist,) = one.persists
    assert [(x.kind, x.term) for x in persist.records] == [(HARD, 3), (ENTRY, 1), (ENTRY, 3)]


def test_case_35_a_leaders_first_entry_follows_its_term_and_vote() -> None:
    one = One()
    one.slow = True
    assert of(VoteAsk, one.candidate()) == []
    (persist,) = one.persists
    assert [(x.kind, x.term) for x in persist.records] == [(HARD, 1)]
    assert [x.term for x in of(VoteAsk, one.sync())] == [1, 1]


def test_case_36_a_single_node_commits_only_what_its_disk_has() -> None:
    one = One("n1")
    one.slow = True
    one.propose()
    assert one.log.commit == 0
    one.sync()
    assert one.log.commit == 1


def test_case_36_a_leader_counts_its_own_disk_like_any_other() -> None:
    one = One()
    one.lead()
    one.slow = True
    one.propose()
    one.acks("n2", 1)
    assert one.log.commit == 0
    one.sync()
    assert one.log.commit == 1
    one.propose()
    one.acks("n2", 2)
    one.acks("n3", 2)
    assert (one.log.commit, one.log.durable, one.raft.applicable) == (2, 1, 1)


def test_case_37_a_write_that_was_overwritten_makes_nothing_durable() -> None:
    one = One()
    one.slow = True
    one.hear("n2", append(1, log_of([1, 1]), 0))
    one.hear("n3", append(2, log_of([1, 2]), 1))
    one.sync()
    assert one.log.durable == 1
    one.sync()
    assert one.log.durable == 2


def test_case_37_not_even_if_the_same_entry_came_back() -> None:
    """ABA: the first write of 2@1 is done, and the disk will hold 2@2 before it holds 2@1 again."""
    one = One()
    one.slow = True
    one.hear("n2", append(1, log_of([1, 1]), 0))
    one.hear("n3", append(2, log_of([1, 2]), 1))
    one.hear("n2", append(3, log_of([1, 1, 3]), 1, 2, commit=2))
    assert one.terms == [1, 1]
    one.sync()
    assert (one.log.durable, one.raft.applicable) == (1, 1)
    one.sync()
    assert one.log.durable == 1
    told = one.sync()
    assert one.log.durable == 2
    assert only(AppendReply, told, "n2").index == 2


def test_case_38_completions_out_of_order_are_tolerated() -> None:
    one = One()
    one.slow = True
    one.hear("n2", append(1, log_of([1]), 0))
    one.hear("n2", append(1, log_of([1, 1]), 1))
    first, second = one.cluster.nodes["n1"].disk.waiting
    told = one.do(lambda raft: raft.persisted(Persisted(second.ticket, 3), 0))
    assert [x.index for x in of(AppendReply, told)] == [1, 2]
    assert one.do(lambda raft: raft.persisted(Persisted(first.ticket, 2), 0)) == []
    assert (one.log.durable, *map(one.raft.durable.serials.of, (1, 2))) == (2, 2, 3)
    assert only(HeartbeatReply, one.hear("n2", heartbeat(1))).round == 1


def test_no_append_is_acked_before_it_is_durable() -> None:
    one = One()
    one.slow = True
    assert one.hear("n2", append(1, log_of([1]), 0)) == []
    assert only(AppendReply, one.sync()).accepted


def test_a_slow_disk_keeps_no_node_out_of_touch_once_the_term_is_durable() -> None:
    one = One()
    one.slow = True
    assert one.hear("n2", heartbeat(1)) == []
    one.sync()
    one.hear("n2", append(1, log_of([1]), 0))
    assert only(HeartbeatReply, one.hear("n2", heartbeat(1, round_=2))).round == 2


def test_what_a_record_says_is_committed_stands_before_it_on_the_disk() -> None:
    """The append overwrites 2 and 3, and says that they are committed. A crash may cut between any
    two of its records, and recovery applies what the last one states."""
    for kept in range(5):
        one = One(terms=[1, 1, 1], commit=1)
        one.slow = True
        one.hear("n2", append(2, log_of([1, 2, 2]), 1, commit=3))
        assert one.log.commit == 3
        one.restart(kept)
        # The old Entries, with the newer term or without; then the first of the new; then both.
        expected = [(1, [1, 1]), (1, [1, 1]), (1, [2]), (2, [2]), (2, [2])]
        assert (one.log.commit, one.terms) == expected[kept]


def test_case_44_a_leader_with_a_hanging_disk_leads_no_longer() -> None:
    one = One()
    one.lead()
    one.slow = True
    one.propose()
    for _ in range(20):
        for peer in ["n2", "n3"]:
            one.answers(peer, one.leads.contact.rounds.newest)
        one.beat(limits.ELECTION_NS_MAX / limits.MS / 20)
        if one.raft.leadership is None:
            break
    assert one.raft.role == "follower"


def test_case_44_and_stands_for_no_election_while_it_hangs() -> None:
    one = One()
    one.slow = True
    one.hear("n2", append(1, log_of([1]), 0))
    assert one.beat(limits.ELECTION_NS_MAX / limits.MS) == []
    one.sync()
    assert of(VoteAsk, one.beat(limits.ELECTION_NS_MAX / limits.MS))


def test_case_44_who_votes_alone_waits_for_its_disk() -> None:
    one = One("n1")
    one.slow = True
    one.propose()
    one.beat(60_000)
    assert one.raft.role == "leader"


def test_case_45_who_lost_its_ledger_neither_votes_nor_stands_nor_counts() -> None:
    one = One(whole=False)
    assert not only(VoteReply, one.hear("n2", ask(5, 9, 9))).granted
    assert not only(VoteReply, one.hear("n2", ask(9, 9, 9, pre=True))).granted
    assert one.beat(1000) == []
    assert not only(HeartbeatReply, one.hear("n2", heartbeat(5, last=1))).whole
    assert not only(AppendReply, one.hear("n2", append(5, log_of([1, 5]), 0, 1))).whole


def test_case_45_until_it_has_all_that_the_leader_had_when_it_came_back() -> None:
    one = One(whole=False)
    log = log_of([1, 1, 1, 1])
    one.hear("n2", heartbeat(1, last=3))
    one.hear("n2", append(1, log, 0, 2))
    assert not one.raft.whole
    one.slow = True
    one.hear("n2", append(1, log, 2, 3))
    assert not one.raft.whole
    assert only(AppendReply, one.sync()).whole is False  # it was written before
    assert [x.whole for x in one.effects if isinstance(x, MarkWhole)] == [True]
    assert one.hear("n3", ask(9, 9, 9)) == []  # it hears its leader
    one.cluster.now_ns += limits.SECOND
    one.slow = False
    assert only(VoteReply, one.hear("n3", ask(9, 9, 9))).granted


def test_case_45_old_entries_of_its_own_are_no_measure() -> None:
    """Its tail is longer than the leader's log, and not the same."""
    one = One(terms=[1, 1, 1, 1], whole=False)
    one.hear("n2", heartbeat(2, last=2))
    one.hear("n2", append(2, log_of([1, 2]), 1, 1))
    assert not one.raft.whole
    one.hear("n2", append(2, log_of([1, 2]), 1))
    assert one.raft.whole


def test_case_45_a_new_leader_is_a_new_measure() -> None:
    one = One(whole=False)
    one.hear("n2", heartbeat(1, last=1))
    one.hear("n3", append(2, log_of([1, 2]), 0, 1))
    assert not one.raft.whole
    one.hear("n3", append(2, log_of([1, 2]), 1))
    assert one.raft.whole


def test_case_45_an_incarnation_that_is_new_begins_at_nothing() -> None:
    one = One()
    one.lead()
    one.propose()
    one.acks("n2", 1)
    anew = Member("n2", b"n2 anew", voter=False)
    body = members_body((member("n1"), anew, member("n3")))
    one.do(lambda raft: raft.propose(body, one.now_ns))
    assert one.leads.peers["n2"].match == 0
    one.acks("n2", 2)
    assert one.leads.peers["n2"].match == 0, "what the old one said on its link counts no more"
    one.link("n2", b"n2 anew")
    one.acks("n2", 2)
    assert one.leads.peers["n2"].match == 2


def test_case_45_what_a_stranger_says_under_a_members_name_counts_for_nothing() -> None:
    """Neither its vote, nor its acks, nor that it is there."""
    one = One()
    one.link("n2", b"n2 anew")
    one.candidate()
    one.hear("n2", yes(1))
    assert one.raft.role == "candidate"
    one.hear("n3", yes(1))
    assert one.raft.role == "leader"
    one.propose()
    one.acks("n2", 1)
    one.answers("n2", only(Heartbeat, one.beat(50), "n2").round)
    assert (one.log.commit, one.leads.peers["n2"].round) == (0, 0)
    one.acks("n3", 1)
    assert one.log.commit == 1


def test_case_45_a_node_that_was_replaced_as_far_as_it_knows_neither_votes_nor_stands() -> None:
    """It may have promised to the old members what it has forgotten; it learns first."""
    anew = Member("n1", b"n1 anew")
    one = One(whole=True)
    replaced = (anew, member("n2"), member("n3"))
    log = [entry_after(START, 1, members_body(replaced))]
    one.hear("n2", append(1, log, 0, commit=1))
    one.cluster.now_ns += limits.SECOND
    assert not only(VoteReply, one.hear("n3", ask(2, 1, 1))).granted
    assert not only(VoteReply, one.hear("n3", ask(3, 1, 1, pre=True))).granted
    assert one.beat(1_000) == []
    assert one.raft.role == "learner"


def test_case_45_votes_of_disks_that_were_replaced_meanwhile_elect_no_leader() -> None:
    """Five nodes: n4 was away while n5, then n3 lost their disks and were admitted again. Both hear
    n4 when it is back, and are behind it; but those whom its members name they are not."""
    cluster = Cluster("n1 n2 n3 n4 n5")
    cluster.start()
    cluster.elect("n1")
    cluster.cut |= around("n4", cluster.nodes)
    for name in ("n5", "n3"):
        anew = cluster.replace(name)
        cluster.cut |= around(name, cluster.nodes)
        members = cluster.core("n1").members
        cluster.change("n1", tuple(anew if x.name == name else x for x in members))
        cluster.settle()
    cluster.propose("n1", "acked")
    cluster.settle()
    assert cluster.core("n1").log.commit == cluster.core("n1").log.last.index
    cluster.crash("n1")
    cluster.crash("n2")
    cluster.cut.clear()
    for _ in range(20):
        cluster.wait(100, "n4")
    assert [x.granted for x in _votes(cluster, "n4")].count(True) >= 2
    assert cluster.core("n4").role == "candidate"


def test_case_45_a_node_that_has_less_than_it_said_notices_and_catches_up_before_it_counts() -> (
    None
):
    """A drive that lied about a flush, or a copy that was put in the ledger's place: what it has
    is not thrown away, but it neither votes nor counts until it has all that it ever said."""
    one = One(terms=[1, 1], term=1, commit=1)
    one.hear("n2", heartbeat(1, last=4)._replace(held=3))
    disk = one.cluster.nodes["n1"].disk
    assert (one.raft.whole, disk.repairing) == (False, True)
    assert [x.event for x in one.effects if isinstance(x, Note)] == ["entries_lost"]
    one.cluster.now_ns += limits.SECOND
    assert not only(VoteReply, one.hear("n3", ask(2, 9, 1))).granted
    assert one.terms == [1], "Entry 2 is there still"
    one.hear("n2", append(2, log_of([1, 1, 1, 1, 2]), 2))
    assert (one.raft.whole, disk.repairing) == (True, False)


def test_case_45_the_disk_gets_it_again_until_it_says_so() -> None:
    following = Following(whole=True)
    mine = RaftLog(CLUSTER, START)
    beat = heartbeat(1, last=4)._replace(held=3)
    following.take("n2", beat, 1, mine)
    assert (following.whole, following.marked) == (False, True)
    one = One()
    one.raft.follower.following.marked = False
    one.hear("n2", heartbeat(1))
    assert [x.whole for x in one.effects if isinstance(x, MarkWhole)] == [True]
    one.hear("n2", heartbeat(1))
    assert [x for x in one.effects if isinstance(x, MarkWhole)] == []


def test_case_45_a_mismatch_at_what_a_peer_said_to_have_proves_that_it_lost_it() -> None:
    """It is told, said loudly, and does not count until it has as much again: no storm, and no
    commit by it (H5)."""
    one = One()
    one.lead()
    one.propose()
    one.propose()
    one.acks("n2", 2)
    one.propose()
    one.do(lambda raft: raft.peer_lost("n2", one.now_ns))
    beat = only(Heartbeat, one.beat(50), "n2")
    assert beat.held == 2
    told = one.hear("n2", AppendReply(1, False, 2, 1, 1, beat.round, True, 0))
    (note,) = [x for x in one.effects if isinstance(x, Note)]
    assert (note.event, note.fields["peer"], note.fields["said"]) == ("peer_lost_entries", "n2", 2)
    assert only(Append, told, "n2").prev_index == 3
    assert one.leads.peers["n2"].match == 0
    assert only(Heartbeat, one.beat(50), "n2").held == 2, "it shall know"
    one.acks("n2", 2, round_=beat.round)
    assert not one.leads.peers["n2"].counts
    one.acks("n2", 3, round_=beat.round)
    assert (one.leads.peers["n2"].counts, one.log.commit) == (True, 3)


def test_case_45_what_was_sent_before_a_peer_said_it_proves_nothing() -> None:
    one = One()
    one.lead()
    round_ = only(Heartbeat, one.beat(50), "n2").round
    one.propose()
    one.propose()
    one.acks("n2", 2)
    one.hear("n2", AppendReply(1, False, 1, 0, 0, round_, True, 0))
    assert one.leads.peers["n2"].match == 2


def test_case_45_a_lost_tail_comes_back_without_a_storm_and_the_cluster_goes_on() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.start()
    cluster.elect("n1")
    for number in range(4):
        cluster.propose("n1", str(number))
    cluster.wait(50)
    cluster.laws.counts_disks = False
    cluster.crash("n2")
    disk = cluster.nodes["n2"].disk
    disk.lose_from(disk.records[-2].serial)
    cluster.laws.forgets("n2")
    cluster.start("n2")
    cluster.lose_link("n2")
    before = len(cluster.history)
    for _ in range(10):
        cluster.wait(50)
    assert len(cluster.history) - before < 200
    assert (cluster.core("n2").whole, disk.repairing) == (True, False)
    cluster.crash("n3")
    cluster.propose("n1", "needs both")
    cluster.settle()
    assert cluster.core("n1").log.commit == cluster.core("n1").log.last.index


def _votes(cluster: Cluster, candidate: str) -> list[VoteReply]:
    told = [x.message for x in cluster.history if x.target == candidate]
    return [x for x in told if isinstance(x, VoteReply)]
