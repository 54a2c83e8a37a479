"""Faults that are made of several steps, each of which waits for what the one before led to.

A member is behind while others lose their disks and are let in again; a leader is ended between
its own fsync of a change of members and the word about it. A scene gives up where what it waits for
does not come about, and puts everything right that it did.
"""

from collections.abc import Callable
from functools import partial

from rmf import limits
from rmf.testing.environment import Environment
from rmf.testing.fault_state import Faults
from rmf.testing.operators import Operators
from rmf.testing.simulated_node import SimulatedNode

__all__ = ["Scenes"]

_ROUND_NS = limits.MS // 4
_PATIENCE_NS = 25 * limits.SECOND
_ALONE_NS = 8 * limits.SECOND
_CUT_MS = (400, 3_000)
_OUT_OF_DATE_MIN = 5  # voters: with fewer, those that are left always know the newest members


class Scenes:
    """Each returns whether it has begun."""

    def __init__(
        self,
        env: Environment,
        nodes: dict[str, SimulatedNode],
        operators: Operators,
        faults: Faults,
    ) -> None:
        self._env = env
        self._nodes = nodes
        self._operators = operators
        self._dice = faults.dice
        self._faults = faults
        self._playing = False

    def end(self) -> None:
        """Break off what is going on."""
        self._playing = False
        for node in self._nodes.values():
            node.barred = False

    # --- Disks are lost while a voter is behind -------------------------------------------------

    def old_acquaintances(self) -> bool:
        """One voter is away; two others lose their disks, one after the other, are let in again and
        then cut off, still behind. All who have everything go down, and who was away is back: it
        knows the others by names that have other disks by now (R28)."""
        voters = sorted(x.name for x in self._env.books.members if x.voter)
        leader = self._operators.leader()
        if self._playing or leader is None or len(voters) < _OUT_OF_DATE_MIN:
            return False
        if not self._operators.sound(_OUT_OF_DATE_MIN):
            return False
        others = [x for x in voters if x != leader.name]
        away, *replaced = self._dice.sample(others, 3)
        self._playing = True
        self._bar(away)
        self._replace(away, replaced, voters)
        return True

    def _bar(self, name: str) -> None:
        node = self._nodes[name]
        node.end(power=True)
        node.barred = True

    def _unbar(self, name: str) -> None:
        node = self._nodes[name]
        node.barred = False
        node.begin(new_boot=True)

    def _replace(self, away: str, replaced: list[str], voters: list[str]) -> None:
        """The next of them loses its disk, and is let in again."""
        if not replaced:
            self._meet_again(away, voters)
            return
        name = replaced[0]
        node = self._nodes[name]
        node.end(power=True)
        node.wipe()
        self._env.count("fault_wipe")
        node.begin(new_boot=True)

        def let_in() -> bool:
            return node.core is not None and node.core.committed.index > 0

        def go_on() -> None:
            self._faults.cut_off(name, 2 * _PATIENCE_NS)
            rest = replaced[1:]
            self._when(self._operators.sound, partial(self._replace, away, rest, voters), away)

        self._when(let_in, go_on, away)

    def _meet_again(self, away: str, voters: list[str]) -> None:
        """Everybody who has everything is gone; the others are there, and can talk."""
        self._env.count("met_again")
        incarnations = {x.incarnation for x in self._env.books.members if x.voter}
        for name in voters:
            node = self._nodes[name]
            if name != away and node.disk.incarnation in incarnations:
                self._bar(name)
        self._faults.mend_all()
        self._unbar(away)
        self._env.agenda.after(_ALONE_NS, self._over)

    def _over(self) -> None:
        if not self._playing:
            return
        self._playing = False
        for name, node in sorted(self._nodes.items()):
            if node.barred:
                self._unbar(name)

    def _give_up(self, away: str) -> None:
        self._playing = False
        self._unbar(away)

    def _when(self, holds: Callable[[], bool], then: Callable[[], None], away: str) -> None:
        """Do this once it holds."""
        end_ns = self._env.agenda.now_ns + _PATIENCE_NS

        def look() -> None:
            if not self._playing:
                return
            if holds():
                then()
            elif self._env.agenda.now_ns < end_ns:
                self._env.agenda.after(_ROUND_NS, look)
            else:
                self._give_up(away)

        look()

    # --- A change of members that is not known --------------------------------------------------

    def torn_change(self) -> bool:
        """A leader is to go: the Entry that says so is on its own disk, and the process ends before
        any client learned of it (R28)."""
        leader = self._operators.leader()
        if leader is None or not self._operators.remove(leader.name):
            return False
        core = leader.core
        assert core is not None
        self._faults.cut_off(leader.name, self._faults.while_ns(*_CUT_MS))
        self._operators.ask_removal()
        index = core.raft.log.last.index
        self._end_once_durable(leader, leader.life, index, 2_000)
        return True

    def _end_once_durable(self, node: SimulatedNode, life: int, index: int, rounds: int) -> None:
        if node.life != life or not self._faults.active:
            return
        if node.disk.last_durable.index >= index:
            self._faults.end(node, power=False)
        elif rounds:
            again = (node, life, index, rounds - 1)
            self._env.agenda.after(_ROUND_NS, self._end_once_durable, *again)
