"""One seed with three nodes: what `seed` does to one, and what only several can suffer.

    report = run(7, Path("/dev/shm/nemesis"))
    assert report.faults == []

Three real nodes in one process, linked by real sockets, each with a drive of its own, on one
virtual clock. They are founded with everything watching, troubled, ended and started again one by
one and together; then all are well, but that sometimes one loses its directory and has to be
admitted again, amid milder trouble; then one is lost for good, and the other two are judged by what
was promised (beside the laws of `seed`, R2, R28, R29, R33):

    what was acked survives the loss of any one node: it is in the picture of the others, once
    a letter that was acked is in the DLQ of each that is left
    a node that was wiped comes back, with all of it
    people who were with the lost node go to another, and a packet of theirs is applied there
    a node that waits for its cluster answers a malformed frame, and each order gets its answer
    a node that is left without a majority stops in order all the same
"""

import gc
import io
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import trio

import rmf
from rmf.errors import RmfError
from rmf.floor import log
from rmf.notation import Address, address_text
from tests.floor.factory import letters_in
from tests.nemesis.clock import VirtualClock
from tests.nemesis.havoc import ALL, PASSING, Havoc, leader_of
from tests.nemesis.links import Links, own_host
from tests.nemesis.machine import Machine
from tests.nemesis.people import (
    ANSWER_S,
    Asker,
    Crowd,
    Producer,
    answer_to,
    operate,
)
from tests.nemesis.seed import OUTCOME_S, Report, lived, log_faults
from tests.nemesis.trouble import Drives

__all__ = ["run"]

_NAMES = ("n1", "n2", "n3")
_CLIENT_PORT, _PEER_PORT, _LINK_PORT = 7410, 7420, 7430
_FOUNDED_S_MAX = 15.0
_SHOWN_S_MAX = 20.0
_ADMITTED_S_MAX = 40.0
_WIPES = 0.4
_TTL_MS = 86_400_000


def run(seed: int, data: Path) -> Report:
    """Live through one seed, with its data in this directory, which must not be there yet."""
    clock = VirtualClock()
    world = _World(seed, data, clock)
    with _process_as_it_was(world.said):
        return lived(world.live, world.report, clock, world.drives)


@contextmanager
def _process_as_it_was(said: io.StringIO) -> Iterator[None]:
    """Keep what nodes do to their process from what comes afterwards."""
    thresholds, collects = gc.get_threshold(), gc.isenabled()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    handlers = [(number, signal.getsignal(number)) for number in numbers]
    log.configure("json", said)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        log.configure("json", io.StringIO())
        for number, handler in handlers:  # nodes that end in another order than they began
            signal.signal(number, handler)
        gc.set_threshold(*thresholds)
        (gc.enable if collects else gc.disable)()


class _World:
    """The nodes, and all around them."""

    def __init__(self, seed: int, data: Path, clock: VirtualClock) -> None:
        self.report = Report(seed)
        self.said = io.StringIO()
        self._dice = Random(f"three {seed}")
        host = own_host()
        self._peers: dict[str, Address] = {
            name: (host, _PEER_PORT + i) for i, name in enumerate(_NAMES, start=1)
        }
        self._links = Links(host, _LINK_PORT, self._peers)
        self._machines = {
            name: Machine(
                name, data / name, (host, _CLIENT_PORT + i), self._links.seen_from(name), clock
            )
            for i, name in enumerate(_NAMES, start=1)
        }
        data.mkdir(parents=True)
        self.drives = Drives({x.data: x.drive for x in self._machines.values()})
        self._crowd = Crowd(
            [Producer(f"p{i}", Random(f"{seed}.{i}")) for i in range(2)],
            [Asker(Random(f"asks {seed}.{name}")) for name in _NAMES],
        )

    async def live(self) -> None:
        """Live."""
        async with trio.open_nursery() as nursery:
            await self._links.open(nursery)
            await self._found(nursery)
            nodes = [machine.address for machine in self._machines.values()]
            self._crowd.gather(nursery, self._addresses, nodes)
            havoc = Havoc(self._machines, self._links, self._dice, self.report)
            await havoc.run(nursery, ALL, self._dice.uniform(3, 9))
            await self._heal(nursery)
            if self._dice.random() < _WIPES:
                await self._wipe(nursery, havoc)
                await self._heal(nursery)
            await self._judge()
            nursery.cancel_scope.cancel()

    @property
    def _addresses(self) -> str:
        """Where the nodes are, in an order that is not always the same."""
        machines = list(self._machines.values())
        self._dice.shuffle(machines)
        return ",".join(address_text(machine.address) for machine in machines)

    def _fault(self, text: str) -> None:
        self.report.faults.append(text)

    # --- The beginning ----------------------------------------------------------------------------

    async def _found(self, nursery: trio.Nursery) -> None:
        """Start all of them. The first waits for the others, and has to answer meanwhile."""
        first, *others = self._dice.sample(list(self._machines.values()), len(_NAMES))
        await first.start(nursery)
        await self._bad_frame(first)
        for machine in others:
            await machine.start(nursery)
        if not await self._soon(partial(_is_led, self._machines), _FOUNDED_S_MAX):
            self._fault("no cluster was founded")

    async def _bad_frame(self, machine: Machine) -> None:
        with trio.move_on_after(ANSWER_S) as patience:
            wire = await machine.wire()
            async with wire.stream:
                await wire.say_bytes(b"\0\0\0\1\xff")
                await answer_to(wire)
        if patience.cancelled_caught:
            self._fault("a node without a cluster did not answer a malformed frame")

    async def _soon(self, holds: Callable[[], Any], within_s: float) -> bool:
        """Return whether something becomes true in time."""
        with trio.move_on_after(within_s):
            while True:
                found = holds()
                if found is True or (found is not False and await found):
                    return True
                await trio.sleep(0.25)
        return False

    async def _heal(self, nodes: trio.Nursery) -> None:
        """End all of them at once, and start all of them again: they are well from now on."""

        async def renew(machine: Machine) -> None:
            self.report.faults += await machine.end("stop", Random(self._dice.random()))
            await machine.start(nodes)

        async with trio.open_nursery() as nursery:
            for machine in self._machines.values():
                nursery.start_soon(renew, machine)

    async def _wipe(self, nodes: trio.Nursery, havoc: Havoc) -> None:
        """Lose a node's directory, and have the node back, while not all is well."""
        machine = self._machines[self._dice.choice(_NAMES)]
        self.report.count("wipe")
        for each in self._machines.values():
            await operate(each.address, "admin.checkpoint", {})
        async with machine.turn:
            await machine.kill()
            machine.wipe()
            await machine.start(nodes)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(havoc.run, nodes, PASSING, self._dice.uniform(1, 5))
            if not await self._soon(partial(self._admits, machine), _ADMITTED_S_MAX):
                self._fault(f"{machine.name} was wiped, and cannot come back")
            elif not await self._soon(partial(self._votes, machine), _ADMITTED_S_MAX):
                self._fault(f"{machine.name} was admitted, and does not catch up")

    async def _admits(self, machine: Machine) -> bool:
        leader = await leader_of(self._machines)
        if leader is None:
            return False
        who: dict[str, object] = {
            "node": machine.name,
            "peer_address": address_text(self._peers[machine.name]),
        }
        return await operate(self._machines[leader].address, "admin.add", who) is not None

    async def _votes(self, machine: Machine) -> bool:
        leader = await leader_of(self._machines)
        members: Any = (await self._machines[leader].status()).get("members", []) if leader else []
        return any(x["node"] == machine.name and x["voter"] for x in members)

    # --- Judgement --------------------------------------------------------------------------------

    async def _judge(self) -> None:
        self._crowd.rest()
        await self._soon(lambda: not self._crowd.waits, OUTCOME_S)
        lost = self._machines.pop(self._dice.choice(_NAMES))
        await lost.kill()
        await self._judge_those_left()
        self.report.packets = self._crowd.packets
        self.report.faults += self._crowd.faults()
        for machine in self._machines.values():
            self.report.faults += await machine.end("stop", Random(self._dice.random()))
            if machine.life is not None and machine.life.code not in {0, None}:
                self._fault(f"{machine.name} is well, and ended with {machine.life.code}")
        self._judge_marks()
        self._judge_log()

    async def _judge_those_left(self) -> None:
        try:
            with trio.fail_after(OUTCOME_S):
                async with rmf.connect(self._addresses, producer="probe", give_up_s=60) as factory:
                    await factory.send("cell/probe", 1, ttl_ms=_TTL_MS)
        except (RmfError, trio.TooSlowError) as exc:
            self._fault(f"two of three take nothing in: {exc!r}")
            return
        display = self._crowd.display
        if not await self._soon(lambda: "cell/probe" in display.keys, _SHOWN_S_MAX):
            self._fault("the display does not follow")
        self.report.faults += self._crowd.picture_faults()
        bagged = {letter for _, letter in self._crowd.outcomes("bagged")}
        for machine in self._machines.values():
            if not await self._soon(partial(_has_letters, machine, bagged), _SHOWN_S_MAX):
                self._fault(f"acked as bagged, and no letter on {machine.name}")

    def _judge_marks(self) -> None:
        """What a task held that failed is a letter of its node, or in the log."""
        said = {row["packet"] for row in self._rows("letter_lost")}
        for machine in self._machines.values():
            stored = {letter.packet for letter in letters_in(machine.data)}
            if missing := [x for x in machine.marks - stored if x.hex() not in said]:
                self._fault(f"held by a failed task, and no letter: {sorted(missing)[:5]}")

    def _judge_log(self) -> None:
        self.report.faults += log_faults(self._rows("task_failed"), self.drives.all())

    def _rows(self, event: str) -> list[dict[str, Any]]:
        log.flush()
        rows = [json.loads(line) for line in self.said.getvalue().splitlines()]
        return [row for row in rows if row["event"] == event]


def _has_letters(machine: Machine, ids: set[str | None]) -> bool:
    return ids <= {letter.id for letter in letters_in(machine.data)}


async def _is_led(machines: dict[str, Machine]) -> bool:
    return await leader_of(machines) is not None
