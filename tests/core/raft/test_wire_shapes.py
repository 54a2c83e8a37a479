"""The shapes of messages between nodes: kinds and ranges of fields, and what is passed over."""

from typing import Any

import cbor2
import pytest

from rmf.core.bag import Evidence, Letter, Read
from rmf.core.entry import LineId
from rmf.core.raft import greetings as g
from rmf.core.raft import peer_messages as m
from rmf.core.raft import wire
from rmf.core.raft.wire_shapes import link_message, peer_message
from rmf.errors import ProtocolFault
from tests.core.raft.test_wire import APPEND, CHUNK, ENTRY, code_of


def test_fields_of_the_right_shape_are_a_message() -> None:
    assert peer_message(m.CampaignNow, [7]) == m.CampaignNow(7)
    assert peer_message(m.ReadReply, [1, 2, -1]) == m.ReadReply(1, 2, -1)
    assert link_message(g.Alive, []) == g.Alive()


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ([], "wrong_shape"),
        (7, "wrong_shape"),
        (["a"], "wrong_shape"),
        ([True, 1], "wrong_shape"),
        ([11, 1], "unknown_type"),
        ([199], "unknown_type"),
        ([8], "wrong_shape"),
        ([8, 1, 2], "wrong_shape"),
        ([8, "1"], "wrong_shape"),
        ([8, -1], "wrong_shape"),
        ([8, 2**63], "wrong_shape"),
        ([8, True], "wrong_shape"),
        ([10, 1, 1, -2], "wrong_shape"),
        ([10, -1, 1, 1], "wrong_shape"),
        ([2, *APPEND._replace(prev_chain=bytes(15))], "wrong_shape"),
        ([2, *APPEND._replace(entries=[[1, 2]])], "wrong_shape"),  # type: ignore[list-item]
        ([2, *APPEND._replace(entries=[ENTRY._replace(crc=2**32)])], "wrong_shape"),
        ([6, *CHUNK._replace(content=bytes(65))], "wrong_shape"),
        ([105, 0], "wrong_shape"),
        ([100, {}], "wrong_shape"),
        ([102, "No", ""], "wrong_shape"),
        ([100, 7], "wrong_shape"),
        ([104, 0, False, True, [[]]], "wrong_shape"),
    ],
)
def test_what_is_no_message_is_refused(value: Any, code: str) -> None:
    assert code_of(cbor2.dumps(value)) == code


def test_a_hello_may_say_more_than_is_known_here() -> None:
    own = g.Own("n1", bytes(16))
    hello = g.hello_of(own, "n2", None, g.RAFT)
    body = cbor2.dumps([100, {**hello._asdict(), "colour": {"deep": [1.5, None]}}])
    assert wire.decode(body) == hello
    assert code_of(body.replace(b"\x64deep", b"\x44deep")) == "key_type"


def test_a_hello_of_a_release_that_did_not_name_its_line_is_understood() -> None:
    line = LineId("greenhouse", 2, bytes(16))
    hello = g.hello_of(g.Own("n1", bytes(16), line=line), "n2", None, g.RAFT)
    facts = hello._asdict()
    assert wire.decode(cbor2.dumps([100, facts])) == hello
    del facts["line"]
    assert wire.decode(cbor2.dumps([100, facts])) == hello._replace(line=None)


@pytest.mark.parametrize(
    "line", [7, [], ["a", 1], ["a", -1, b""], ["a", 1, bytes(65)], ["a", 1, "text"], [b"a", 1, b""]]
)
def test_a_line_is_its_name_version_and_digest(line: Any) -> None:
    facts = g.hello_of(g.Own("n1", bytes(16)), "n2", None, g.RAFT)._asdict()
    with pytest.raises(ProtocolFault, match="HELLO: line"):
        wire.decode(cbor2.dumps([100, {**facts, "line": line}]))


@pytest.mark.parametrize(
    ("field", "value"),
    [("node", 7), ("incarnation", b"short"), ("versions", [1]), ("purpose", "other"), ("to", None)],
)
def test_a_hello_with_a_wrong_field_names_it(field: str, value: Any) -> None:
    facts = g.hello_of(g.Own("n1", bytes(16)), "n2", None, g.RAFT)._asdict()
    for wrong in ({**facts, field: value}, {k: v for k, v in facts.items() if k != field}):
        with pytest.raises(ProtocolFault, match=f"HELLO: {field}"):
            wire.decode(cbor2.dumps([100, wrong]))


LETTER = [
    *("1.2.3", "handler_error", "line", "n1", "p", 1, "t", 2, 1, 2, 3, 4, None, "l", b"", None),
    *(b"packet", 5),
]


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (["T", "m", "tb"], Evidence("T", "m", "tb")),
        (["T", "m", "tb", [["k", -2, 0, 0]]], Evidence("T", "m", "tb", (Read("k", -2, 0, 0),))),
    ],
)
def test_a_letter_comes_with_its_evidence(error: Any, found: Evidence) -> None:
    letter = [*LETTER[:15], error, *LETTER[16:]]
    page = link_message(g.Letters, [7, False, True, [letter]])
    assert page == g.Letters(7, False, True, (Letter(*letter)._replace(error=found),))


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (0, 7, "LETTERS: letters: id: expected text"),
        (6, b"t", "LETTERS: letters: topic: expected text"),
        (8, None, "LETTERS: letters: term: expected an integer"),
        (15, ["T", "m"], "LETTERS: letters: error: expected an array of 3 or 4"),
        (15, ["T", "m", 3], "LETTERS: letters: error: expected text"),
        (15, ["T", "m", "tb", 7], "LETTERS: letters: error: expected an array"),
        (15, ["T", "m", "tb", [["k", -3, 0, 0]]], "LETTERS: letters: error: term: expected"),
    ],
)
def test_a_letter_with_a_wrong_field_names_it(at: int, value: Any, words: str) -> None:
    letter = [*LETTER[:15], ["T", "m", "tb"], *LETTER[16:]]
    letter[at] = value
    with pytest.raises(ProtocolFault, match=words):
        link_message(g.Letters, [7, False, True, [letter]])
