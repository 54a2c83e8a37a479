"""A TCP proxy between two nodes, one for each way of dialling: cuts, stalls, delays, corrupts.

Each runs in threads of the test's process; a link goes from the node that dials to the other, and
almost all that is said on it goes that way too (see rmf/floor/peer_link).
"""

import random
import socket
import threading
from contextlib import suppress

_READ_BYTES = 65536
_LOOK_S = 0.02


class Proxies:
    """All proxies of a cluster, by (who dials, whom)."""

    def __init__(self, seed: int = 0) -> None:
        self._found: dict[tuple[str, str], Proxy] = {}
        self._seed = seed

    def __enter__(self) -> "Proxies":
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self._found.values():
            proxy.close()

    def between(self, name: str, peer: str, address: str) -> str:
        """Return where `name` has to dial in order to reach `peer` at `address`."""
        host, _, port = address.rpartition(":")
        if (name, peer) not in self._found:
            self._found[name, peer] = Proxy((host, int(port)), f"{self._seed}/{name}>{peer}")
        return self._found[name, peer].address

    def __getitem__(self, pair: tuple[str, str]) -> "Proxy":
        return self._found[pair]

    @property
    def corrupted(self) -> int:
        """In how many pieces a byte was changed."""
        return sum(proxy.corrupted for proxy in self._found.values())

    def isolate(self, name: str) -> None:
        """Cut all links of a node, both ways."""
        for pair, proxy in self._found.items():
            if name in pair:
                proxy.cut = True

    def heal(self) -> None:
        """Let everything through again."""
        for proxy in self._found.values():
            proxy.cut = proxy.stalled = False
            proxy.corrupt_share = proxy.delay_s = 0.0


class Proxy:
    """`cut`: connections are broken, new ones refused. `stalled`: bytes stay where they are, and
    connections stay open. `delay_s`: each piece is that late. `corrupt_share`: of the pieces, in
    which one byte is changed."""

    def __init__(self, target: tuple[str, int], seed: str) -> None:
        self.cut = False
        self.stalled = False
        self.delay_s = 0.0
        self.corrupt_share = 0.0
        self.corrupted = 0
        self._target = target
        self._dice = random.Random(seed)
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_LOOK_S)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def _over(self) -> bool:
        return self.cut or self._closed.is_set()

    @property
    def _holds(self) -> bool:
        return self.stalled and not self._over

    def close(self) -> None:
        """End everything."""
        self._closed.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self.cut:
                near.close()
                continue
            try:
                far = socket.create_connection(self._target, timeout=1)
            except OSError:
                near.close()
                continue
            for one, other in ((near, far), (far, near)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.settimeout(_LOOK_S)
                thread = threading.Thread(target=self._carry, args=(one, other), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        """Carry one way until either side ends; a byte that was read waits out a stall."""
        with source, suppress(OSError):
            while not self._over:
                if self.stalled:
                    self._closed.wait(_LOOK_S)
                    continue
                try:
                    data = source.recv(_READ_BYTES)
                except TimeoutError:
                    continue
                if not data:
                    break
                if self.delay_s:
                    self._closed.wait(self.delay_s)
                while self._holds:
                    self._closed.wait(_LOOK_S)
                self._send(sink, self._spoilt(data))
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def _spoilt(self, data: bytes) -> bytes:
        if self._dice.random() >= self.corrupt_share:
            return data
        self.corrupted += 1
        at = self._dice.randrange(len(data))
        return data[:at] + bytes([data[at] ^ (1 << self._dice.randrange(8))]) + data[at + 1 :]

    def _send(self, sink: socket.socket, data: bytes) -> None:
        while data and not self._over:
            with suppress(TimeoutError):
                data = data[sink.send(data) :]
