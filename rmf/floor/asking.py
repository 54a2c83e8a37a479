"""A question through a door, with a door for the answer (R14): one way to ask, for everybody.

The end to answer by belongs to the receiver of the question. Who asks closes only the other one:
who is gone before the answer is there is found gone by the answer, which fails no task (R15).
"""

from collections.abc import Callable
from typing import TypeVar

import trio

__all__ = ["answer", "ask"]

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
