"""One node's part: how the parts play together, where no case asks for it."""

import pytest

from rmf import limits
from rmf.core.clock import Pace
from rmf.core.effects import LinkPeers
from rmf.core.events import EntriesRead
from rmf.core.raft import peer_messages as m
from rmf.core.raft.raft_node import Raft
from rmf.core.raft.raft_values import HardState, Standing, Timing
from tests.core.raft.cases.test_elections import ask, heartbeat, yes
from tests.core.raft.disk_kit import START
from tests.core.raft.entries_kit import (
    append,
    entry_after,
    log_of,
    members_body,
    members_of,
    place_of,
    wire_of,
)
from tests.core.raft.one_kit import One

ANY: list[m.PeerMessage] = [
    ask(9),
    yes(9),
    append(9, log_of([9]), 0),
    m.AppendReply(9, True, 1, 0, 0, 1, True, 1),
    heartbeat(9),
    m.HeartbeatReply(9, 1, True),
    m.Chunk(9, 4, 1, b"", b"c", 9, 0, b"", 3),
    m.ChunkReply(9, 1, b"", 0, True, 1),
    m.CampaignNow(9),
    m.ReadAsk(9, 1),
    m.ReadReply(9, 1, 1),
]


@pytest.mark.parametrize("message", ANY, ids=lambda x: type(x).__name__)
def test_a_retired_node_neither_votes_nor_answers(message: m.PeerMessage) -> None:
    one = One(terms=[1])
    one.lead()
    one.raft.retire()
    assert one.hear("n2", message) == []
    assert (one.raft.term, one.persists, one.raft.next_due_ns()) == (2, [], None)
    assert one.beat(10_000) == []


def test_what_a_retired_node_had_to_say_stays_unsaid() -> None:
    one = One()
    one.slow = True
    one.hear("n2", ask(1))
    one.raft.retire()
    assert one.sync() == []


@pytest.mark.parametrize("message", ANY, ids=lambda x: type(x).__name__)
def test_a_newer_term_ends_a_leadership(message: m.PeerMessage) -> None:
    one = One()
    one.lead()
    one.cluster.now_ns += limits.SECOND  # no lease any more
    one.hear("n2", message)
    assert (one.raft.term >= 9, one.raft.role) == (True, "follower") or one.raft.term == 10


def test_links_follow_the_members_as_the_log_says_them() -> None:
    one = One()

    def links() -> list[tuple[str, ...]]:
        return [tuple(x.name for x in e.members) for e in one.effects if isinstance(e, LinkPeers)]

    log = log_of([1])
    log.append(entry_after(place_of(log[0]), 1, members_body(members_of("n1 n2 n3 n4?"))))
    one.hear("n2", append(1, log, 0))
    assert links() == [("n1", "n2", "n3", "n4")]
    one.hear("n2", append(1, log, 0))
    assert links() == []
    one.hear("n3", append(2, log_of([1, 2]), 1))
    assert links() == [("n1", "n2", "n3")]


def test_a_step_down_keeps_the_term_and_the_log() -> None:
    one = One()
    one.lead()
    one.propose()
    one.do(lambda raft: raft.step_down("a test", one.now_ns))
    assert (one.raft.role, one.raft.term, one.log.last.index) == ("follower", 1, 1)
    assert one.acks("n2", 1) == []
    assert one.log.commit == 0


def test_an_empty_node_without_a_cluster_waits() -> None:
    one = One("")
    assert one.beat(60_000) == []
    assert (one.raft.role, one.raft.leader) == ("follower", None)


# --- What may be read of it -------------------------------------------------------------------


def test_the_role_in_words() -> None:
    assert One().raft.role == "follower"
    assert One("n2 n1?").raft.role == "learner"
    assert One("n2 n3").raft.role == "learner"  # removed
    assert One("n1").raft.role == "leader"
    one = One()
    one.beat(400)
    assert one.raft.role == "candidate"


def test_the_leader_as_far_as_it_is_known() -> None:
    one = One()
    known = [one.raft.leader]
    one.hear("n2", heartbeat(1))
    known.append(one.raft.leader)
    one.cluster.now_ns += limits.SECOND
    one.hear("n3", ask(2))
    known.append(one.raft.leader)
    one.lead()
    assert [*known, one.raft.leader] == [None, "n2", None, "n1"]


def test_entries_may_be_applied_that_are_committed_and_on_this_disk() -> None:
    one = One()
    one.slow = True
    one.hear("n2", append(1, log_of([1, 1]), 0, commit=1))
    assert (one.log.commit, one.raft.applicable) == (1, 0)
    one.sync()
    assert one.raft.applicable == 1


def test_only_a_leader_that_is_not_handing_over_may_propose() -> None:
    one = One()
    may = [one.raft.may_propose]
    one.lead()
    may.append(one.raft.may_propose)
    one.leads.handover.begin("n2", one.now_ns)
    assert [*may, one.raft.may_propose] == [False, True, False]
    assert not one.raft.may_change_members


def test_when_something_is_due() -> None:
    one = One()
    assert one.raft.next_due_ns() == one.raft.voting.due_ns
    one.lead()
    assert one.raft.next_due_ns() == one.now_ns  # its first heartbeats
    alone = One("n1")
    assert alone.raft.next_due_ns() is None
    alone.leads.handover.begin("n1", 5)
    assert alone.raft.next_due_ns() == 5 + limits.ELECTION_NS_MAX


def test_who_never_stands_for_election_is_due_when_its_leader_has_been_silent_for_too_long() -> (
    None
):
    one = One("n2 n1?")  # it learns
    one.hear("n2", heartbeat(1))
    silent_ns = one.now_ns + limits.ELECTION_NS_MAX
    while (due_ns := one.raft.next_due_ns()) is not None and due_ns < silent_ns:
        one.beat((due_ns - one.now_ns) / limits.MS)
    assert due_ns == silent_ns
    assert not one.raft.in_touch(silent_ns)


# --- Settings -------------------------------------------------------------------------------------


def test_the_clusters_settings_hold_from_the_next_wait_on() -> None:
    one = One()
    one.raft.obey((2_000, 4_000))
    one.hear("n2", heartbeat(1))
    assert one.raft.voting.due_ns - one.now_ns == 3_000 * limits.MS
    assert one.raft.in_touch(one.now_ns + 3_999 * limits.MS)
    one.cluster.now_ns += 4 * limits.SECOND
    one.lead()
    one.raft.obey((500, 1_000))
    assert one.leads.timing == one.raft.timing == Timing().with_elections(500, 1_000)


def test_a_node_that_was_given_a_timing_of_its_own_keeps_it() -> None:
    own = Timing(1, 2, 3)
    standing = Standing(HardState(0, None), START, 0, (), ())
    raft = Raft(
        "n1",
        b"c" * 16,
        standing,
        (),
        incarnation=b"",
        membership=0,
        pace=Pace(None),
        period_ns=1,
        dice=lambda: 0.5,
        timing=own,
    )
    raft.obey((500, 1_000))
    assert raft.timing == own


def test_who_waits_long_for_an_election_waits_as_long_for_a_majority() -> None:
    assert Timing().with_elections(500, 900).quorum_ns == limits.QUORUM_NS_MAX
    assert Timing().with_elections(5_000, 9_000).quorum_ns == 9_000 * limits.MS


# --- Faults of this node's own --------------------------------------------------------------------


def test_no_node_leads_by_votes_while_its_own_is_on_its_way_to_the_disk() -> None:
    one = One()
    one.slow = True
    one.do(lambda raft: raft.campaign(one.now_ns))
    one.hear("n2", yes(1, pre=True))
    assert one.raft.role == "candidate"
    one.raft.voting.count("n3", 1, pre=False, granted=True)  # planted: it asked too early
    with pytest.raises(AssertionError, match="a vote that may be forgotten"):
        one.hear("n2", yes(1))


def test_only_a_leader_proposes() -> None:
    one = One()
    with pytest.raises(AssertionError, match="only a leader proposes"):
        one.propose()


def test_a_peer_is_sent_no_more_than_the_log_has() -> None:
    one = One(terms=[1] * 3)
    one.lead()
    one.leads.peers["n2"].reading = True
    log = log_of([1] * 9)
    read = EntriesRead("n2", *place_of(log[2]), wire_of(log[3:]))  # planted: above the commit
    with pytest.raises(AssertionError, match="more is sent than there is"):
        one.do(lambda raft: raft.disk_read(read, one.now_ns))
