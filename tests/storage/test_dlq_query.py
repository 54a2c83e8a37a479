"""storage/dlq_query: the questions a node answers about its DLQ, and those it refuses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmf import limits
from rmf.core import messages as m
from rmf.core.codec import decode, encode
from rmf.errors import ProtocolFault
from rmf.storage.dlq_query import SUBJECTS, answer
from rmf.storage.dlq_reader import DlqReader
from rmf.storage.dlq_schema import DLQ_FILE
from rmf.storage.dlq_store import DlqStore
from tests.storage.dlq_letters import TRACEBACK, edge_letter, letter, opened, reading


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DlqStore]:
    with opened(tmp_path / DLQ_FILE) as store:
        yield store


@pytest.fixture
def reader(store: DlqStore, tmp_path: Path) -> Iterator[DlqReader]:
    store.put_line(
        [
            letter(1, topic="room/1/temp", producer="a"),
            letter(2, topic="room/2/temp", producer="b", reason="expired", stage="latch"),
            letter(3, topic="room/1/door", producer="a"),
        ],
        3,
    )
    store.put_edge([edge_letter("n1:edge:1")])
    with reading(tmp_path / DLQ_FILE) as reader:
        yield reader


def ids(reader: DlqReader, subject: str = "dlq.list", **args: Any) -> list[str]:
    return [body["letter"] for body in answer(reader, subject, args)]


def test_stats_say_how_much_there_is(reader: DlqReader) -> None:
    (body,) = answer(reader, "dlq.stats", {})
    sizes = {"letters": 4, "groups": 3, "bytes": body["bytes"]}
    assert body == {**sizes, "complete": True, "open": 4, "reopened": 0}
    assert body["bytes"] > 0


def test_groups_come_by_name_and_go_on_after_one(reader: DlqReader) -> None:
    bodies = list(answer(reader, "dlq.groups", {}))
    names = [body["group"] for body in bodies]
    assert names == sorted(names)
    assert sorted((body["count"], body["reason"]) for body in bodies) == [
        (1, "expired"),
        (1, "malformed"),
        (2, "handler_error"),
    ]
    rest = answer(reader, "dlq.groups", {"after": names[0], "limit": 1})
    assert [body["group"] for body in rest] == names[1:2]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({}, ["3.1.0", "3.2.0", "3.3.0", "n1:edge:1"]),
        ({"newest_first": True, "limit": 2}, ["n1:edge:1", "3.3.0"]),
        ({"after": 1, "before": 4}, ["3.2.0", "3.3.0"]),
        ({"reason": "expired"}, ["3.2.0"]),
        ({"producer": "a"}, ["3.1.0", "3.3.0"]),
        ({"producer": "a", "topic": "room/1/temp"}, ["3.1.0"]),
        ({"topic": "room/+/temp"}, ["3.1.0", "3.2.0"]),
        ({"topic": "room/1/#"}, ["3.1.0", "3.3.0"]),
        ({"topic": "nobody"}, []),
    ],
)
def test_letters_are_filtered_and_walked(
    reader: DlqReader, args: dict[str, Any], expected: list[str]
) -> None:
    assert ids(reader, **args) == expected


def test_a_topic_that_was_bagged_for_its_wildcard_can_be_asked_for(
    store: DlqStore, reader: DlqReader
) -> None:
    store.put_line([letter(9, topic="a+b", reason="label_invalid")], 9)
    assert ids(reader, topic="a+b") == ["3.9.0"]


def test_letters_of_one_group_can_be_asked_for(reader: DlqReader) -> None:
    (group,) = [x["group"] for x in answer(reader, "dlq.groups", {}) if x["count"] == 2]
    assert ids(reader, group=group) == ["3.1.0", "3.3.0"]


def test_a_shown_letter_holds_everything_and_fits_an_item(reader: DlqReader) -> None:
    (body,) = answer(reader, "dlq.show", {"letter": "3.1.0"})
    expected = letter(1, producer="a")
    assert body["packet"] == expected.packet
    assert body["error"] == {"type": "ValueError", "message": "too hot", "traceback": TRACEBACK}
    assert set(expected._fields) - set(body) == {"id"}
    item = m.Item(1, body)
    assert decode(encode(item)[4:]) == item


def test_the_biggest_letter_fits_a_frame(store: DlqStore, reader: DlqReader) -> None:
    store.put_edge([edge_letter("n1:edge:2", packet=bytes(limits.FRAME_BYTES_MAX))])
    (body,) = answer(reader, "dlq.show", {"letter": "n1:edge:2"})
    assert len(encode(m.Item(1, body))) <= limits.SERVER_FRAME_BYTES_MAX


def test_an_unknown_letter_has_no_body(reader: DlqReader) -> None:
    assert ids(reader, "dlq.show", letter="9.9.9") == []


def test_a_tail_gives_what_came_after_a_row(store: DlqStore, reader: DlqReader) -> None:
    assert ids(reader, "dlq.tail", after=4) == []
    store.put_line([letter(5), letter(6, producer="b")], 6)
    assert ids(reader, "dlq.tail", after=4) == ["3.5.0", "3.6.0"]
    assert ids(reader, "dlq.tail", after=0, producer="b") == ["3.2.0", "3.6.0"]


def test_a_page_has_a_bound_whatever_is_asked(store: DlqStore, reader: DlqReader) -> None:
    store.put_line([letter(n) for n in range(10, 20 + limits.DLQ_PAGE_LETTERS)], 1000)
    assert len(ids(reader, limit=2**62)) == limits.DLQ_PAGE_LETTERS
    assert len(ids(reader, "dlq.tail", after=0)) == limits.DLQ_PAGE_LETTERS


@pytest.mark.parametrize(
    ("subject", "args", "words"),
    [
        ("dlq.stats", {"limit": 1}, "takes no argument, found 'limit'"),
        ("dlq.list", {"colour": "red"}, "found 'colour'"),
        ("dlq.list", {"limit": 0}, "limit: expected 1"),
        ("dlq.list", {"limit": True}, "limit: expected an integer, found a boolean"),
        ("dlq.list", {"after": 2**63}, "after: expected 0 to"),
        ("dlq.list", {"newest_first": 1}, "newest_first: expected a boolean"),
        ("dlq.list", {"topic": b"x"}, "topic: expected text, found bytes"),
        ("dlq.groups", {"after": 3}, "after: expected text, found an integer"),
        ("dlq.show", {}, "letter is missing"),
        ("dlq.tail", {}, "after is missing"),
    ],
)
def test_wrong_arguments_are_named_at_once(
    reader: DlqReader, subject: str, args: dict[str, Any], words: str
) -> None:
    with pytest.raises(ProtocolFault, match=words) as caught:
        answer(reader, subject, args)
    assert caught.value.code == "wrong_shape"


def test_an_unknown_subject_is_answered_with_the_known_ones(reader: DlqReader) -> None:
    with pytest.raises(ProtocolFault, match=", ".join(SUBJECTS)) as caught:
        answer(reader, "dlq.burn" + "!" * 5000, {})
    assert caught.value.code == "unknown_query"
    assert len(str(caught.value)) < 300
