"""What the line would do with a packet: asked, answered, and nothing comes of it (R40)."""

from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.bag import Evidence
from rmf.core.effects import Answer, DryRun, Effect
from rmf.core.outcome import Change, Outcome
from tests.core.kit import Playbook

PACKET = cbor2.dumps(["cell/a", 1, 7, 5000, cbor2.dumps(1)])


def ask(play: Playbook, **args: Any) -> list[Effect]:
    told = {"packet": PACKET, "producer": "redrive:night", **args}
    return play.core.step([ev.Asked(1, 7, "line.would", args=told)], play.now())


def dry_run(effects: list[Effect]) -> DryRun:
    (found,) = [effect for effect in effects if isinstance(effect, DryRun)]
    return found


def answers(effects: list[Effect]) -> list[m.Message]:
    found = [effect for effect in effects if isinstance(effect, Answer)]
    return [message for answer in found for message in answer.messages]


def end(effects: list[Effect]) -> m.End:
    last = answers(effects)[-1]
    assert isinstance(last, m.End)
    return last


def done(play: Playbook, asked: DryRun, *changes: Change, bag: str | None = None) -> Any:
    outcomes = [Outcome(0, bag, "line", Evidence("", "why", ""))] if bag else []
    executed = ev.Executed(asked.batch.number, 1, list(changes), b"", outcomes)
    event = ev.DryRunDone(asked.connection, asked.request, asked.world, executed)
    return answers(play.core.step([event], play.now()))


def test_the_packet_lies_alone_on_the_world_as_it_is() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1)
    asked = dry_run(ask(play))
    (group,) = asked.batch.groups
    assert (group.producer, group.rows, asked.batch.slots) == (
        "redrive:night",
        [cbor2.loads(PACKET)],
        1,
    )
    assert asked.world is play.core.committed.world
    assert asked.batch.tick >= play.core.committed.tick


def test_the_answer_names_what_would_be_written_and_what_is_there_now() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1)
    ((key, there),) = play.core.committed.world.cells.items()
    asked = dry_run(ask(play))
    item, last = done(play, asked, (0, key, b"\x02", 0), (0, "new", None, 0), (0, key, b"\x03", 0))
    assert item.body == {
        "reason": None,
        "message": "",
        "cells": [[key, there.term, there.tick, there.slot, "p"], ["new", 0, 0, 0, ""]],
        "more": False,
    }
    assert last == m.End(7, None, None)


def test_it_leaves_no_trace() -> None:
    play = Playbook()
    before = play.core.committed
    done(play, dry_run(ask(play)), (0, "a", b"\x01", 0))
    play.happen(ev.Beat())
    assert play.core.committed is before


def test_a_packet_that_would_be_bagged_is_reported_with_the_reason() -> None:
    play = Playbook()
    item, _ = done(play, dry_run(ask(play)), bag="handler_error")
    assert (item.body["reason"], item.body["message"]) == ("handler_error", "why")
    assert item.body["cells"] == []


def test_more_cells_than_an_answer_takes_are_said_to_be_more() -> None:
    play = Playbook()
    changes = [(0, f"k/{i}", b"\x01", 0) for i in range(limits.DRY_RUN_CELLS_MAX + 1)]
    item, _ = done(play, dry_run(ask(play)), *changes)
    assert (len(item.body["cells"]), item.body["more"]) == (limits.DRY_RUN_CELLS_MAX, True)


@pytest.mark.parametrize(
    "args",
    [
        {"packet": None},
        {"producer": 5},
        {"packet": b"\xff"},
        {"packet": cbor2.dumps(5)},
        {"packet": cbor2.dumps(["a", 1])},
        {"packet": cbor2.dumps(["a", 1, 7, 0, b""])},
        {"packet": cbor2.dumps(["a", 1, 7, 5, bytes(limits.PAYLOAD_BYTES_MAX + 1)])},
    ],
)
def test_what_is_no_packet_is_no_question(args: dict[str, Any]) -> None:
    assert end(ask(Playbook(), **args)).code == "wrong_shape"


def test_too_many_at_once_are_busy_and_each_that_is_done_makes_room() -> None:
    play = Playbook()
    asked = [dry_run(ask(play)) for _ in range(limits.DRY_RUNS_MAX)]
    assert end(ask(play)).code == "busy"
    done(play, asked[0])
    dry_run(ask(play))


def test_what_came_to_nothing_is_said() -> None:
    play = Playbook()
    asked = dry_run(ask(play))
    event = ev.DryRunDone(1, 7, asked.world, None, "NoBox: none")
    assert answers(play.core.step([event], play.now())) == [m.End(7, "not_possible", "NoBox: none")]


def test_a_node_on_strike_cannot_say() -> None:
    play = Playbook()
    play.happen(ev.Struck("admin", "x"))
    assert end(ask(play)).code == "strike"


def test_one_that_outlived_its_core_does_no_harm() -> None:
    play = Playbook()
    world = play.core.committed.world
    play.happen(ev.DryRunDone(1, 7, world, None, ""), ev.DryRunDone(1, 7, world, None, ""))
    dry_run(ask(play))
