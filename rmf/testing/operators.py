"""Simulated operators: who repairs, changes members, hands over, asks for Checkpoints, stops
nodes.

They do what people would do by what they can see, through the same events that rmf-admin leads to.
One hand at a time: while something is impaired that only another copy can mend, they change
nothing else (`sound`); so a run stays one that can be survived, and what the nemesis asks before
it destroys anything is asked here.
"""

from collections.abc import Callable

from rmf import limits
from rmf.core import events as ev
from rmf.core.raft.quorum import majority
from rmf.testing.environment import Environment
from rmf.testing.simulated_node import SimulatedNode

__all__ = ["Operators"]

_ROUND_NS = 500 * limits.MS
_STRIKE_NS = 4 * limits.SECOND


class Operators:
    """`changes` False: they only repair. `betray` is called amid a change of members."""

    def __init__(self, env: Environment, nodes: dict[str, SimulatedNode]) -> None:
        self.changes = True
        self.betray: Callable[[], None] = lambda: None
        self._env = env
        self._nodes = nodes
        self._dice = env.dice.stream("operators")
        self._leaving: str | None = None
        self._joining: set[str] = set()
        self._striking: dict[str, int] = {}
        self._requests = 0
        self._voters_min = min(3, env.options.nodes)  # before one is removed

    def begin(self) -> None:
        """Start to work."""
        options, agenda = self._env.options, self._env.agenda
        agenda.after(_ROUND_NS, self._round)
        agenda.after(self._dice.wait_ns(options.checkpoint_every_ms * limits.MS), self._checkpoint)
        agenda.after(self._dice.wait_ns(options.act_every_ms * limits.MS), self._act)

    # --- What they can see ----------------------------------------------------------------------

    def leader(self) -> SimulatedNode | None:
        """Return the node that reigns and knows it, of several the one of the highest term."""
        found = [x for x in self._nodes.values() if x.running and x.core and x.core.reigns]
        return max(found, key=lambda x: x.core.raft.term if x.core else 0, default=None)

    def sound(self, voters_min: int = 3) -> bool:
        """Return whether every voter remembers all it promised, no change of members is under way,
        and there are voters enough: then one disk may be lost."""
        books, nodes = self._env.books, self._nodes
        voters = [x for x in books.members if x.voter]
        if len(voters) < voters_min:
            return False
        for member in voters:
            node = nodes[member.name]
            if node.disk.incarnation != member.incarnation or not node.whole:
                return False
        written = [books.known[nodes[x.name].disk.last_written.chain] for x in voters]
        return all(x.members == books.members or x.index < books.index for x in written)

    def is_member(self, node: SimulatedNode) -> bool:
        """Return whether this very disk belongs to a member."""
        return any(
            x.name == node.name and x.incarnation == node.disk.incarnation
            for x in self._env.books.members
        )

    # --- Repairs --------------------------------------------------------------------------------

    def _round(self) -> None:
        self._env.agenda.after(_ROUND_NS, self._round)
        for name in sorted(self._nodes):
            self._look_after(self._nodes[name])
        self._finish_leaving()

    def _look_after(self, node: SimulatedNode) -> None:
        if not node.up or node.paused:
            return
        if not node.founded and (self._is_named(node) or node.name in self._joining):
            self._ask("admin.add", node=node.name, peer_address=node.name)
        fault = node.core.strike if node.core is not None else None
        if fault is None or fault[0] == "no_reign":
            self._striking.pop(node.name, None)
            return
        since_ns = self._striking.setdefault(node.name, self._env.agenda.now_ns)
        if self._env.agenda.now_ns - since_ns >= _STRIKE_NS:
            self._end_strike(node, fault[0])

    def _is_named(self, node: SimulatedNode) -> bool:
        """Whether the ledger names a member that lost its disk, and this is the new one."""
        return any(x.name == node.name for x in self._env.books.members)

    def _end_strike(self, node: SimulatedNode, kind: str) -> None:
        """What an order began, an order ends; else the process is begun again."""
        del self._striking[node.name]
        self._env.count("strike_ended")
        if kind == "admin":
            node.happen(ev.Asked(0, self._request(), "admin.strike", args={"end": True}))
            return
        node.end(power=False)
        node.begin(new_boot=False)

    # --- Acts -----------------------------------------------------------------------------------

    def _request(self) -> int:
        self._requests += 1
        return self._requests

    def _ask(self, subject: str, **args: object) -> None:
        leader = self.leader()
        if leader is not None:
            leader.happen(ev.Asked(0, self._request(), subject, args=args))

    def _checkpoint(self) -> None:
        options, agenda = self._env.options, self._env.agenda
        agenda.after(self._dice.wait_ns(options.checkpoint_every_ms * limits.MS), self._checkpoint)
        for name in sorted(self._nodes):
            node = self._nodes[name]
            if node.running and self._dice.chance(0.7):
                node.happen(ev.CheckpointAsked())

    def _act(self) -> None:
        options, agenda = self._env.options, self._env.agenda
        agenda.after(self._dice.wait_ns(options.act_every_ms * limits.MS), self._act)
        if not self.changes:
            return
        kind = self._dice.choice(
            ("transfer", "transfer", "stop", "stop", "add", "remove", "strike")
        )
        if kind == "transfer":
            self._transfer()
        elif kind == "stop":
            self._stop()
        elif kind == "add":
            self._add()
        elif kind == "strike":
            self._strike()
        else:
            self._remove()

    def _strike(self) -> None:
        """Take one node out of work for a while."""
        running = [x for _, x in sorted(self._nodes.items()) if x.running and x.core]
        if running:
            node = self._dice.choice(running)
            node.happen(ev.Asked(0, self._request(), "admin.strike", args={"why": "a fan"}))

    def _transfer(self) -> None:
        members = self._env.books.members
        if members:
            self._env.count("transfer_asked")
            self._ask("admin.transfer", node=self._dice.choice(members).name)

    def hand_over(self, names: list[str]) -> str:
        """Have the leader hand over to one of these; return which."""
        name = self._dice.choice(names)
        self._env.count("hand_over_asked")
        self._ask("admin.transfer", node=name)
        return name

    def _stop(self) -> None:
        """A rolling restart, one node of it."""
        running = [x for _, x in sorted(self._nodes.items()) if x.running and x.core]
        if running:
            node = self._dice.choice(running)
            self._env.count("stop_asked")
            node.happen(ev.StopAsked())
            wait_ns = self._dice.randint(500, 4_000) * limits.MS
            self._env.agenda.after(10 * limits.SECOND, self._kill_stopping, node, node.life)
            self._env.agenda.after(wait_ns, self.bring_back, node)

    def _kill_stopping(self, node: SimulatedNode, life: int) -> None:
        if node.life == life and node.up:
            self._env.count("stop_overdue")
            node.end(power=False)
            self.bring_back(node)

    def bring_back(self, node: SimulatedNode) -> None:
        """Start a process that is down, once it is."""
        if not node.up:
            node.begin(new_boot=False)
        else:
            self._env.agenda.after(limits.SECOND, self._bring_back_later, node, node.life)

    def _bring_back_later(self, node: SimulatedNode, life: int) -> None:
        if not node.up and node.life == life + 1:
            node.begin(new_boot=False)

    def _strangers(self) -> list[SimulatedNode]:
        """Return the nodes that belong to no cluster, but would like to."""
        return [x for _, x in sorted(self._nodes.items()) if x.up and not x.founded]

    def _add(self) -> None:
        strangers = self._strangers()
        if strangers and self.sound(1) and len(self._env.books.members) < 5:
            self._env.count("add_asked")
            self._joining.add(self._dice.choice(strangers).name)

    def _remove(self) -> None:
        """Remove a member, maybe the leader."""
        if self._env.books.members:
            self.remove(self._dice.choice(self._env.books.members).name)

    def remove(self, name: str) -> bool:
        """Let a member go, if it can be spared; its disk is emptied, and it may join again."""
        if self._leaving is not None or self._joining or not self.sound(self._voters_min):
            return False
        self._leaving = name
        self._env.count("remove_asked")
        return True

    def ask_removal(self) -> None:
        """Give the order to remove who is to go."""
        if self._leaving is not None:
            self._ask("admin.remove", node=self._leaving)

    def _finish_leaving(self) -> None:
        members = {x.name for x in self._env.books.members if x.voter}
        self._joining -= members
        name = self._leaving
        if name is None:
            return
        if any(x.name == name for x in self._env.books.members):
            if self.changes and self.sound(self._voters_min):
                self.ask_removal()
                self.betray()
                for stranger in self._strangers():  # one change at a time: this is refused
                    self._ask("admin.add", node=stranger.name, peer_address=stranger.name)
            else:
                self._leaving = None
            return
        self._leaving = None
        self._env.count("removed")
        node = self._nodes[name]
        node.end(power=False)
        node.wipe()
        node.begin(new_boot=False)

    @property
    def majority(self) -> int:
        """How many voters are a majority now."""
        return majority(sum(x.voter for x in self._env.books.members))
