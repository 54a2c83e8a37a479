"""Deadlines of a connection: absolute, and only for the client's time (R43)."""

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from tests.floor.edge.one_connection import HELLO, events
from tests.floor.kit import Bench, served
from tests.floor.wire import packet, until


@pytest.mark.parametrize("said", [b"", b"R", codec.PREFACE, codec.PREFACE + HELLO[:5]])
async def test_a_handshake_has_an_absolute_deadline(
    alone: Bench, said: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    async with served(alone) as serving:
        await serving.wire.say_bytes(said)
        (error,) = await serving.wire.rest()
        assert isinstance(error, m.Error)
        assert error.code == "handshake_timeout"
        assert trio.current_time() - began == pytest.approx(limits.HANDSHAKE_S_MAX)


async def test_a_byte_a_second_does_not_prolong_a_handshake(
    alone: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    async with served(alone) as serving:
        with trio.move_on_after(limits.HANDSHAKE_S_MAX + 0.1):
            for byte in codec.PREFACE + HELLO:
                await serving.wire.say_bytes(bytes([byte]))
                await trio.sleep(1)
        assert [type(x) for x in await serving.wire.rest()] == [m.Error]
        assert serving.strangers.counts == {"handshake_timeout": 1}


async def test_a_byte_a_second_does_not_prolong_a_frame(
    alone: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        began = trio.current_time()
        with trio.move_on_after(limits.FRAME_S_MAX + 0.1):
            for byte in codec.encode(m.Send([packet(1)])):
                await serving.wire.say_bytes(bytes([byte]))
                await trio.sleep(1)
        (error,) = await serving.wire.rest()
        assert isinstance(error, m.Error)
        assert error.code == "frame_timeout"
        assert trio.current_time() - began == pytest.approx(limits.FRAME_S_MAX, abs=0.2)
        assert serving.offered() == []


async def test_each_frame_has_its_own_deadline(
    alone: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    """A frame that ends where the next begins does not inherit the time of the one before."""
    async with served(alone) as serving:
        await serving.welcome()
        frames = [codec.encode(m.Ping(i)) for i in range(5)]
        await serving.wire.say_bytes(frames[0][:3])
        for before, after in zip(frames, [*frames[1:], b"\0"], strict=True):
            await trio.sleep(limits.FRAME_S_MAX * 0.9)
            await serving.wire.say_bytes(before[3:] + after[:3])
            await trio.testing.wait_all_tasks_blocked()
        assert [event.request for event in events(serving)] == [0, 1, 2, 3, 4]
        assert not serving.ended.is_set()


async def test_silence_ends_a_connection_and_a_ping_breaks_it(
    alone: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        for _ in range(4):
            await trio.sleep(limits.IDLE_S_MAX * 0.9)
            await serving.wire.say(m.Ping(1))
        assert not serving.ended.is_set()
        await serving.ended.wait()
        (error,) = await serving.wire.rest()
        assert isinstance(error, m.Error)
        assert error.code == "idle_timeout"


async def test_time_that_the_node_takes_is_not_the_clients(
    alone: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    async with served(alone) as serving:
        await serving.welcome()
        for seq in range(1, limits.INTAKE_FRAMES + 3):
            await serving.wire.send(packet(seq))
        await serving.wire.say_bytes(b"\0\0")  # and a frame is begun
        await trio.sleep(100 * limits.IDLE_S_MAX)
        assert not serving.ended.is_set()
        await until(lambda: bool(serving.offered()))
        assert not serving.ended.is_set()
