"""People who pass by a factory whose producers' table has few places (R32, R33).

Each comes under a name of its own, sends some packets or none, and hangs up: some before they hear
of an outcome. Later some come back as if nothing had been, while others have taken their places;
and now and then a stranger says HELLO and BYE under the name of one who is away. They know what a
producer knows; that no packet is latched twice, and that no producer learns without a reason that
it was forgotten, `audit` and `promises` see to.
"""

from collections.abc import Callable

from rmf import limits
from rmf.client.client_session import ClientSession
from rmf.core import codec
from rmf.core import messages as m
from rmf.testing.environment import Environment
from rmf.testing.ports import Ports
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.simulated_producers import Employer, Producer

__all__ = ["Passers"]

_COME_NS = 400 * limits.MS  # between two of them
_STAY_NS = 300 * limits.MS
_AWAY_NS = 4 * limits.SECOND


class Passers:
    """Comes to life where the table has `places`; 0: none passes by."""

    def __init__(
        self,
        env: Environment,
        employer: Employer,
        ports: Ports,
        leader: Callable[[], SimulatedNode | None],
        places: int,
    ) -> None:
        self._env = env
        self._employer = employer
        self._ports = ports
        self._leader = leader
        self._dice = env.dice.stream("passers")
        self._places = places
        self._number = 0

    def begin(self) -> None:
        """Let them come, if there are to be any."""
        if self._places:
            self._later(_COME_NS, self._come)

    def _later(self, mean_ns: int, call: Callable[..., object], *args: object) -> None:
        self._env.agenda.after(self._dice.wait_ns(mean_ns), call, *args)

    def _come(self) -> None:
        if self._env.resting:
            return
        self._later(_COME_NS, self._come)
        self._env.count("passer")
        self._number += 1
        passer = self._employer.employ(f"passer-{self._number}")
        passer.resting = True  # it sends on demand
        passer.begin()
        self._later(_STAY_NS, self._send, passer)

    def _send(self, passer: Producer) -> None:
        """Send something, or nothing; go at once, or with what there is to hear."""
        if self._dice.chance(0.7):
            passer.work()
        self._later(self._dice.choice((limits.MS, _STAY_NS)), self._go, passer)

    def _go(self, passer: Producer) -> None:
        passer.leave()
        if self._dice.chance(0.3):
            self._later(_AWAY_NS // 2, self._come_as, passer)
        self._later(_AWAY_NS, self._come_back, passer)

    def _come_as(self, passer: Producer) -> None:
        _Stranger(self._env, self._ports, self._leader(), passer)

    def _come_back(self, passer: Producer) -> None:
        """Come back for what it has not heard of; who has heard of all is done."""
        if not passer.settled:
            self._env.count("passer_back")
            passer.begin()


class _Stranger:
    """A client says HELLO under the name of one who is away, as if it were to be forgotten soon."""

    name = ""

    def __init__(
        self, env: Environment, ports: Ports, node: SimulatedNode | None, passer: Producer
    ) -> None:
        self._env = env
        self._ports = ports
        self._passer = passer
        self._connection = None if node is None else ports.open(node, self)
        if self._connection is None or not passer.absent:
            return
        passer.strange = True
        env.count("stranger")
        hello = ClientSession({"producer": passer.name, "ephemeral": True})
        ports.say(self._connection, hello.opening())

    def hear(self, connection: int, messages: list[m.Message]) -> None:
        """Once it is welcome, it goes."""
        ports, agenda = self._ports, self._env.agenda
        for message in messages:
            if isinstance(message, m.Welcome):
                ports.say(connection, codec.encode(m.Bye()))
            agenda.after(_STAY_NS, ports.hang_up, connection)

    def closed(self, connection: int) -> None:
        """It was going anyway."""
