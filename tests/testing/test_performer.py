"""What a performer does with Effects, and which it refuses to overlook."""

from typing import Any, get_args

import pytest

from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.bag import Letter
from rmf.core.state import genesis_state
from rmf.core.world import World
from rmf.line import Inline
from rmf.testing.performer import LetterStore, LineRunner, Performer
from tests.core.surroundings import shop

ALL = get_args(ef.Effect)
WORLD = World.of({})
BATCH = ef.Batch(5, 1, 1, WORLD, frozenset(), [], [], 1)


def letter(name: str) -> Letter:
    blank: dict[str, Any] = dict.fromkeys(Letter._fields)
    return Letter(**{**blank, "id": name})


def test_an_effect_that_no_part_does_must_be_named() -> None:
    with pytest.raises(AssertionError, match="neither done nor named"):
        Performer(leaves_out=ALL[:-1])
    Performer(leaves_out=ALL)


def test_two_parts_cannot_do_the_same_effect() -> None:
    said: list[ev.Event] = []
    line = LineRunner(Inline(shop()), said.append)
    with pytest.raises(AssertionError, match="two parts"):
        Performer(line, line, leaves_out=ALL)


def test_effects_are_done_in_order() -> None:
    said: list[ev.Event] = []
    line, dlq = LineRunner(Inline(shop()), said.append), LetterStore(said.append)
    others = tuple(set(ALL) - {*line.arms(), *dlq.arms()})
    stored = ef.StoreLetters(7, [letter("a"), letter("b")])
    performer = Performer(line, dlq, leaves_out=others)
    performer.perform([ef.Execute(BATCH), stored, ef.Execute(BATCH)])
    assert [type(x) for x in said] == [ev.Executed, ev.LettersStored, ev.Executed]


def test_the_pin_of_an_audit_that_is_left_out_is_taken_off() -> None:
    """D8 of core/effects."""
    before = genesis_state(b"cluster-of-tests")
    index = before.world.index
    nothing: Any = None
    pin = index.pin()
    Performer(leaves_out=ALL).perform([ef.RunAgain(1, 1, nothing, nothing, before, pin)])
    with pytest.raises(KeyError):
        index.share(pin)


def test_a_batch_that_is_held_waits_for_its_taker() -> None:
    said: list[ev.Event] = []
    line = LineRunner(Inline(shop()), said.append)
    line.held = True
    line.arms()[ef.Execute](ef.Execute(BATCH))
    assert said == []
    assert line.take() is BATCH
    assert line.batch is None


def test_letters_that_are_held_are_stored_in_order_once_they_are_released() -> None:
    """D6 of core/effects: none is dropped, and each is counted once."""
    said: list[ev.Event] = []
    dlq = LetterStore(said.append)
    dlq.held = True
    dlq.store(ef.StoreLetters(7, [letter("a")]))
    dlq.store(ef.StoreLetters(9, [letter("b"), letter("c")]))
    assert (said, dlq.letters) == ([], {})
    dlq.release()
    assert said == [ev.LettersStored(1, 7, {}), ev.LettersStored(2, 9, {})]
    assert (list(dlq.letters), dlq.cursor) == (["a", "b", "c"], 9)


def test_a_letter_that_comes_again_stays_what_it_was() -> None:
    """R39: a core that was read anew gives its letters once more."""
    said: list[ev.Event] = []
    dlq = LetterStore(said.append)
    first = letter("a")
    dlq.store(ef.StoreLetters(7, [first]))
    dlq.store(ef.StoreLetters(7, [letter("a")._replace(topic="another")]))
    assert dlq.letters == {"a": first}
