"""Everybody who performs effects, driven in one way, for the duties of core/effects.

Each takes events for its core and lets time pass; its core is overheard (see tests/core/duties).
What a performer leaves out on purpose stands in `leaves_out`, with the reason.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import trio

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.effects import Batch
from rmf.floor.boxes.dry_run_task import DryRunTask
from rmf.floor.data import checkpoint_keeper, dlq_keeper, ledger_keeper
from rmf.floor.data.file_turns import FileTurns
from rmf.floor.doors import connection_doors
from rmf.floor.items import Opened
from rmf.floor.latest import Newest
from rmf.floor.supervisor import InProgress
from rmf.storage.sending import Sending
from rmf.testing.cluster import SimulatedCluster as Simulated
from rmf.testing.line_workload import LineWorkload
from rmf.testing.lone_node import LoneNode
from rmf.testing.options import Options
from rmf.testing.workload import datum_of
from tests.core import duties
from tests.core.cluster import Cluster
from tests.core.core_node import CoreNode
from tests.core.duties import CONNECTION, Duty, Overheard
from tests.core.kit import Playbook
from tests.core.surroundings import Producer, shop
from tests.driven_node import node_in
from tests.floor.kit import BOOT_ID, Bench, Reign, bench
from tests.floor.wire import until

ROUNDS_MAX = 400
ROUND_MS = 20
PATIENCE_S = 5.0


class Performer(Protocol):
    """Somebody who performs the effects of an overheard core."""

    core: Overheard

    async def happen(self, event: ev.Event) -> None:
        """Let this happen to the core."""
        ...

    async def let(self, come_about: Callable[[], bool]) -> None:
        """Let time pass until this holds, but not for ever."""
        ...


class Client:
    """Hears what is said to it."""

    def __init__(self, core: Overheard) -> None:
        self.name = "probe"
        self._heard = core.notes.heard

    def hear(self, _connection: int, messages: list[m.Message]) -> None:
        """Take in what the node said."""
        self._heard += messages

    def closed(self, connection: int) -> None:
        """Learn that the connection is gone."""


class Stepped:
    """One whose time goes on when it is told to."""

    def __init__(
        self, core: Overheard, happen: Callable[[ev.Event], None], wait: Callable[[], None]
    ) -> None:
        self.core = core
        self._happen, self._wait = happen, wait

    async def happen(self, event: ev.Event) -> None:
        """Let this happen to the core."""
        self._happen(event)

    async def let(self, come_about: Callable[[], bool]) -> None:
        """Let time pass until this holds, but not for ever."""
        for _ in range(ROUNDS_MAX):
            if come_about():
                return
            self._wait()


def heard_by(core: Overheard) -> Producer:
    """A producer of the Playbook, who notes what is said."""
    producer = Producer("probe", CONNECTION, lambda _: None, lambda: 0)
    producer.heard = core.notes.heard
    return producer


@asynccontextmanager
async def simulator(_data: Path) -> AsyncIterator[Performer]:
    """rmf/testing/performing, which in_memory drives, too."""
    options: dict[str, Any] = {"spares": 0, "producers": 0, "faults": {}}
    cluster = Simulated(Options(seed=1, nodes=1, **options), LineWorkload(shop()))
    cluster.begin_nodes()
    agenda, node = cluster.agenda, cluster.nodes["n1"]
    agenda.run_until(5 * limits.SECOND)
    probe = cluster.employ("probe")
    assert node.core is not None
    core = Overheard(node.core)
    node.core = core.as_core
    connection = cluster.ports.open(node, Client(core))
    assert connection is not None
    core.notes.connection = connection

    def happen(event: ev.Event) -> None:
        if isinstance(event, ev.Offered):
            probe.sent.update({row[1]: [row] for row in event.rows})  # the books are compared
            probe.made.update({datum_of(row): 1 for row in event.rows})
        node.happen(event)

    yield Stepped(core, happen, lambda: agenda.run_until(agenda.now_ns + ROUND_MS * limits.MS))


@asynccontextmanager
async def lone_node(_data: Path) -> AsyncIterator[Performer]:
    """rmf/testing/lone_node."""
    node = LoneNode(shop())
    core = Overheard(node.core)
    node.core = core.as_core
    node.heard[CONNECTION] = core.notes.heard
    yield Stepped(core, node.happen, lambda: node.wait(ROUND_MS * limits.MS))


def overheard(node: CoreNode, advance: Callable[[float], None]) -> Stepped:
    """A node of a Playbook, with a core that is overheard."""
    core = Overheard(node.core)
    node.core = core.as_core
    node.people[CONNECTION] = heard_by(core)
    return Stepped(core, node.happen, lambda: advance(ROUND_MS))


@asynccontextmanager
async def playbook(_data: Path) -> AsyncIterator[Performer]:
    """tests/core/kit."""
    play = Playbook()
    play.runner.answers = True
    yield overheard(play, play.advance)


@asynccontextmanager
async def cluster_playbook(_data: Path) -> AsyncIterator[Performer]:
    """tests/core/cluster_node: the leader of three."""
    play = Cluster()
    yield overheard(play["n1"], play.advance)


@asynccontextmanager
async def driven_node(data: Path) -> AsyncIterator[Performer]:
    """tests/driven_node: a real disk without the floor."""
    with node_in(data, shop()) as node:
        core = Overheard(node.core)
        node.core = core.as_core
        yield Stepped(core, node.happen, lambda: node.wait(ROUND_MS))


class OnTheFloor:
    """The Arbiter's loop with its real keepers."""

    def __init__(self, ruling: Reign, core: Overheard) -> None:
        self.core = core
        self._doors, self._ended = ruling.doors, ruling.ended
        self.answers_out: trio.MemoryReceiveChannel[list[m.Message]]

    async def open(self) -> None:
        """Somebody connects."""
        answers, self.answers_out, *_ = connection_doors()
        await self._doors.events.send(Opened(CONNECTION, answers))

    async def happen(self, event: ev.Event) -> None:
        """Let this happen to the core."""
        if isinstance(event, ev.Joined | ev.Offered):
            await self._doors.intake.send(event)
            event = ev.Asked(CONNECTION, 0, "ping")  # it wakes the loop
        await self._doors.events.send(event)

    async def let(self, come_about: Callable[[], bool]) -> None:
        """Let time pass until this holds, but not for ever."""

        def comes_about() -> bool:
            with suppress(trio.WouldBlock, trio.EndOfChannel):
                while True:
                    self.core.notes.heard += self.answers_out.receive_nowait()
            return come_about()

        with trio.move_on_after(PATIENCE_S):
            await until(lambda: comes_about() or self._ended.is_set())


class _Apart:
    """Runs dry runs in this very process."""

    def __init__(self, alone: Bench) -> None:
        self._runner = alone.runner

    async def run(self, batch: Batch) -> ev.Executed:
        """Run a batch."""
        return self._runner.run(batch)

    def where(self, topic: str, *, expired: bool) -> str:
        """Say which handler is meant."""
        return f"{topic} {expired}"


@asynccontextmanager
async def floor(data: Path) -> AsyncIterator[Performer]:
    """rmf/floor/arbiter, with ledger_keeper, dlq_keeper, checkpoint_keeper and dry_run."""
    with bench(data) as alone:
        recovered = alone.recover()
        core = Overheard(alone.core(recovered))
        ruling = Reign(alone, core.as_core)
        doors, files = (
            alone.doors,
            (alone.directory, Newest(alone.doors.archive_cursor_out, 0), BOOT_ID),
        )
        fsync = alone.instruments.fsync
        dry_runs = DryRunTask(doors, lambda _nursery: _Apart(alone))
        found = OnTheFloor(ruling, core)
        async with trio.open_nursery() as nursery:
            go = nursery.start_soon
            go(ledger_keeper.run, doors, recovered.writer, fsync, InProgress())
            go(dlq_keeper.run, doors, alone.store, [], InProgress())
            go(
                partial(checkpoint_keeper.run, doors, *files),
                Sending(),
                InProgress(),
            )
            go(FileTurns(doors).run, InProgress())
            go(dry_runs.run, InProgress())
            go(ruling.rule, alone.runner)
            with trio.fail_after(PATIENCE_S):
                await ruling.reigns()
            await found.open()
            yield found
            nursery.cancel_scope.cancel()


Open = Callable[[Path], AbstractAsyncContextManager[Performer]]

_ONE_CORE = "a test goes on with its core, and restarts it itself"

PERFORMERS: dict[Open, dict[Duty, str]] = {
    simulator: {},
    lone_node: {},
    playbook: {duties.nothing_after_the_end: _ONE_CORE},
    cluster_playbook: {},
    driven_node: {
        duties.nothing_after_the_end: _ONE_CORE,
        duties.heard_in_order: "nobody is connected to it",
    },
    floor: {},
}
