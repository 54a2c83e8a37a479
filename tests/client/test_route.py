"""Where to connect next, and after which wait."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.client.route import Address, Route, address_text, back_off_s
from rmf.errors import UsageError

A, B, C = ("a", 1), ("b", 2), ("c", 3)


class Dialler:
    """Goes where a Route sends it; `now_s` is its clock."""

    def __init__(self, *addresses: Address) -> None:
        self.route = Route(list(addresses))
        self.now_s = 100.0

    def dial(self) -> tuple[Address, float]:
        """The next address, and how long it took until it was tried."""
        pause_s = self.route.pause_s(self.now_s, 0.5)
        self.now_s += pause_s
        return self.route.next(self.now_s), pause_s

    def fail(self, hold_off_s: float = 0.0, *, silent: bool = False) -> tuple[Address, float]:
        """An attempt that fails."""
        address, pause_s = self.dial()
        self.route.failed(address, self.now_s, hold_off_s, silent=silent)
        return address, pause_s

    def lose(self, after_s: float, hold_off_s: float = 0.0) -> tuple[Address, float]:
        """An attempt that is welcomed, and the connection lost after some time."""
        address, pause_s = self.dial()
        self.route.welcomed(address, self.now_s)
        self.now_s += after_s
        self.route.lost(address, self.now_s, hold_off_s)
        return address, pause_s


def test_each_address_is_tried_once_without_a_pause_then_there_is_one() -> None:
    dialler = Dialler(A, B, C)
    tried = [dialler.fail() for _ in range(7)]
    assert [address for address, _ in tried] == [A, B, C, A, B, C, A]
    assert [round(pause_s, 3) for _, pause_s in tried] == [0, 0, 0, 0.02, 0, 0, 0.022]


def test_what_a_node_names_goes_first_and_only_once() -> None:
    dialler = Dialler(A, B)
    assert dialler.route.prefer(["c:3", "b:2"])
    assert [dialler.fail()[0] for _ in range(4)] == [C, B, A, C]


def test_two_nodes_that_point_at_each_other_are_tried_once_a_round() -> None:
    dialler = Dialler(A, B)
    pauses = []
    for other in (["b:2"], ["a:1"]) * 3:
        pauses.append(round(dialler.fail(0.01)[1], 3))
        dialler.route.prefer(other)
    assert pauses == [0, 0, 0.02, 0, 0.022, 0]


def test_nodes_that_welcome_and_send_away_at_once_are_tried_once_a_round_too() -> None:
    dialler = Dialler(A, B)
    pauses = [round(dialler.lose(after_s=0.001)[1], 3) for _ in range(4)]
    assert pauses == [0, 0, 0.02, 0]


def test_after_a_good_connection_the_others_are_tried_at_once_and_the_back_off_starts_over() -> (
    None
):
    dialler = Dialler(A, B, C)
    for _ in range(30):
        dialler.fail()
    lost, _ = dialler.lose(after_s=limits.SETTLED_S)
    tried = [dialler.fail() for _ in range(3)]
    assert lost == tried[2][0]
    assert [round(pause_s, 3) for _, pause_s in tried] == [0, 0, 0.02]


def test_who_said_wait_is_waited_for_and_the_others_are_not() -> None:
    dialler = Dialler(A, B)
    assert dialler.fail(1.0) == (A, 0)
    tried = [dialler.fail() for _ in range(3)]
    assert {address for address, _ in tried} == {B}
    assert sum(pause_s for _, pause_s in tried) < 0.1
    dialler.now_s += 1
    assert dialler.fail()[0] == A


def test_where_all_said_wait_the_first_to_be_free_is_waited_for() -> None:
    dialler = Dialler(A, B)
    dialler.fail(1.0)
    dialler.fail(0.5)
    assert dialler.fail() == (B, 0.5)


def test_a_hold_off_is_no_longer_than_the_longest_wait() -> None:
    dialler = Dialler(A)
    dialler.fail(3600.0)
    assert dialler.fail() == (A, limits.RECONNECT_S_MAX)


def test_a_node_that_is_named_as_the_leader_is_held_off_no_longer() -> None:
    dialler = Dialler(A, B)
    dialler.fail(1.0)
    dialler.fail()
    dialler.route.prefer(["a:1"])
    assert dialler.fail()[0] == A


def test_who_did_not_answer_is_tried_last_whatever_names_it() -> None:
    dialler = Dialler(A, B, C)
    dialler.fail(silent=True)
    dialler.route.prefer(["a:1"])
    assert [dialler.fail()[0] for _ in range(5)] == [B, C, B, C, A]
    dialler.fail()  # it answered
    dialler.route.prefer(["a:1"])


def test_an_attempt_is_short_while_others_are_untried_and_longer_each_round() -> None:
    dialler = Dialler(A, B)
    taken = []
    for _ in range(8):
        dialler.fail(silent=True)
        taken.append(dialler.route.attempt_s())
    assert taken == [1, 1, 2, 2, 4, 4, 5, 5]
    assert Route([A]).attempt_s() == limits.CONNECT_S_MAX


def test_an_address_that_cannot_be_read_is_passed_over() -> None:
    route = Route([A])
    assert not route.prefer(["no address at all"])
    route.learn(["no address at all", 7, None])
    assert route.addresses == [A]
    assert not route.several


def test_what_a_welcome_names_is_known_and_not_preferred() -> None:
    route = Route([A])
    route.learn(["c:3", "a:1", "b:2"])
    assert route.addresses == [A, C, B]
    assert route.several


def test_a_node_that_left_the_factory_is_forgotten_unless_it_was_configured() -> None:
    route = Route([A])
    route.learn(["b:2", "c:3"])
    route.learn(["c:3"])
    assert route.addresses == [A, C]
    route.learn([])
    assert route.addresses == [A, C]


def test_nodes_cannot_make_the_list_grow_without_bound() -> None:
    route = Route([A])
    for port in range(1, 500):
        route.prefer([f"x:{port}"])
    assert len(route.addresses) == 64
    route.learn(f"y:{port}" for port in range(1, 500))
    assert len(route.addresses) == 64
    assert A in route.addresses


def test_waiting_grows_with_the_time_it_took_up_to_a_bound() -> None:
    waits = [back_off_s(rounds, 0.5) for rounds in range(50)]
    assert waits[0] == limits.RECONNECT_S_MIN
    assert waits[-1] == limits.RECONNECT_S_MAX
    assert all(wait <= 0.02 + sum(waits[:i]) / 8 + 1e-9 for i, wait in enumerate(waits))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["fail", "silent", "lose", "prefer", "learn"]),
            st.floats(0, 3),
            st.sampled_from("abcd"),
        ),
        max_size=60,
    )
)
def test_attempts_never_come_faster_than_one_round_a_back_off(
    steps: list[tuple[str, float, str]],
) -> None:
    dialler = Dialler(A, B)
    tried_at: dict[Address, list[float]] = {}
    for what, seconds, name in steps:
        if what == "prefer":
            dialler.route.prefer([f"{name}:1"])
        elif what == "learn":
            dialler.route.learn([f"{name}:1"])
        else:
            if what == "lose":
                address, pause_s = dialler.lose(after_s=seconds, hold_off_s=seconds)
            else:
                address, pause_s = dialler.fail(seconds, silent=what == "silent")
            assert pause_s <= limits.RECONNECT_S_MAX
            tried_at.setdefault(address, []).append(dialler.now_s)
    for times in tried_at.values():
        fifth = [b - a for a, b in zip(times, times[5:], strict=False)]
        assert all(taken > limits.RECONNECT_S_MIN / 2 for taken in fifth)


def test_no_address_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="no address"):
        Route([])


def test_addresses_read_as_they_are_written() -> None:
    assert address_text(("::1", 7410)) == "[::1]:7410"
    assert address_text(A) == "a:1"
