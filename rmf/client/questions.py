"""Questions over a Link (trio): GET and QUERY, each with its answer.

Questions change nothing, so what is unanswered when a connection is lost is asked again on the next
one, and a GET that a node cannot answer for now (END with a code that may be retried) is asked
again elsewhere; where no other node is known, here, after a back-off. Bound: a question waits
GET_S_MAX for its answer, connection or not.
"""

import random
from collections.abc import Callable
from typing import Any

import trio

from rmf import limits
from rmf.client.client_session import refused_by, same_cluster
from rmf.client.link import ClientLink
from rmf.client.route import back_off_s
from rmf.client.speaker import clock_ns
from rmf.core import codec, faults
from rmf.core import messages as m
from rmf.errors import ConnectionFailed, Refused, RmfError

__all__ = ["Questions"]

Answer = m.Value | m.Item | m.End


class _Question:
    """One question, and what was answered so far."""

    def __init__(self, message: m.Message) -> None:
        self.frame = codec.encode(message)
        self.asked_again = 0
        self.answers: list[Answer] = []
        self.failure: RmfError | None = None
        self.why = ""  # it was not answered by the last node that was asked
        self.done = trio.Event()
        self._is_get = isinstance(message, m.Get)

    def may_be_asked_again(self, code: str | None) -> bool:
        """Return whether an END with this code says that another time, or node, may answer: a read
        is tried until one does, any other question is its user's to repeat."""
        return self._is_get and code is not None and faults.retry_allowed(code)


class Questions:
    """The Speaker that asks. `link` is set by the maker of its Link."""

    link: ClientLink

    def __init__(self, hello: dict[str, Any]) -> None:
        self.failure: RmfError | None = None
        self._down = trio.Event()
        self._hello = hello
        self._requests = 0
        self._open: dict[int, _Question] = {}
        self._unsent: list[int] = []
        self._held: dict[int, int] = {}  # questions to be asked again on this connection, and when
        self._first = trio.Event()

    async def get(self, key: str, *, linearizable: bool) -> m.WireCell | None:
        """Return a cell or None. Raises ConnectionFailed, Refused."""
        answers = await self._ask(lambda request: m.Get(request, key, linearizable))
        value = answers[-1]
        if isinstance(value, m.End) and value.code is not None:
            raise Refused(value.code, value.text or "the node does not answer")
        return value.cell if isinstance(value, m.Value) else None

    async def query(self, subject: str, args: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the bodies of the ITEMs that answer a QUERY. Raises ConnectionFailed, Refused."""
        answers = await self._ask(lambda request: m.Query(request, subject, args))
        end = answers[-1]
        if isinstance(end, m.End) and end.code is not None:
            raise Refused(end.code, end.text or f"the node refuses {subject}")
        return [answer.body for answer in answers if isinstance(answer, m.Item)]

    async def welcome(self) -> None:
        """Wait for the first WELCOME. Raises the RmfError that ended the Link."""
        await self._first.wait()
        if self.failure is not None:
            raise self.failure

    async def run(self) -> None:
        """Keep the Link up until goodbye; what ends it is handed to all who wait."""
        try:
            await self.link.run()
            self._end(ConnectionFailed("this connection was closed"))
        except RmfError as exc:
            self._end(exc)
        finally:
            self._down.set()

    async def _ask(self, message: Callable[[int], m.Message]) -> list[Answer]:
        if self.failure is not None:
            raise self.failure
        self._requests += 1
        request = self._requests
        question = _Question(message(request))
        self._open[request] = question
        self._unsent.append(request)
        self.link.wake()
        try:
            with trio.move_on_after(limits.GET_S_MAX):
                await question.done.wait()
                if question.failure is not None:
                    raise question.failure
                return question.answers
        finally:
            del self._open[request]
            self._held.pop(request, None)
        why = f": {question.why}" if question.why else ""
        raise ConnectionFailed(f"no answer within {limits.GET_S_MAX:g} s{why}")

    def _end(self, exc: RmfError) -> None:
        self.failure = exc
        self._fail(exc)
        self._first.set()

    def _fail(self, exc: RmfError) -> None:
        for question in self._open.values():
            question.failure = exc
            question.done.set()

    async def closed(self) -> None:
        """Say BYE and wait until the Link is down: at once where there is no connection."""
        if self.failure is None:
            self.link.say_goodbye()
            await self._down.wait()

    # --- Speaker ------------------------------------------------------------------------------

    def hello(self) -> dict[str, Any]:
        """Return the options of HELLO: they name no producer."""
        return self._hello

    def welcomed(self, welcome: m.Welcome) -> None:
        """Ask everything that has no answer yet."""
        self._hello = same_cluster(self._hello, welcome)
        self._unsent = list(self._open)
        self._held.clear()
        self._first.set()

    async def took(self, message: m.Message) -> None:
        """Take in an answer; one to a question that no call waits for any more is left."""
        if isinstance(message, m.Error):
            self._fail(refused_by(message))
        elif isinstance(message, Answer):
            question = self._open.get(message.request)
            if question is None or question.done.is_set():
                return
            if isinstance(message, m.End) and question.may_be_asked_again(message.code):
                self._ask_again(message, question)
                return
            question.answers.append(message)
            if not isinstance(message, m.Item):
                question.done.set()

    def _ask_again(self, end: m.End, question: _Question) -> None:
        """Ask another node, or this one a little later: it could not answer for now."""
        assert end.code is not None
        question.why = f"{end.code}: {end.text}"
        question.asked_again += 1
        back_off_ms = faults.FAULTS[end.code].back_off_ms
        if not self.link.elsewhere(None, question.why, back_off_ms):
            jitter = random.random()  # noqa: S311 -- no secret
            wait_s = max(back_off_s(question.asked_again, jitter), back_off_ms / 1000)
            self._held[end.request] = clock_ns() + int(wait_s * limits.SECOND)

    def outgoing(self, now_ns: int) -> list[bytes]:
        """Return the questions not asked yet, and those whose back-off is over."""
        asked, self._unsent = self._unsent, []
        asked += [request for request, retry_ns in self._held.items() if retry_ns <= now_ns]
        for request in asked:
            self._held.pop(request, None)
        return [self._open[request].frame for request in asked if request in self._open]

    def owed(self) -> bool:
        """Return whether a question waits for its answer."""
        return len(self._open) > len(self._held)

    def due_ns(self) -> int | None:
        """Return when the first back-off ends."""
        return min(self._held.values(), default=None)

    def leaving(self) -> None:
        """What is unanswered will be asked again."""

    def lost(self) -> None:
        """What came so far of an answer is dropped: it will come again, whole."""
        for question in self._open.values():
            if not question.done.is_set():
                question.answers.clear()
