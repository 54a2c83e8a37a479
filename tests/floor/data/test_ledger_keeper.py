"""The ledger keeper: words come back in order, after the disk; a failure is told once."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core.effects import Persist
from rmf.core.events import DiskFault, Persisted
from rmf.core.raft.raft_values import HardState
from rmf.core.record import ENTRY, HARD, SEAL
from rmf.errors import DiskHangs
from rmf.floor.data import ledger_keeper
from rmf.floor.supervisor import InProgress
from rmf.storage.hard_state import HardStateCopy
from rmf.storage.ledger import LedgerWriter
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS
from rmf.testing.knobs import bounds
from tests.floor.kit import Bench, bench, ledger_threads
from tests.floor.wire import until
from tests.storage.hanging import hanging
from tests.storage.ledger_kit import Drafts, file_bytes_limit


@asynccontextmanager
async def keeping(
    alone: Bench, in_progress: InProgress | None = None
) -> AsyncIterator[LedgerWriter]:
    """Run the keeper over the bench's ledger."""
    writer = alone.recover().writer
    async with trio.open_nursery() as nursery:
        fsync = alone.instruments.fsync
        nursery.start_soon(
            ledger_keeper.run, alone.doors, writer, fsync, in_progress or InProgress()
        )
        yield writer
        nursery.cancel_scope.cancel()


def records(alone: Bench) -> list[Any]:
    scan = LedgerScan(alone.directory.ledgers, alone.directory.cluster, GENESIS)
    return list(scan)


async def word(alone: Bench) -> Any:
    with trio.fail_after(5):
        return await alone.doors.events_out.receive()


async def test_what_is_handed_over_is_on_the_disk_when_the_word_comes(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        drafts = Drafts(alone.directory.cluster)
        async with keeping(alone):
            await alone.doors.ledger.send(Persist(1, [drafts.hard(), drafts.entry(b"one")]))
            assert await word(alone) == Persisted(1, 2)
            assert [x.body for x in records(alone)][1:] == [b"one"]
            await alone.doors.ledger.send(Persist(2, [drafts.entry(b"two")]))
            event = await word(alone)
            assert event.ticket == 2
            assert records(alone)[-1].body in {b"two", b""}


async def test_a_vote_is_in_both_copies_when_the_word_comes(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        drafts = Drafts(alone.directory.cluster)
        drafts.term = 3
        directory = alone.directory
        copy = HardStateCopy(directory.path, directory.cluster, directory.incarnation)
        async with keeping(alone):
            await alone.doors.ledger.send(Persist(1, [drafts.hard(), drafts.entry(b"one")]))
            assert await word(alone) == Persisted(1, 2)
            assert copy.read() == HardState(3, "n1")
            assert [x.kind for x in records(alone)][:2] == [HARD, ENTRY]


async def test_what_queued_up_during_a_write_goes_together(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        drafts = Drafts(alone.directory.cluster)
        for ticket in range(1, 41):
            alone.doors.ledger.send_nowait(Persist(ticket, [drafts.entry(b"%d" % ticket)]))
        async with keeping(alone):
            heard: list[Persisted] = []
            while not heard or heard[-1].ticket < 40:
                heard.append(await word(alone))
        assert [x.ticket for x in heard] == sorted({x.ticket for x in heard})
        assert len(heard) < 40  # a word stands for all up to its ticket
        assert [x.body for x in records(alone) if x.kind != SEAL] == [
            b"%d" % ticket for ticket in range(1, 41)
        ]


async def test_an_idle_keeper_seals_what_it_wrote_once(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        drafts = Drafts(alone.directory.cluster)
        async with keeping(alone):
            await alone.doors.ledger.send(Persist(1, [drafts.entry(b"one")]))
            await word(alone)
            await until(lambda: records(alone)[-1].kind == SEAL)
            await trio.sleep(3 * limits.SEAL_IDLE_S)
        kept = records(alone)
        assert [x.kind == SEAL for x in kept] == [False, True]
        assert kept[-1].durable_through == kept[0].serial


async def test_an_idle_keeper_seals_what_an_earlier_process_left(tmp_path: Path) -> None:
    """Else one rotten byte of an acknowledged record is cut as a torn tail, on any later day."""
    with bench(tmp_path) as alone:
        drafts = Drafts(alone.directory.cluster)
        drafts.commit = 0  # else the bench reads it as an Entry
        writer = alone.recover().writer
        writer.append([drafts.entry(b"one")])
        writer.close()  # it dies before it is idle for long
        assert records(alone)[-1].kind == ENTRY
        async with keeping(alone):
            await until(lambda: records(alone)[-1].kind == SEAL)


async def test_a_thread_that_the_disk_held_up_writes_nothing_once_its_pen_is_taken(
    tmp_path: Path,
) -> None:
    """R23: what was acknowledged in its place meanwhile would be written over."""
    with bench(tmp_path) as alone, bounds({"STOP_S_MAX": 0.01}), ExitStack() as stack:
        drafts = Drafts(alone.directory.cluster)
        async with keeping(alone) as writer:
            await alone.doors.ledger.send(Persist(1, [drafts.entry(b"one")]))
            await word(alone)
            await until(lambda: writer.is_sealed)
            disk = stack.enter_context(hanging(writer.pen))
            for ticket in (2, 3):
                await alone.doors.ledger.send(Persist(ticket, [drafts.entry(b"late")]))
        assert len(ledger_threads()) == 1  # it outlived its task
        with pytest.raises(DiskHangs):
            alone.directory.fence.take()
        disk.set()
        await until(lambda: not ledger_threads())
        assert [x.body for x in records(alone)] == [b"one", b""]


async def test_on_the_way_out_what_was_handed_over_is_finished(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        drafts = Drafts(alone.directory.cluster)
        async with keeping(alone):
            for ticket in (1, 2, 3):
                await alone.doors.ledger.send(Persist(ticket, [drafts.entry(b"%d" % ticket)]))
            await trio.testing.wait_all_tasks_blocked()
        assert [x.body for x in records(alone) if x.kind != SEAL] == [b"1", b"2", b"3"]


async def test_a_disk_that_fails_is_reported_once_and_nothing_is_written_after_it(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as alone:
        drafts = Drafts(alone.directory.cluster)
        async with keeping(alone):
            await alone.doors.ledger.send(Persist(1, [drafts.entry(b"one")]))
            await word(alone)
            await until(lambda: records(alone)[-1].kind == SEAL)
            with file_bytes_limit(16):
                await alone.doors.ledger.send(Persist(2, [drafts.entry(b"two")]))
                fault = await word(alone)
            assert isinstance(fault, DiskFault)
            assert "File too large" in fault.why
            await alone.doors.ledger.send(Persist(3, [drafts.entry(b"three")]))
            await trio.sleep(3 * limits.SEAL_IDLE_S)
            assert alone.doors.events_out.statistics().current_buffer_used == 0
        assert [x.body for x in records(alone)] == [b"one", b""]


async def test_what_it_cannot_write_ends_it_with_the_bytes_in_hand(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        drafts = Drafts(alone.directory.cluster)
        drafts.index = 7  # an Entry out of order: our bug
        drafts.chains *= 8
        in_progress = InProgress()
        with pytest.RaisesGroup(AssertionError, flatten_subgroups=True):
            async with keeping(alone, in_progress):
                await alone.doors.ledger.send(Persist(1, [drafts.entry(b"astray")]))
                await trio.sleep_forever()
        assert [held.data for held in in_progress.held()] == [b"astray"]
        assert records(alone) == []
        alone.recover().writer.close()  # and the ledger is free again
