"""What producers that push as hard as they can do to a node: `rmf-bench scale --kind overload`.

None of them looks at the window that the node announces: each writes frames as fast as its socket
takes them, whatever is acked, which is more than any node keeps up with. What the node cannot take
has to wait outside of it, and it has to say what it refuses: at the end each packet that was sent
must have been acked, those that were refused after they were sent again.
"""

import select
import socket
import time
from multiprocessing.pool import ThreadPool
from typing import NamedTuple

import psutil

from rmf import limits
from rmf.client.client_session import ClientSession
from rmf.core import messages as m
from rmf.errors import RmfError
from tools.bench_cpu import family
from tools.bench_load import KEYS, packets_of, payload_of
from tools.bench_node import BenchNode
from tools.compare_servers import connect, in_a_process

__all__ = ["Pushed", "overload", "push"]

_BATCH = 500
_SAMPLE_S = 0.1
_DRAIN_S_MAX = 60.0


class Pushed(NamedTuple):
    """What a producer sent (each seq once), how many were acked, how often the node said no, and
    how many packets were the most that were sent and not yet answered."""

    sent: int
    acked: int
    refusals: int
    unanswered_max: int


def overload(producers: int, seconds: float) -> dict[str, float]:
    """Return the figures of a node at which so many producers push. Raises RmfError if a packet has
    neither been acked nor refused at the end."""
    with BenchNode() as node, ThreadPool(producers) as pool:
        in_a_process(push, node.address[1], 0.5, "first", takes_s=1)
        usual_mib = _memory_mib(node.pid)
        jobs = [(node.address[1], seconds, f"push-{number}") for number in range(producers)]
        began_s = time.monotonic()
        running = pool.starmap_async(_pushed, jobs)
        most_mib = usual_mib
        while not running.ready():
            running.wait(_SAMPLE_S)
            most_mib = max(most_mib, _memory_mib(node.pid))
        done, took_s = running.get(), time.monotonic() - began_s
        end_mib = _memory_mib(node.pid)
    if lost := sum(one.sent - one.acked for one in done):
        raise RmfError(f"{lost} packets were neither acked nor refused")
    return {
        "acked_per_s": round(sum(one.acked for one in done) / took_s),
        "refusals": sum(one.refusals for one in done),
        "unanswered_max": sum(one.unanswered_max for one in done),
        "usual_mib": round(usual_mib, 1),
        "most_mib": round(most_mib, 1),
        "end_mib": round(end_mib, 1),
    }


def _pushed(port: int, seconds: float, name: str) -> Pushed:
    return in_a_process(push, port, seconds, name, takes_s=seconds + _DRAIN_S_MAX)


def _memory_mib(pid: int) -> float:
    """Return the resident memory of a node and its boxes."""
    members = [psutil.Process(member) for member in family(pid)]
    return float(sum(member.memory_info().rss for member in members) / limits.MIB)


# --- In a process of its own ----------------------------------------------------------------------


def push(port: int, seconds: float, name: str) -> Pushed:
    """Write frames for so many seconds, as fast as the socket takes them; then wait for the rest of
    the answers. What is refused is sent again."""
    link = ClientSession({"agent": "rmf-bench", "producer": name})
    sock = connect(port)
    sock.sendall(link.opening())
    while link.welcome is None:
        link.receive(sock.recv(limits.RECEIVE_BYTES))
    sock.setblocking(False)
    pushing = _Pushing(link, sock)
    now_s = began_s = time.monotonic()
    while pushing.unanswered or now_s < began_s + seconds:
        pushing.turn(begins=now_s < began_s + seconds)
        now_s = time.monotonic()
        if now_s > began_s + seconds + _DRAIN_S_MAX:
            break
    sock.close()
    return Pushed(pushing.sent, pushing.acked, pushing.refusals, pushing.unanswered_max)


class _Pushing:
    """A producer that has been welcomed."""

    def __init__(self, link: ClientSession, sock: socket.socket) -> None:
        self.sent = self.acked = self.refusals = self.unanswered_max = 0
        self._link = link
        self._socket = sock
        self._payload = payload_of(64)
        self._next = 1
        self._pending = memoryview(b"")

    @property
    def unanswered(self) -> int:
        """How many packets have been sent and are without an outcome."""
        return self.sent - self.acked

    def turn(self, *, begins: bool) -> None:
        """Write what the socket takes, and hear what has come; `begins`: new packets, too."""
        again = self._next <= self.sent
        wants = [self._socket] if self._pending or again or begins else []
        readable, writable, _ = select.select([self._socket], wants, [], 0.05)
        if writable:
            if not self._pending:
                self._begin()
            self._pending = self._pending[self._socket.send(self._pending) :]
        if readable:
            self._hear(self._socket.recv(limits.RECEIVE_BYTES))
        self.unanswered_max = max(self.unanswered_max, self.unanswered)

    def _begin(self) -> None:
        rows = packets_of(self._next, _BATCH, self._payload, KEYS)
        self._pending = memoryview(self._link.encode(m.Send(rows)))
        self._next += _BATCH
        self.sent = max(self.sent, self._next - 1)

    def _hear(self, data: bytes) -> None:
        if not data:
            raise RmfError("the node closed the connection")
        for message in self._link.receive(data):
            if isinstance(message, m.Ack):
                self.acked += sum(run.packets for run in message.runs if not run.duplicate)
            elif isinstance(message, m.Refuse):
                self.refusals += 1
                if message.seq == message.expected:  # else it was sent before that was heard
                    self._next = message.expected
            else:
                raise RmfError(f"expected acks and refusals, found {message!r}")
