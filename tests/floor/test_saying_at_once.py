"""Answers are written at once where that is safe, and in order always (R16)."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.floor.answers_end import AnswersEnd
from rmf.floor.doors import connection_doors
from rmf.floor.outbox import Outbox

Ends = tuple[AnswersEnd, Outbox, trio.MemoryReceiveChannel[list[m.Message]], socket.socket]


@contextmanager
def ends(*, buffer_bytes: int | None = None) -> Iterator[Ends]:
    near, far = socket.socketpair()
    if buffer_bytes is not None:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    outbox = Outbox(trio.SocketStream(trio.socket.from_stdlib_socket(near)))
    answers, answers_out, *_ = connection_doors()
    far.setblocking(False)
    with near, far:
        yield AnswersEnd(answers, outbox), outbox, answers_out, far


def tokens(data: bytes) -> list[int]:
    buffer = codec.FrameBuffer(limits.SERVER_FRAME_BYTES_MAX)
    buffer.feed(data)
    found = [codec.decode(frame) for frame in buffer.frames()]
    return [message.token for message in found if isinstance(message, m.Pong)]


async def read_until(far: socket.socket, count: int) -> list[int]:
    data = b""
    while len(tokens(data)) < count:
        try:
            data += far.recv(1 << 20)
        except BlockingIOError:
            await trio.testing.wait_all_tasks_blocked(0.001)
    return tokens(data)


def pong(token: int) -> list[m.Message]:
    return [m.Pong(token, 1, 2)]


async def test_a_lone_answer_needs_no_task() -> None:
    with ends() as (end, outbox, answers_out, far):
        end.send_nowait(pong(7))
        assert tokens(far.recv(100)) == [7]
        assert (outbox.queued, answers_out.statistics().current_buffer_used) == (0, 0)


async def test_a_welcome_said_at_once_tells_the_epoch_too() -> None:
    with ends() as (end, outbox, _, far):
        end.send_nowait([m.Welcome({"epoch": 5})])
        assert far.recv(100)
        assert outbox.epoch == 5


async def test_nothing_overtakes_what_waits_in_the_channel() -> None:
    with ends() as (end, outbox, answers_out, far):
        end.send_nowait(pong(1) * (limits.SAID_AT_ONCE_BYTES_MAX // 4))  # too long for at once
        end.send_nowait(pong(2))
        with pytest.raises(BlockingIOError):
            far.recv(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.write_answers, answers_out, nursery.cancel_scope)
            many = limits.SAID_AT_ONCE_BYTES_MAX // 4
            assert await read_until(far, many + 1) == [1] * many + [2]
            await trio.testing.wait_all_tasks_blocked()
            end.send_nowait(pong(3))
            assert await read_until(far, 1) == [3]
            nursery.cancel_scope.cancel()


async def test_what_a_socket_took_in_part_is_finished_before_all_else() -> None:
    with ends(buffer_bytes=4096) as (end, outbox, answers_out, far):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.write_answers, answers_out, nursery.cancel_scope)
            await trio.testing.wait_all_tasks_blocked()
            batch, batches = 500, 8
            for number in range(batches):
                end.send_nowait(pong(number) * batch)
            found = await read_until(far, batch * batches)
            nursery.cancel_scope.cancel()
        assert found == [number for number in range(batches) for _ in range(batch)]
        assert not outbox.owes


async def test_a_client_that_reads_nothing_fills_the_channel_and_no_more() -> None:
    with ends(buffer_bytes=4096) as (end, _, _, _far):
        taken = 0
        while taken < 10 * limits.ANSWERS_MAX:
            try:
                end.send_nowait(pong(taken) * 100)
            except trio.WouldBlock:
                break
            taken += 1
        assert limits.ANSWERS_MAX <= taken < 2 * limits.ANSWERS_MAX
