"""Connections of clients to nodes: ordered and whole while they last, and then gone.

A person says bytes, and each connection has the session that it has in production (see
core/server_session): what the bytes lead to comes to the node a moment later.

A connection ends when either side closes it, when the process dies, or when the nemesis cuts it. A
node that goes with its power says nothing: its clients find out by silence.
"""

from collections import deque
from typing import Protocol

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.arbiter import Arbiter
from rmf.core.messages import Message
from rmf.core.server_session import Complaint, ServerSession
from rmf.core.transitions import CLOSED
from rmf.testing.agenda import Agenda
from rmf.testing.dice import Stream

__all__ = ["Person", "Ports"]

_LATENCY_NS = 200_000


class Person(Protocol):
    """The holder of a connection. `name` is that of a producer, or empty."""

    name: str

    def hear(self, connection: int, messages: list[Message]) -> None:
        """Take in what the node said."""

    def closed(self, connection: int) -> None:
        """Learn that the connection is gone."""


class _Edge(Protocol):
    """Where packets wait that a core does not take in now."""

    edge: deque[ev.Offered]


class PortProcess(Protocol):
    """A node, as its ports know it."""

    name: str
    life: int
    core: Arbiter | None

    @property
    def running(self) -> bool:
        """Whether its process runs now."""
        ...

    @property
    def loop(self) -> _Edge:
        """Its loop."""
        ...

    def now(self) -> ev.Now:
        """The time there."""
        ...

    def happen(self, event: ev.Event) -> None:
        """Something happens to it."""


class _Line:
    __slots__ = ("life", "node", "open", "person", "session")

    def __init__(self, number: int, node: PortProcess, person: Person) -> None:
        self.node, self.person = node, person
        self.life, self.open = node.life, True
        self.session = ServerSession(number, person.name)


class Ports:
    """All connections, by number. A number is never used twice."""

    def __init__(self, agenda: Agenda, dice: Stream) -> None:
        self._agenda = agenda
        self._dice = dice
        self._lines: dict[int, _Line] = {}
        self._count = 0
        self._last_ns = 0  # what is said arrives in order: on all lines, for simplicity

    def open(self, node: PortProcess, person: Person) -> int | None:
        """Connect; return the connection, None if no node listens there."""
        if not node.running or node.core is None:
            return None
        self._count += 1
        self._lines[self._count] = _Line(self._count, node, person)
        return self._count

    def holder(self, connection: int) -> str | None:
        """Return the producer that holds a connection."""
        line = self._lines.get(connection)
        return line.person.name or None if line is not None else None

    def _wait_ns(self) -> int:
        when_ns = self._agenda.now_ns + int(_LATENCY_NS * (0.5 + self._dice.random()))
        self._last_ns = max(when_ns, self._last_ns)
        return self._last_ns

    def say(self, connection: int, data: bytes) -> None:
        """Say something to the node. Who only asks does not wait for its WELCOME: it gets none."""
        line = self._lines[connection]
        for step in line.session.receive(data, line.node.now().boot_ns):
            if isinstance(step, Complaint):
                self.answer(connection, [m.Error(step.fault.code, step.fault.text, None)])
                if line.session.state == CLOSED:
                    self.close(connection)
            elif not (isinstance(step, ev.Asked) and step.subject == "welcome"):
                assert isinstance(step, ev.Joined | ev.Offered | ev.Left | ev.Asked), step
                self._agenda.at(self._wait_ns(), self._told, connection, step)

    def _told(self, connection: int, event: ev.Event) -> None:
        line = self._lines.get(connection)
        if line is None or not line.open or line.node.life != line.life:
            return
        node = line.node
        if isinstance(event, ev.Offered) and node.core is not None and not node.core.takes_in:
            if len(node.loop.edge) < limits.INTAKE_FRAMES:
                node.loop.edge.append(event)
            else:
                self.cut(connection)
            return
        node.happen(event)

    def answer(self, connection: int, messages: list[Message]) -> None:
        """Carry what a node says."""
        line = self._lines.get(connection)
        if line is not None:
            line.session.said(messages)
            self._agenda.at(self._wait_ns(), self._heard, connection, messages)

    def _heard(self, connection: int, messages: list[Message]) -> None:
        line = self._lines.get(connection)
        if line is not None:
            line.person.hear(connection, messages)

    def broadcast(self, node: str, message: Message) -> None:
        """Carry what a node says to everybody."""
        for connection, line in self._lines.items():
            if line.node.name == node and line.open:
                self.answer(connection, [message])

    def close(self, connection: int) -> None:
        """The node closes a connection: what was said before arrives before."""
        line = self._lines.get(connection)
        if line is not None and line.open:
            line.open = False
            self._agenda.at(self._wait_ns(), self._gone, connection)

    def _gone(self, connection: int) -> None:
        line = self._lines.pop(connection, None)
        if line is not None:
            line.person.closed(connection)

    def cut(self, connection: int) -> None:
        """A connection breaks: both sides learn of it."""
        line = self._lines.get(connection)
        if line is not None and line.open:
            if line.node.life == line.life:
                line.node.happen(ev.Lost(connection))
            self.close(connection)

    def cut_all(self) -> int:
        """Every connection breaks; return how many did."""
        open_ones = [number for number, line in self._lines.items() if line.open]
        for connection in open_ones:
            self.cut(connection)
        return len(open_ones)

    def hang_up(self, connection: int) -> None:
        """The client closes its connection: it hears nothing more."""
        line = self._lines.pop(connection, None)
        if line is not None and line.open and line.node.life == line.life:
            self._agenda.after(_LATENCY_NS, self._hung_up, line, connection)

    @staticmethod
    def _hung_up(line: _Line, connection: int) -> None:
        if line.node.life == line.life:
            line.node.happen(ev.Lost(connection))

    def close_all(self, node: str, *, told: bool) -> None:
        """The process or its core is gone, and with it what its clients were connected to."""
        for connection, line in list(self._lines.items()):
            if line.node.name == node and line.open:
                if told:
                    self.close(connection)
                else:
                    line.open = False
