"""How things go wrong for a while, whatever plans it: cuts, ends of processes, what is slow.

Each comes to an end by itself; what is planned, and when, say `nemesis`, `mishaps` and `scenes`.
"""

from rmf import limits
from rmf.testing.dice import Stream
from rmf.testing.environment import Environment
from rmf.testing.network import Network
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.ways import around

__all__ = ["Faults"]

_MS = limits.MS
_Span = tuple[int, int]
_SILENCE_NS = int(limits.PEER_SILENCE_S_MAX * limits.SECOND)


class Faults:
    """`active` False: nothing new goes wrong. `dice` decides all that goes wrong."""

    def __init__(
        self, env: Environment, nodes: dict[str, SimulatedNode], network: Network, dice: Stream
    ) -> None:
        self.active = False
        self._env = env
        self._nodes = nodes
        self._network = network
        self.dice = dice
        self._cuts: dict[tuple[str, str], int] = {}

    def any_node(self) -> SimulatedNode | None:
        """Return some node that is up."""
        up = [x for _, x in sorted(self._nodes.items()) if x.up]
        return self.dice.choice(up) if up else None

    def while_ns(self, low_ms: int, high_ms: int) -> int:
        """Return for how long something is wrong."""
        return self.dice.randint(low_ms, high_ms) * _MS

    # --- Network -----------------------------------------------------------------------------

    def cut(self, pairs: "set[tuple[str, str]]", for_ns: int) -> bool:
        """Cut these pairs, by direction, for so long; return whether there were any."""
        if not self.active:
            return False
        network, agenda = self._network, self._env.agenda
        for pair in sorted(pairs):
            self._cuts[pair] = self._cuts.get(pair, 0) + 1
            network.cut.add(pair)
            if self.dice.chance(0.7):  # else no node notices that the link is dead
                agenda.after(_SILENCE_NS, self._break, pair, self._cuts[pair])
        agenda.after(for_ns, self._mend, sorted(pairs))
        return bool(pairs)

    def _break(self, pair: tuple[str, str], count: int) -> None:
        if self._cuts.get(pair) == count:
            self._network.break_silent(*pair)

    def _mend(self, pairs: list[tuple[str, str]]) -> None:
        for pair in pairs:
            left = self._cuts.get(pair, 0) - 1
            if left > 0:
                self._cuts[pair] = left
            else:
                self._cuts.pop(pair, None)
                self._network.cut.discard(pair)
        for node in self._nodes.values():
            self._network.tend(node)

    def cut_off(self, name: str, for_ns: int) -> bool:
        """Cut a node off from all others, both ways."""
        return self.cut(around(name, self._nodes), for_ns)

    def forget_cuts(self) -> None:
        """Have every cut end now; those who were cut off have not noticed yet."""
        self._cuts.clear()
        self._network.cut.clear()

    def mend_all(self) -> None:
        """Have every cut end now."""
        self.forget_cuts()
        for node in self._nodes.values():
            self._network.tend(node)

    # --- Processes ---------------------------------------------------------------------------

    def end(self, node: SimulatedNode | None, *, power: bool) -> bool:
        """End a process, and have it begun again later; return whether it was up."""
        if node is None or not node.up:
            return False
        node.end(power=power)
        wait_ns = self.while_ns(100, 6_000)
        if self.dice.chance(0.15):
            wait_ns += self.while_ns(5_000, 25_000)
        self._env.agenda.after(wait_ns, self._begin, node, power)
        return True

    def _begin(self, node: SimulatedNode, power: bool) -> None:
        if not node.up:
            node.begin(new_boot=power)

    def slow(self, what: str, slow_ms: _Span, for_ms: _Span, normal_ns: int) -> bool:
        """Have something of a node take longer, for a while."""
        node = self.any_node()
        if node is None:
            return False
        part = node.performing.drive if what == "fsync_ns" else node.performing.line
        setattr(part, what, self.while_ns(*slow_ms))
        self._env.agenda.after(self.while_ns(*for_ms), setattr, part, what, normal_ns)
        return True
