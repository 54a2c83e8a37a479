"""The loop around the core: what it drains, what it performs, and how it ends."""

from pathlib import Path

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import messages as m
from rmf.core.effects import Batch, StoreLetters
from rmf.core.events import Asked, Executed, Joined, Offered, StopAsked, Struck
from rmf.floor.doors import Doors, connection_doors
from rmf.floor.edge.intake_end import IntakeDoor
from rmf.floor.items import Closed, Opened
from rmf.floor.stand_ins import refuse_connections
from rmf.floor.supervisor import InProgress
from tests.floor.kit import Bench, Reign, bench, reign
from tests.floor.wire import packet


class Broken:
    """A runner that raises at its n-th batch."""

    def __init__(self, alone: Bench, at: int = 1) -> None:
        self._runner = alone.runner
        self._left = at

    def run(self, batch: Batch) -> Executed:
        self._left -= 1
        if not self._left:
            raise ZeroDivisionError("the runner, not the line")
        return self._runner.run(batch)


async def test_a_packet_goes_in_and_its_ack_comes_out(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            await guest.send(packet(1), packet(2, "raises"))
            runs = (await guest.hear(m.Ack)).runs
            assert [(x.seq, x.outcome) for x in runs] == [(1, m.APPLIED), (2, m.BAGGED)]
            letters = alone.doors.letters_out.receive_nowait()
            assert isinstance(letters, StoreLetters)
            assert [x.id for x in letters.letters] == [runs[1].letter]
            await trio.testing.wait_all_tasks_blocked()  # acks go out before displays are told
            news = alone.doors.publications_out.receive_nowait()
            assert news.publications[-1].tick == runs[0].tick


async def test_no_ack_leaves_before_the_disk_has_it(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            ruling.writes = False
            await trio.testing.wait_all_tasks_blocked()
            alone.doors.publications_out.receive_nowait()
            await guest.send(packet(1), packet(2, "raises"))
            await trio.testing.wait_all_tasks_blocked()
            assert not any(isinstance(x, m.Ack) for x in guest.heard)
            for door in (alone.doors.publications_out, alone.doors.letters_out):
                assert door.statistics().current_buffer_used == 0
            ruling.writes = True
            await guest.hear(m.Ack)


async def test_what_came_meanwhile_is_taken_in_one_step(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            for seq in range(1, 21):
                alone.doors.intake.send_nowait(guest.offer(packet(seq)))
            await alone.doors.events.send(Asked(1, 0, "ping"))
            runs = (await guest.hear(m.Ack)).runs
            assert [run.slot for run in runs] == list(range(20))
            assert len({run.tick for run in runs}) == 1  # one Tick of all that waited


async def test_what_comes_in_one_pass_makes_one_tick(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guests = [await ruling.join(f"probe-{i}", i) for i in range(1, 5)]
            await trio.testing.wait_all_tasks_blocked()
            for guest in guests:
                await IntakeDoor(alone.doors).offer(guest.offer(packet(1)))
            ticks = [(await guest.hear(m.Ack)).runs[0].tick for guest in guests]
            assert len(set(ticks)) == 1


async def test_what_fails_ends_the_arbiter_and_not_the_sender(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
            async with reign(alone, Broken(alone)) as ruling:
                guest = await ruling.join()
                await trio.testing.wait_all_tasks_blocked()
                await IntakeDoor(alone.doors).offer(guest.offer(packet(1, "cell/held")))
                await trio.sleep_forever()
        assert b"cell/held" in ruling.in_progress.held()[0].data


async def test_no_frame_overtakes_what_waited_when_the_loop_began(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        recovered = alone.recover()
        recovered.writer.close()
        ruling = Reign(alone, alone.core(recovered, depth=1))
        answers, answers_out, *_ = connection_doors()
        alone.doors.events.send_nowait(Opened(9, answers))

        async def ask(number: int) -> None:
            alone.doors.events.send_nowait(Asked(9, number, "ping"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, 1)  # one of the two comes while the loop takes what waited
            nursery.start_soon(ruling.rule, alone.runner)
            nursery.start_soon(ask, 2)
            heard: list[m.Message] = []
            with trio.fail_after(5):
                while len(heard) < 2:
                    heard += await answers_out.receive()
            nursery.cancel_scope.cancel()


async def test_beyond_the_depth_of_the_queue_the_intake_door_is_left_alone(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone, depth=10) as ruling:
            guest = await ruling.join()
            ruling.writes = False
            for seq in range(1, 60):
                await guest.send(packet(seq))
                await trio.testing.wait_all_tasks_blocked()
            assert ruling.core.sessions.queue.packets == 10
            left = alone.doors.intake.statistics().current_buffer_used
            assert left >= 59 - 10 - limits.ENTRIES_IN_FLIGHT
            ruling.writes = True
            acked = 0
            while acked < 59:
                acked += sum(run.packets for run in (await guest.hear(m.Ack)).runs)


async def test_a_runner_that_raises_leaves_its_packets_in_hand(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
            async with reign(alone, Broken(alone)) as ruling:
                guest = await ruling.join()
                await guest.send(packet(1, "cell/held"), packet(2))
                await trio.sleep_forever()
        (packets,) = ruling.in_progress.held()
        assert (packets.producer, packets.epoch) == ("probe", guest.epoch)
        assert b"cell/held" in packets.data


async def test_what_an_offer_held_is_reported_with_its_frame(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        with pytest.RaisesGroup(IndexError, flatten_subgroups=True):
            async with reign(alone) as ruling:
                guest = await ruling.join()
                broken = Offered(1, "probe", guest.epoch, b"the frame", [[None]], 0, {}, 0)
                await guest.hand_in(broken)
                await trio.sleep_forever()
        (held,) = ruling.in_progress.held()
        assert (held.data, held.producer, held.epoch, held.connection) == (
            b"the frame",
            "probe",
            guest.epoch,
            1,
        )


async def test_who_left_while_its_hello_waited_for_room_speaks_no_more(tmp_path: Path) -> None:
    """R33: else its name would count as connected for ever."""
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            await alone.doors.intake.send(Joined(7, "gone", "self-declared:gone", False))
            await guest.send(packet(1))
            await guest.hear(m.Ack)
            assert dict(ruling.core.sessions.queue.speakers) == {"probe": 1}


async def test_every_answers_door_is_closed_when_a_core_ends(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        guests = []
        with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
            async with reign(alone, Broken(alone)) as ruling:
                guests = [await ruling.join(f"probe-{i}", i) for i in range(1, 4)]
                await guests[0].send(packet(1))
                await trio.sleep_forever()
        for guest in guests:
            with pytest.raises(trio.EndOfChannel):
                await guest.hear(m.Ack)


async def test_what_is_answered_to_a_connection_that_is_gone_does_no_harm(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest, other = await ruling.join(), await ruling.join("other", 2)
            guest.answers_out.close()
            await guest.send(packet(1))  # answered into a closed door
            await alone.doors.events.send(Asked(77, 1, "status"))  # to one that never was
            await alone.doors.events.send(Closed(1))
            await alone.doors.events.send(Closed(78))
            await other.send(packet(1))
            assert (await other.hear(m.Ack)).runs[0].outcome == m.APPLIED


async def test_an_effect_for_everybody_reaches_everybody(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guests = [await ruling.join(f"probe-{i}", i) for i in range(1, 4)]
            await alone.doors.events.send(StopAsked())
            for guest in guests:
                assert (await guest.hear(m.Goaway)).code == "stopping"


async def test_it_returns_once_it_was_stopped_and_its_tick_is_finished(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            ruling.writes = False
            await guest.send(packet(1))
            await trio.testing.wait_all_tasks_blocked()
            await alone.doors.events.send(StopAsked())
            await guest.send(packet(2))
            assert (await guest.hear(m.Refuse)).code == "stopping"
            await trio.testing.wait_all_tasks_blocked()
            assert not ruling.ended.is_set()  # packet 1 is not on the disk yet
            ruling.writes = True
            assert [run.seq for run in (await guest.hear(m.Ack)).runs] == [1]
            with trio.fail_after(5):
                await ruling.ended.wait()


async def test_a_core_on_strike_only_answers(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            await guest.send(packet(1))
            await guest.hear(m.Ack)
            await alone.doors.events.send(Struck("admin", "an operator said so"))
            await guest.send(packet(2))
            refusal = await guest.hear(m.Refuse)
            assert (refusal.code, refusal.expected) == ("strike", 2)
            answers, answers_out, *_ = connection_doors()
            await alone.doors.events.send(Opened(9, answers))
            await alone.doors.events.send(Asked(9, 1, "status"))
            item, _ = await answers_out.receive()
            assert isinstance(item, m.Item)
            assert item.body["strike"] == {"kind": "admin", "why": "an operator said so"}
            publications = alone.doors.publications_out.receive_nowait().publications
            assert [x.live for x in publications][-1] is False


async def test_the_loop_holds_nothing_while_it_waits(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with reign(alone) as ruling:
            guest = await ruling.join()
            await guest.send(packet(1))
            await guest.hear(m.Ack)
            await trio.testing.wait_all_tasks_blocked()
            assert ruling.in_progress.held()[0].data == b""
            assert isinstance(ruling.in_progress, InProgress)


async def test_after_a_core_a_client_that_comes_is_turned_away_and_not_left_waiting() -> None:
    doors = Doors()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse_connections, doors, "it has stopped")
        for number in (1, 2):
            answers, answers_out, *_ = connection_doors()
            await doors.events.send(Opened(number, answers))
            await doors.events.send(Asked(number, 1, "status"))
            with trio.fail_after(5), pytest.raises(trio.EndOfChannel):
                await answers_out.receive()
            await doors.events.send(Closed(number))
        await trio.testing.wait_all_tasks_blocked()
        assert doors.events.statistics().current_buffer_used == 0  # nobody is held up by it
        nursery.cancel_scope.cancel()
