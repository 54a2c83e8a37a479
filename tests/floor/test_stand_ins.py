"""What stands in for a task that was given up: the senders at its doors go on."""

import io
import json
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from rmf import limits
from rmf.core import messages as m
from rmf.core.codec import FrameBuffer, decode
from rmf.core.effects import DryRun, ReadEntries, RunAgain, WriteCheckpoint
from rmf.core.events import Beat, CheckpointEnded, DryRunDone
from rmf.core.producer_table import Table
from rmf.core.state import genesis_state
from rmf.core.world import World
from rmf.floor import log, stand_ins
from rmf.floor.displays.news import News, Unwatch, Watched
from rmf.floor.doors import Doors, connection_doors
from rmf.floor.items import FactsAsked, Opened
from tests.floor.data.test_dlq_keeper import an_edge_letter, line_letters
from tests.floor.kit import Pictures
from tests.floor.wire import PATIENCE_S
from tests.line.bench import batch, row

WHY = "task x failed 11 times"


class Standing:
    """A stand-in that serves, and the doors that it serves."""

    def __init__(self, nursery: trio.Nursery, serve: Any) -> None:
        self.doors = Doors()
        nursery.start_soon(serve, self.doors, WHY)

    async def event(self) -> Any:
        with trio.fail_after(PATIENCE_S):
            return await self.doors.events_out.receive()


async def closed(door: trio.MemoryReceiveChannel[Any]) -> None:
    """Return once the other end is closed, and nothing came."""
    with trio.fail_after(PATIENCE_S), pytest.raises(trio.EndOfChannel):
        await door.receive()


async def test_connections_are_closed_and_questions_of_http_end() -> None:
    async with trio.open_nursery() as nursery:
        doors = Standing(nursery, stand_ins.refuse_connections).doors
        answers, answers_out, *_ = connection_doors()
        reply, reply_out = trio.open_memory_channel[dict[str, Any]](1)
        for item in (Beat(), Opened(1, answers), FactsAsked(reply)):
            await doors.events.send(item)
        await closed(answers_out)
        await closed(reply_out)
        nursery.cancel_scope.cancel()


async def test_letters_get_no_id_until_the_door_is_closed() -> None:
    async with trio.open_nursery() as nursery:
        doors = Standing(nursery, stand_ins.refuse_letters).doors
        reply, reply_out = trio.open_memory_channel[str](1)
        for item in (line_letters(5, 0), an_edge_letter(), an_edge_letter(reply=reply)):
            await doors.letters.send(item)
        await closed(reply_out)
        doors.letters.close()  # and so it ends by itself


async def test_a_letter_that_is_not_stored_is_in_the_log_and_one_of_the_line_in_the_ledger() -> (
    None
):
    """R15: what a failing task held is not dropped in silence. The nemesis found it (seed 20)."""
    said = io.StringIO()
    log.configure("json", said)
    letter = an_edge_letter()
    stand_ins.lose_letter(line_letters(5, 0))
    stand_ins.lose_letter(letter)
    log.configure("json", io.StringIO())
    (lost,) = [json.loads(line) for line in said.getvalue().splitlines()]
    assert (lost["event"], lost["reason"]) == ("letter_lost", letter.letter.reason)
    assert (lost["bytes"], lost["packet"]) == (
        len(letter.letter.packet),
        letter.letter.packet.hex(),
    )


async def test_who_subscribes_is_answered_and_no_world_is_held() -> None:
    """F6: connections must be able to close, and a node on strike to be reached and stopped."""
    async with trio.open_nursery() as nursery:
        doors = Standing(nursery, stand_ins.refuse_watches).doors
        _, _, pages, pages_out = connection_doors()
        await doors.watches.send(Watched(1, m.Subscribe(3, ["#"], {}), pages))
        buffer = FrameBuffer(limits.FRAME_BYTES_MAX)
        with trio.fail_after(PATIENCE_S):
            buffer.feed(await pages_out.receive())
        (end,) = (decode(frame) for frame in buffer.frames())
        assert isinstance(end, m.End)
        assert (end.request, end.code) == (3, "internal")
        assert WHY in (end.text or "")
        published = Pictures().next({"a": 1})
        News.of([published]).put_into(doors.publications)
        with trio.fail_after(PATIENCE_S):
            for connection in range(3 * limits.CONNECTIONS_MAX):
                await doors.watches.send(Unwatch(connection, None))
        await wait_all_tasks_blocked()
        assert not published.world.index._pins
        nursery.cancel_scope.cancel()


async def test_a_wish_for_a_checkpoint_is_answered_and_its_world_let_go() -> None:
    async with trio.open_nursery() as nursery:
        standing = Standing(nursery, stand_ins.refuse_checkpoints)
        world = World.empty()
        wish = WriteCheckpoint(7, {}, Table.of({}), world)
        standing.doors.wish_for(wish)
        assert await standing.event() == CheckpointEnded(7, WHY)
        assert not world.index._pins
        nursery.cancel_scope.cancel()


async def test_a_dry_run_is_answered_and_its_world_let_go() -> None:
    async with trio.open_nursery() as nursery:
        standing = Standing(nursery, stand_ins.refuse_dry_runs)
        asked = batch(row("count"))
        index = asked.world.index
        standing.doors.dry_runs.send_nowait(DryRun(3, 4, asked, index.pin()))
        assert await standing.event() == DryRunDone(3, 4, asked.world, None, WHY)
        assert not index._pins
        nursery.cancel_scope.cancel()


async def test_samples_are_left_out_and_their_worlds_let_go() -> None:
    async with trio.open_nursery() as nursery:
        doors = Standing(nursery, stand_ins.leave_audits_out).doors
        before = genesis_state(b"")
        pin = before.world.index.pin()
        nothing: Any = None
        doors.audits.send_nowait(RunAgain(1, 1, nothing, nothing, before, pin))
        await wait_all_tasks_blocked()
        assert not before.world.index._pins
        nursery.cancel_scope.cancel()


async def test_beats_go_on_whatever_is_due(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        standing = Standing(nursery, stand_ins.beat_steadily)
        began = trio.current_time()
        for _ in range(3):
            assert await standing.event() == Beat()
        assert trio.current_time() - began == pytest.approx(3 * limits.BEAT_S)
        await trio.sleep(2 * limits.EVENTS_MAX * limits.BEAT_S)  # a full door is no failure
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("serve", "door", "item"),
    [
        (stand_ins.drop_wishes, "catch_up", ReadEntries("n2", 1, 1, 1)),
        (stand_ins.drop_batches, "bench", batch(row("count"))),
    ],
)
async def test_what_no_task_waits_for_is_dropped(serve: Any, door: str, item: Any) -> None:
    async with trio.open_nursery() as nursery:
        doors = Standing(nursery, serve).doors
        for _ in range(2 * limits.CATCH_UP_WISHES):
            with trio.fail_after(PATIENCE_S):
                if door == "bench":
                    doors.bench.put(item)
                else:
                    await doors.catch_up.send(item)
        await wait_all_tasks_blocked()
        assert getattr(doors, f"{door}_out").statistics().current_buffer_used == 0
        nursery.cancel_scope.cancel()
