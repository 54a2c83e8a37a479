"""A node that follows a script: real sockets on loopback, no RMF behind them.

Each connection is served by the next script of the list, in one thread, in order; a script is a
function of a `Peer`. What a script asserts or raises is raised again where the node is left.
"""

import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from rmf import limits
from rmf.core.codec import OPENING, PREFACE, FrameBuffer, announced_limits, decode, encode
from rmf.core.messages import Hello, Message, Ping, Subscribe, Welcome

__all__ = ["Peer", "Script", "ScriptedNode", "facts"]

_PATIENCE_S = 20.0
_M = TypeVar("_M")


def facts(**more: Any) -> dict[str, Any]:
    """The facts of a WELCOME."""
    return {
        "version": 1,
        "node": "n1",
        "cluster": b"c" * 16,
        "agent": "scripted",
        "term": 1,
        "tick": 10,
        "period_ns": limits.TICK_PERIOD_NS,
        "leader": None,
        "limits": announced_limits(),
        **more,
    }


class Peer:
    """The node's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._frames = FrameBuffer(limits.FRAME_BYTES_MAX, OPENING)
        self._arrived: list[Message] = []

    def receive(self) -> Message | None:
        """The next message of the client; None once it has gone."""
        while not self._arrived:
            data = self.sock.recv(65536)
            if not data:
                return None
            self._frames.feed(data)
            self._arrived.extend(decode(frame) for frame in self._frames.frames())
        return self._arrived.pop(0)

    def expect(self, kind: type[_M]) -> _M:
        """The next message but pings, which must be of this kind."""
        message = self.receive()
        while isinstance(message, Ping):
            message = self.receive()
        assert isinstance(message, kind), f"expected {kind.__name__}, found {message}"
        return message

    def send(self, *messages: Message) -> None:
        """Send messages in one write."""
        self.sock.sendall(b"".join(encode(message) for message in messages))

    def greet(self) -> Hello:
        """Take the client's HELLO and send the preface."""
        hello = self.expect(Hello)
        self.sock.sendall(PREFACE)
        return hello

    def welcome(self, **more: Any) -> Hello:
        """Shake hands; return the client's HELLO."""
        hello = self.greet()
        self.send(Welcome(facts(**more)))
        return hello

    def subscribed(self, **more: Any) -> Subscribe:
        """Shake hands and take a subscription."""
        self.welcome(**more)
        return self.expect(Subscribe)

    def wait_for_the_end(self) -> None:
        """Read until the client has gone."""
        while self.receive() is not None:
            pass


Script = Callable[[Peer], None]


class ScriptedNode:
    """Listens on loopback while entered; `address` is a (host, port) pair, `text` the same."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts: Sequence[Script] = scripts
        self._failure: BaseException | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_PATIENCE_S)
        self.address: tuple[str, int] = self._listener.getsockname()
        self.text = f"127.0.0.1:{self.address[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "ScriptedNode":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.join(_PATIENCE_S)
        self._listener.close()
        if exc is None and self._failure is not None:
            raise self._failure

    def _serve(self) -> None:
        try:
            for script in self._scripts:
                sock, _ = self._listener.accept()
                with sock:
                    sock.settimeout(_PATIENCE_S)
                    script(Peer(sock))
        except BaseException as exc:  # noqa: BLE001, ASYNC103 -- raised again in __exit__
            self._failure = exc
