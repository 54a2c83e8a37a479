"""core/checkpointing: when a Checkpoint is due, and what those hear who asked for one (R25)."""

import pytest

from rmf import limits
from rmf.core import messages as m
from rmf.core.checkpointing import Checkpointing
from rmf.core.effects import Answer, Effect
from rmf.core.events import Asked, CheckpointEnded


def order(request: int) -> Asked:
    return Asked(7, request, "admin.checkpoint")


def told(effects: list[Effect]) -> dict[int, str | dict[str, int]]:
    """What each who asked hears: a code, or what was done."""
    heard: dict[int, str | dict[str, int]] = {}
    for effect in effects:
        assert isinstance(effect, Answer)
        for message in effect.messages:
            if isinstance(message, m.Item):
                heard[message.request] = message.body
            elif isinstance(message, m.End) and message.code is not None:
                heard[message.request] = message.code
    return heard


@pytest.mark.parametrize(
    ("last_bytes", "due_bytes"),
    [
        (0, limits.CHECKPOINT_LEDGER_BYTES),
        (limits.CHECKPOINT_LEDGER_BYTES - 1, limits.CHECKPOINT_LEDGER_BYTES),
        (limits.CHECKPOINT_LEDGER_BYTES + 1, limits.CHECKPOINT_LEDGER_BYTES + 1),
        (100 * limits.CHECKPOINT_LEDGER_BYTES_MAX, limits.CHECKPOINT_LEDGER_BYTES_MAX),
    ],
)
def test_one_is_due_after_as_much_ledger_as_the_last_one_was_large(
    last_bytes: int, due_bytes: int
) -> None:
    """Else a large World is written over and over; but a restart has its bound."""
    keeping = Checkpointing()
    keeping.begin(1)
    keeping.ended(CheckpointEnded(1, None, last_bytes))
    keeping.applied(due_bytes - 1)
    assert not keeping.may_begin
    keeping.applied(1)
    assert keeping.may_begin


def test_a_node_that_restarts_often_writes_them_too() -> None:
    keeping = Checkpointing(behind_bytes=limits.CHECKPOINT_LEDGER_BYTES - 1)
    keeping.applied(1)
    assert keeping.may_begin
    assert Checkpointing(last_bytes=limits.CHECKPOINT_LEDGER_BYTES + 9).due_bytes > (
        limits.CHECKPOINT_LEDGER_BYTES
    )


def test_who_asks_hears_of_one_that_was_begun_afterwards() -> None:
    keeping = Checkpointing()
    keeping.ask(order(1), None, 5)
    keeping.begin(5)
    keeping.ask(order(2), None, 5)
    assert told(keeping.ended(CheckpointEnded(5, None))) == {1: {"index": 5}}
    assert keeping.may_begin
    keeping.begin(6)
    assert told(keeping.ended(CheckpointEnded(6, None))) == {2: {"index": 6}}


def test_one_that_was_not_written_is_reported_as_a_failure_with_its_reason() -> None:
    keeping = Checkpointing()
    keeping.ask(order(1), None, 5)
    keeping.begin(5)
    (answer,) = keeping.ended(CheckpointEnded(5, "no room"))
    assert isinstance(answer, Answer)
    assert answer.messages == [m.End(1, "not_possible", "no room")]
    keeping.applied(limits.CHECKPOINT_LEDGER_BYTES)  # the next one comes in its time
    assert keeping.may_begin


def test_a_strike_reaches_all_who_wait() -> None:
    keeping = Checkpointing()
    keeping.ask(order(1), None, 5)
    keeping.begin(5)
    keeping.ask(order(2), None, 5)
    assert told(keeping.drop("the disk fails")) == {1: "strike", 2: "strike"}
    assert keeping.ended(CheckpointEnded(5, None)) == []


def test_what_an_earlier_core_had_asked_for_is_dropped() -> None:
    keeping = Checkpointing()
    assert keeping.ended(CheckpointEnded(4, None)) == []
    keeping.ask(order(1), None, 5)
    keeping.begin(5)
    assert keeping.ended(CheckpointEnded(4, None)) == []
    assert told(keeping.ended(CheckpointEnded(5, None))) == {1: {"index": 5}}
