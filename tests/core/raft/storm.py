"""A cluster of bare cores in a storm: one seed decides sizes, delays, faults and what people ask.

The network loses, duplicates, reorders and cuts one way; disks are slow, hang and lose what was not
synced, in the middle of a write too; nodes die and come back, members come and go, Checkpoints let
the ledger go, a ledger is lost. Then the sky clears: within SECONDS_TO_HEAL everybody has all.
"""

from random import Random

from rmf.core.effects import Effect
from rmf.core.entry import Member
from rmf.core.raft.raft_node import Raft
from rmf.testing.ways import apart
from tests.core.raft.entries_kit import MS, member
from tests.core.raft.node_kit import Sent
from tests.core.raft.timed_kit import TimedCluster

SECONDS_TO_HEAL = 10
NAMES = ["n1", "n2", "n3", "n4", "n5", "n6", "n7"]


class Storm(TimedCluster):
    """`run` it for a time, then `clear`."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        voters = NAMES[: self.random.choice([1, 2, 3, 3, 3, 5])]
        super().__init__(" ".join(voters), self.random.random)
        self.found_by_entry()
        self.stormy = True
        self.loss = self.random.choice([0, 0.01, 0.1])
        self.violence = self.random.choice([1, 2, 6])
        self.calm_ms = self.random.choice([8, 25])
        self.pieces.entries = self.random.choice([1, 3, 100])
        self.damages = self.random.random() < 0.3
        self.facts = dict.fromkeys(["proposed", "crashes", "reads", "changes", "repairs"], 0)
        self._proposed = 0

    # --- What cores want ------------------------------------------------------------------------

    def delay_ns(self) -> int:
        if self.stormy and self.random.random() < 0.02:
            return self.random.randrange(300 * MS)
        return self.random.randrange(MS // 20, 2 * MS)

    def write_ns(self) -> int:
        if self.stormy and self.random.random() < 0.01:
            return self.random.randrange(600 * MS)
        return self.random.randrange(MS // 10, 3 * MS)

    def on_written(self, name: str) -> None:
        """One fsync may cover a few writes."""
        waiting = self.nodes[name].disk.waiting
        for _ in range(self.random.randint(1, len(waiting)) - 1 if waiting else 0):
            self.nodes[name].disk.write_one()
        super().on_written(name)

    def on_sent(self, sent: Sent) -> None:
        copies = 1
        if self.stormy:
            copies = 0 if self.random.random() < self.loss else 1 + (self.random.random() < 0.02)
        for _ in range(copies):
            self.carry(sent, self.delay_ns())

    def on_asked(self, name: str, wait_ns: int) -> None:
        super().on_asked(name, wait_ns + self.delay_ns())

    def on_doubt(self, name: str) -> None:
        raise AssertionError(f"{name} takes its ledger for damaged, and nothing damaged it")

    # --- What happens ---------------------------------------------------------------------------

    def storm(self, ms: float) -> None:
        until = self.now_ns + int(ms * MS)
        while self.now_ns < until:
            self.run(self.random.expovariate(1 / self.calm_ms))
            self.random.choice([self.work] * 6 + [self.trouble] * self.violence + [self.order])()

    def work(self) -> None:
        """Propose, or read."""
        leads = [x for x in self.running() if self.core(x).may_propose]
        if not leads:
            return
        name = self.random.choice(leads)
        for _ in range(self.random.choice([1, 1, 3, 20])):
            if self.core(name).may_propose:
                self._proposed += 1
                self.facts["proposed"] += 1
                self.propose(name, str(self._proposed))
        if name in self.running():
            self.step(name, self._ask)

    def _ask(self, raft: Raft) -> list[Effect]:
        """A read sees everything that anybody knew to be committed when it was asked."""
        leads = raft.leadership
        if leads is None or not leads.reads.add(self.laws.commit):
            return []
        return leads.begin_reads(self.now_ns)

    def on_step(self, name: str) -> None:
        leads = self.core(name).leadership
        if leads is None:
            return
        for least, index in leads.confirmed_reads():
            assert isinstance(least, int)
            assert index >= least, f"{name} confirms a read at {index}, {least} was committed"
            self.facts["reads"] += 1
        self.perform(name, leads.begin_reads(self.now_ns))

    def trouble(self) -> None:
        kinds = ["crash", "start", "start", "cut", "cut", "heal", "heal", "damage", "part"]
        kind = self.random.choice(kinds)
        # Leaders are where it hurts.
        leads = [x for x in self.running() if self.core(x).leadership is not None]
        name = self.random.choice([*leads, *self.nodes])
        if kind == "crash" and name in self.running():
            self.facts["crashes"] += 1
            self.crash(name, kept=self.random.randrange(4))
            if self.random.random() < 0.7:
                self.lose_link(name)
        elif kind == "start" and name not in self.running():
            self.start(name)
        elif kind == "cut":
            self.cut.add((name, self.random.choice(list(self.nodes))))
        elif kind == "heal":
            self.cut.clear()
        elif kind == "part":
            rest = [x for x in self.nodes if x != name]
            side = {name, *self.random.sample(rest, self.random.randint(0, len(rest) // 2))}
            self.cut = apart(self.nodes, side, self.nodes.keys() - side)
        elif kind == "damage" and self.damages and self._may_lose(name):
            self.facts["repairs"] += 1
            self.crash(name)
            self.laws.counts_disks = False
            self.nodes[name].set_aside()
            self.start(name)

    def _may_lose(self, name: str) -> bool:
        """Two lost ledgers at once are more than three nodes can bear; one alone is not."""
        leads = [x for x in self.running() if self.core(x).may_change_members]
        if len(leads) != 1 or not all(self._is_whole(x) for x in self.nodes):
            return False
        voters = self.core(leads[0]).membership.voters
        return name in voters and len(voters) >= 3

    def _is_whole(self, name: str) -> bool:
        raft = self.nodes[name].raft
        return raft.whole if raft is not None else not self.nodes[name].disk.repairing

    def order(self) -> None:
        """What operators do: transfer, add, remove, promote; and Checkpoints."""
        for name in self.running():
            if self.random.random() < 0.3:
                self.checkpoint(name, purge=self.random.random() < 0.7)
        leads = [x for x in self.running() if self.core(x).may_change_members]
        if not leads:
            return
        name = self.random.choice(leads)
        raft = self.core(name)
        if self.random.random() < 0.3:
            self.step(name, self._transfer)
            return
        changed = self._changed(list(raft.members))
        if changed is not None:
            self.facts["changes"] += 1
            self.change(name, changed)

    def _transfer(self, raft: Raft) -> list[Effect]:
        assert raft.leadership is not None
        target = self.random.choice(raft.membership.others(raft.name) or [raft.name])
        raft.leadership.handover.begin(target, self.now_ns)
        return raft.leadership.handover.hand_over()

    def _changed(self, members: list[Member]) -> list[Member] | None:
        learners = [x for x in members if not x.voter]
        if learners and self.random.random() < 0.7:
            one = self.random.choice(learners)
            return [member(x.name) if x is one else x for x in members]
        new = [x for x in NAMES if x not in {m.name for m in members}]
        # A name that was removed stays away: who comes back has another incarnation (R28).
        new = [x for x in new if x not in self.nodes]
        if new and len(members) < 5 and self.random.random() < 0.5:
            return [*members, member(new[0], voter=False)]
        # Whoever removes a voter while another one repairs itself may be left without a majority.
        healthy = all(self._is_whole(x) for x in self.nodes)
        if healthy and len(members) > 3 and self.random.random() < 0.5:
            gone = self.random.choice(members)
            left = [x for x in members if x is not gone]
            return left if any(x.voter for x in left) else None
        return None

    # --- Afterwards -----------------------------------------------------------------------------

    def clear(self) -> None:
        """End all trouble; then everybody must agree on everything, and go on working."""
        self.stormy = False
        self.cut.clear()
        for name in self.nodes:
            if name not in self.running():
                self.start(name)
        self._get_well()
        self.propose(self.leader(), "afterwards")
        self._get_well()

    def _get_well(self) -> None:
        for _ in range(SECONDS_TO_HEAL * 10):
            self.run(100)
            if self._is_well():
                return
        raise AssertionError(f"not healed within {SECONDS_TO_HEAL} s: {self.picture()}")

    def _is_well(self) -> bool:
        leads = [x for x in self.running() if self.core(x).leadership is not None]
        if len(leads) != 1 or not self.core(leads[0]).may_propose:
            return False
        raft = self.core(leads[0])
        mark = raft.log.last.index
        there = [self.nodes[x.name] for x in raft.members]
        return raft.log.commit == mark and all(
            x.applied.index == mark and x.core.whole and x.core.leader == leads[0] for x in there
        )

    def picture(self) -> str:
        return "; ".join(
            f"{x.name} "
            + (
                f"{x.raft.role} term {x.raft.term} log {x.raft.log.base.index}"
                f"..{x.raft.log.last.index} commit {x.raft.log.commit} whole {x.raft.whole}"
                if x.raft
                else "down"
            )
            for x in self.nodes.values()
        )
