"""One speaker's line to the factory, kept up over as many connections as it takes (trio).

A Link dials, shakes hands, carries bytes both ways, pings, notices a dead node, and dials again
with back-off; a Speaker says what to send and takes in what comes. So each Speaker can be read
without a socket in sight, and all losses of connection are handled here, once.

Bounds: handshake CONNECT_S_MAX; silence of a node PING_S + GET_S_MAX (a ping goes out each PING_S,
so a living node is never silent so long). Where there are other nodes to go to, one that owes an
answer has OWED_SILENCE_S_MAX: it may be paused, or cut off, and another one leads by then. While a
Speaker takes messages nothing is read: TCP makes the node wait, and the silence does not count.
"""

import random
from collections.abc import Callable

import trio

from rmf import limits
from rmf.client.client_session import ClientSession, refused_by
from rmf.client.route import Address, Route, address_text
from rmf.client.speaker import Speaker, clock_ns
from rmf.core import faults
from rmf.core import messages as m
from rmf.errors import (
    NO_CONNECTION,
    ConnectionFailed,
    ProtocolFault,
    RmfError,
    why_no_connection,
)

__all__ = ["ClientLink"]


class _Lost(Exception):
    """Why there is no connection (any more), how long to leave this node alone at least, and
    whether it said nothing at all."""

    def __init__(self, text: str, back_off_ms: int = 0, *, silent: bool = False) -> None:
        super().__init__(text)
        self.hold_off_s = back_off_ms / 1000
        self.silent = silent


class ClientLink:
    """Keeps one Speaker connected. `connected` is an Event of the present connection or of the
    first one to come; `say` receives losses and returns, in words.

    `give_up_s`: how long to be without a connection at most; None: for ever, once there was one.
    """

    def __init__(
        self,
        route: Route,
        speaker: Speaker,
        *,
        give_up_s: float | None,
        say: Callable[[str], None],
    ) -> None:
        self.connected = trio.Event()
        self._route = route
        self._speaker = speaker
        self._give_up_s = give_up_s
        self._say = say
        self._wake = trio.Event()
        self._scope = trio.CancelScope()
        self._lost_by = _Lost("the node closed the connection")
        self._failures: dict[Address, str] = {}
        self._goodbye = False
        self._deadline = 0.0
        self._ping_at = 0.0

    def wake(self) -> None:
        """Ask the Speaker again what to send."""
        self._wake.set()

    def drop(self, text: str, back_off_ms: int = 0) -> None:
        """Leave the present connection for another."""
        self._lost_by = _Lost(text, back_off_ms)
        self._scope.cancel()

    def elsewhere(self, leader: str | None, text: str, back_off_ms: int) -> bool:
        """Leave for the leader that the node named, or for any other node; False if none is known:
        then this connection goes on."""
        if leader is not None:
            self._route.prefer([leader])
        if self._route.several:
            self.drop(text, back_off_ms)
        return self._route.several

    def know(self, addresses: list[Address]) -> None:
        """Try these as well, after all others."""
        self._route.learn(map(address_text, addresses))

    @property
    def addresses(self) -> list[Address]:
        """Return the addresses of all nodes known."""
        return self._route.addresses

    def say_goodbye(self) -> None:
        """Send what is due and BYE; `run` returns once the node has closed, or soon after."""
        self._goodbye = True
        self._wake.set()
        if not self.connected.is_set():
            self._scope.cancel()

    async def run(self) -> None:
        """Serve the Speaker until goodbye. Raises ConnectionFailed when it gives up, Refused and
        ProtocolFault when there is no use in trying again."""
        self._be_patient_again(self._give_up_s or limits.CONNECT_S_MAX)
        while not self._goodbye:
            try:
                with trio.CancelScope(deadline=self._deadline) as self._scope:
                    pause_s = self._route.pause_s(trio.current_time(), random.random())  # noqa: S311
                    await trio.sleep(pause_s)
                    address = self._route.next(trio.current_time())
                    stream, connection, rest = await self._shake_hands(address)
                if self._scope.cancelled_caught:
                    self._give_up()
                    return  # goodbye was said while there was no connection
            except _Lost as exc:
                self._note_failure(address, exc)
                continue
            lost = await self._serve(address, stream, connection, rest)
            now_s = trio.current_time()
            self._route.lost(address, now_s, lost.hold_off_s, silent=lost.silent)
            if not self._goodbye:
                self._say(f"{address_text(address)}: {lost}; connecting again")

    def _give_up(self) -> None:
        if self._goodbye:
            return
        where = "; ".join(f"{address_text(a)}: {text}" for a, text in self._failures.items())
        raise ConnectionFailed(
            f"no connection for {self._give_up_s or limits.CONNECT_S_MAX:g} s"
            f" ({where or 'no node answered'}). Is a node running at this address?"
        )

    def _note_failure(self, address: Address, lost: _Lost) -> None:
        now_s = trio.current_time()
        self._route.failed(address, now_s, lost.hold_off_s, silent=lost.silent)
        text = str(lost)
        if self._failures.get(address) != text:
            self._say(f"{address_text(address)}: {text}; trying again")
        self._failures[address] = text

    def _be_patient_again(self, give_up_s: float | None) -> None:
        self._deadline = trio.current_time() + (float("inf") if give_up_s is None else give_up_s)

    # --- One connection -----------------------------------------------------------------------

    async def _shake_hands(
        self, address: Address
    ) -> tuple[trio.SocketStream, ClientSession, list[m.Message]]:
        """Return a welcomed connection and what came behind WELCOME. Raises _Lost, Refused."""
        attempt_s = self._route.attempt_s()
        with trio.move_on_after(attempt_s):
            try:
                stream = await trio.open_tcp_stream(*address)
            except NO_CONNECTION as exc:
                raise _Lost(why_no_connection(exc)) from exc
            try:
                connection = ClientSession(self._speaker.hello())
                return stream, connection, await self._greet(stream, connection)
            except BaseException as exc:
                await trio.aclose_forcefully(stream)
                if isinstance(exc, trio.BrokenResourceError):
                    raise _Lost("the connection broke before WELCOME") from exc  # noqa: ASYNC104
                raise
        raise _Lost(f"no WELCOME within {attempt_s:g} s", silent=True)

    async def _greet(self, stream: trio.SocketStream, connection: ClientSession) -> list[m.Message]:
        await stream.send_all(connection.opening())
        while True:
            data = bytes(await stream.receive_some(limits.RECEIVE_BYTES))
            if not data:
                raise _Lost("the node closed the connection before WELCOME")
            try:
                messages = connection.receive(data)
            except ProtocolFault as exc:
                if not self._route.several:
                    raise  # whatever it is, it will not become a node by being asked again
                raise _Lost(exc.text) from exc
            for i, message in enumerate(messages):
                if isinstance(message, m.Welcome):
                    return messages[i + 1 :]
                self._refused(message)

    def _refused(self, message: m.Message) -> None:
        """Take in what came instead of WELCOME. Raises Refused if it is final, else _Lost."""
        if not isinstance(message, m.Error | m.Refuse | m.Goaway):
            return
        if isinstance(message, m.Goaway):
            self._route.prefer(message.alternatives)
            raise _Lost(message.text, message.hold_off_ms)
        if isinstance(message, m.Refuse) and message.leader is not None:
            self._route.prefer([message.leader])
        refusal = refused_by(message)
        if not refusal.retry:
            raise refusal
        raise _Lost(str(refusal), faults.FAULTS[message.code].back_off_ms)

    async def _serve(
        self,
        address: Address,
        stream: trio.SocketStream,
        connection: ClientSession,
        rest: list[m.Message],
    ) -> _Lost:
        """Carry messages until the connection is lost; return why. Raises what is final."""
        assert connection.welcome is not None
        final: RmfError | None = None
        self._lost_by = _Lost("the node closed the connection")
        self._route.welcomed(address, trio.current_time())
        nodes = connection.welcome.facts.get("nodes")
        self._route.learn(nodes if type(nodes) is list else [])
        if self._failures:
            self._say(f"{address_text(address)}: connected")
            self._failures.clear()
        try:
            async with stream, trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                try:
                    self._speaker.welcomed(connection.welcome)
                    self.connected.set()
                    nursery.start_soon(self._write, stream, connection)
                    await self._read(stream, connection, rest)
                except RmfError as exc:
                    final = exc
                except _Lost as exc:
                    self._lost_by = exc
                nursery.cancel_scope.cancel()
        finally:
            self.connected = trio.Event()
            self._be_patient_again(self._give_up_s)
            self._speaker.lost()
        if final is not None:
            raise final
        return self._lost_by

    async def _read(
        self, stream: trio.SocketStream, connection: ClientSession, messages: list[m.Message]
    ) -> None:
        silence_s = limits.SILENCE_S_MAX
        while True:
            for message in messages:
                if isinstance(message, m.Goaway):
                    silence_s = limits.STOP_S_MAX
                    self._on_goaway(message)
                elif isinstance(message, m.Error) and _closes(message.code):
                    self._on_error(message)
                else:
                    await self._speaker.took(message)
            self._wake.set()
            data = await self._receive(stream, silence_s)
            if not data:
                return
            messages = connection.receive(data)

    async def _receive(self, stream: trio.SocketStream, silence_s: float) -> bytes:
        """Return what came; nothing at the end of the connection. Raises _Lost: the node is dead.

        It is looked after each OWED_PING_S, because an answer may come to be owed meanwhile.
        """
        heard_s = paid_s = trio.current_time()
        while True:
            with trio.move_on_after(limits.OWED_PING_S):
                try:
                    return bytes(await stream.receive_some(limits.RECEIVE_BYTES))
                except trio.BrokenResourceError:
                    return b""
            now_s = trio.current_time()
            if self._speaker.owed() and self._route.several:
                self._ping_at = now_s
                self._wake.set()
            else:
                paid_s = now_s
            if now_s - heard_s >= silence_s or now_s - paid_s >= limits.OWED_SILENCE_S_MAX:
                raise _Lost(f"nothing came from the node for {now_s - heard_s:g} s", silent=True)

    def _on_goaway(self, message: m.Goaway) -> None:
        self._route.prefer(message.alternatives)
        self._lost_by = _Lost(f"the node says goodbye: {message.text}", message.hold_off_ms)
        self._speaker.leaving()

    def _on_error(self, message: m.Error) -> None:
        """The node closes: take its reason along. Raises Refused if trying again is no use."""
        refusal = refused_by(message)
        if not refusal.retry:
            raise refusal
        self._lost_by = _Lost(str(refusal), faults.FAULTS[message.code].back_off_ms)

    async def _write(self, stream: trio.SocketStream, connection: ClientSession) -> None:
        self._ping_at = trio.current_time() + limits.PING_S
        try:
            while True:
                self._wake = trio.Event()
                frames = self._speaker.outgoing(clock_ns())
                if trio.current_time() >= self._ping_at:
                    self._ping_at = trio.current_time() + limits.PING_S
                    frames.append(connection.encode(m.Ping(0)))
                if frames:
                    await stream.send_all(b"".join(frames))
                elif self._goodbye:
                    await stream.send_all(connection.encode(m.Bye()))
                    self._scope.deadline = trio.current_time() + limits.GOODBYE_S_MAX
                    return
                else:
                    with trio.move_on_after(
                        min(self._ping_at - trio.current_time(), self._due_s())
                    ):
                        await self._wake.wait()
        except trio.BrokenResourceError:
            self._scope.cancel()

    def _due_s(self) -> float:
        due_ns = self._speaker.due_ns()
        return float("inf") if due_ns is None else max(0.0, (due_ns - clock_ns()) / limits.SECOND)


def _closes(code: str) -> bool:
    fault = faults.FAULTS.get(code)
    return fault is not None and fault.closes
