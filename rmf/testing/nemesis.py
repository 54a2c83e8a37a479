"""What goes wrong, and when: faults begin at random moments, last for a while, and overlap.

Each class of fault is one method, here or, for what disks and members suffer, in `mishaps`; options
name those in play. Every run can be survived, and one that is not has found a bug.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rmf import limits
from rmf.testing.dice import Stream
from rmf.testing.mishaps import Mishaps
from rmf.testing.scenes import Scenes

if TYPE_CHECKING:
    from rmf.testing.cluster import Cluster
    from rmf.testing.node import Node

__all__ = ["Nemesis"]

_MS = limits.MS
_Span = tuple[int, int]
_SILENCE_NS = int(limits.PEER_SILENCE_S_MAX * limits.SECOND)


class Nemesis:
    """`active` False: nothing new goes wrong. `splits_votes`: all election time-outs are equal."""

    def __init__(self, cluster: "Cluster", dice: Stream) -> None:
        self.active = self.splits_votes = False
        self.met = 0
        self._cluster = cluster
        self._dice = dice
        self._names = sorted(cluster.options.faults)
        self._weights = [cluster.options.faults[name] for name in self._names]
        self._cuts: dict[tuple[str, str], int] = {}
        self._changed: set[str] = set()
        self._line_ns = int(cluster.options.line_ms * _MS)
        self._mishaps = Mishaps(cluster, dice, self)
        self._scenes = Scenes(cluster, dice, self)

    def begin(self) -> None:
        """Start."""
        self.active = True
        self._plan()

    def _plan(self) -> None:
        mean_ns = self._cluster.options.fault_every_ms * _MS
        self._cluster.agenda.after(self._dice.wait_ns(mean_ns), self._strike)

    def _strike(self) -> None:
        if not self.active:
            return
        self._plan()
        name = self._dice.choices(self._names, self._weights)[0]
        if self._method(name)():
            self.met += 1
            self._cluster.count(f"fault_{name}")

    def _method(self, name: str) -> Callable[[], bool]:
        for part in (self._mishaps, self._scenes):
            found: Callable[[], bool] | None = getattr(part, name, None)
            if found is not None:
                return found
        own: Callable[[], bool] = getattr(self, f"_{name}")
        return own

    # --- Whom and how long ----------------------------------------------------------------------

    def any_node(self) -> "Node | None":
        """Return some node that is up."""
        up = [x for _, x in sorted(self._cluster.nodes.items()) if x.up]
        return self._dice.choice(up) if up else None

    def _leader(self) -> "Node | None":
        return self._cluster.operators.leader()

    def while_ns(self, low_ms: int, high_ms: int) -> int:
        """Return for how long something is wrong."""
        return self._dice.randint(low_ms, high_ms) * _MS

    # --- Network --------------------------------------------------------------------------------

    def _cut(self, pairs: "set[tuple[str, str]]", for_ns: int) -> bool:
        if not self.active:
            return False
        network, agenda = self._cluster.network, self._cluster.agenda
        for pair in sorted(pairs):
            self._cuts[pair] = self._cuts.get(pair, 0) + 1
            network.cut.add(pair)
            if self._dice.chance(0.7):  # else no node notices that the link is dead
                agenda.after(_SILENCE_NS, self._break, pair, self._cuts[pair])
        agenda.after(for_ns, self._mend, sorted(pairs))
        return bool(pairs)

    def _break(self, pair: tuple[str, str], count: int) -> None:
        if self._cuts.get(pair) == count:
            self._cluster.network.break_silent(*pair)

    def _mend(self, pairs: list[tuple[str, str]]) -> None:
        for pair in pairs:
            left = self._cuts.get(pair, 0) - 1
            if left > 0:
                self._cuts[pair] = left
            else:
                self._cuts.pop(pair, None)
                self._cluster.network.cut.discard(pair)
        for node in self._cluster.nodes.values():
            self._cluster.network.tend(node)

    def _two(self) -> tuple[str, str]:
        one, other = self._dice.sample(sorted(self._cluster.nodes), 2)
        return one, other

    def _cut_one_way(self) -> bool:
        return self._cut({self._two()}, self.while_ns(200, 9_000))

    def _cut_both_ways(self) -> bool:
        one, other = self._two()
        return self._cut({(one, other), (other, one)}, self.while_ns(200, 9_000))

    def _alone(self, name: str) -> set[tuple[str, str]]:
        others = [x for x in self._cluster.nodes if x != name]
        ways = self._dice.choice(("both", "both", "in", "out"))
        pairs = {(name, x) for x in others if ways != "in"}
        return pairs | {(x, name) for x in others if ways != "out"}

    def cut_off(self, name: str, for_ns: int) -> bool:
        """Cut a node off from all others, both ways."""
        others = [x for x in self._cluster.nodes if x != name]
        return self._cut({(name, x) for x in others} | {(x, name) for x in others}, for_ns)

    def mend_all(self) -> None:
        """Have every cut end now."""
        self._cuts.clear()
        self._cluster.network.cut.clear()
        for node in self._cluster.nodes.values():
            self._cluster.network.tend(node)

    def _isolate(self) -> bool:
        name = self._dice.choice(sorted(self._cluster.nodes))
        return self._cut(self._alone(name), self.while_ns(300, 9_000))

    def _isolate_leader(self) -> bool:
        leader = self._leader()
        return leader is not None and self._cut(self._alone(leader.name), self.while_ns(300, 9_000))

    def betray(self) -> None:
        """Something great was begun: now and then the leader is cut off in the middle of it."""
        if self.active and self._dice.chance(0.4):
            self._isolate_leader()

    def _bridge(self) -> bool:
        """Two halves that only one node can reach."""
        names = sorted(self._cluster.nodes)
        self._dice.shuffle(names)
        half = len(names[1:]) // 2
        one, other = names[1 : 1 + half], names[1 + half :]
        pairs = {(a, b) for a in one for b in other} | {(b, a) for a in one for b in other}
        return self._cut(pairs, self.while_ns(500, 9_000))

    def _flap(self) -> bool:
        one, other = self._two()
        for i in range(self._dice.randint(3, 8)):
            pairs, for_ns = {(one, other), (other, one)}, self.while_ns(100, 500)
            self._cluster.agenda.after(i * 700 * _MS, self._cut, pairs, for_ns)
        return True

    def _weather(self, name: str, value: object, for_ns: int) -> bool:
        network, before = self._cluster.network, getattr(self._cluster.network, name)
        if name in self._changed:
            return False
        self._changed.add(name)
        setattr(network, name, value)
        self._cluster.agenda.after(for_ns, self._clear, name, before)
        return True

    def _clear(self, name: str, value: object) -> None:
        self._changed.discard(name)
        if self.active:
            setattr(self._cluster.network, name, value)

    def _loss(self) -> bool:
        return self._weather("loss", self._dice.choice((0.1, 0.3)), self.while_ns(500, 8_000))

    def _doubling(self) -> bool:
        return self._weather("doubling", 0.4, self.while_ns(500, 8_000))

    def _delay(self) -> bool:
        return self._weather("straggling", 0.2, self.while_ns(500, 8_000))

    def _lag(self) -> bool:
        """All that one node says is late."""
        name = self._dice.choice(sorted(self._cluster.nodes))
        lag_ns = self._cluster.network.lag_ns
        lag_ns[name] = self.while_ns(20, 400)
        self._cluster.agenda.after(self.while_ns(500, 6_000), lag_ns.pop, name, None)
        return True

    def _drop_clients(self) -> bool:
        for _, producer in sorted(self._cluster.producers.items()):
            if self._dice.chance(0.2):
                producer.restart()
        return self._cluster.ports.cut_all() > 0

    # --- Processes ------------------------------------------------------------------------------

    def end(self, node: "Node | None", *, power: bool) -> bool:
        """End a process, and have it begun again later; return whether it was up."""
        if node is None or not node.up:
            return False
        node.end(power=power)
        wait_ns = self.while_ns(100, 6_000)
        if self._dice.chance(0.15):
            wait_ns += self.while_ns(5_000, 25_000)
        self._cluster.agenda.after(wait_ns, self._begin, node, power)
        return True

    def _begin(self, node: "Node", power: bool) -> None:
        if not node.up:
            node.begin(new_boot=power)

    def _kill(self) -> bool:
        return self.end(self.any_node(), power=False)

    def _kill_leader(self) -> bool:
        return self.end(self._leader(), power=False)

    def _power_cut(self) -> bool:
        return self.end(self.any_node(), power=True)

    def _all(self, *, power: bool) -> bool:
        return [self.end(x, power=power) for _, x in sorted(self._cluster.nodes.items())] != []

    def _kill_all(self) -> bool:
        return self._all(power=False)

    def _power_cut_all(self) -> bool:
        return self._all(power=True)

    def _pause_one(self, node: "Node | None") -> bool:
        if node is None or not node.running:
            return False
        node.pause()
        for_ns = self._dice.choice((self.while_ns(20, 300), self.while_ns(300, 6_000)))
        self._cluster.agenda.after(for_ns, self._resume, node, node.life)
        return True

    @staticmethod
    def _resume(node: "Node", life: int) -> None:
        if node.life == life:
            node.resume()

    def _pause(self) -> bool:
        return self._pause_one(self.any_node())

    def _pause_leader(self) -> bool:
        return self._pause_one(self._leader())

    def _split_votes(self) -> bool:
        """Chance makes all stand for election at once, again and again."""
        if self.splits_votes:
            return False
        self.splits_votes = True
        self._cluster.agenda.after(self.while_ns(2_000, 6_000), self._unsplit)
        self._cluster.agenda.after(limits.SECOND, self._open_the_vote)
        return True

    def _open_the_vote(self) -> None:
        if self.active:  # not healed meanwhile
            self._kill_leader()

    def _unsplit(self) -> None:
        self.splits_votes = False

    def slow(self, what: str, slow_ms: _Span, for_ms: _Span, normal_ns: int) -> bool:
        """Have something of a node take longer, for a while."""
        node = self.any_node()
        if node is None:
            return False
        part = node.performing.drive if what == "fsync_ns" else node.performing.line
        setattr(part, what, self.while_ns(*slow_ms))
        self._cluster.agenda.after(self.while_ns(*for_ms), setattr, part, what, normal_ns)
        return True

    def _slow_line(self) -> bool:
        return self.slow("line_ns", (1, 400), (1_000, 10_000), self._line_ns)

    def _wall_jump(self) -> bool:
        """The wall clock of a node is set, up to years off (R7)."""
        node = self.any_node()
        if node is not None:
            node.wall_off_ns = self._dice.randint(-60_000_000, 60_000_000) * limits.SECOND
        return node is not None

    # --- The end --------------------------------------------------------------------------------

    def heal(self, left_out: str | None) -> None:
        """From now on nothing is wrong, but that `left_out` is down."""
        self.active = self.splits_votes = False
        self._scenes.end()
        network = self._cluster.network
        network.cut.clear()
        self._cuts.clear()
        network.loss = network.doubling = network.straggling = 0.0
        network.lag_ns.clear()
        for name, node in sorted(self._cluster.nodes.items()):
            performing = node.performing
            performing.drive.fsync_ns = int(self._cluster.options.fsync_ms * _MS)
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
        for node in self._cluster.nodes.values():
            network.tend(node)
