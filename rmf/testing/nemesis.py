"""What goes wrong, and when: faults begin at random moments, last for a while, and overlap.

Each class of fault is one method, here or, for what disks and members suffer, in `mishaps`; options
name those in play. Every run can be survived, and one that is not has found a bug.
"""

from collections.abc import Callable, Mapping

from rmf import limits
from rmf.testing.environment import Environment
from rmf.testing.fault_state import Faults
from rmf.testing.mishaps import Mishaps
from rmf.testing.network import Network
from rmf.testing.operators import Operators
from rmf.testing.ports import Ports
from rmf.testing.scenes import Scenes
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.simulated_producers import Producer

__all__ = ["Nemesis"]

_MS = limits.MS


class Nemesis:
    """Plans what goes wrong; `met` counts what came to something."""

    def __init__(
        self,
        env: Environment,
        nodes: dict[str, SimulatedNode],
        network: Network,
        ports: Ports,
        producers: Mapping[str, Producer],
        operators: Operators,
        restored: Callable[[SimulatedNode], None],
    ) -> None:
        self.met = 0
        self._env = env
        self._nodes = nodes
        self._network = network
        self._ports = ports
        self._producers = producers
        self._operators = operators
        self._dice = dice = env.dice.stream("nemesis")
        self._names = sorted(env.options.faults)
        self._weights = [env.options.faults[name] for name in self._names]
        self._changed: set[str] = set()
        self._line_ns = int(env.options.line_ms * _MS)
        self.faults = Faults(env, nodes, network, dice)
        self._cut, self._while_ns = self.faults.cut, self.faults.while_ns
        self._mishaps = Mishaps(env, nodes, network, operators, restored, self.faults)
        self._scenes = Scenes(env, nodes, operators, self.faults)

    def begin(self) -> None:
        """Start."""
        self.faults.active = True
        self._plan()

    def _plan(self) -> None:
        mean_ns = self._env.options.fault_every_ms * _MS
        self._env.agenda.after(self._dice.wait_ns(mean_ns), self._strike)

    def _strike(self) -> None:
        if not self.faults.active:
            return
        self._plan()
        name = self._dice.choices(self._names, self._weights)[0]
        if self._method(name)():
            self.met += 1
            self._env.count(f"fault_{name}")

    def _method(self, name: str) -> Callable[[], bool]:
        for part in (self._mishaps, self._scenes):
            found: Callable[[], bool] | None = getattr(part, name, None)
            if found is not None:
                return found
        own: Callable[[], bool] = getattr(self, f"_{name}")
        return own

    # --- Whom and how long ----------------------------------------------------------------------

    def _leader(self) -> SimulatedNode | None:
        return self._operators.leader()

    # --- Network --------------------------------------------------------------------------------

    def _two(self) -> tuple[str, str]:
        one, other = self._dice.sample(sorted(self._nodes), 2)
        return one, other

    def _cut_one_way(self) -> bool:
        return self._cut({self._two()}, self._while_ns(200, 9_000))

    def _cut_both_ways(self) -> bool:
        one, other = self._two()
        return self._cut({(one, other), (other, one)}, self._while_ns(200, 9_000))

    def _alone(self, name: str) -> set[tuple[str, str]]:
        others = [x for x in self._nodes if x != name]
        ways = self._dice.choice(("both", "both", "in", "out"))
        pairs = {(name, x) for x in others if ways != "in"}
        return pairs | {(x, name) for x in others if ways != "out"}

    def _isolate(self) -> bool:
        name = self._dice.choice(sorted(self._nodes))
        return self._cut(self._alone(name), self._while_ns(300, 9_000))

    def _isolate_leader(self) -> bool:
        leader = self._leader()
        return leader is not None and self._cut(
            self._alone(leader.name), self._while_ns(300, 9_000)
        )

    def betray(self) -> None:
        """Something great was begun: now and then the leader is cut off in the middle of it."""
        if self.faults.active and self._dice.chance(0.4):
            self._isolate_leader()

    def _bridge(self) -> bool:
        """Two halves that only one node can reach."""
        names = sorted(self._nodes)
        self._dice.shuffle(names)
        half = len(names[1:]) // 2
        one, other = names[1 : 1 + half], names[1 + half :]
        pairs = {(a, b) for a in one for b in other} | {(b, a) for a in one for b in other}
        return self._cut(pairs, self._while_ns(500, 9_000))

    def _flap(self) -> bool:
        one, other = self._two()
        for i in range(self._dice.randint(3, 8)):
            pairs, for_ns = {(one, other), (other, one)}, self._while_ns(100, 500)
            self._env.agenda.after(i * 700 * _MS, self._cut, pairs, for_ns)
        return True

    def _weather(self, name: str, value: object, for_ns: int) -> bool:
        network, before = self._network, getattr(self._network, name)
        if name in self._changed:
            return False
        self._changed.add(name)
        setattr(network, name, value)
        self._env.agenda.after(for_ns, self._clear, name, before)
        return True

    def _clear(self, name: str, value: object) -> None:
        self._changed.discard(name)
        if self.faults.active:
            setattr(self._network, name, value)

    def _loss(self) -> bool:
        return self._weather("loss", self._dice.choice((0.1, 0.3)), self._while_ns(500, 8_000))

    def _doubling(self) -> bool:
        return self._weather("doubling", 0.4, self._while_ns(500, 8_000))

    def _delay(self) -> bool:
        return self._weather("straggling", 0.2, self._while_ns(500, 8_000))

    def _lag(self) -> bool:
        """All that one node says is late."""
        name = self._dice.choice(sorted(self._nodes))
        lag_ns = self._network.lag_ns
        lag_ns[name] = self._while_ns(20, 400)
        self._env.agenda.after(self._while_ns(500, 6_000), lag_ns.pop, name, None)
        return True

    def _drop_clients(self) -> bool:
        for _, producer in sorted(self._producers.items()):
            if self._dice.chance(0.2):
                producer.restart()
        return self._ports.cut_all() > 0

    # --- Processes ------------------------------------------------------------------------------

    def _kill(self) -> bool:
        return self.faults.end(self.faults.any_node(), power=False)

    def _kill_leader(self) -> bool:
        return self.faults.end(self._leader(), power=False)

    def _power_cut(self) -> bool:
        return self.faults.end(self.faults.any_node(), power=True)

    def _all(self, *, power: bool) -> bool:
        return [self.faults.end(x, power=power) for _, x in sorted(self._nodes.items())] != []

    def _kill_all(self) -> bool:
        return self._all(power=False)

    def _power_cut_all(self) -> bool:
        return self._all(power=True)

    def _pause_one(self, node: SimulatedNode | None) -> bool:
        if node is None or not node.running:
            return False
        node.pause()
        for_ns = self._dice.choice((self._while_ns(20, 300), self._while_ns(300, 6_000)))
        self._env.agenda.after(for_ns, self._resume, node, node.life)
        return True

    @staticmethod
    def _resume(node: SimulatedNode, life: int) -> None:
        if node.life == life:
            node.resume()

    def _pause(self) -> bool:
        return self._pause_one(self.faults.any_node())

    def _pause_leader(self) -> bool:
        return self._pause_one(self._leader())

    def _split_votes(self) -> bool:
        """Chance makes all stand for election at once, again and again."""
        if self._env.splits_votes:
            return False
        self._env.splits_votes = True
        self._env.agenda.after(self._while_ns(2_000, 6_000), self._unsplit)
        self._env.agenda.after(limits.SECOND, self._open_the_vote)
        return True

    def _open_the_vote(self) -> None:
        if self.faults.active:  # not healed meanwhile
            self._kill_leader()

    def _unsplit(self) -> None:
        self._env.splits_votes = False

    def _slow_line(self) -> bool:
        return self.faults.slow("line_ns", (1, 400), (1_000, 10_000), self._line_ns)

    def _wall_jump(self) -> bool:
        """The wall clock of a node is set, up to years off (R7)."""
        node = self.faults.any_node()
        if node is not None:
            node.wall_off_ns = self._dice.randint(-60_000_000, 60_000_000) * limits.SECOND
        return node is not None

    # --- The end --------------------------------------------------------------------------------

    def heal(self, left_out: str | None) -> None:
        """From now on nothing is wrong, but that `left_out` is down."""
        self.faults.active = self._env.splits_votes = False
        self._scenes.end()
        network = self._network
        self.faults.forget_cuts()
        network.loss = network.doubling = network.straggling = 0.0
        network.lag_ns.clear()
        for name, node in sorted(self._nodes.items()):
            performing = node.performing
            performing.drive.fsync_ns = int(self._env.options.fsync_ms * _MS)
            performing.drive.hangs_until_ns, performing.line.line_ns = 0, self._line_ns
            performing.letters_wait_until_ns = 0
            performing.drive.fails = False
            if name == left_out:
                node.end(power=True)
                node.barred = True
            elif not node.up:
                node.begin(new_boot=False)
            else:
                node.resume()
        for node in self._nodes.values():
            network.tend(node)
