"""The letters of the line (R38, R39): the same on every node, packets byte for byte."""

from collections.abc import Iterator

import attrs
import cbor2
import pytest

from rmf import limits
from rmf.core.entry import Entry, Expiry, TickBooks, decode_entry
from rmf.core.letters import letters_of
from rmf.core.record import Record
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply, genesis_state
from rmf.testing.drifting_clock import WALL_NS
from tests.core.kit import Playbook
from tests.core.surroundings import CLUSTER, row_of


def history(play: Playbook) -> list[tuple[Record, Entry, State]]:
    """Each durable Entry and the state before it."""
    state, shelf, found = genesis_state(CLUSTER), Shelf(), []
    for record, entry in play.disk.entries:
        found.append((record, entry, state))
        state, _ = apply(state, entry, record.term, record.index, shelf)
    return found


def test_a_letter_says_who_when_what_and_why() -> None:
    play = Playbook()
    probe = play.join("probe")
    probe.send_rows([row_of(1), row_of(2, topic="poison", ttl_ms=500)])
    (letter,) = play.letters
    assert letter.id == f"1.{play.tick}.1"
    assert (letter.term, letter.tick, letter.slot) == (1, play.tick, 1)
    assert (letter.reason, letter.stage, letter.node) == ("handler_error", "line", "n1")
    assert (letter.producer, letter.epoch, letter.seq) == ("probe", probe.epoch, 2)
    assert (letter.topic, letter.ttl_ms) == ("poison", 500)
    assert (letter.harvested_at, letter.bagged_at) == (WALL_NS + 2, WALL_NS)
    assert letter.line == "shop 7"
    assert letter.error.type == "ValueError"
    assert letter.digest_before == play.published[-2].digest


def test_the_packet_in_a_letter_is_byte_for_byte_what_was_sent() -> None:
    play = Playbook()
    probe = play.join("probe")
    probe.send(1, 2)
    rows = [row_of(seq, topic="poison") for seq in (2, 3, 4)]
    probe.send_rows(rows)
    assert [letter.packet for letter in play.letters] == [cbor2.dumps(row) for row in rows[1:]]
    assert [letter.seq for letter in play.letters] == [3, 4]


def test_a_label_that_could_not_be_read_is_left_out_and_the_bytes_are_not() -> None:
    play = Playbook()
    row = [7, 1, -1, "soon", b"", 3, 4]
    play.join("probe").send_rows([row])
    (letter,) = play.letters
    assert (letter.reason, letter.stage) == ("label_invalid", "latch")
    assert (letter.topic, letter.harvested_at, letter.ttl_ms) == (None, None, None)
    assert letter.packet == cbor2.dumps(row)


def test_a_packet_that_is_cut_short_has_a_letter_too() -> None:
    play = Playbook()
    play.join("probe").send_rows([["a", 1]])
    assert [(letter.topic, letter.seq) for letter in play.letters] == [("a", 1)]


def test_a_failing_on_expired_leaves_a_letter_with_the_cells_value() -> None:
    """R9: the cell goes, the Letter stays."""
    play = Playbook()
    play.join("probe").send(1, topic="cell/cursed/x", ttl_ms=5, payload={"a": 1})
    born = play.tick
    play.advance(6)
    (letter,) = play.letters
    assert play.world == {}
    assert (letter.reason, letter.stage) == ("handler_error", "line")
    assert (letter.topic, letter.producer, letter.seq) == ("cell/cursed/x", "probe", None)
    assert letter.harvested_at == WALL_NS + 1
    assert letter.packet == cbor2.dumps({"a": 1})
    assert letter.id == f"1.{born + 50}.0"


@pytest.mark.slow
def test_letters_of_many_ends_cost_as_much_as_there_are() -> None:
    """M4: each letter looked for its cell among all that ended in the Tick."""

    class Counted(list[Expiry]):
        walks = 0

        def __iter__(self) -> Iterator[Expiry]:
            self.walks += 1
            return super().__iter__()

    play = Playbook()
    keys = [f"cell/cursed/{i:04}" for i in range(limits.TICK_EXPIRIES_MAX)]
    play.join("p").send_rows([row_of(i + 1, topic=key, ttl_ms=5) for i, key in enumerate(keys)])
    play.advance(6)
    record, entry, before = history(play)[-1]
    assert isinstance(entry.books, TickBooks)
    counted = Counted(entry.books.expiries)
    entry = attrs.evolve(entry, books=attrs.evolve(entry.books, expiries=counted))
    letters = letters_of(entry, before, record.term, "n1")
    assert [letter.topic for letter in letters] == keys
    assert counted.walks == 1


def test_letters_come_in_the_order_of_their_slots_from_all_stages() -> None:
    play = Playbook()
    probe = play.join("probe")
    probe.send_rows(
        [row_of(1, topic="poison"), row_of(2), row_of(3, ttl_ms=0), row_of(4, topic="poison")]
    )
    reasons = [(letter.slot, letter.reason) for letter in play.letters]
    assert reasons == [(0, "handler_error"), (2, "label_invalid"), (3, "handler_error")]


def test_every_node_and_every_replay_has_the_same_letters() -> None:
    """R39: from the Entry alone, but for the node's name."""
    play = Playbook()
    probe, other = play.join("probe"), play.join("other")
    with play.together():
        probe.send(1, 2, topic="poison")
        other.send(1, topic="nowhere")
    probe.send(3, topic="cell/cursed/a", ttl_ms=1)
    play.advance(2)
    again = [
        letter
        for record, entry, before in history(play)
        for letter in letters_of(decode_entry(record.body), before, record.term, "n1")
        if entry
    ]
    assert again == play.letters
    assert len({letter.id for letter in again}) == len(again) == 4


def test_many_letters_of_many_frames_find_their_packets() -> None:
    play = Playbook()
    people = [play.join(f"p{i}") for i in range(5)]
    with play.together():
        for seq in (1, 3):
            for producer in people:
                producer.send(seq, seq + 1, topic="poison")
    found = {(letter.producer, letter.seq): letter.packet for letter in play.letters}
    rows = {seq: cbor2.dumps(row_of(seq, topic="poison")) for seq in range(1, 5)}
    assert found == {(p.name, seq): packet for p in people for seq, packet in rows.items()}


def test_what_went_well_has_no_letter() -> None:
    play = Playbook()
    play.join("probe").send(1, 2, 3)
    assert play.letters == []
