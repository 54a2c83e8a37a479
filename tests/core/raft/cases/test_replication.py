"""Corner cases of replication and commit: 19 to 34 of the list that R28 asks for."""

from collections.abc import Sequence

import pytest

from rmf import limits
from rmf.core.effects import ReadEntries, Reload
from rmf.core.entry import Accession, Entry, LineId, encode_entry
from rmf.core.raft.peer_messages import INDEX_MAX, Append, AppendReply, Heartbeat, HeartbeatReply
from tests.core.raft.cases.test_elections import ask, heartbeat
from tests.core.raft.cluster_kit import Cluster
from tests.core.raft.entries_kit import append, log_of
from tests.core.raft.one_kit import One, of, only


def rejects(term: int, index: int, hint: int, hint_term: int) -> AppendReply:
    return AppendReply(term, False, index, hint, hint_term, 0, True, 0)


# --- What is committed ----------------------------------------------------------------------------


def test_case_19_entries_of_earlier_terms_never_commit_by_counting() -> None:
    """Figure 8: (c) a majority has the Entry of term 2, and (d) it may still be overwritten."""
    one = One("n1 n2 n3", [1, 2], term=3)
    one.lead()
    one.acks("n2", 2)
    one.acks("n3", 2)
    assert one.log.commit == 0
    one.propose()
    one.acks("n2", 2)
    assert one.log.commit == 0
    one.acks("n2", 3)
    assert one.log.commit == 3


def test_case_20_the_first_entry_of_a_reign_commits_what_is_older() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.furnish("n1", [1, 2])
    cluster.furnish("n2", [1, 2])
    cluster.start()
    cluster.elect("n1")
    assert cluster.core("n1").log.commit == 3


def test_case_21_a_follower_commits_no_more_than_the_message_verified() -> None:
    """Its own Entry 2 is not the leader's: the append says so only later."""
    one = One(terms=[1, 1])
    log = log_of([1, 2])
    reply = only(AppendReply, one.hear("n2", append(2, log, 1, 1, commit=2)))
    assert (reply.accepted, reply.index, one.log.commit) == (True, 1, 1)
    one.hear("n2", append(2, log, 1, commit=2))
    assert one.log.commit == 2


def test_case_22_a_heartbeat_names_no_commit_beyond_what_the_peer_has() -> None:
    one = One()
    one.lead()
    for _ in range(3):
        one.propose()
    one.acks("n2", 3)
    one.acks("n3", 1)
    told = one.beat(50)
    assert only(Heartbeat, told, "n2").commit == 3
    assert only(Heartbeat, told, "n3").commit == 1


# --- What an append does ------------------------------------------------------------------------


@pytest.mark.parametrize(("prev", "through"), [(0, 1), (0, 2), (1, 1), (2, 3), (3, 3), (0, 3)])
def test_case_23_an_append_that_matches_truncates_nothing(prev: int, through: int) -> None:
    one = One(terms=[1, 1, 2], term=2)
    reply = only(AppendReply, one.hear("n2", append(2, log_of([1, 1, 2]), prev, through)))
    assert (reply.accepted, reply.index) == (True, through)
    assert (one.terms, one.persists) == ([1, 1, 2], [])


def test_case_24_what_is_committed_is_never_truncated_but_the_ledger_read_again() -> None:
    one = One(terms=[1, 1, 1], commit=2)
    told = one.hear("n2", append(2, log_of([1, 2]), 1))
    assert told == []
    (reload,) = [x for x in one.effects if isinstance(x, Reload)]
    assert reload.reason == "doubt"
    assert "Entry 2 of this ledger" in reload.why


def test_case_24_whose_ledger_was_read_again_says_so_and_strikes_if_that_does_not_help() -> None:
    """Only then the leader is doubted, too: it hears what is committed here."""
    one = One(terms=[1, 1, 1], commit=2)
    for told in ([], [AppendReply(2, False, 2, 2, 1, 1, True, INDEX_MAX)]):
        assert [message for _, message in one.hear("n2", append(2, log_of([1, 2]), 1))] == told
    one.hear("n2", append(2, log_of([1, 2]), 1))
    assert one.raft.next_due_ns() is None
    assert one.hear("n2", ask(3, 9, 2)) == []


def test_case_24_a_leader_that_is_doubted_reads_its_ledger_again_once() -> None:
    one = One()
    one.lead()
    doubt = AppendReply(1, False, 2, 2, 1, 1, True, INDEX_MAX)
    one.hear("n2", doubt)
    assert (one.raft.role, one.cluster.nodes["n1"].doubts) == ("follower", 1)
    one.cluster.now_ns += limits.SECOND
    one.lead()
    one.hear("n2", doubt._replace(term=2))
    assert (one.raft.role, one.cluster.nodes["n1"].doubts) == ("leader", 1)


@pytest.mark.parametrize("what", ["heartbeat", "append"])
def test_case_24_a_leader_that_lacks_what_is_committed_here_is_found_out_at_once(what: str) -> None:
    """Its ledger is an older copy: it was elected by those who never had the rest (U3)."""
    one = One(terms=[1, 1, 1], commit=3)
    message = heartbeat(2, last=2) if what == "heartbeat" else append(2, log_of([1, 1]), 2)
    one.hear("n2", message)
    (reload,) = [x for x in one.effects if isinstance(x, Reload)]
    assert reload.reason == "doubt"
    assert "Entry 3 of this ledger" in reload.why


def test_case_24_what_lies_before_the_memory_is_compared_too() -> None:
    """By the chain of the Entries up to where memory begins; else it is asked for first."""
    one = One(terms=[1, 1, 1, 1], commit=3)
    log, other = log_of([1, 1, 1, 1]), log_of([2, 2, 1, 1, 1])
    assert one.log.base.index == 3
    reply = only(AppendReply, one.hear("n2", append(2, other, 1, 2)))
    assert (reply.accepted, reply.index, reply.compared) == (True, 3, 0)
    reply = only(AppendReply, one.hear("n2", append(2, log, 1, 4)))
    assert (reply.accepted, reply.index, reply.compared) == (True, 4, 4)
    one.restart()
    one.hear("n2", append(2, other, 1, 4))
    assert [x.reason for x in one.effects if isinstance(x, Reload)] == ["doubt"]


def test_case_25_what_was_not_compared_does_not_count_and_is_asked_for_next() -> None:
    one = One("n1 n2 n3", terms=[1] * 5, term=1)
    one.lead()
    asked = one.hear("n2", rejects(2, 5, 1, 1))
    assert only(Append, asked, "n2").prev_index == 1
    told = one.hear("n2", AppendReply(2, True, 4, 0, 0, 0, True, 0))
    assert one.leads.peers["n2"].match == 0
    assert only(Append, told, "n2").prev_index == 4
    again = one.hear("n2", AppendReply(2, True, 4, 0, 0, 0, True, 0))
    assert again == [], "once for each sign of life: it may never compare"


def test_case_25_an_append_behind_commit_is_answered_with_the_commit_index() -> None:
    one = One(terms=[1, 1, 1, 1], commit=3)
    log = log_of([1, 1, 1, 1])
    for prev, through in [(0, 1), (1, 2), (2, 2)]:
        reply = only(AppendReply, one.hear("n2", append(1, log, prev, through)))
        assert (reply.accepted, reply.index) == (True, 3)


def test_case_26_an_empty_append_reports_a_conflict_all_the_same() -> None:
    one = One(terms=[1, 1])
    reply = only(AppendReply, one.hear("n2", append(2, log_of([1, 2]), 2)))
    assert (reply.accepted, reply.index, reply.hint, reply.hint_term) == (False, 2, 1, 1)


# --- Back-off -------------------------------------------------------------------------------------

FIGURE_7 = {
    "a": [1, 1, 1, 4, 4, 5, 5, 6, 6],
    "b": [1, 1, 1, 4],
    "c": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    "d": [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    "e": [1, 1, 1, 4, 4, 4, 4],
    "f": [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
}


def rejections(cluster: Cluster) -> int:
    """Settle, and count the appends that were turned down."""
    found = 0
    for _ in range(10_000):
        if cluster.wire and isinstance(reply := cluster.wire[0].message, AppendReply):
            found += not reply.accepted
        if not cluster._move_one():
            return found
    raise AssertionError("no rest")


@pytest.mark.parametrize("terms", FIGURE_7.values(), ids=FIGURE_7.keys())
def test_case_27_a_conflict_costs_at_most_a_probe_a_term(terms: Sequence[int]) -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.furnish("n1", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6], term=8)
    cluster.furnish("n2", terms, term=7)
    cluster.start("n1", "n3")
    cluster.elect("n1")
    cluster.start("n2")
    cluster.now_ns += 50 * limits.MS
    cluster.beat("n1")
    assert rejections(cluster) <= min(2, len(set(terms)))
    cluster.wait(50, "n1")
    assert cluster.core("n2").log.last == cluster.core("n1").log.last


@pytest.mark.parametrize("behind", ["n1", "n2"])
def test_case_27_a_conflict_across_a_compacted_prefix(behind: str) -> None:
    """Long tails of other terms, and one side that remembers only what is committed. The leader
    then cannot compare terms: it goes back by twice as many Entries each time."""
    cluster = Cluster("n1 n2 n3")
    for name, terms in {"n1": [1] * 5 + [4] * 60, "n2": [1] * 5 + [3] * 70}.items():
        cluster.furnish(name, terms, term=4, commit=4)
    cluster.start("n1", "n3")
    cluster.elect("n1")
    cluster.start("n2")
    cluster.checkpoint(behind, purge=False)
    cluster.now_ns += 50 * limits.MS
    cluster.beat("n1")
    assert rejections(cluster) <= 8
    cluster.wait(50, "n1")
    assert cluster.core("n2").log.commit == 66


def test_case_28_a_stale_rejection_never_moves_next_below_match() -> None:
    one = One(terms=[1] * 9)
    one.lead()
    peer = one.leads.peers["n2"]
    one.acks("n2", 8)
    for stale in [rejects(2, 4, 3, 1), rejects(2, 8, 0, 0), rejects(2, 9, 0, 0)]:
        one.hear("n2", stale)
        assert (peer.match, peer.next > 8) == (8, True)
    one.acks("n2", 3)
    assert (peer.match, peer.next > 8) == (8, True)


def test_case_29_answers_to_an_older_reign_are_discarded() -> None:
    one = One(terms=[1] * 5)
    one.lead()
    one.hear("n2", AppendReply(1, True, 5, 0, 0, 0, True, 5))
    assert one.leads.peers["n2"].match == 0


def test_case_29_all_that_a_peer_said_before_it_lost_its_ledger_is_void() -> None:
    one = One()
    one.lead()
    one.propose()
    one.acks("n2", 1)
    one.propose()
    assert one.log.commit == 1
    one.hear("n2", HeartbeatReply(1, 1, False))
    assert one.leads.peers["n2"].match == 0
    one.hear("n2", AppendReply(1, True, 2, 0, 0, 1, False, 2))
    assert (one.log.commit, one.leads.peers["n2"].match) == (1, 2)
    one.hear("n2", AppendReply(1, True, 2, 0, 0, 1, True, 2))
    assert one.log.commit == 2


def test_case_29_even_if_it_loses_it_twice_in_one_repair() -> None:
    """Else the leader would probe behind its old match for ever."""
    one = One()
    one.lead()
    for _ in range(5):
        one.propose()
    one.hear("n2", AppendReply(1, True, 4, 0, 0, 1, False, 4))
    told = one.hear("n2", AppendReply(1, False, 5, 0, 0, 1, False, 0))
    told += one.hear("n2", AppendReply(1, False, 5, 0, 0, 1, False, 0))
    assert of(Append, told)[-1].prev_index == 0


# --- Windows --------------------------------------------------------------------------------------


def a_full_window() -> One:
    """A leader that heard of n2 up to 1, and then sent all that its window admits, and more."""
    one = One()
    one.lead()
    one.propose()
    one.acks("n2", 1)
    for _ in range(limits.PEER_APPENDS_IN_FLIGHT + 5):
        one.propose()
    return one


def test_case_31_a_full_window_pauses_the_stream() -> None:
    one = a_full_window()
    assert one.leads.peers["n2"].next == 2 + limits.PEER_APPENDS_IN_FLIGHT
    assert of(Append, one.propose(), "n2") == []
    told = of(Append, one.acks("n2", 3), "n2")
    assert [len(x.entries) for x in told] == [6, 0][:1]


def test_case_31_the_window_counts_bytes_too() -> None:
    one = One()
    one.lead()
    one.propose()
    one.acks("n2", 1)
    line = LineId("x" * limits.MIB, 1, b"")
    body = encode_entry(Entry(1, 0, bytes(16), Accession("n1", line, False)))
    sent = 0
    for _ in range(40):
        told = one.do(lambda raft: raft.propose(body, one.now_ns))
        sent += sum(len(x.body) for a in of(Append, told, "n2") for x in a.entries)
    assert limits.PEER_WINDOW_BYTES <= sent <= limits.PEER_WINDOW_BYTES + len(body)


def test_case_31_commit_still_travels_when_the_window_is_full() -> None:
    one = a_full_window()
    last = one.log.last.index
    one.acks("n3", last)
    assert one.log.commit == last
    one.leads.peers["n2"].match = 20  # its answers are under way
    assert only(Heartbeat, one.beat(50), "n2").commit == 20


def test_case_31_a_heartbeats_answer_lets_one_append_ask_whether_all_came() -> None:
    one = a_full_window()
    upto = one.leads.peers["n2"].next - 1
    beat = only(Heartbeat, one.beat(50), "n2")
    check = only(Append, one.answers("n2", beat.round), "n2")
    assert (check.prev_index, check.entries) == (upto, [])
    told = one.hear("n2", rejects(1, upto, 1, 1))
    assert only(Append, told, "n2").prev_index == 1


def test_case_31_one_lost_append_is_sent_again_though_nothing_is_proposed() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.start()
    cluster.elect("n1")
    cluster.wait(50)
    cluster.cut = {("n1", "n2"), ("n1", "n3")}
    cluster.propose("n1", "lost on its way, and no link broke")
    cluster.settle()
    cluster.cut.clear()
    for _ in range(3):
        cluster.wait(50, "n1")
    assert [cluster.core(x).log.commit for x in cluster.nodes] == [2, 2, 2]


def test_case_33_a_peer_that_hangs_holds_up_no_other_and_is_sent_a_window_at_most() -> None:
    one = One()
    one.lead()
    appends = 0
    for index in range(1, 300):
        told = one.propose()
        told += one.acks("n3", index)
        told += one.beat(0.1)
        assert one.log.commit == index
        appends += len(of(Append, told, "n2"))
    assert appends <= limits.PEER_APPENDS_IN_FLIGHT + 1


def test_a_slow_follower_is_read_to_from_the_ledger_only_what_is_on_the_leaders_disk() -> None:
    """A majority may have committed what the leader's own disk has not written yet."""
    one = One("n1 n2 n3 n4 n5", [1] * 6, commit=4)
    one.raft.log.compact(3, 0)
    one.lead()
    one.slow = True
    one.propose()
    for peer in ["n3", "n4", "n5"]:
        one.acks(peer, 7)
    assert (one.log.commit, one.log.durable) == (7, 6)
    one.hear("n2", rejects(2, 6, 1, 1))
    (read,) = [x for _, x in one.cluster.nodes["n1"].asked if isinstance(x, ReadEntries)]
    assert (read.after_index, read.through_index) == (1, 6)
