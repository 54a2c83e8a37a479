"""How an order finds its node."""

from typing import Any

import pytest

from rmf.client.blocking import Address
from rmf.core.messages import Query
from rmf.errors import ConnectionFailed, Refused, UsageError
from tests.scripted_node import Peer, ScriptedNode
from tests.tools.test_rmf_admin import answering
from tools.admin_orders import Orders


def orders_to(*addresses: Address, patience_s: float = 5.0) -> tuple[Orders, list[str]]:
    said: list[str] = []
    return Orders(list(addresses), patience_s, said.append), said


def test_a_follower_sends_us_to_the_leader() -> None:
    with ScriptedNode(answering({"leader": "n2"})) as leader:
        follower = answering("not_leader", leader=leader.text)
        with ScriptedNode(follower) as node:
            orders, said = orders_to(node.address)
            assert orders.to_the_leader("admin.transfer", {}) == {"leader": "n2"}
    assert said == []


def test_where_no_node_reigns_all_are_asked_in_turn_until_one_does() -> None:
    with (
        ScriptedNode(answering("no_reign"), answering({"members": []})) as one,
        ScriptedNode(answering("no_reign")) as two,
    ):
        orders, said = orders_to(one.address, two.address)
        assert orders.to_the_leader("admin.remove", {"node": "n3"}) == {"members": []}
    assert said == ["no_reign: because; trying again"]


def test_a_change_under_way_is_waited_for() -> None:
    scripts = [answering("change_pending"), answering("not_ready"), answering({"members": []})]
    with ScriptedNode(*scripts) as node:
        orders, said = orders_to(node.address)
        orders.to_the_leader("admin.add", {})
    assert [text.partition(":")[0] for text in said] == ["change_pending", "not_ready"]


def test_the_last_reason_is_named_when_time_is_over() -> None:
    orders, _ = orders_to(("127.0.0.1", 1), patience_s=0.1)
    with pytest.raises(TimeoutError, match=r"not done within 0\.1 s: .*127\.0\.0\.1:1"):
        orders.to_the_leader("admin.add", {})


def test_a_no_that_is_final_ends_it() -> None:
    with ScriptedNode(answering("not_possible")) as node, pytest.raises(Refused):
        orders_to(node.address)[0].to_the_leader("admin.remove", {"node": "n1"})


def dying(peer: Peer) -> None:
    peer.welcome()
    peer.expect(Query)


def test_an_order_whose_answer_was_lost_is_given_again_where_that_does_no_harm() -> None:
    with ScriptedNode(dying, answering({"members": []})) as node:
        orders, _ = orders_to(node.address)
        assert orders.to_the_leader("admin.remove", {"node": "n3"}) == {"members": []}


def test_a_node_that_a_lost_order_removed_is_removed() -> None:
    with ScriptedNode(dying, answering("no_such_member")) as node:
        assert orders_to(node.address)[0].to_the_leader("admin.remove", {"node": "n3"}) == {}
    with ScriptedNode(answering("no_such_member")) as node, pytest.raises(Refused):
        orders_to(node.address)[0].to_the_leader("admin.remove", {"node": "n3"})


def test_an_order_whose_answer_was_lost_is_in_doubt_where_it_does() -> None:
    with ScriptedNode(dying) as node, pytest.raises(ConnectionFailed, match="is not known"):
        orders_to(node.address)[0].to_the_leader("admin.transfer", {}, repeatable=False)


def test_a_node_is_found_by_its_name_among_those_that_others_name() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    with (
        ScriptedNode(answering({"index": 7}, node="n3", asked=asked)) as third,
        ScriptedNode(answering(nodes=[third.text])) as first,
    ):
        orders, said = orders_to(("127.0.0.1", 1), first.address)
        assert orders.to_the_node("n3", "admin.checkpoint", {}) == {"index": 7}
    assert asked == [("admin.checkpoint", {})]
    assert "127.0.0.1:1" in said[0]


def test_a_node_that_is_not_found_is_a_mistake_that_names_those_found() -> None:
    with ScriptedNode(answering()) as node, pytest.raises(UsageError, match=f"n1 at {node.text}"):
        orders_to(node.address)[0].to_the_node("n7", "admin.checkpoint", {})


def test_among_several_addresses_the_node_must_be_named() -> None:
    with pytest.raises(UsageError, match="NODE"):
        orders_to(("a", 1), ("b", 2))[0].to_the_node(None, "admin.checkpoint", {})
