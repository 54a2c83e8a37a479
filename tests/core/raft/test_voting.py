"""Standing for election and giving votes: what `cases/test_elections` does not ask."""

import pytest

from rmf import limits
from rmf.core.clock import TickClock
from rmf.core.entry import Accession, Entry, LineId, encode_entry
from rmf.core.raft.peer_messages import CampaignNow, VoteAsk, VoteReply
from rmf.core.raft.raft_values import Place
from rmf.core.raft.voting import Campaign, is_up_to_date
from tests.core.raft.cases.test_elections import ask, heartbeat, no, yes
from tests.core.raft.disk_kit import START
from tests.core.raft.entries_kit import append, entry_after
from tests.core.raft.one_kit import One, of, only

MINE = Place(7, 3, b"")


def test_first_it_asks_whether_it_would_win_and_then_for_the_votes() -> None:
    one = One(terms=[1, 2], term=4)
    asks = of(VoteAsk, one.beat(400))
    assert asks == [VoteAsk(5, 2, 2, pre=True, transfer=False)] * 2
    assert one.raft.term == 4
    asks = of(VoteAsk, one.hear("n2", yes(5, pre=True)))
    assert asks == [VoteAsk(5, 2, 2, pre=False, transfer=False)] * 2
    assert (one.raft.term, one.raft.durable.voted_for) == (5, "n1")


def test_without_a_majority_for_it_nothing_is_asked_for() -> None:
    one = One("n1 n2 n3 n4 n5")
    one.beat(400)
    assert one.hear("n2", yes(1, pre=True)) == []
    assert one.hear("n2", yes(1, pre=True)) == []
    assert one.raft.term == 0


def test_an_answer_to_an_older_attempt_does_not_count() -> None:
    one = One()
    one.beat(400)
    one.hear("n3", no(1))  # n3 is in term 1, so this attempt asked for too little
    one.beat(400)
    assert one.hear("n2", yes(1, pre=True)) == []
    assert of(VoteAsk, one.hear("n2", yes(2, pre=True)))


def test_a_vote_given_ends_an_attempt_of_ones_own() -> None:
    one = One()
    one.beat(400)
    assert one.raft.role == "candidate"
    assert only(VoteReply, one.hear("n2", ask(1))).granted
    assert one.raft.role == "follower"
    assert one.hear("n3", yes(1, pre=True)) == []


@pytest.mark.parametrize(("name", "place"), [("n1 n2 n3", 0), ("n0 n1 n2", 1), ("n0 n00 n1 n2", 2)])
def test_followers_of_a_lost_leader_stand_up_one_after_another(name: str, place: int) -> None:
    one = One(f"{name} n9")
    one.hear("n9", heartbeat(1))
    one.do(lambda raft: raft.peer_lost("n9", one.now_ns))
    step_ns = limits.SUCCESSION_STEP_NS
    waits = one.raft.voting.due_ns - one.now_ns
    assert place * step_ns <= waits < (place + 1) * step_ns
    assert one.raft.leader is None


def test_who_was_told_no_by_others_that_have_not_noticed_yet_asks_again_soon() -> None:
    """Else a dead leader would be missed for a whole time-out."""
    one = One()
    one.hear("n2", heartbeat(1))
    one.do(lambda raft: raft.peer_lost("n2", one.now_ns))
    assert of(VoteAsk, one.beat(limits.SUCCESSION_STEP_NS / limits.MS))
    one.hear("n3", no(1, pre=True))
    again_ns = one.raft.voting.due_ns - one.now_ns
    assert limits.SUCCESSION_AGAIN_NS <= again_ns <= 2 * limits.SUCCESSION_AGAIN_NS
    asks = of(VoteAsk, one.beat(again_ns / limits.MS))
    assert [(x.term, x.pre) for x in asks] == [(2, True)] * 2
    one.hear("n3", yes(2, pre=True))
    waits_ns = one.raft.voting.due_ns - one.now_ns
    assert waits_ns >= limits.ELECTION_NS_MIN, "votes take their time"


def test_a_node_that_lost_no_link_asks_again_after_a_whole_time_out() -> None:
    one = One()
    one.hear("n2", heartbeat(1))
    one.beat(limits.ELECTION_NS_MAX / limits.MS)
    assert one.raft.voting.due_ns - one.now_ns >= limits.ELECTION_NS_MIN


def test_who_yields_stands_up_a_whole_timeout_later_than_any_other() -> None:
    one = One()
    one.raft.voting.yields = True
    one.hear("n2", heartbeat(1))
    longest_ms = limits.ELECTION_NS_MAX // limits.MS
    assert one.beat(longest_ms) == []
    assert not one.raft.in_touch(one.now_ns)
    assert one.beat(limits.ELECTION_NS_MIN / limits.MS - 1) == []
    assert one.raft.role == "follower"
    assert len(of(VoteAsk, one.beat(longest_ms))) == 2


def test_who_yields_stands_up_late_after_a_broken_link_too() -> None:
    one = One("n1 n2 n9")
    one.raft.voting.yields = True
    one.hear("n9", heartbeat(1))
    one.do(lambda raft: raft.peer_lost("n9", one.now_ns))
    waits = one.raft.voting.due_ns - one.now_ns
    assert waits >= limits.ELECTION_NS_MAX
    assert waits < limits.ELECTION_NS_MAX + 2 * limits.SUCCESSION_STEP_NS


def test_who_yields_votes_as_ever_and_stands_at_once_for_a_transfer() -> None:
    one = One()
    one.raft.voting.yields = True
    assert only(VoteReply, one.hear("n3", ask(1))).granted
    one.hear("n2", heartbeat(2))
    asks = of(VoteAsk, one.hear("n2", CampaignNow(2)))
    assert [(x.term, x.pre, x.transfer) for x in asks] == [(3, False, True)] * 2


def test_who_yields_no_more_is_as_quick_as_the_others() -> None:
    one = One()
    one.raft.voting.yields = True
    one.hear("n2", heartbeat(1))
    one.raft.voting.yields = False
    one.hear("n2", heartbeat(1))
    assert len(of(VoteAsk, one.beat(limits.ELECTION_NS_MAX / limits.MS))) == 2


def test_the_loss_of_any_other_link_means_nothing() -> None:
    one = One()
    one.hear("n2", heartbeat(1))
    due = one.raft.voting.due_ns
    one.do(lambda raft: raft.peer_lost("n3", one.now_ns))
    assert (one.raft.voting.due_ns, one.raft.leader) == (due, "n2")


def test_a_vote_tells_the_tick_above_which_a_reign_has_to_begin() -> None:
    """R6: the later of the clock's and the last Entry's."""
    one = One()
    line = LineId("board", 1, b"")
    body = encode_entry(Entry(70_000, 0, bytes(16), Accession("n2", line, age_unknown=False)))
    one.hear("n2", append(1, [entry_after(START, 1, body)], 0))
    one.cluster.now_ns += limits.SECOND
    reply = only(VoteReply, one.hear("n2", ask(2, 1, 1)))
    assert (reply.tick, reply.bridged) == (70_000, False)
    one.raft.pace.clock = TickClock(100_000, 80_000, one.now_ns)
    reply = only(VoteReply, one.hear("n2", ask(3, 1, 1)))
    assert (reply.tick, reply.bridged) == (80_000, True)


def test_granted_votes_teach_the_tick_of_the_voters() -> None:
    one = One()
    one.candidate()
    one.hear("n2", VoteReply(1, False, True, 900, True, 900))
    assert one.raft.pace.tick_at(one.now_ns) == 900


# --- One attempt ------------------------------------------------------------------------------


def campaign(*voters: str) -> Campaign:
    return Campaign(5, voters, pre=True, transfer=False)


def test_it_asks_with_the_end_of_the_log() -> None:
    assert campaign("n1").ask(MINE) == VoteAsk(5, 7, 3, pre=True, transfer=False)


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_it_is_won_with_a_majority_of_the_voters(voters: int, needed: int) -> None:
    names = [f"n{i}" for i in range(voters)]
    attempt = campaign(*names)
    for count, name in enumerate(names, start=1):
        attempt.hear("a stranger")
        attempt.hear(name)
        attempt.hear(name)
        assert attempt.won == (count >= needed)


@pytest.mark.parametrize(
    ("term", "index", "good"),
    [(3, 7, True), (3, 8, True), (3, 6, False), (4, 0, True), (2, 99, False)],
)
def test_a_vote_is_given_to_a_log_that_ends_no_earlier(
    term: int, index: int, *, good: bool
) -> None:
    asked = VoteAsk(9, index, term, pre=False, transfer=False)
    assert is_up_to_date(asked, MINE) is good
