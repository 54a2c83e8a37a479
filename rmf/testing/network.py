"""Messages between nodes: lost, doubled, late, cut one way or both; and the links they travel on.

A link goes one way, as in production (see floor/peer_link): a node that may call is let in by the
very rule of core/raft/greetings, the called node meets it, and learns when it is gone, sooner or
later. What was said on an older link of a peer is dropped once a newer one is up; what was said to
a process that is dead reaches no node. Unlike a stream, a link loses, doubles and reorders:
whatever Raft bears, it has to show here. Where bandwidth is finite (`wires`) it keeps the order.
"""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from rmf import limits
from rmf.core import events as ev
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.raft.greetings import RAFT, Hello, Own, hello_of, refusal_of
from rmf.core.raft.peer_messages import PeerMessage
from rmf.testing.agenda import Agenda
from rmf.testing.dice import Stream
from rmf.testing.disk import SimulatedDisk
from rmf.testing.options import Options
from rmf.testing.ways import Way
from rmf.testing.wires import SimulatedWire

__all__ = ["Caller", "Network", "SimulatedLink"]

_HANDSHAKE_NS = 2 * limits.MS
_STRAGGLE_NS_MAX = 4 * limits.SECOND


class Caller(Protocol):
    """A node, as the network knows it."""

    name: str
    life: int
    disk: SimulatedDisk

    @property
    def running(self) -> bool:
        """Whether its process runs now."""
        ...

    def own(self) -> Own:
        """What it says of itself to others."""
        ...

    def wanted(self) -> dict[str, bytes | None]:
        """Whom it calls, and which incarnation it expects there."""
        ...

    def meet(self, hello: Hello, event: ev.PeerMet) -> None:
        """A link from another node is up."""

    def part(self, name: str) -> None:
        """A link from another node is gone."""

    def knock(self, hello: Hello) -> None:
        """A node called that is not let in."""

    def happen(self, event: ev.Event) -> None:
        """Something happens to it."""


class SimulatedLink:
    """From one process to another. `open` False: nothing more is said on it. `wire`: None where
    bandwidth is unlimited; what left it at `last_ns` or later does not come before."""

    __slots__ = ("called", "called_life", "caller", "caller_life", "last_ns", "open", "wire")

    def __init__(self, caller: Caller, called: Caller, wire: SimulatedWire | None) -> None:
        self.caller, self.called = caller, called
        self.caller_life, self.called_life = caller.life, called.life
        self.open = True
        self.wire = wire
        self.last_ns = 0


class Network:
    """`cut` are the directed pairs between which nothing passes. The weather (`loss`, `doubling`,
    `latency_ns`, `straggling`) may be changed at any time."""

    def __init__(
        self, agenda: Agenda, dice: Stream, options: Options, nodes: Mapping[str, Caller]
    ) -> None:
        self.loss = options.loss
        self.doubling = options.doubling
        self.straggling = options.straggling
        self.latency_ns = int(options.latency_ms * limits.MS)
        self._bytes_a_second = int(options.bandwidth_kib * limits.KIB)
        self.lag_ns: dict[str, int] = {}
        self.cut: set[Way] = set()
        self._nodes = nodes
        self.counts = dict.fromkeys(("sent", "lost", "doubled", "straggled", "stale", "refused"), 0)
        self._agenda = agenda
        self._dice = dice
        self._links: dict[tuple[str, str], SimulatedLink] = {}
        self._dialling: set[tuple[str, str]] = set()

    @property
    def latest_ns(self) -> int:
        """How late a message may be now, at most."""
        straggle_ns = _STRAGGLE_NS_MAX if self.straggling else 0
        return 2 * self.latency_ns + straggle_ns + max(self.lag_ns.values(), default=0)

    # --- Links ----------------------------------------------------------------------------------

    def tend(self, caller: Caller) -> None:
        """See to it that this node calls whom it wants to, and no other."""
        wanted = caller.wanted()
        for (name, to), link in list(self._links.items()):
            if name == caller.name and link.open and link.caller_life == caller.life:
                incarnation = wanted.get(to, b"")
                if to not in wanted or incarnation not in {None, link.called.disk.incarnation}:
                    self._close(link)
        for to in wanted:
            self._dial(caller, to, _HANDSHAKE_NS)

    def _is_up(self, caller: Caller, to: str) -> bool:
        link = self._links.get((caller.name, to))
        return (
            link is not None
            and link.open
            and link.caller_life == caller.life
            and link.called_life == link.called.life
        )

    def _dial(self, caller: Caller, to: str, wait_ns: int) -> None:
        pair = (caller.name, to)
        if pair in self._dialling or self._is_up(caller, to) or to not in self._nodes:
            return
        self._dialling.add(pair)
        wait_ns = int(wait_ns * (0.5 + self._dice.random() / 2))
        self._agenda.after(wait_ns, self._call, caller, to, caller.life, wait_ns)

    def _call(self, caller: Caller, to: str, life: int, waited_ns: int) -> None:
        self._dialling.discard((caller.name, to))
        wanted = caller.wanted()
        if life != caller.life:
            waited_ns = _HANDSHAKE_NS  # another process by now: its first attempt
        if to not in wanted or self._is_up(caller, to):
            return
        if not self._let_in(caller, self._nodes[to], wanted[to]):
            longest_ns = int(limits.RECONNECT_PEER_S_MAX * limits.SECOND)
            least_ns = int(limits.RECONNECT_PEER_S_MIN * limits.SECOND)
            self._dial(caller, to, min(max(2 * waited_ns, least_ns), longest_ns))

    def _let_in(self, caller: Caller, called: Caller, incarnation: bytes | None) -> bool:
        ways = {(caller.name, called.name), (called.name, caller.name)}
        if ways & self.cut or not (called.running and caller.running):
            return False
        hello = hello_of(caller.own(), called.name, incarnation, RAFT)
        if refusal_of(hello, called.own()) is not None:
            self.counts["refused"] += 1
            called.knock(hello)
            return False
        rate = self._bytes_a_second
        wire = SimulatedWire(self._agenda, rate) if rate else None
        self._links[caller.name, called.name] = SimulatedLink(caller, called, wire)
        called.meet(hello, self._met(caller))
        return True

    def _close(self, link: SimulatedLink) -> None:
        """The caller's end is gone; the called node notices it a moment later."""
        if link.open:
            link.open = False
            self._agenda.after(self._delay_ns(link.caller.name), self._part, link)

    def _part(self, link: SimulatedLink) -> None:
        """The called node learns that a link is gone, unless a newer one is up."""
        pair = (link.caller.name, link.called.name)
        if self._links.get(pair) is link and link.called_life == link.called.life:
            del self._links[pair]
            link.called.part(link.caller.name)

    def ended(self, node: Caller, *, told: bool) -> None:
        """A process ended: its system tells the others at once, or it went with its power and they
        notice by silence."""
        for link in list(self._links.values()):
            if link.called is node and link.called_life < node.life and link.open:
                link.open = False
                silence_ns = 0 if told else int(limits.PEER_SILENCE_S_MAX * limits.SECOND)
                self._agenda.after(_HANDSHAKE_NS + silence_ns, self.tend, link.caller)
            if link.caller is node and link.caller_life < node.life and link.open:
                if told:
                    self._close(link)
                else:
                    link.open = False
                    silence_ns = int(limits.PEER_SILENCE_S_MAX * limits.SECOND)
                    self._agenda.after(silence_ns, self._part, link)

    def break_silent(self, one: str, other: str) -> None:
        """These two have been cut off from each other for too long: their links break."""
        for pair in ((one, other), (other, one)):
            link = self._links.get(pair)
            if link is not None and pair in self.cut:
                link.open = False
                self._part(link)
                self.tend(link.caller)

    def met_by(self, node: Caller) -> list[ev.PeerMet]:
        """Return who is linked to this process, for a new core of it."""
        return [
            self._met(x.caller)
            for x in self._links.values()
            if x.called is node and x.called_life == node.life and x.open
        ]

    # --- Messages -------------------------------------------------------------------------------

    def send(self, sender: Caller, to: str, message: PeerMessage) -> None:
        """Carry a message, or not."""
        link = self._links.get((sender.name, to))
        counts = self.counts
        counts["sent"] += 1
        if link is None or not link.open or link.caller_life != sender.life:
            counts["lost"] += 1
            return
        if self.cut and (sender.name, to) in self.cut:
            counts["lost"] += 1
            return
        random = self._dice.random
        if self.loss and random() < self.loss:
            counts["lost"] += 1
            return
        if link.wire is None:
            self._agenda.after(self._delay_ns(sender.name), self._deliver, link, message)
        elif not link.wire.carry(message, partial(self._left, link, message)):
            counts["lost"] += 1
        if self.doubling and random() < self.doubling:
            counts["doubled"] += 1
            self._agenda.after(3 * self._delay_ns(sender.name), self._deliver, link, message)

    def _left(self, link: SimulatedLink, message: PeerMessage) -> None:
        """A message left a wire: it arrives in the order in which it left."""
        link.last_ns = max(link.last_ns, self._agenda.now_ns + self._delay_ns(link.caller.name))
        self._agenda.at(link.last_ns, self._deliver, link, message)

    def _delay_ns(self, sender: str) -> int:
        random = self._dice.random
        delay_ns = int(self.latency_ns * (0.5 + random()))
        if self.straggling and random() < self.straggling:
            self.counts["straggled"] += 1
            delay_ns += int(random() * random() * _STRAGGLE_NS_MAX)
        return delay_ns + self.lag_ns.get(sender, 0)

    def _deliver(self, link: SimulatedLink, message: PeerMessage) -> None:
        called = link.called
        if self._links.get((link.caller.name, called.name)) is not link:
            self.counts["stale"] += 1
            return
        if called.life != link.called_life:
            return
        if self.cut and (link.caller.name, called.name) in self.cut:
            self.counts["lost"] += 1
            return
        called.happen(ev.Heard(link.caller.name, message))

    @staticmethod
    def _met(caller: Caller) -> ev.PeerMet:
        own = caller.own()
        return ev.PeerMet(own.node, own.incarnation, own.client_address, CLUSTER_VERSION, own.line)
