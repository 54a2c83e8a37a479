"""A blocking connection for command-line tools: one socket, absolute deadlines, no thread.

It performs what `client/client_session` decides, the way the trio client does, for tools that must
answer before trio would be imported (DESIGN §16): sockets and a monotonic clock, no trio, no attrs.
What the messages lead to is the tool's matter.

Two things happen unseen. A waiting call pings every PING_S, so that the node's idle time-out never
strikes; and a node that leaves a ping unanswered is taken for dead, not trusted to TCP.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from rmf import limits
from rmf.client.client_session import ClientSession, refused_by
from rmf.core.messages import (
    End,
    Error,
    Get,
    Goaway,
    Item,
    Message,
    Ping,
    Query,
    Value,
    WireCell,
)
from rmf.errors import (
    NO_CONNECTION,
    ConnectionFailed,
    ProtocolFault,
    Refused,
    why_no_connection,
)

__all__ = ["Address", "BlockingConnection", "connect"]

Address = tuple[str, int]


def connect(
    addresses: Sequence[Address],
    *,
    agent: str,
    timeout_s: float,
    options: dict[str, Any] | None = None,
) -> "BlockingConnection":
    """Return a connection to the first node that welcomes us; `timeout_s` covers all attempts.

    `options` are further options of HELLO. Raises Refused as soon as a node gives an answer that
    trying elsewhere cannot better, or when no other answer came; ConnectionFailed, which names
    every address and what happened there, when no node spoke.
    """
    deadline = time.monotonic() + timeout_s
    failures: list[str] = []
    refusal: Refused | None = None
    for i, address in enumerate(addresses):
        share_s = (deadline - time.monotonic()) / (len(addresses) - i)
        try:
            return _open(address, {"agent": agent, **(options or {})}, share_s)
        except Refused as exc:
            if not exc.retry:
                raise
            refusal = exc
        except ConnectionFailed as exc:
            failures.append(str(exc))
        except ProtocolFault as exc:
            failures.append(f"{_name(address)}: {exc.text}")
    if refusal is not None:
        raise refusal
    raise ConnectionFailed(
        f"no node can be reached: {'; '.join(failures)}. Is one running? Name its address with -c"
    )


def _open(address: Address, options: dict[str, Any], timeout_s: float) -> "BlockingConnection":
    """Connect to one address and shake hands, within `timeout_s`."""
    name = _name(address)
    deadline = time.monotonic() + timeout_s
    try:
        sock = socket.create_connection(address, timeout=max(timeout_s, 0.001))
    except NO_CONNECTION as exc:
        raise ConnectionFailed(f"{name}: {why_no_connection(exc)}") from exc
    connection = BlockingConnection(sock, ClientSession(options), name)
    try:
        connection.shake_hands(max(deadline - time.monotonic(), 0.001))
    except BaseException:
        connection.close()
        raise
    return connection


def _name(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class BlockingConnection:
    """One welcomed connection; use it as a context manager or call `close`.

    `address` is the node's, `welcome` the facts of its WELCOME. `ping_s` and `answer_s`: after
    how long a silence the node is asked for a sign of life, and how long it has for one.
    """

    def __init__(
        self,
        sock: socket.socket,
        connection: ClientSession,
        address: str,
        *,
        ping_s: float = limits.PING_S,
        answer_s: float = limits.GET_S_MAX,
    ) -> None:
        self.address = address
        self.welcome: dict[str, Any] = {}
        self._sock = sock
        self._connection = connection
        self._ping_s = ping_s
        self._answer_s = answer_s
        self._waiting: deque[Message] = deque()
        self._said_at = self._heard_at = time.monotonic()
        self._asked_at: float | None = None
        self._requests = 0
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)

    def __enter__(self) -> "BlockingConnection":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        self._selector.close()
        self._sock.close()

    def silent_s(self) -> float:
        """Return for how many seconds not one byte has come from the node."""
        return time.monotonic() - self._heard_at

    def shake_hands(self, timeout_s: float) -> None:
        """Send the opening and wait for WELCOME. Raises Refused, ConnectionFailed."""
        self._write(self._connection.opening())
        deadline = time.monotonic() + timeout_s
        while self._connection.welcome is None:
            message = self.receive(max(deadline - time.monotonic(), 0))
            if message is None:
                raise ConnectionFailed(f"{self.address}: connected, but no WELCOME within time")
            _refuse_if_told(message)
        self.welcome = self._connection.welcome.facts

    def send(self, message: Message) -> None:
        """Send a message. Raises ConnectionFailed."""
        self._write(self._connection.encode(message))

    def receive(self, timeout_s: float | None) -> Message | None:
        """Return the next message, or None when none came within `timeout_s` (None: no bound).

        ERROR and GOAWAY are messages like any other. Raises ConnectionFailed when the connection
        is lost or the node is dead, ProtocolFault when it breaks the protocol.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._waiting:
            now = time.monotonic()
            self._keep_alive(now)
            until = self._next_sign_of_life()
            if deadline is not None:
                until = min(until, deadline)
            if self._selector.select(max(until - now, 0)):
                self._read()
            elif deadline is not None and time.monotonic() >= deadline:
                return None
        return self._waiting.popleft()

    def query(
        self, subject: str, args: dict[str, Any], timeout_s: float | None
    ) -> Iterator[dict[str, Any]]:
        """Give the bodies of the ITEMs that answer a QUERY, until its END.

        Raises Refused when the node says no, TimeoutError when `timeout_s` pass without a piece of
        the answer (None: no bound, for a tail), and what `receive` raises. Messages that belong to
        something else are dropped: a connection that asks does nothing else meanwhile.
        """
        self._requests += 1
        request = self._requests
        self.send(Query(request, subject, args))
        deadline = _deadline(timeout_s)
        while True:
            left_s = None if deadline is None else max(deadline - time.monotonic(), 0)
            message = self.receive(left_s)
            if message is None:
                raise TimeoutError(f"{self.address}: no answer to {subject!r} in {timeout_s:g} s")
            if isinstance(message, Item) and message.request == request:
                yield message.body
                deadline = _deadline(timeout_s)
            elif isinstance(message, End) and message.request == request:
                if message.code is not None:
                    raise refused_by(Error(message.code, message.text or "", None))
                return
            else:
                _refuse_if_told(message)

    def get(self, key: str, timeout_s: float) -> WireCell | None:
        """Return a cell that misses no write acked before this call, or None where there is none.

        Raises Refused when the node cannot say, TimeoutError, and what `receive` raises.
        """
        self._requests += 1
        request = self._requests
        self.send(Get(request, key, linearizable=True))
        deadline = time.monotonic() + timeout_s
        while True:
            message = self.receive(max(deadline - time.monotonic(), 0))
            if message is None:
                raise TimeoutError(f"{self.address}: no answer to a GET in {timeout_s:g} s")
            if isinstance(message, Value) and message.request == request:
                return message.cell
            if isinstance(message, End) and message.request == request:
                raise refused_by(Error(message.code or "internal", message.text or "", None))
            _refuse_if_told(message)

    def _keep_alive(self, now: float) -> None:
        """Ping when it is time; raise ConnectionFailed when a ping has no answer."""
        if self._asked_at is not None and now - self._asked_at >= self._answer_s:
            raise ConnectionFailed(
                f"{self.address}: no sign of life for {now - self._heard_at:.0f} s, a ping included"
            )
        if self._connection.welcome is not None and now - self._said_at >= self._ping_s:
            if self._asked_at is None:
                self._asked_at = now
            self.send(Ping(0))

    def _next_sign_of_life(self) -> float:
        """Return when to wake at the latest: for the next ping, or to give the node up."""
        until = self._said_at + self._ping_s
        return until if self._asked_at is None else min(until, self._asked_at + self._answer_s)

    def _write(self, data: bytes) -> None:
        self._sock.settimeout(limits.SEND_S_MAX)
        try:
            self._sock.sendall(data)
        except OSError as exc:
            raise self._lost(exc) from exc
        self._said_at = time.monotonic()

    def _read(self) -> None:
        try:
            data = self._sock.recv(limits.RECEIVE_BYTES)
        except OSError as exc:
            raise self._lost(exc) from exc
        if not data:
            raise ConnectionFailed(f"{self.address}: the node closed the connection")
        self._heard_at = time.monotonic()
        self._asked_at = None
        self._waiting.extend(self._connection.receive(data))

    def _lost(self, exc: OSError) -> ConnectionFailed:
        return ConnectionFailed(f"{self.address}: the connection is lost: {exc.strerror or exc}")


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _refuse_if_told(message: Message) -> None:
    """Raise Refused for an ERROR or a GOAWAY; any other message is let pass."""
    if isinstance(message, (Error, Goaway)):
        raise refused_by(message)
