"""One HTTP connection: requests in, answers out, one after the other (h11 on trio).

Deadlines are absolute: for a request from its first byte to its last, for silence between two of
them, for each answer. A head is bounded, a body is not taken. It knows HTTP, not what is answered.

Errors: a fault of the client is answered with its status and words, then the connection closes; a
fault of ours is logged and answered with 500. Shutdown: cancel it.
"""

import attrs
import h11
import trio

from rmf import limits
from rmf.floor import log
from rmf.floor.web.http_answers import Answers, Request, Response, plain

__all__ = ["Exchange"]


@attrs.frozen
class _Refused(Exception):
    """The request cannot be served, and the connection ends with this answer."""

    answer: Response


class Exchange:
    """Serves one connection until it ends."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, answers: Answers) -> None:
        self._stream = stream
        self._answers = answers
        self._wire = h11.Connection(
            h11.SERVER, max_incomplete_event_size=limits.HTTP_HEAD_BYTES_MAX
        )

    async def serve(self) -> None:
        """Serve requests until the client leaves, is too slow, or breaks HTTP. Raises
        BrokenResourceError if it is gone."""
        wait_s = limits.HTTP_REQUEST_S_MAX
        while True:
            try:
                request = await self._next_request(wait_s)
                if request is None:
                    return
                answer = await self._answer(request)
            except _Refused as refused:
                request, answer = None, refused.answer
            except h11.RemoteProtocolError as exc:
                request, answer = None, _fault_of(exc)
            await self._say(answer, body=request is None or request.method != "HEAD")
            if self._wire.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                await self._linger()
                return
            self._wire.start_next_cycle()
            wait_s = limits.HTTP_IDLE_S_MAX

    async def _next_request(self, wait_s: float) -> Request | None:
        """Return the next request, None if the client leaves or stays silent. Raises _Refused and
        RemoteProtocolError."""
        began = bool(self._wire.trailing_data[0])  # pipelined behind the one before
        request: Request | None = None
        with trio.move_on_after(limits.HTTP_REQUEST_S_MAX if began else wait_s) as patience:
            while True:
                event = self._wire.next_event()
                if event is h11.NEED_DATA:
                    data = bytes(await self._stream.receive_some(limits.HTTP_READ_BYTES))
                    self._wire.receive_data(data)
                    if not began:
                        began = True
                        patience.deadline = trio.current_time() + limits.HTTP_REQUEST_S_MAX
                elif isinstance(event, h11.Request):
                    if self._wire.they_are_waiting_for_100_continue:
                        raise _Refused(_NO_BODY)
                    request = _read(event)
                elif isinstance(event, h11.Data):
                    raise _Refused(_NO_BODY)
                elif isinstance(event, h11.EndOfMessage):
                    return request
                else:
                    return None
        if not began:
            return None
        raise _Refused(
            plain(408, f"the request was not complete within {limits.HTTP_REQUEST_S_MAX:g} s\n")
        )

    async def _answer(self, request: Request) -> Response:
        if not request.target.startswith("/"):
            return plain(400, "the target of a request is a path here, as /livez\n")
        try:
            return await self._answers.to(request)
        except Exception as exc:  # noqa: BLE001 a request for health must get an answer
            error = f"{type(exc).__name__}: {exc}"
            log.note("error", "http_failed", target=request.target, error=error)
            return plain(500, "the node failed to answer; its log says why\n")

    async def _say(self, answer: Response, *, body: bool) -> None:
        """Send one answer in one write; a client that does not read is cut."""
        headers = [
            ("Content-Type", answer.kind),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *answer.headers,
        ]
        if self._wire.their_state in {h11.IDLE, h11.SEND_BODY, h11.ERROR}:
            headers.append(("Connection", "close"))
        head = h11.Response(status_code=answer.status, headers=headers)
        data = self._wire.send(head) or b""
        if body:
            data += self._wire.send(h11.Data(data=answer.body)) or b""
        data += self._wire.send(h11.EndOfMessage()) or b""
        with trio.fail_after(limits.HTTP_SEND_S_MAX):
            await self._stream.send_all(data)

    async def _linger(self) -> None:
        """Let the client read its answer: to close on what it still sends would take it away."""
        await self._stream.send_eof()
        with trio.move_on_after(limits.GOODBYE_S_MAX):
            while await self._stream.receive_some(limits.HTTP_READ_BYTES):
                pass


_NO_BODY = plain(413, "a request has no body here\n")


def _read(event: h11.Request) -> Request:
    fields = {name: value.decode("latin-1") for name, value in event.headers}
    return Request(
        event.method.decode("latin-1"),
        event.target.decode("latin-1"),
        fields.get(b"host"),
        fields.get(b"accept", ""),
    )


def _fault_of(exc: h11.RemoteProtocolError) -> Response:
    """Return the answer to what is not HTTP as it should be."""
    exc.__traceback__ = None  # h11 raises it by a method of its own: an uncollected cycle
    return plain(exc.error_status_hint, f"this port speaks HTTP/1.1: {exc}\n")
