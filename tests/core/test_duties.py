"""The duties of whoever performs effects (core/effects), held against all who do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.bag import Letter
from rmf.core.intake import open_send
from rmf.core.producer_table import Table
from rmf.core.record import ENTRY
from rmf.core.world import World
from rmf.testing.cluster import SimulatedCluster as Simulated
from rmf.testing.options import Options
from tests.core import duties
from tests.core.duties import DUTIES, Duty, Notes
from tests.core.performers import PERFORMERS, Open, Performer
from tests.core.surroundings import frame_of, row_of

PACKET = cbor2.dumps(["cell/a", 1, 7, 5000, cbor2.dumps(1)])


def complaints(notes: Notes, leaves_out: dict[Duty, str]) -> list[str]:
    return [x for duty in DUTIES if duty not in leaves_out for x in duty(notes)]


async def day_of(performer: Performer, leaves_out: dict[Duty, str]) -> None:
    """Let everything happen to a core that has others do something for it."""
    core, notes = performer.core, performer.core.notes

    async def happen(event: ev.Event, come_about: Callable[[], bool]) -> None:
        await performer.happen(event)
        await performer.let(come_about)
        assert come_about(), f"nothing came of {event}"
        await performer.let(lambda: not complaints(notes, leaves_out))

    def asked(request: int, subject: str, **args: Any) -> ev.Asked:
        return ev.Asked(notes.connection, request, subject, args=args, by="o")

    def seen(kind: type[Any]) -> int:
        return len(list(notes.of(kind)))

    def rows() -> Any:
        return core.committed.producers.rows

    joined = ev.Joined(notes.connection, "probe", "self-declared:probe", ephemeral=False)
    await happen(joined, lambda: "probe" in rows() and rows()["probe"].epoch > 0)
    packets = [row_of(1), row_of(2, topic="nobody/listens")]
    (offered,) = open_send(
        frame_of(packets),
        packets,
        connection=notes.connection,
        producer="probe",
        epoch=rows()["probe"].epoch,
        arrived_ns=notes.now.boot_ns,
    ).offers

    def letters() -> list[Letter]:
        return [x for effect in notes.of(ef.StoreLetters) for x in effect.letters]

    await happen(offered, lambda: bool(letters()))
    resolve = asked(1, "admin.triage", act="resolve", why="seen", letters=[letters()[0].id])
    await happen(resolve, lambda: any(x.acts for x in notes.of(ef.StoreLetters)))
    await happen(ev.CheckpointAsked(), lambda: seen(ef.WriteCheckpoint) > 0)
    would = asked(2, "line.would", packet=PACKET, producer="redrive:x")
    await happen(would, lambda: seen(ef.DryRun) > 0)


async def end_by_reload(performer: Performer) -> None:
    notes = performer.core.notes
    await performer.happen(ev.Struck("admin", "an operator says so"))
    await performer.happen(ev.Asked(notes.connection, 3, "admin.strike", args={"end": True}))
    await performer.let(lambda: notes.over)


async def end_by_stop(performer: Performer) -> None:
    notes = performer.core.notes
    await performer.happen(ev.StopAsked())
    await performer.let(lambda: notes.over)


@pytest.mark.parametrize("end", [end_by_reload, end_by_stop])
@pytest.mark.parametrize("opened", PERFORMERS, ids=lambda x: x.__name__)
async def test_each_performer_keeps_the_duties(
    opened: Open, end: Callable[[Performer], Any], tmp_path: Path
) -> None:
    leaves_out = PERFORMERS[opened]
    async with opened(tmp_path) as performer:
        notes = performer.core.notes
        await day_of(performer, leaves_out)
        assert complaints(notes, leaves_out) == []
        await end(performer)
        assert notes.over
        await performer.let(lambda: notes.steps_too_many > 0)  # a process takes a moment to exit
        await performer.happen(ev.Asked(notes.connection, 4, "ping"))
        await performer.let(lambda: notes.steps_too_many > 0)
        assert complaints(notes, leaves_out) == []


def test_the_next_core_begins_behind_the_last_write_and_learns_who_is_here() -> None:
    """D10, of the simulator; of the floor see tests/floor/test_life."""
    options: dict[str, Any] = {"spares": 0, "producers": 0, "faults": {}}
    cluster = Simulated(Options(seed=1, nodes=3, **options))
    cluster.begin_nodes()
    agenda = cluster.agenda
    agenda.run_until(5 * limits.SECOND)
    king = cluster.operators.leader()
    assert king is not None
    node = next(x for x in cluster.nodes.values() if x is not king)
    node.performing.drive.hangs_until_ns = agenda.now_ns + limits.SECOND
    king.happen(ev.Joined(900, "probe", "self-declared:probe", ephemeral=False))
    agenda.run_until(agenda.now_ns + 20 * limits.MS)
    before, under_way = node.core, list(node.disk.writing)
    assert under_way
    node.happen(ev.Struck("admin", "an operator says so"))
    node.happen(ev.Asked(900, 1, "admin.strike", args={"end": True}))
    agenda.run_until(agenda.now_ns + 50 * limits.MS)
    assert node.core is not None
    assert node.core is not before
    assert under_way == node.disk.records[-len(under_way) :]
    assert node.core.raft.presence.turnout.startswith("3 of 3 voters are here")


# --- Each duty against notes that break it ------------------------------------------------------

WORLD = World.of({})
BATCH = ef.Batch(5, 1, 1, WORLD, frozenset(), [], [], 1)
DONE = ev.Executed(5, 1, [], b"", [])
LETTERS = ef.StoreLetters(7, [Letter(*[None] * len(Letter._fields))])  # type: ignore[arg-type]
CHECKPOINT = ef.WriteCheckpoint(7, {}, Table.of({}), WORLD)
SEVEN = ef.Publish(1, 1, 7, b"", True, WORLD, frozenset(), {})
FAULT = ev.DiskFault("it fails")

Noted = list[ef.Effect | ev.Event]


def persist(ticket: int) -> ef.Persist:
    return ef.Persist(ticket, [])


def entry_of(index: int, ticket: int) -> ef.Persist:
    return ef.Persist(ticket, [ef.RecordDraft(ENTRY, index, 1, b"", b"", 0)])


def question() -> ef.DryRun:
    return ef.DryRun(1, 2, BATCH, WORLD.index.pin())


ANSWER = ev.DryRunDone(1, 2, WORLD, DONE)

BROKEN: list[tuple[Duty, Noted]] = [
    (duties.durable_first, [entry_of(7, ticket=1), SEVEN]),
    (duties.durable_first, [entry_of(7, ticket=1), LETTERS, ev.Persisted(1, 1)]),
    (duties.heard_in_order, [ef.Answer(0, [m.Pong(1, 1, 1)])]),
    (duties.persisted_once_and_in_order, [persist(1)]),
    (
        duties.persisted_once_and_in_order,
        [persist(1), ev.Persisted(1, 1), ev.Persisted(1, 2)],
    ),
    (duties.persisted_once_and_in_order, [persist(1), ev.Persisted(2, 1), persist(2)]),
    (
        duties.persisted_once_and_in_order,
        [persist(1), persist(2), ev.Persisted(2, 2), ev.Persisted(1, 1)],
    ),
    (duties.persisted_once_and_in_order, [persist(1), FAULT, ev.Persisted(1, 1)]),
    (duties.executed_once, [ef.Execute(BATCH)]),
    (duties.executed_once, [ef.Execute(BATCH), DONE, DONE]),
    (duties.letters_stored_and_counted, [LETTERS]),
    (duties.letters_stored_and_counted, [LETTERS, ev.LettersStored(2, 7, {})]),
    (duties.letters_stored_and_counted, [ev.LettersStored(0, 7 - i, {}) for i in (0, 1)]),
    (duties.checkpoints_ended, [CHECKPOINT]),
    (duties.checkpoints_ended, [CHECKPOINT, *[ev.CheckpointEnded(7, None)] * 2]),
    (duties.dry_runs_done, [question()]),
    (duties.dry_runs_done, [question(), ANSWER, ANSWER]),
    (duties.pins_taken_off, [question(), ANSWER]),
]


@pytest.mark.parametrize(("duty", "noted"), BROKEN)
def test_a_duty_that_is_broken_is_noticed(duty: Duty, noted: Noted) -> None:
    assert duty(Notes(noted))


def test_a_step_after_the_end_is_noticed() -> None:
    assert duties.nothing_after_the_end(Notes(steps_too_many=1))


def test_every_duty_is_seen_broken() -> None:
    assert {duty for duty, _ in BROKEN} | {duties.nothing_after_the_end} == set(DUTIES)


def test_one_persisted_may_speak_for_several_and_a_core_that_ended_is_owed_nothing() -> None:
    noted: Noted = [persist(1), persist(2), persist(3), ev.Persisted(3, 9)]
    assert duties.persisted_once_and_in_order(Notes(noted)) == []
    owed: Noted = [persist(1), ef.Execute(BATCH), LETTERS, CHECKPOINT]
    assert complaints(Notes(owed, over=True), {}) == []
