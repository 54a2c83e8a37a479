"""The blocking connection, against a scripted node on loopback."""

import socket

import pytest

from rmf.client.blocking import BlockingConnection, connect
from rmf.client.client_session import ClientSession
from rmf.core.codec import PREFACE
from rmf.core.messages import End, Error, Goaway, Hello, Item, Ping, Pong, Query
from rmf.errors import ConnectionFailed, ProtocolFault, Refused
from tests.scripted_node import Peer, ScriptedNode, facts
from tools.bench_cluster import free_ports


def _nobody() -> tuple[str, int]:
    """An address at which nobody listens, nor will."""
    return "127.0.0.1", free_ports(1)[0]


def _welcoming(peer: Peer) -> None:
    peer.welcome()
    peer.wait_for_the_end()


def _refusing(code: str) -> "ScriptedNode":
    def script(peer: Peer) -> None:
        peer.expect(Hello)
        peer.sock.sendall(PREFACE)
        peer.send(Error(code, "no", None))

    return ScriptedNode(script)


def _open(node: ScriptedNode) -> BlockingConnection:
    return connect([node.address], agent="test/1", timeout_s=5)


def test_the_handshake_gives_the_facts_of_welcome() -> None:
    said: list[Hello] = []

    def script(peer: Peer) -> None:
        said.append(peer.welcome(node="n7"))

    with ScriptedNode(script) as node:
        options = {"cluster": b"c" * 16}
        with connect([node.address], agent="test/1", timeout_s=5, options=options) as connection:
            assert connection.welcome == facts(node="n7")
            assert connection.address == node.text
    assert said[0].options["agent"] == "test/1"
    assert said[0].options["cluster"] == b"c" * 16


def test_addresses_are_tried_in_turn() -> None:
    with ScriptedNode(_welcoming) as node:
        addresses = [_nobody(), node.address]
        with connect(addresses, agent="test/1", timeout_s=5) as connection:
            assert connection.address == node.text


def test_a_failure_names_every_address() -> None:
    addresses = [_nobody(), _nobody()]
    with pytest.raises(ConnectionFailed) as caught:
        connect(addresses, agent="test/1", timeout_s=5)
    for host, port in addresses:
        assert f"{host}:{port}" in str(caught.value)


def test_a_refusal_that_may_pass_sends_us_to_the_next_node() -> None:
    with _refusing("too_many_connections") as full, ScriptedNode(_welcoming) as node:
        connection = connect([full.address, node.address], agent="test/1", timeout_s=5)
        assert connection.address == node.text
        connection.close()


def test_a_final_refusal_is_raised_at_once() -> None:
    with _refusing("wrong_cluster") as node, pytest.raises(Refused) as caught:
        connect([node.address, _nobody()], agent="test/1", timeout_s=5)
    assert (caught.value.code, caught.value.retry) == ("wrong_cluster", False)


def test_a_passing_refusal_is_raised_where_no_node_says_better() -> None:
    with _refusing("stopping") as node, pytest.raises(Refused) as caught:
        _open(node)
    assert caught.value.retry


def test_a_stranger_is_named() -> None:
    def http(peer: Peer) -> None:
        peer.expect(Hello)
        peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with ScriptedNode(http) as node, pytest.raises(ConnectionFailed, match="HTTP"):
        _open(node)


def test_a_silent_node_is_given_up_in_time() -> None:
    def silent(peer: Peer) -> None:
        peer.expect(Hello)
        peer.wait_for_the_end()

    with ScriptedNode(silent) as node, pytest.raises(ConnectionFailed, match="no WELCOME"):
        connect([node.address], agent="test/1", timeout_s=0.05)


def test_receive_gives_nothing_when_the_time_is_over() -> None:
    with ScriptedNode(_welcoming) as node, _open(node) as connection:
        assert connection.receive(0.01) is None
        assert connection.receive(0) is None


def test_messages_of_one_read_come_one_by_one() -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.send(Pong(1, 1, 10), Pong(2, 1, 11))
        peer.wait_for_the_end()

    with ScriptedNode(script) as node, _open(node) as connection:
        assert connection.receive(5) == Pong(1, 1, 10)
        assert connection.receive(0) == Pong(2, 1, 11)


def test_a_query_ends_with_its_end() -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        for bodies in ([{"a": 1}, {"a": 2}], []):
            query = peer.expect(Query)
            assert (query.subject, query.args) == ("dlq.list", {"limit": 2})
            peer.send(Pong(9, 1, 10), *(Item(query.request, body) for body in bodies))
            peer.send(Item(query.request + 99, {"other": True}), End(query.request, None, None))

    with ScriptedNode(script) as node, _open(node) as connection:
        assert list(connection.query("dlq.list", {"limit": 2}, 5)) == [{"a": 1}, {"a": 2}]
        assert list(connection.query("dlq.list", {"limit": 2}, 5)) == []


def test_an_end_with_a_code_is_a_refusal() -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        query = peer.expect(Query)
        peer.send(Item(query.request, {}), End(query.request, "unknown_query", "what?"))

    with ScriptedNode(script) as node, _open(node) as connection:
        answer = connection.query("dlq.lost", {}, 5)
        with pytest.raises(Refused, match="what") as caught:
            list(answer)
    assert caught.value.code == "unknown_query"


@pytest.mark.parametrize(
    "message", [Error("internal", "failed", None), Goaway("stopping", [], 0, "bye")]
)
def test_error_and_goaway_end_a_query(message: Error | Goaway) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.expect(Query)
        peer.send(message)

    with ScriptedNode(script) as node, _open(node) as connection:
        answer = connection.query("status", {}, 5)
        with pytest.raises(Refused) as caught:
            list(answer)
    assert caught.value.code == message.code


def test_a_query_without_an_answer_times_out() -> None:
    with ScriptedNode(_welcoming) as node, _open(node) as connection:
        answer = connection.query("status", {}, 0.02)
        with pytest.raises(TimeoutError, match="'status'"):
            list(answer)


def test_a_lost_connection_names_the_node() -> None:
    def script(peer: Peer) -> None:
        peer.welcome()

    with ScriptedNode(script) as node, _open(node) as connection:
        assert connection.address == node.text
        with pytest.raises(ConnectionFailed, match=node.text):
            connection.receive(5)


def test_a_node_that_breaks_the_protocol_differs_from_a_lost_one() -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.expect(Query)  # so that WELCOME is read before the fault
        peer.send(Ping(1))

    with ScriptedNode(script) as node, _open(node) as connection:
        connection.send(Query(1, "status", {}))
        with pytest.raises(ProtocolFault, match="PING"):
            connection.receive(5)


def _impatient(node: ScriptedNode, *, ping_s: float, answer_s: float) -> BlockingConnection:
    connection = BlockingConnection(
        socket.create_connection(node.address),
        ClientSession({}),
        node.text,
        ping_s=ping_s,
        answer_s=answer_s,
    )
    connection.shake_hands(5)
    return connection


def test_a_waiting_call_pings() -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        for _ in range(3):
            message = peer.receive()
            assert isinstance(message, Ping)
            peer.send(Pong(message.token, 1, 10))

    with ScriptedNode(script) as node, _impatient(node, ping_s=0.01, answer_s=5) as connection:
        for _ in range(3):
            assert isinstance(connection.receive(5), Pong)


def test_a_node_that_leaves_pings_unanswered_is_dead() -> None:
    with ScriptedNode(_welcoming) as node:
        connection = _impatient(node, ping_s=0.01, answer_s=0.05)
        with connection, pytest.raises(ConnectionFailed, match="no sign of life"):
            connection.receive(5)
