"""Corner cases of linearizable reads and leases: 64 to 66 of the list that R28 asks for."""

from rmf import limits
from rmf.core.raft.peer_messages import AppendReply, Heartbeat, HeartbeatReply, VoteAsk, VoteReply
from tests.core.raft.cases.test_elections import heartbeat
from tests.core.raft.one_kit import One, Told, of, only


def read(one: One, token: str) -> Told:
    assert one.leads.reads.add(token)
    return one.do(lambda _: one.leads.begin_reads(one.now_ns))


def reigning() -> One:
    one = One()
    one.lead()
    one.propose()
    one.acks("n2", 1)
    return one


def test_case_64_nothing_is_read_before_an_entry_of_the_own_term_is_committed() -> None:
    one = One(terms=[1], commit=1)
    one.lead()
    one.propose()
    assert read(one, "r") == []
    one.acks("n2", 2)
    beats = of(Heartbeat, one.do(lambda _: one.leads.begin_reads(one.now_ns)))
    one.answers("n3", beats[0].round)
    assert one.leads.confirmed_reads() == [("r", 2)]


def test_case_65_a_read_needs_an_answer_to_a_round_begun_after_it_came() -> None:
    one = reigning()
    before = only(Heartbeat, one.beat(50), "n2").round
    after = only(Heartbeat, read(one, "r"), "n2").round
    assert after > before
    one.answers("n2", before)
    one.answers("n3", before)
    assert one.leads.confirmed_reads() == []
    one.answers("n2", after)
    assert one.leads.confirmed_reads() == [("r", 1)]


def test_case_65_duplicated_answers_confirm_no_later_read() -> None:
    one = reigning()
    first = only(Heartbeat, read(one, "first"), "n2").round
    one.answers("n2", first)
    assert one.leads.confirmed_reads() == [("first", 1)]
    second = only(Heartbeat, read(one, "second"), "n2").round
    for _ in range(3):
        one.answers("n2", first)
        one.answers("n3", first)
    assert one.leads.confirmed_reads() == []
    assert second > first


def test_case_65_answers_to_another_reign_confirm_nothing() -> None:
    one = reigning()
    for _ in range(9):
        one.beat(10)
    one.hear("n3", heartbeat(2, last=1))
    one.cluster.now_ns += limits.SECOND
    one.lead()
    one.propose()
    one.acks("n2")
    read(one, "r")
    one.hear("n2", HeartbeatReply(1, 9, True))
    assert one.leads.confirmed_reads() == []
    one.hear("n2", HeartbeatReply(3, 9, True))  # a round that was never begun
    assert one.leads.peers["n2"].round <= one.leads.contact.rounds.newest


def test_case_65_many_reads_share_a_round_and_later_ones_wait_for_the_next() -> None:
    one = reigning()
    first = only(Heartbeat, read(one, "a"), "n2").round
    assert read(one, "b") == []
    one.propose()
    one.acks("n2", 2)
    one.answers("n2", first)
    assert one.leads.confirmed_reads() == [("a", 1)]
    second = only(Heartbeat, one.do(lambda _: one.leads.begin_reads(one.now_ns)), "n2").round
    one.answers("n3", second)
    assert one.leads.confirmed_reads() == [("b", 2)]


def test_case_65_who_may_have_forgotten_a_vote_confirms_nothing() -> None:
    one = reigning()
    round_ = only(Heartbeat, read(one, "r"), "n2").round
    one.hear("n2", HeartbeatReply(1, round_, False))
    assert one.leads.confirmed_reads() == []
    one.answers("n3", round_)
    assert one.leads.confirmed_reads() == [("r", 1)]


def test_case_66_contact_counts_from_the_sending_of_what_was_answered() -> None:
    one = reigning()
    round_ = only(Heartbeat, one.beat(50), "n2").round
    sent_ns = one.now_ns
    one.cluster.now_ns += 190 * limits.MS
    one.answers("n2", round_)
    assert one.leads.peers["n2"].contact_ns == sent_ns
    one.cluster.now_ns = sent_ns + limits.ELECTION_NS_MIN
    assert one.raft.in_touch(one.now_ns)
    one.cluster.now_ns += 1
    assert not one.raft.in_touch(one.now_ns)


def test_case_66_appends_are_contact_too() -> None:
    one = reigning()
    round_ = only(Heartbeat, one.beat(50), "n2").round
    one.propose()
    one.hear("n2", AppendReply(1, True, 2, 0, 0, round_, True, 2))
    assert one.leads.peers["n2"].contact_ns == one.now_ns


def test_case_66_who_was_paused_is_not_in_touch_and_trusts_no_lease() -> None:
    one = reigning()
    assert one.raft.in_touch(one.now_ns)
    one.cluster.now_ns += 10 * limits.SECOND
    assert not one.raft.in_touch(one.now_ns)
    one.answers("n2", one.leads.contact.rounds.newest)  # it had waited in a buffer
    assert not one.raft.in_touch(one.now_ns)
    one.beat()
    reply = only(VoteReply, one.hear("n3", VoteAsk(2, 9, 1, pre=False, transfer=False)))
    assert reply.granted
    assert one.raft.role == "follower"


def test_case_66_a_follower_is_in_touch_for_an_election_timeout() -> None:
    one = One()
    one.hear("n2", heartbeat(1))
    one.cluster.now_ns += limits.ELECTION_NS_MAX - 1
    assert one.raft.in_touch(one.now_ns)
    one.cluster.now_ns += 1
    assert not one.raft.in_touch(one.now_ns)


def test_case_66_a_slow_peer_stays_in_touch_however_many_reads_there_are() -> None:
    """n2 answers at once and each of its answers begins a round; n3 answers 20 ms later."""
    one = reigning()
    late: list[tuple[int, int]] = []
    for number in range(3000):
        one.cluster.now_ns += limits.MS // 10
        beats = of(Heartbeat, read(one, str(number)), "n2")
        for beat in beats:
            late.append((one.now_ns + 20 * limits.MS, beat.round))
            one.answers("n2", beat.round)
        while late and late[0][0] <= one.now_ns:
            one.answers("n3", late.pop(0)[1])
        one.leads.confirmed_reads()
    assert one.now_ns - one.leads.peers["n3"].contact_ns < 30 * limits.MS
