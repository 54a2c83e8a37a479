"""The sending end of a connection's answers door, with its short way into the socket (R14).

It knows the channel and somebody who can write; what the messages say is no matter of it.
"""

from typing import Protocol

import trio

from rmf.core.messages import Message

__all__ = ["AnswersEnd", "Voice"]


class Voice(Protocol):
    """Who can write answers at once (see floor/outbox). `queued` counts lists of answers that went
    through the channel and are not written yet; `owes` whether a socket took one only in part."""

    queued: int

    @property
    def owes(self) -> bool:
        """Whether a part of what was said is still to be written."""

    def say_now(self, messages: list[Message]) -> bool:
        """Write, or return False having written nothing."""


class AnswersEnd:
    """The sending end of one connection's answers door: it speaks at once where nothing waits and
    the socket has room, which spares each ack a hop; else through the channel, in order, within its
    bound."""

    def __init__(self, channel: trio.MemorySendChannel[list[Message]], voice: Voice) -> None:
        self._channel = channel
        self._voice = voice

    def send_nowait(self, messages: list[Message]) -> None:
        """Send; raises trio.WouldBlock at the bound, BrokenResourceError if nobody is there."""
        if not self._voice.queued and self._voice.say_now(messages):
            if not self._voice.owes:
                return
            messages = []  # wakes the writer, who begins with what is owed
        self._channel.send_nowait(messages)
        self._voice.queued += 1

    async def send(self, messages: list[Message]) -> None:
        """Send, as a checkpoint."""
        await trio.lowlevel.checkpoint()
        self.send_nowait(messages)

    def close(self) -> None:
        """Send no more; what was sent is still written."""
        self._channel.close()
