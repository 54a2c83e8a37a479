"""A finding in words, and as a letter that people can work with."""

from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf.core.bag import Evidence
from rmf.core.entry import TickBooks
from rmf.core.shelf import Shelf
from rmf.core.state import apply, genesis_state
from rmf.line import Line
from rmf.line.findings import finding_of, text_of
from rmf.line.laid_out import Origin
from rmf.line.slots_compared import Divergence
from tests.driven_node import WALL_NS, DrivenNode, node_in


def change(value: Any, shelf: int = -1) -> tuple[int, str, bytes | None, int]:
    return (3, "k", None if value is ... else cbor2.dumps(value), shelf)


def found(ledger: Any, replay: Any, **more: Any) -> Divergence:
    facts = {"kind": "change", "term": 2, "tick": 1841, "slot": 3, "key": "average/3", **more}
    return Divergence(ledger=ledger, replay=replay, **facts)


@pytest.mark.parametrize(
    ("ledger", "here", "words"),
    [
        (change(21.5), change(22.25), "the ledger has 21.5, run again here it is 22.25"),
        (change("é"), None, 'the ledger has "é", run again here it is no change'),
        (change(...), change([1, b"\xff"]), "its removal, run again here it is [1, \"h'ff'\"]"),
        (change(7), change(7, 500), "7 (shelf life: inherited), run again here it is 7 (shelf li"),
        (change(7, 0), change(7, 500), "7 (shelf life: kept for ever), run again here it is 7 "),
    ],
)
def test_both_values_are_said(ledger: Any, here: Any, words: str) -> None:
    text = text_of(found(ledger, here))
    assert text.startswith('tick 1841, slot 3, key "average/3": ')
    assert words in text
    assert text.endswith("(term 2)")


def test_another_outcome_is_said_with_its_reason() -> None:
    error = Evidence("ValueError", "too hot", "")
    outcome: Any = {"kind": "outcome", "key": None}
    text = text_of(found(None, "handler_error", error=error, **outcome))
    assert "slot 3: the ledger has applied, run again here it is handler_error" in text
    assert "(ValueError: too hot)" in text
    assert "no_handler, run again here it is applied" in text_of(
        found("no_handler", None, **outcome)
    )


def test_another_ear_is_said() -> None:
    text = text_of(found(False, True, kind="expiry", slot=None))
    assert "slot -, " in text
    assert "does not hear of, run again here it is an expiry that the line hears of" in text


def test_a_long_value_is_cut_and_foreign_bytes_are_no_failure() -> None:
    text = text_of(found(change("x" * 100_000), (3, "k", b"\xff", -1)))
    assert len(text) < 2_000
    assert "the bytes ff" in text


# --- As a letter ----------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Any:
    line = Line("keeper", version=4)
    line.on("#")(lambda _world, packet: {packet.topic: packet.payload})
    with node_in(tmp_path / "n1", line) as made:
        made.send("probe", ("a", 1), ("b", 2))
        made.send("probe", ("c", 3), ttl_ms=20)
        made.wait(100)
        yield made


def letter_of(node: DrivenNode, difference: Divergence, **more: Any) -> Any:
    """The letter of a difference in the Tick of that number."""
    state = genesis_state(node.directory.cluster)
    for record, entry in zip(node.records(), node.entries(), strict=True):
        if entry.tick == difference.tick and isinstance(entry.books, TickBooks):
            more = {"node": "n2", "where": "", "wall_ns": 7, **more}
            return finding_of(difference, entry, state, **more), state
        state, _ = apply(state, entry, record.term, record.index, Shelf())
    raise AssertionError(difference.tick)


def ticks(node: DrivenNode) -> list[int]:
    found = [(x.tick, x.books) for x in node.entries() if isinstance(x.books, TickBooks)]
    return [tick for tick, books in found if books.frames or books.expiries]


def test_a_letter_holds_the_packet_and_where_it_was(node: DrivenNode) -> None:
    origin = Origin("probe", 2, "b")
    difference = found(
        change(2), change(3), tick=ticks(node)[0], term=1, slot=1, key="b", origin=origin
    )
    letter, before = letter_of(node, difference)
    assert (letter.id, letter.reason, letter.stage, letter.node) == ("", "diverged", "task", "n2")
    assert (letter.term, letter.tick, letter.slot) == (1, ticks(node)[0], 1)
    assert (letter.producer, letter.epoch, letter.seq, letter.topic) == ("probe", 3, 2, "b")
    assert cbor2.loads(letter.packet) == ["b", 2, WALL_NS + 2, 60_000, cbor2.dumps(2)]
    assert letter.line == "keeper 4"
    assert letter.digest_before == before.digest()
    assert letter.bagged_at == 7
    assert letter.error.type == "Diverged"
    assert 'key "b"' in letter.error.message


def test_letters_are_grouped_by_the_handler_and_not_by_values(node: DrivenNode) -> None:
    where = 'File "line.py", line 7, in note'
    one, two, other = (
        letter_of(
            node,
            found(change(2), change(n), tick=ticks(node)[0], term=1, slot=1, key="b"),
            where=place,
        )[0]
        for n, place in ((3, where), (4, where), (3, where.replace("note", "other")))
    )
    assert one.group == two.group != other.group


def test_where_this_nodes_run_failed_says_more_than_the_handler(node: DrivenNode) -> None:
    error = Evidence("KeyError", "x", '  File "helper.py", line 1, in look\n')
    difference = found(
        None, "handler_error", kind="outcome", key=None, tick=ticks(node)[0], slot=0, error=error
    )
    letter, _ = letter_of(node, difference, where='File "line.py", line 7, in note')
    assert letter.error.traceback == error.traceback


def test_an_expiry_that_only_this_node_hears_of_is_a_letter_too(node: DrivenNode) -> None:
    difference = found(False, True, kind="expiry", slot=None, key="c", tick=ticks(node)[-1])
    letter, _ = letter_of(node, difference)
    assert (letter.topic, letter.slot, letter.packet) == ("c", None, cbor2.dumps(3))
