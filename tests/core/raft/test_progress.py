"""What a leader knows of a peer: invariants under any answers, and each state by itself."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rmf import limits
from rmf.core.raft.progress import Progress
from rmf.core.raft.raft_values import Place

INDEXES = st.integers(0, 40)


class AnyAnswers(RuleBasedStateMachine):
    """Answers in any order, true ones and stale ones."""

    def __init__(self) -> None:
        super().__init__()
        self.peer = Progress(20, 0)
        self.match = 0

    @rule(index=INDEXES)
    def accepted(self, index: int) -> None:
        assert self.peer.accepted(index, 0, 9) == (index > self.match)
        self.match = max(self.match, index)

    @rule(index=INDEXES, hint=INDEXES, compared=st.booleans())
    def rejected(self, index: int, hint: int, *, compared: bool) -> None:
        before = self.peer.next
        if self.peer.rejected(index, Place(min(hint, index), 1, b""), compared=compared):
            assert self.peer.next <= max(before, self.match + 1)
            assert self.peer.may_send == (self.peer.next < before), "no progress: no storm"

    @rule(more=st.integers(0, 3))
    def sent(self, more: int) -> None:
        if self.peer.may_send:
            before = self.peer.next
            self.peer.sent(before - 1 + more, 100, 0)
            moves = self.peer.state == "replicate"
            assert self.peer.next == (before + more if moves else before)

    @rule()
    def lost_link(self) -> None:
        self.peer.lost_link()

    @rule()
    def lost_ledger(self) -> None:
        self.peer.lost_ledger(20)
        self.match = 0

    @rule()
    def reading(self) -> None:
        self.peer.read(5)
        assert not self.peer.may_send

    @rule()
    def read(self) -> None:
        self.peer.reading = False

    @rule()
    def installing(self) -> None:
        self.peer.installing(5)
        assert not self.peer.may_send

    @rule(index=INDEXES)
    def installed(self, index: int) -> None:
        if self.peer.state == "install":
            self.peer.installed(index)
            assert self.peer.next > index

    @invariant()
    def match_never_falls_and_next_is_above_it(self) -> None:
        assert self.peer.match == self.match < self.peer.next

    @invariant()
    def only_replicate_has_something_under_way(self) -> None:
        assert not self.peer.awaits or self.peer.state == "replicate"


TestAnyAnswers: Any = AnyAnswers.TestCase
TestAnyAnswers.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def replicating() -> Progress:
    peer = Progress(5, 0)
    peer.accepted(4, 0, 0)
    assert peer.state == "replicate"
    return peer


def test_in_probe_one_append_at_a_time_goes_out() -> None:
    peer = Progress(5, 0)
    assert peer.may_send
    peer.sent(9, 100, 0)
    assert (peer.may_send, peer.next) == (False, 5)


def test_in_replicate_appends_run_ahead_within_a_window() -> None:
    peer = replicating()
    for index in range(5, 5 + limits.PEER_APPENDS_IN_FLIGHT):
        assert peer.may_send
        peer.sent(index, 1, 0)
    assert not peer.may_send
    peer.accepted(6, 0, 1)
    assert peer.may_send


def test_the_window_counts_bytes_and_admits_one_entry_of_any_size() -> None:
    peer = replicating()
    peer.sent(5, limits.PEER_WINDOW_BYTES + 1, 0)
    assert not peer.may_send
    peer.accepted(5, 0, 1)
    assert peer.may_send


def test_an_empty_append_takes_no_room() -> None:
    peer = replicating()
    for _ in range(2 * limits.PEER_APPENDS_IN_FLIGHT):
        peer.sent(4, 0, 0)
    assert (peer.may_send, peer.awaits) == (True, False)


def test_a_rejection_of_what_matches_is_stale() -> None:
    peer = replicating()
    assert not peer.rejected(4, Place(2, 1, b""))
    assert not peer.rejected(7, Place(6, 1, b""))  # nothing that far was sent
    peer.sent(6, 1, 0)
    assert peer.rejected(5, Place(2, 1, b""))
    assert (peer.state, peer.next) == ("probe", 5)


def test_a_rejection_of_another_probe_is_stale() -> None:
    peer = Progress(20, 0)
    assert not peer.rejected(18, Place(2, 1, b""))
    assert peer.rejected(19, Place(2, 1, b""))
    assert peer.next == 3


def test_where_logs_cannot_be_compared_the_strides_double() -> None:
    peer, found = Progress(101, 0), []
    for _ in range(7):
        at = peer.next - 1
        peer.rejected(at, Place(at - 1, 1, b""), compared=False)
        found.append(at - peer.next + 1)
    assert found == [1, 2, 3, 5, 9, 17, 33]


def test_who_lost_its_ledger_has_nothing() -> None:
    peer = replicating()
    peer.lost_ledger(9)
    assert (peer.match, peer.next, peer.state, peer.whole) == (0, 9, "probe", False)


def test_a_broken_link_begins_again_from_what_is_known_but_not_an_install() -> None:
    peer = replicating()
    peer.sent(7, 1, 0)
    peer.lost_link()
    assert (peer.state, peer.next) == ("probe", 5)
    peer.installing(3)
    peer.lost_link()
    assert peer.state == "install"


def test_after_an_install_the_next_append_waits_for_a_sign_of_life() -> None:
    peer = Progress(5, 0)
    peer.installing(0)
    peer.installed(40)
    assert (peer.state, peer.next, peer.may_send) == ("probe", 41, False)


def test_a_probe_carries_little() -> None:
    peer = Progress(5, 0)
    assert peer.piece_bytes == limits.PROBE_BYTES_MAX
    peer.accepted(4, 0, 0)
    assert peer.piece_bytes == limits.APPEND_BYTES_MAX


def test_a_sign_of_life_lets_another_probe_out_only_when_the_last_one_had_its_time() -> None:
    peer, now_ns, waits = Progress(5, 0), 0, []
    for _ in range(8):
        peer.sent(9, 100, now_ns)
        began_ns = now_ns
        while not peer.may_send:
            now_ns += limits.HEARTBEAT_NS
            peer.shows_life(now_ns)
        waits.append((now_ns - began_ns) // limits.HEARTBEAT_NS)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 64]


def test_entries_can_be_read_while_others_are_on_their_way() -> None:
    peer = replicating()
    peer.sent(7, 100, 0)
    peer.read(5)
    assert (peer.may_send, peer.awaits, peer.next) == (False, True, 8)
    peer.reading = False
    assert peer.may_send


def test_a_link_that_broke_before_the_first_answer_sends_no_peer_to_the_beginning_of_the_log() -> (
    None
):
    peer = Progress(25_000, 0)
    peer.rejected(24_999, Place(24_700, 1, b""))
    peer.sent(24_900, 100, 0)
    peer.lost_link()
    assert peer.next == 24_701


def test_entries_that_a_link_broke_under_are_not_sent_again_unchanged() -> None:
    peer = replicating()
    most = limits.APPEND_BYTES_MAX
    assert peer.piece_bytes == most
    for piece_bytes in (most // 2, most // 4):
        peer.sent(peer.next, 100, 0)
        peer.lost_link()
        peer.accepted(peer.match, 0, 0)  # the probe
        assert peer.piece_bytes == piece_bytes
    peer.lost_link()  # nothing was under way
    peer.accepted(peer.match, 0, 0)
    for piece_bytes in (most // 4, most // 2, most, most):
        assert peer.piece_bytes == piece_bytes
        peer.sent(peer.next, 100, 0)
        peer.accepted(peer.next - 1, 0, 0)
    for _ in range(99):
        peer.sent(peer.next, 100, 0)
        peer.lost_link()
    assert peer.piece_bytes == 1  # one Entry at a time


def test_what_is_answered_by_nothing_is_taken_for_lost_after_longer_each_time() -> None:
    peer, now_ns, waits = replicating(), 0, []
    for _ in range(6):
        peer.sent(peer.next, 100, now_ns)
        began_ns = now_ns
        while not peer.is_silent(now_ns, 400):
            now_ns += 100
        waits.append(now_ns - began_ns)
        peer.lost_link()
        peer.accepted(peer.match, 0, now_ns)  # the probe
    assert waits == [400, 800, 1600, 3200, 6400, 12_800]
    peer.sent(peer.next, 100, now_ns)
    peer.accepted(peer.next - 1, 0, now_ns)
    assert not peer.is_silent(now_ns + 10**9, 400)  # nothing is under way
    peer.sent(peer.next, 100, now_ns)
    assert peer.is_silent(now_ns + 400, 400)


def test_which_of_two_probes_was_answered_is_unknown_so_nothing_is_measured() -> None:
    """Else a far peer whose first probe is answered after the second one left seemed to be near."""
    size, round_trip_ns, admitted = 300 * limits.KIB, 200 * limits.MS, []
    for twice in (False, True):
        peer = Progress(5, 0)
        peer.sent(4, 0, 0)
        if twice:
            peer.shows_life(limits.HEARTBEAT_NS)
            peer.sent(4, 0, limits.HEARTBEAT_NS)
        peer.accepted(4, 0, round_trip_ns)
        peer.sent(peer.next, size // 2, 0)
        peer.accepted(peer.next - 1, 0, round_trip_ns)
        for _ in range(6):
            found = 0
            while peer.may_send:
                peer.sent(peer.next, size, 0)
                found += 1
            peer.accepted(peer.next - 1, 0, round_trip_ns)
        admitted.append(found)
    assert admitted[0] == admitted[1] > 3


def test_who_cannot_compare_says_so_again_and_interrupts_neither_reading_nor_install() -> None:
    peer = Progress(9, 0)
    peer.committed_to(8)
    peer.read(5)
    peer.committed_to(8)
    assert peer.reading
    peer.committed_to(11)  # it has more by now: what is read is of no use
    assert (peer.reading, peer.next) == (False, 12)
    peer.installing(5)
    peer.committed_to(11)
    assert peer.state == "install"
