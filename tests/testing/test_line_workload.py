"""Packets for a line's own topics, and what may come of them."""

from typing import Any

import cbor2
import pytest

from rmf.core.packet import check_rows
from rmf.core.topics import matcher
from rmf.line import Line
from rmf.testing.dice import Dice
from rmf.testing.line_workload import Given, LineWorkload, topic_for
from tests.testing.lines import Impossible, greenhouse, workshop


def made(workload: LineWorkload, count: int) -> list[list[Any]]:
    dice = Dice(1).stream("packets")
    rows = [workload.packet(dice, 5, 7, i) for i in range(count)]
    for i, row in enumerate(rows):
        row[1] = i + 1
    return rows


@pytest.mark.parametrize("pattern", ["a/+/b", "#", "a/#", "+", "+/+/#", "plain"])
def test_topics_match_their_filter_and_meet(pattern: str) -> None:
    dice, matches = Dice(1).stream("topics"), matcher(pattern)
    found = [topic_for(pattern, dice) for _ in range(300)]
    assert all(map(matches, found))
    assert not check_rows([[topic, 1, 0, 1, b""] for topic in found])
    assert len(set(found)) < 150


def test_all_kinds_of_packets_come() -> None:
    greenhouse.check()
    rows = made(LineWorkload(greenhouse), 3000)
    topics = {row[0] for row in rows}
    assert {"greenhouse/1/temp", "no/+/topic", "nobody/wants/this"} <= topics
    assert {row[5] for row in rows if len(row) > 5} == {6, 7}
    assert min(row[3] for row in rows) <= 5
    assert max(row[3] for row in rows) >= 100_000
    fit = [row for row in rows if row[4][:1] == b"\xa1"]
    assert len(fit) > 2500


def test_a_line_of_one_catch_all_gets_every_topic() -> None:
    line = Line("all")
    line.on("#")(lambda _world, _packet: None)
    line.check()
    assert made(LineWorkload(line), 500)


def test_a_line_that_only_listens_gets_what_no_handler_wants() -> None:
    line = Line("listener")
    line.on_expired("#")(lambda _world, _cell: None)
    line.check()
    assert {row[0] for row in made(LineWorkload(line), 50)} <= {"nobody/wants/this", "no/+/topic"}


def test_given_packets_come_in_order_and_again() -> None:
    given = [Given("keep/a", b"\x01", 10, 3), Given("keep/b", b"\x02", 20)]
    workload = LineWorkload(workshop, given)
    rows = made(workload, 400)
    assert [(row[0], row[2], row[3], row[4]) for row in rows[:3]] == [
        ("keep/a", 3, 10, b"\x01"),
        ("keep/b", 5, 20, b"\x02"),
        ("keep/a", 3, 10, b"\x01"),
    ]
    assert not check_rows(rows)


def test_filters_whose_class_takes_nothing_are_named() -> None:
    line = Line("narrow")
    line.on("a/+", Impossible)(lambda _world, _packet: None)
    line.check()
    workload = LineWorkload(line)
    made(workload, 20)
    assert workload.unfit == {"a/+"}


ANY_OF_A_HANDLER = {None, "expired", "handler_error", "handler_memory", "result_invalid"}
GOOD = ["greenhouse/1/temp", 1, 0, 10, cbor2.dumps({"celsius": 1})]


@pytest.mark.parametrize(
    ("row", "reasons"),
    [
        (GOOD, ANY_OF_A_HANDLER),
        ([*GOOD, 7], ANY_OF_A_HANDLER),
        ([*GOOD, 6], {"stale_term", "expired"}),
        ([*GOOD[:4], b"\xff"], {"payload_invalid", "expired"}),
        ([*GOOD[:4], b"\xa0"], {"payload_invalid", "expired"}),
        (["zzz", *GOOD[1:]], {"no_handler", "expired"}),
        (["a/+", *GOOD[1:]], {"label_invalid"}),
    ],
)
def test_what_may_come_of_a_packet(row: list[Any], reasons: set[str | None]) -> None:
    greenhouse.check()
    workload = LineWorkload(greenhouse)
    every = {None, "expired", "stale_term", "payload_invalid", "handler_error", "no_handler"}
    every |= {"result_invalid", "label_invalid", "handler_memory"}
    assert {x for x in every if workload.expected(row, 7, x)} == reasons
