"""A server that follows a script, for the clients of `rmf-bench compare`."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["scripted"]


@contextmanager
def scripted(greeting: bytes, answer: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """Serve one connection; give the port. `answer` gets what came, and says what goes back, write
    by write."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, greeting, answer))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            thread.join(10)


def _serve(server: socket.socket, greeting: bytes, answer: Callable[[bytes], list[bytes]]) -> None:
    server.settimeout(10)
    sock, _ = server.accept()
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(10)
        sock.sendall(greeting)
        while data := sock.recv(1 << 20):
            for part in answer(data):
                sock.sendall(part)
