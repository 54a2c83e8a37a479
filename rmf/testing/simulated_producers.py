"""Simulated producers: the real ProducerLog, and a person who reconnects, resends and restarts.

They decide what is sent and when, and where to connect; every seq, resend and outcome is the
library's own work (R32, R33). Whatever outcome comes here, the books are asked for (`watch`).
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rmf import limits
from rmf.client.client_session import ClientSession, refused_by
from rmf.client.producer import ProducerLog
from rmf.core import messages as m
from rmf.errors import Refused
from rmf.testing.environment import Environment
from rmf.testing.ports import Ports
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.workload import datum_of

__all__ = ["Employer", "Producer", "Told"]

_SILENCE_NS = int(limits.OWED_SILENCE_S_MAX * limits.SECOND)
_HELLO_NS = 2 * limits.SECOND
_UNACKED_MAX = 64
_RETRY_NS = 50 * limits.MS


class Told(Protocol):
    """Who hears what producers received."""

    def acked(self, producer: str, run: m.Run) -> None:
        """A producer learned what became of packets."""

    def refused(self, producer: str, exc: Refused, *, by_node: bool) -> None:
        """A producer's library gave up."""


class Producer:
    """One name. `sent` remembers every packet ever sent under a seq, as it was sent, `made` how
    many there are of each datum. `absent`: it is not connected, and does not want to be. `life`
    counts the processes that used the name; `forgotten` is how often the factory had forgotten it
    when the present one began; `strange`: a stranger has used it."""

    def __init__(
        self,
        name: str,
        env: Environment,
        nodes: dict[str, SimulatedNode],
        ports: Ports,
        told: Told,
        forgotten: Mapping[str, int],
    ) -> None:
        self.name = name
        self.log = ProducerLog()
        self.sent: dict[int, list[list[Any]]] = {}
        self.made: dict[str, int] = {}
        self.life = 0
        self.forgotten = 0
        self.strange = False
        self.resting = False
        self.absent = True
        self._env = env
        self._nodes = nodes
        self._ports = ports
        self._told = told
        self._forgotten = forgotten
        self._dice = env.dice.stream(name)
        self._connection: int | None = None
        self._welcome = False
        self._leader: str | None = None
        self._term = 0
        self._number = 0
        self._heard_ns = 0
        self._checking = False
        self._connecting = False
        self._added: deque[tuple[int, int]] = deque()  # up to which seq, and when
        options = env.options
        self._packet = env.workload.packet
        share = options.packets_a_second / max(1, options.producers)
        self._frame_packets = options.frame_packets
        mean = (1 + options.frame_packets) / 2
        self._pause_ns = mean * limits.SECOND / share

    def begin(self) -> None:
        """Start to work."""
        self.absent = False
        self._connect_in(0)
        self._env.agenda.after(self._dice.wait_ns(self._pause_ns), self._work)

    def leave(self) -> None:
        """Hang up, and stay away; what the factory knows of this name stays."""
        self.absent = True
        if self._connection is not None:
            self._ports.hang_up(self._connection)
            self._connection, self._welcome = None, False

    @property
    def settled(self) -> bool:
        """Whether every packet has its outcome."""
        return not self.log.unacked

    def waits_ns(self) -> int:
        """Return for how long the oldest packet without an outcome has been waiting for it."""
        settled = self.log.last_seq - self.log.unacked
        while self._added and self._added[0][0] <= settled:
            self._added.popleft()
        if not self._added or self.absent:
            return 0
        return self._env.agenda.now_ns - self._added[0][1]

    # --- Work -----------------------------------------------------------------------------------

    def _work(self) -> None:
        if not self.resting:
            self._env.agenda.after(self._dice.wait_ns(self._pause_ns), self._work)
            self.work()

    def work(self) -> None:
        """Send some packets more, now."""
        if self.log.epoch and self.log.has_room and self.log.unacked < _UNACKED_MAX:
            self._make(self._dice.randint(1, self._frame_packets))
        self.pump()

    def _make(self, packets: int) -> None:
        now_ns = self._env.agenda.now_ns
        rows = []
        for _ in range(packets):
            self._number += 1
            rows.append(self._packet(self._dice, now_ns, self._term, self._number))
        self.add(rows)

    def add(self, rows: list[list[Any]]) -> int:
        """Number these packets and keep them until they have an outcome; return the first seq."""
        now_ns = self._env.agenda.now_ns
        first = self.log.add(rows, now_ns)
        self._added.append((self.log.last_seq, now_ns))
        for row in rows:
            self.sent.setdefault(row[1], []).append(row)
            datum = datum_of(row)
            self.made[datum] = self.made.get(datum, 0) + 1
        return first

    def pump(self) -> None:
        """Send what may be sent."""
        connection, agenda = self._connection, self._env.agenda
        if connection is None or not self._welcome:
            return
        if self.log.stuck(agenda.now_ns):
            self._reconnect()
            return
        for frame in self.log.frames(agenda.now_ns):
            self._ports.say(connection, frame)
        self._check_later()

    def _check_later(self) -> None:
        due_ns = self.log.due_ns()
        if due_ns is not None:
            self._env.agenda.at(due_ns, self._pump_again, self._connection)
        elif self.log.owed and not self._checking:
            self._checking = True
            self._heard_ns = max(self._heard_ns, self._env.agenda.now_ns)
            self._env.agenda.after(_SILENCE_NS, self._check, self._connection)

    def _pump_again(self, connection: int | None) -> None:
        if connection == self._connection and connection is not None:
            self.pump()

    def _check(self, connection: int | None) -> None:
        """The node owes an answer: is it dead?"""
        self._checking = False
        if connection != self._connection:
            self._check_later()
            return
        if not self.log.owed:
            return
        left_ns = self._heard_ns + _SILENCE_NS - self._env.agenda.now_ns
        if left_ns <= 0:
            self._reconnect()
        else:
            self._checking = True
            self._env.agenda.after(left_ns, self._check, connection)

    # --- Connections ----------------------------------------------------------------------------

    def restart(self) -> None:
        """The process of this producer dies and forgets; another one begins under its name."""
        if self.absent:
            return
        if self._connection is not None:
            self._ports.hang_up(self._connection)
        self.log = ProducerLog()
        self.life += 1
        self.forgotten = self._forgotten.get(self.name, 0)
        self._added.clear()
        self._connection, self._welcome = None, False
        self._env.count("producer_restarted")
        self._connect_in(_RETRY_NS)

    def _connect_in(self, wait_ns: int) -> None:
        if not self._connecting:
            self._connecting = True
            self._env.agenda.after(wait_ns, self._connect)

    def _connect(self) -> None:
        self._connecting = False
        if self._connection is not None or self.absent:
            return
        names = sorted(self._nodes)
        leader, self._leader = self._leader, None
        name = leader if leader in self._nodes else self._dice.choice(names)
        self._connection = self._ports.open(self._nodes[name], self)
        if self._connection is None:
            self._connect_in(int(_RETRY_NS * (0.5 + self._dice.random())))
            return
        self._welcome = False
        self.log.hello_said()
        claim = {"epoch": self.log.claim} if self.log.claim else {}
        hello = ClientSession({"producer": self.name, **claim})
        self._ports.say(self._connection, hello.opening())
        self._env.agenda.after(_HELLO_NS, self._check_welcome, self._connection)

    def _check_welcome(self, connection: int) -> None:
        if connection == self._connection and not self._welcome:
            self._reconnect()

    def _reconnect(self) -> None:
        if self._connection is not None:
            self._ports.hang_up(self._connection)
        self._lost()

    def _lost(self) -> None:
        self._connection, self._welcome = None, False
        self.log.lost()
        self._connect_in(int(_RETRY_NS * (0.2 + self._dice.random())))

    def closed(self, connection: int) -> None:
        """The connection is gone."""
        if connection == self._connection:
            self._lost()

    # --- Answers --------------------------------------------------------------------------------

    def hear(self, connection: int, messages: list[m.Message]) -> None:
        """Take in what the node said."""
        if connection != self._connection:
            return
        self._heard_ns = self._env.agenda.now_ns
        for message in messages:
            if connection == self._connection:
                self._take(message)
        if connection == self._connection:
            self.pump()

    def _take(self, message: m.Message) -> None:
        match message:
            case m.Welcome():
                self._welcomed(message)
            case m.Ack():
                for run in self.log.acked(message):
                    self._told.acked(self.name, run)
            case m.Refuse():
                self._refused(message)
            case m.Error(code="forgotten"):
                self._give_up(refused_by(message), by_node=True)
            case m.Error():
                self._env.count(f"error_{message.code}")
                self._reconnect()
            case m.Goaway():
                self.log.lost()
            case _:
                pass

    def _welcomed(self, welcome: m.Welcome) -> None:
        self._welcome = True
        self._term = welcome.facts["term"]
        try:
            self.log.welcomed(welcome)
        except Refused as exc:
            self._give_up(exc, by_node=False)

    def _give_up(self, exc: Refused, *, by_node: bool) -> None:
        """This process ends, if that is right; what has no outcome is unknown to it (R32)."""
        self._told.refused(self.name, exc, by_node=by_node)
        self._env.count(f"gave_up_{exc.code}")
        self.restart()

    def _refused(self, refuse: m.Refuse) -> None:
        self._env.count(f"refused_{refuse.code}")
        self._leader = refuse.leader
        if not refuse.seq:
            return  # of HELLO: the connection is being closed
        try:
            self.log.refused(refuse, self._env.agenda.now_ns, self._dice.random())
        except Refused as exc:
            self._give_up(exc, by_node=False)
            return
        if refuse.code in {"not_leader", "no_reign", "strike", "stopping"}:
            self._reconnect()


class Employer:
    """Employs producers, by name, for all of a run."""

    def __init__(self, producers: dict[str, Producer], begun: Callable[[str], Producer]) -> None:
        self.producers = producers
        self._begun = begun

    def employ(self, name: str) -> Producer:
        """Have one producer more."""
        producer = self.producers[name] = self._begun(name)
        return producer
