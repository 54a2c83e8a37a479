"""Where to connect next, and after which wait."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.client.route import Route, address_text
from rmf.errors import UsageError

A, B, C = ("a", 1), ("b", 2), ("c", 3)


def test_addresses_are_tried_in_turn() -> None:
    route = Route([A, B, C])
    assert [route.next() for _ in range(4)] == [A, B, C, A]


def test_what_a_node_names_goes_first_and_only_once() -> None:
    route = Route([A, B])
    assert route.prefer(["c:3", "b:2"])
    assert [route.next() for _ in range(4)] == [C, B, A, C]


def test_an_address_that_cannot_be_read_is_passed_over() -> None:
    route = Route([A])
    assert not route.prefer(["no address at all"])
    assert route.next() == A
    assert not route.several


def test_nodes_cannot_make_the_list_grow_without_bound() -> None:
    route = Route([A])
    for port in range(1, 500):
        route.prefer([f"x:{port}"])
    tried = {route.next() for _ in range(500)}
    assert A in tried
    assert len(tried) == 64


def test_the_back_off_grows_with_each_round_and_begins_anew_with_a_welcome() -> None:
    route = Route([A, B])
    waits = []
    for _ in range(20):
        waits.append(route.wait_s(1.0, 0.0))
        route.next()
    assert waits[:4] == [0.05, 0.05, 0.1, 0.1]
    assert waits[-1] == limits.RECONNECT_S_MAX
    route.welcomed()
    assert route.wait_s(1.0, 0.0) == limits.RECONNECT_S_MIN


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 1), st.integers(0, 100))
def test_the_wait_is_jittered_and_never_below_what_the_code_asks(
    jitter: float, attempts: int
) -> None:
    route = Route([A])
    for _ in range(attempts):
        route.next()
    assert 0.5 <= route.wait_s(jitter, 0.5) <= limits.RECONNECT_S_MAX
    assert 0.0 <= route.wait_s(jitter, 0.0) <= limits.RECONNECT_S_MAX


def test_no_address_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="no address"):
        Route([])


def test_addresses_read_as_they_are_written() -> None:
    assert address_text(("::1", 7410)) == "[::1]:7410"
    assert address_text(A) == "a:1"
