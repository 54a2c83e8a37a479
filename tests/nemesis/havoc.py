"""What goes wrong with three nodes, one thing and another at the same time, as the dice say."""

from collections.abc import Mapping, Sequence
from random import Random

import trio

from tests.nemesis.links import Links
from tests.nemesis.machine import Machine
from tests.nemesis.people import ANSWER_S, checkpoint, order, rude, strike
from tests.nemesis.seed import Report

__all__ = ["ALL", "PASSING", "Havoc", "leader_of"]

_HANG_S_MAX = 6.0
_DRIVE_HANG_S_MAX = 8.0
ALL = (
    *("task",) * 6,
    *("hung_task",) * 4,
    *("restart",) * 4,
    *("transfer",) * 3,
    *("rude", "rude", "strike", "checkpoint", "give_up"),
    *("cut", "cut", "stall", "stall", "blackout"),
    *("slow", "hang", "hang", "fail", "full"),
)
PASSING = tuple(act for act in ALL if act not in {"give_up", "strike", "fail", "full"})
_ENDS = ("stop", "stop", "kill", "power_cut", "power_cut", "two_signals")


async def leader_of(machines: Mapping[str, Machine]) -> str | None:
    """Return who leads, as any node that is up says; None while none knows."""
    for machine in machines.values():
        if machine.is_up and (leader := (await machine.status()).get("leader")):
            return str(leader)
    return None


class Havoc:
    """It goes on for some seconds; what began then is over when `run` returns. Orders are held to
    what they were promised: what is wrong with that is in the report."""

    def __init__(
        self, machines: Mapping[str, Machine], links: Links, dice: Random, report: Report
    ) -> None:
        self._machines = machines
        self._names = sorted(machines)
        self._links = links
        self._dice = dice
        self._report = report

    async def run(self, nodes: trio.Nursery, acts: Sequence[str], seconds: float) -> None:
        """Do it; nodes that are started again live in this nursery."""
        dice = self._dice
        until_s = trio.current_time() + seconds
        async with trio.open_nursery() as nursery:
            while trio.current_time() < until_s:
                await trio.sleep(dice.expovariate(1.8))
                act = dice.choice(acts)
                machine = self._machines[dice.choice(self._names)]
                if not machine.is_up and act not in {"restart", "transfer", "blackout"}:
                    continue
                self._report.count(act)
                nursery.start_soon(self._act, act, machine, nodes)

    async def _act(self, act: str, machine: Machine, nodes: trio.Nursery) -> None:
        dice = self._dice
        life = machine.life
        assert life is not None
        if act in {"task", "hung_task", "give_up"}:
            tasks = life.saboteur.tasks
            name = dice.choice(sorted(tasks))
            if act == "give_up":
                life.saboteur.fail_always.add(name)
            hang_s = dice.uniform(0.05, _HANG_S_MAX) if act == "hung_task" else 0.0
            life.saboteur.strike(name, hang_s)
        elif act == "restart":
            await self._restart(machine, dice.choice(_ENDS), nodes)
        elif act == "blackout":
            async with trio.open_nursery() as nursery:
                for each in self._machines.values():
                    nursery.start_soon(self._restart, each, "power_cut", nodes)
        elif act == "transfer":
            await self._transfer()
        elif act == "rude":
            await rude(Random(dice.random()), machine.address)
        elif act in {"cut", "stall"}:
            await self._link_trouble(act, machine.name)
        elif act == "strike":
            await strike(dice, machine.address)
        elif act == "checkpoint":
            self._report.faults += await checkpoint(machine.address, machine.data)
        else:
            await machine.drive.suffer(act, dice, _DRIVE_HANG_S_MAX)

    async def _link_trouble(self, act: str, name: str) -> None:
        if act == "cut":
            self._links.cut(name)
        else:
            peer = self._dice.choice([x for x in self._names if x != name])
            self._links.stall(name, peer)
        try:
            await trio.sleep(self._dice.uniform(0.3, 7))
        finally:
            self._links.heal(name)

    async def _transfer(self) -> None:
        """Order another leader, which may stand still, and have the present one struck."""
        dice = self._dice
        leader = await leader_of(self._machines)
        target = self._machines[dice.choice([x for x in self._names if x != leader])]
        if dice.random() < 0.5 and target.is_up and target.life is not None:
            target.life.saboteur.strike("arbiter", dice.uniform(0.5, 3))
        async with trio.open_nursery() as nursery:
            for machine in self._machines.values():
                nursery.start_soon(self._order_transfer, machine, target.name)
            if leader is not None and dice.random() < 0.5:
                await trio.sleep(dice.uniform(0, 0.3))
                await strike(dice, self._machines[leader].address)

    async def _order_transfer(self, machine: Machine, target: str) -> None:
        if not await order(machine.address, "admin.transfer", {"node": target}):
            self._report.faults.append(
                f"{machine.name} did not answer an order within {ANSWER_S:g} s"
            )

    async def _restart(self, machine: Machine, how: str, nodes: trio.Nursery) -> None:
        async with machine.turn:
            await self._end(machine, how)
            await trio.sleep(self._dice.uniform(0, 2))
            await machine.start(nodes)

    async def _end(self, machine: Machine, how: str) -> None:
        self._report.count(how)
        self._report.faults += await machine.end(how, Random(self._dice.random()))
