"""A question through a door, with a door for the answer (R14): one way to ask, for everybody.

The end to answer by belongs to the receiver of the question. Who asks closes only the other one:
who is gone before the answer is there is found gone by the answer, which fails no task (R15).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from rmf.errors import RmfError
from rmf.floor.items import TurnAsked

__all__ = ["NoTurn", "answer", "ask", "file_turn"]

Question = TypeVar("Question")
Answer = TypeVar("Answer")


async def ask(
    door: trio.MemorySendChannel[Question],
    question: Callable[[trio.MemorySendChannel[Answer]], Question],
) -> Answer | None:
    """Send the question that is made of the end to answer by; return the answer, None if none
    will come. Waits for as long as that takes."""
    reply, reply_out = trio.open_memory_channel[Answer](1)
    with reply_out:
        await door.send(question(reply))
        try:
            return await reply_out.receive()
        except trio.EndOfChannel:
            return None


def answer(reply: trio.MemorySendChannel[Answer], what: Answer) -> None:
    """Answer; the asker may be gone."""
    try:
        reply.send_nowait(what)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


class NoTurn(RmfError):
    """No task says any more whose turn it is to move files of the ledger: none may."""


@asynccontextmanager
async def file_turn(door: trio.MemorySendChannel[TurnAsked]) -> AsyncIterator[None]:
    """Wait until it is the caller's turn to move files of the ledger about; it is for as long as
    the block runs. Raises NoTurn."""
    turn, turn_out = trio.open_memory_channel[None](0)
    with turn_out:
        await door.send(TurnAsked(turn))
        try:
            await turn_out.receive()
        except trio.EndOfChannel:
            raise NoTurn("no task says whose turn it is to move files of the ledger") from None
        yield
