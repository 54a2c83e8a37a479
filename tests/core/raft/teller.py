"""A cluster that tells what happens in it, driven by commands in text.

    nodes n1 n2 n3?          the members; a question mark is a learner's; before anything else
    log n1 1 1 2 term=3      what is on the disk of a node; also voted=, commit=
    start [n1 …]             start nodes, all if none is named
    campaign n1 · propose n1 a b · members n1 n1 n2 n4? · transfer n1 n2 · checkpoint n1
    read n1 a · confirmed n1 · compact n1 (memory lets go of what is applied)
    silent                   new leaders write no first Entry by themselves
    time 50 [n1 …]           let so many ms go by, and beat (all, if none is named)
    settle                   deliver, sync and serve until nothing is left
    sync n1 [writes] · deliver n1>n2 · drop n1>n2 · serve n1     by hand: all of that kind there is
    cut n1>n2 … · heal · crash n1 [kept] · restart n1 · lost n1 (its links break)
    damage n1 (its ledger is set aside) · spoil n1 2 (its Entry 2 is another) · fill n1 (a window)
    status                   all nodes, a line each

`quietly` before a command: it is done, and nothing is told of it.
"""

from collections.abc import Callable
from pathlib import Path

import attrs

from rmf import limits
from rmf.core.effects import Effect
from rmf.core.raft.raft_node import Raft
from rmf.core.raft.raft_values import Place
from rmf.core.record import ENTRY
from rmf.testing.held_disk import BOOT_ID
from tests.core.raft import words
from tests.core.raft.cluster_kit import Cluster
from tests.core.raft.disk_kit import draft_of
from tests.core.raft.entries_kit import MS, body_of, entry_after, members_of
from tests.core.raft.node_kit import Node, Sent

RULE = "----"


class Teller(Cluster):
    def __init__(self, names: str) -> None:
        super().__init__(names)
        self.lines: list[str] = []
        self.saying = ""
        self._was: dict[str, str] = {}

    # --- Telling --------------------------------------------------------------------------------

    def step(self, name: str, act: Callable[[Raft], list[Effect] | None]) -> list[Effect]:
        self.lines.append(f"{name} {self.saying}".rstrip())
        self.saying = ""
        return super().step(name, act)

    def perform(self, name: str, effects: list[Effect]) -> None:
        self.lines += [f"    {words.of_effect(x)}" for x in effects]
        super().perform(name, effects)

    def _apply(self, node: Node) -> None:
        super()._apply(node)
        now = words.of_core(node.core)
        if self._was.get(node.name) != now:
            self.lines.append(f"    = {now}")
        self._was[node.name] = now

    def start(self, *names: str) -> None:
        for name in names or list(self.nodes):
            self._was.pop(name, None)
            self.saying = "starts"
            super().start(name)

    def sync(self, name: str) -> list[Effect]:
        self.saying = f"has #{self.nodes[name].disk.waiting[0].ticket} on its disk"
        return super().sync(name)

    def deliver(self, sent: Sent) -> list[Effect]:
        lost = (sent.source, sent.target) in self.cut or sent.target not in self.running()
        how = "misses" if lost else "hears"
        said = f"{how} {sent.source}: {words.of_message(sent.message)}"
        if lost:
            self.lines.append(f"{sent.target} {said}")
            return []
        self.saying = said
        return super().deliver(sent)

    def serve(self, name: str) -> None:
        self.saying = "has served its peer"
        super().serve(name)

    def propose(self, name: str, what: str) -> list[Effect]:
        self.saying = f"proposes ({what})"
        return super().propose(name, what)

    # --- Commands -------------------------------------------------------------------------------

    def do(self, command: str) -> list[str]:
        """Carry out a command; return what is told of it."""
        self.lines = []
        verb, *args = command.split()
        if verb == "quietly":
            self.do(" ".join(args))
            return []
        getattr(self, f"_do_{verb}")(*args)
        return self.lines

    def _do_log(self, name: str, *args: str) -> None:
        more = dict(x.split("=") for x in args if "=" in x)
        self.furnish(
            name,
            [int(x) for x in args if "=" not in x],
            term=int(more.get("term", 0)),
            voted=more.get("voted"),
            commit=int(more.get("commit", 0)),
        )

    def _do_start(self, *names: str) -> None:
        self.start(*names)

    def _do_campaign(self, name: str) -> None:
        self.saying = "stands for election"
        self.step(name, lambda raft: raft.campaign(self.now_ns))

    def _do_propose(self, name: str, *whats: str) -> None:
        for what in whats:
            self.propose(name, what)

    def _do_members(self, name: str, *members: str) -> None:
        self.saying = f"proposes [{' '.join(members)}]"
        self.change(name, members_of(" ".join(members)))

    def _do_transfer(self, name: str, target: str) -> None:
        leads = self.core(name).leadership
        assert leads is not None
        leads.handover.begin(target, self.now_ns)
        self.saying = f"hands over to {target}"
        self.step(name, lambda _: leads.handover.hand_over())

    def _do_silent(self) -> None:
        self.noop = False

    def _do_compact(self, name: str) -> None:
        self.core(name).log.compact(self.nodes[name].applied.index, 0)
        self.lines.append(f"{name} remembers nothing up to {self.core(name).log.base.index}")

    def _do_checkpoint(self, name: str) -> None:
        self.checkpoint(name)
        self.lines.append(
            f"{name} has a Checkpoint of {self.nodes[name].disk.checkpoints[-1].base.place.index}"
        )

    def _do_read(self, name: str, token: str) -> None:
        leads = self.core(name).leadership
        assert leads is not None
        leads.reads.add(token)
        self.saying = f"is asked to read ({token})"
        self.step(name, lambda _: leads.begin_reads(self.now_ns))

    def _do_confirmed(self, name: str) -> None:
        leads = self.core(name).leadership
        found = leads.confirmed_reads() if leads is not None else []
        told = [f"({token}) at {index}" for token, index in found]
        self.lines.append(f"{name} may answer {', '.join(told) or 'nothing'}")

    def _do_time(self, ms: str, *names: str) -> None:
        self.now_ns += int(float(ms) * MS)
        for name in names or self.running():
            self.saying = "beats"
            self.beat(name)

    def _do_settle(self) -> None:
        self.settle()

    def _do_sync(self, name: str, writes: str = "1000") -> None:
        for _ in range(min(int(writes), len(self.nodes[name].disk.waiting))):
            self.sync(name)

    def _do_serve(self, name: str) -> None:
        while self.nodes[name].asked:
            self.serve(name)

    def _take(self, way: str) -> list[Sent]:
        source, target = way.split(">")
        found = [x for x in self.wire if (x.source, x.target) == (source, target)]
        self.wire = [x for x in self.wire if x not in found]
        return found

    def _do_deliver(self, *ways: str) -> None:
        for way in ways:
            for sent in self._take(way):
                self.deliver(sent)

    def _do_drop(self, *ways: str) -> None:
        for way in ways:
            for sent in self._take(way):
                said = words.of_message(sent.message)
                self.lines.append(f"{sent.target} never hears {sent.source}: {said}")

    def _do_cut(self, *ways: str) -> None:
        self.cut |= {(x.split(">")[0], x.split(">")[1]) for x in ways}

    def _do_heal(self) -> None:
        self.cut.clear()

    def _do_crash(self, name: str, kept: str = "0") -> None:
        self.crash(name, int(kept))

    def _do_lost(self, name: str) -> None:
        self.lose_link(name)

    def _do_damage(self, name: str) -> None:
        self.on_damage(name)

    def _do_restart(self, name: str) -> None:
        self.restart(name)

    def _do_spoil(self, name: str, index: str) -> None:
        """Have a disk hold another Entry of the same index and term, chained and all."""
        disk = self.nodes[name].disk
        entries = [(i, x.index) for i, x in enumerate(disk.records) if x.kind == ENTRY]
        at = next(i for i, found in entries if found == int(index))
        before, old, *later = disk.records[at - 1 :]
        place = Place(before.index, before.term, before.chain)
        entry = entry_after(place, old.term, body_of("spoilt"))
        spoilt = attrs.evolve(old, body=entry.body, chain=entry.chain)
        disk.lose_from(old.serial)
        disk.write_now([draft_of(x) for x in (spoilt, *later)], BOOT_ID, 0)

    def _do_fill(self, name: str) -> None:
        for number in range(limits.PEER_APPENDS_IN_FLIGHT + 2):
            self.propose(name, str(number))

    def _do_status(self) -> None:
        for name, node in self.nodes.items():
            told = words.of_core(node.raft) if node.raft is not None else "down"
            self.lines.append(f"{name} {told}")


def retold(script: str) -> str:
    """Carry out the commands of a script; return it with what is told by now. Comments stay."""
    blocks, teller = [], None
    for block in script.strip().split("\n\n"):
        commands = block.split(f"\n{RULE}")[0].splitlines()
        told: list[str] = []
        for command in commands:
            if command.startswith("#"):
                continue
            if command.startswith("nodes "):
                teller = Teller(command.removeprefix("nodes "))
                continue
            assert teller is not None, "nodes come first"
            told += teller.do(command)
        blocks.append("\n".join([*commands, *([RULE, *told] if told else [])]))
    return "\n\n".join(blocks) + "\n"


def scripts() -> list[Path]:
    return sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
