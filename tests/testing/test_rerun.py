"""History made on a bench, and run again: every difference by itself, with handler and packet."""

import random
from typing import Any

from rmf import Keep, Line
from rmf.testing.line_workload import Given
from rmf.testing.rerun import differences, handler_in_words, history
from tests.testing.lines import greenhouse, workshop
from tests.testing.stubborn import stubborn


def test_a_good_line_comes_out_the_same_from_wherever_it_begins() -> None:
    for line in (greenhouse, workshop):
        bench, unfit = history(line, (), 400, 1)
        records = bench.ledger
        assert unfit == set()
        assert bench.term > 2  # reigns changed on the way
        assert bench.letters
        for begin in (0, len(records) // 2, len(records) - 1):
            assert list(differences(line, records, begin)) == []


def test_history_depends_on_its_seed_alone() -> None:
    digests = [history(greenhouse, (), 100, seed)[0].digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_packets_that_are_given_are_those_of_history() -> None:
    bench, _ = history(workshop, [Given("keep/a", b"\x07", 60_000)], 3, 1)
    assert bench.world == {"keep/a": 7}


def test_what_is_kept_between_calls_shows_where_the_line_begins_again() -> None:
    line = stubborn()
    line.check()
    records = history(line, (), 40, 1)[0].ledger
    fresh = stubborn()
    fresh.check()
    assert list(differences(fresh, records)) == []
    again = stubborn()
    again.check()
    found = list(differences(again, records, len(records) // 2))
    first = found[0]
    assert first["kind"] == "change"
    assert (first["first"], first["again"]) == (first["first"], 1)
    assert first["first"] > 1
    assert first["handler"]["filter"] == "thing/+"
    assert first["handler"]["file"].endswith("stubborn.py")
    assert first["packet"]["topic"] == first["key"]
    assert {"producer", "seq", "payload"} <= first["packet"].keys()


def doubtful() -> Line:
    line = Line("doubtful")

    @line.on("chance/+")
    def chance(world: Any, packet: Any) -> Any:
        if random.random() < 0.5:
            raise ValueError("heads")
        return {packet.topic: packet.payload}

    @line.on_expired("chance/+")
    def gone(world: Any, cell: Any) -> Any:
        return {f"gone/{cell.key}": Keep(random.random())}

    @line.on("shelf/+")
    def shelf(world: Any, packet: Any) -> Any:
        return {packet.topic: Keep(1) if random.random() < 0.5 else 1}

    line.check()
    return line


def test_every_kind_of_difference_is_distinguished() -> None:
    line = doubtful()
    given = [Given("chance/a", b"\x01", 5), Given("shelf/a", b"\xff\x00", 60_000)]
    given[1] = given[1]._replace(payload=b"\x02")
    records = history(line, given, 200, 1)[0].ledger
    found = list(differences(line, records))
    outcomes = [x for x in found if x["kind"] == "outcome"]
    assert {(x["first"], x["again"]) for x in outcomes} == {
        (None, "handler_error"),
        ("handler_error", None),
    }
    assert {x["error"] for x in outcomes if x["again"]} == {"ValueError: heads"}
    expired = [x for x in found if x["packet"] == {"expired": "chance/a"}]
    assert expired
    assert expired[0]["handler"]["function"].endswith("gone")
    shelves = [x for x in found if x["key"] == "shelf/a"]
    assert {x["first"]["$shelf"] for x in shelves} == {"kept", "inherited"}


def test_a_handler_is_named_by_where_it_stands() -> None:
    greenhouse.check()
    words = handler_in_words(greenhouse.handlers[0])
    assert words["function"] == "temperature"
    assert words["file"].endswith("lines.py")
    assert words["line"] > 0
    line = Line("built in")
    line.on("#")(max)
    assert handler_in_words(line.handlers[0])["file"] is None
