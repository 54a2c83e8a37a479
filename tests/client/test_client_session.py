"""The sans-IO connection: bytes in, messages out, strangers named."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.client.client_session import ClientSession, announced, refused_by, same_cluster
from rmf.core import messages as m
from rmf.core.codec import PREFACE, decode, encode
from rmf.errors import ProtocolFault, UsageError
from tests.scripted_node import facts


def welcome(**more: Any) -> m.Welcome:
    return m.Welcome(facts(**more))


def opened(**more: Any) -> ClientSession:
    connection = ClientSession({})
    connection.receive(PREFACE + encode(welcome(**more)))
    return connection


def fault_of(connection: ClientSession, data: bytes) -> ProtocolFault:
    with pytest.raises(ProtocolFault) as caught:
        connection.receive(data)
    return caught.value


def test_the_opening_is_the_preface_and_hello() -> None:
    opening = ClientSession({"producer": "probe-3", "agent": "mine"}).opening()
    assert opening.startswith(PREFACE)
    hello = decode(opening[len(PREFACE) + 4 :])
    assert hello == m.Hello({"versions": [1, 1], "agent": "mine", "producer": "probe-3"})


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_any_cut_of_the_stream_gives_the_same_messages(data: st.DataObject) -> None:
    sent: list[m.Message] = [welcome(), m.Pong(1, 2, 3), m.End(4, None, None)]
    stream = PREFACE + b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    connection = ClientSession({})
    received: list[m.Message] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += connection.receive(stream[begin:end])
    assert received == sent
    assert connection.welcome == sent[0]


def test_a_node_may_send_more_items_than_it_would_take() -> None:
    """Those of release 0.1 fill a SNAPSHOT of small cells by its bytes alone."""
    cell = m.WireCell("a", b"\0", 1, 2, 3, "p", 4, None)
    many = [cell] * (limits.FRAME_ITEMS_MAX // 8)
    page = m.Snapshot(1, m.FULL, False, 1, 2, 3, b"\0" * 16, True, 0, many, [])
    assert opened().receive(encode(page)) == [page]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "an HTTP server answered"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "a TLS server answered"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "an SSH server answered"),
        (b"\x00\x01\x02\x03\x04", "found 00 01 02 03 04, expected 52 4d 46 01"),
    ],
)
def test_a_peer_that_is_no_node_is_named_in_words(answer: bytes, words: str) -> None:
    fault = fault_of(ClientSession({}), answer)
    assert fault.code == "bad_preface"
    assert words in fault.text


def test_another_framing_is_a_wrong_version() -> None:
    fault = fault_of(ClientSession({}), b"RMF\x02")
    assert fault.code == "wrong_version"
    assert "2" in fault.text
    assert "1" in fault.text


def test_a_version_that_was_not_offered_is_a_fault() -> None:
    assert fault_of(ClientSession({}), PREFACE + encode(welcome(version=9))).code == "wrong_version"


def test_welcome_comes_once() -> None:
    assert fault_of(opened(), encode(welcome())).code == "hello_repeated"


def test_a_client_message_from_a_node_is_a_fault() -> None:
    fault = fault_of(opened(), encode(m.Bye()))
    assert fault.code == "unknown_type"
    assert "BYE" in fault.text


def test_a_frame_beyond_the_bound_is_refused_by_its_length_alone() -> None:
    length = (limits.SERVER_FRAME_BYTES_MAX + 1).to_bytes(4, "big")
    assert fault_of(opened(), length).code == "frame_too_long"


def test_nothing_longer_than_the_node_takes_is_encoded() -> None:
    connection = opened(limits={"frame_bytes": 100})
    assert len(connection.encode(m.Get(1, "k" * 50, False))) < 104
    with pytest.raises(UsageError, match="at most 100 bytes"):
        connection.encode(m.Get(1, "k" * 200, False))


@pytest.mark.parametrize("value", [None, "many", -1, 0, True])
def test_a_limit_that_cannot_be_is_not_believed(value: object) -> None:
    assert announced(welcome(limits={"frame_bytes": value}), "frame_bytes", 7) == 7


def test_limits_that_are_no_map_announce_nothing() -> None:
    assert announced(welcome(limits=[1]), "frame_bytes", 7) == 7
    assert ClientSession({}).limit("frame_bytes", 9) == 9


def test_a_refusal_carries_the_advice_of_the_error_table() -> None:
    assert refused_by(m.Error("superseded", "t", None)).retry is False
    assert refused_by(m.Refuse(1, "busy", 1, None, "t")).retry is True
    assert refused_by(m.Error("of_tomorrow", "t", None)).retry is False


def test_the_next_hello_names_the_cluster_that_was_met() -> None:
    assert same_cluster({"producer": "p"}, welcome()) == {"producer": "p", "cluster": b"c" * 16}
    assert same_cluster({"producer": "p"}, m.Welcome({})) == {"producer": "p"}
