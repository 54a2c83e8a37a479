"""What disks and members suffer: slow, hanging, failing and lying drives, rot, disks that are lost,
members that come back with less than they promised.

What destroys what a node promised happens only while every other voter remembers all
(`Operators.sound`): TigerBeetle calls it an atlas. So every run can be survived.
"""

from collections.abc import Callable

from rmf import limits
from rmf.core.bag import Letter
from rmf.testing.environment import Environment
from rmf.testing.fault_state import Faults
from rmf.testing.network import Network
from rmf.testing.operators import Operators
from rmf.testing.simulated_node import SimulatedNode

__all__ = ["Mishaps"]


class Copy:
    """A node's directory as it was: its disk and its DLQ."""

    def __init__(self, node: SimulatedNode) -> None:
        self.disk = node.disk.copied()
        dlq = node.performing.dlq
        self._letters: dict[str, Letter] = dict(dlq.letters)
        self._cursor: int = dlq.cursor
        self._missing_through: int = dlq.missing_through

    def put_back(self, node: SimulatedNode) -> None:
        """Put it in the place of what the node has now; its process is down."""
        node.disk = self.disk
        dlq = node.performing.dlq
        dlq.letters = self._letters
        dlq.cursor, dlq.missing_through = self._cursor, self._missing_through
        node.performing.disk_replaced()


class Mishaps:
    """Each returns whether it came to anything."""

    def __init__(
        self,
        env: Environment,
        nodes: dict[str, SimulatedNode],
        network: Network,
        operators: Operators,
        restored: Callable[[SimulatedNode], None],
        faults: Faults,
    ) -> None:
        self._env = env
        self._nodes = nodes
        self._network = network
        self._operators = operators
        self._restored = restored
        self._dice = faults.dice
        self._faults = faults

    # --- Drives ---------------------------------------------------------------------------------

    # --- Disks ----------------------------------------------------------------------------------

    def slow_disk(self) -> bool:
        """Fsyncs of a node take long."""
        normal_ns = int(self._env.options.fsync_ms * limits.MS)
        return self._faults.slow("fsync_ns", (10, 200), (500, 8_000), normal_ns)

    def hanging_disk(self) -> bool:
        """An fsync of a node does not return for a while."""
        node = self._faults.any_node()
        if node is None:
            return False
        until_ns = self._env.agenda.now_ns + self._faults.while_ns(300, 5_000)
        node.performing.drive.hangs_until_ns = until_ns
        return True

    def stalled_letters(self) -> bool:
        """The DLQ of a node takes no letters for a while."""
        node = self._faults.any_node()
        if node is None:
            return False
        until_ns = self._env.agenda.now_ns + self._faults.while_ns(2_000, 20_000)
        node.performing.letters_wait_until_ns = until_ns
        return True

    def failing_disk(self) -> bool:
        """The next write of a node fails."""
        node = self._faults.any_node()
        if node is None or node.disk.broken:
            return False
        node.performing.drive.fails = True
        return True

    def _victim(self) -> SimulatedNode | None:
        """A voter whose disk may be lost now."""
        if not self._operators.sound():
            return None
        voters = [x.name for x in self._env.books.members if x.voter]
        return self._nodes[self._dice.choice(sorted(voters))]

    def lost_tail(self) -> bool:
        """A drive that lied about its flushes loses its power, and the last Entries with it. Every
        other voter has them, so the cluster has lost nothing; this node acked what it has not."""
        node = self._victim()
        if node is None or not node.up:
            return False
        lost = node.disk.tail(self._dice.randint(1, 8))
        while lost and not self._others_have(node, lost[0].index, lost[0].chain):
            lost.pop(0)
        if not lost or not self._others_have(node, lost[-1].index, lost[-1].chain):
            return False
        self._faults.end(node, power=True)
        node.disk.lose_from(lost[0].serial)
        return True

    def _others_have(self, node: SimulatedNode, index: int, chain: bytes) -> bool:
        voters = [x.name for x in self._env.books.members if x.voter and x.name != node.name]
        return all(self._nodes[x].disk.holds(index, chain) for x in voters)

    def restored_copy(self) -> bool:
        """An operator puts an older copy of a member's directory in its place: it knows neither the
        Entries that it acked since nor its votes. No node stands for election in those terms any
        more, and every other voter has the Entries: the cluster has lost nothing."""
        node = self._victim()
        if node is None or not node.up:
            return False
        wait_ns = self._faults.while_ns(1_000, 15_000)
        self._env.agenda.after(wait_ns, self._restore, node, Copy(node))
        return True

    def _restore(self, node: SimulatedNode, copy: "Copy") -> None:
        if not self._faults.active or not self._may_restore(node, copy):
            return
        self._env.count("restored")
        node.end(power=False)
        copy.put_back(node)
        self._restored(node)
        node.begin(new_boot=False)

    def _may_restore(self, node: SimulatedNode, copy: "Copy") -> bool:
        operators, nodes = self._operators, self._nodes
        leader = operators.leader()
        if not operators.sound() or leader is None or leader is node or self._network.cut:
            return False
        if copy.disk.incarnation != node.disk.incarnation or not node.up:
            return False
        terms = {x.core.raft.term for x in nodes.values() if x.core is not None}
        down = any(not x.running for x in nodes.values() if x.founded)
        last = node.disk.last_durable
        return len(terms) == 1 and not down and self._others_have(node, last.index, last.chain)

    def rot(self) -> bool:
        """A bit of the ledger flips; it is found when the node reads it next, at its start."""
        node = self._victim()
        if node is None or not node.disk.records:
            return False
        self._faults.end(node, power=self._dice.chance(0.5))
        serials = [x.serial for x in node.disk.records]
        return bool(serials) and node.disk.rot(self._dice.choice(serials))

    def rotten_checkpoint(self) -> bool:
        """The newest of two Checkpoints goes bad; the one before it still serves."""
        node = self._faults.any_node()
        if node is None or len(node.disk.checkpoints) < limits.CHECKPOINTS_KEPT:
            return False
        disk = node.disk
        if any(x.rotten for x in disk.checkpoints):
            return False
        disk.checkpoints[-1] = disk.checkpoints[-1]._replace(rotten=True)
        return self._faults.end(node, power=False)

    def wipe(self) -> bool:
        """A whole disk is lost; the node comes back with an empty one."""
        node = self._victim()
        if node is None:
            return False
        self._faults.end(node, power=True)
        if node.up:
            return False
        node.wipe()
        return True
