"""Questions through a door: who asks may go, who answers may, and neither fails the other."""

import trio
import trio.testing

from rmf.floor.asking import answer, ask

Question = trio.MemorySendChannel[int]


async def test_the_answer_comes_to_who_asked() -> None:
    door, questions = trio.open_memory_channel[Question](1)
    found: list[int | None] = []

    async def client() -> None:
        found.append(await ask(door, lambda reply: reply))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client)
        answer(await questions.receive(), 7)
    assert found == [7]


async def test_a_client_that_asked_and_went_is_answered_in_vain() -> None:
    """P1: clients that reset their connections took the DLQ's keeper down, one by one."""
    door, questions = trio.open_memory_channel[Question](1)
    with trio.move_on_after(0):
        await ask(door, lambda reply: reply)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, door, lambda reply: reply)
        reply = await questions.receive()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    answer(reply, 7)
    reply.close()
    answer(reply, 7)


async def test_a_question_that_no_task_will_answer_ends() -> None:
    door, questions = trio.open_memory_channel[Question](1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: _close(questions))
        assert await ask(door, lambda reply: reply) is None


async def _close(questions: trio.MemoryReceiveChannel[Question]) -> None:
    (await questions.receive()).close()
