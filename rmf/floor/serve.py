"""A whole node: opens the directory, loads the line, starts the tasks, and stops them in order.

The order of a start: ports first, then the cluster, if this node has none yet; then the disk is
read and the core takes part. `ready` means listening, quorum or not (R29).

The order of a stop (R18): the Arbiter refuses new intake, finishes its Tick, hands over and says
goaway; when the ledger is closed connections get a moment to read their last answers; then the DLQ
keeper stores what is in its door, and everything else is cancelled. A second signal exits at once:
nothing acked is lost either way, because an ack is a commit.
"""

import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio

from rmf import __version__, limits
from rmf.core.arbiter import NodeIdentity
from rmf.core.feed import Feed
from rmf.core.raft.greetings import Own
from rmf.floor import log
from rmf.floor.arbiter import beats
from rmf.floor.arbiter.core_runner import CoreRunner
from rmf.floor.arbiter.node_resources import NodeResources
from rmf.floor.boxes.line_front import LineFront
from rmf.floor.children import child_of
from rmf.floor.companion import Companion, accompany
from rmf.floor.data import collector
from rmf.floor.data.data_front import DataFront
from rmf.floor.data.file_turns import FileTurns
from rmf.floor.displays import publisher
from rmf.floor.displays.history import History
from rmf.floor.doors import Doors
from rmf.floor.edge import ingest
from rmf.floor.edge.connection import Port
from rmf.floor.edge.inquiry import Inquiry
from rmf.floor.edge.strangers import Strangers
from rmf.floor.instruments import Instruments
from rmf.floor.links.peer_front import PeerFront
from rmf.floor.node_clock import boot_id, now
from rmf.floor.ready import say_ready
from rmf.floor.restoring import leave, open_directory, take_over
from rmf.floor.stopping import Stop, heard
from rmf.floor.supervisor import Child, InProgress, Supervisor
from rmf.floor.web import http, web_front
from rmf.interpreter import interpreter
from rmf.line.glovebox.handle import BoxHandle
from rmf.notation import address_text
from rmf.storage.directory import DataDirectory

if TYPE_CHECKING:
    from rmf.config import Config

__all__ = ["run"]

Run = Callable[[InProgress], Awaitable[Any]]


def run(
    config: "Config", companion: Companion | None = None, *, box: BoxHandle | None = None
) -> int:
    """Run a node until it is stopped; return the exit code. `companion` is given its address
    once it listens (the demo); `box` is a glove box started already. Raises LineError,
    StorageError, Diverged, UsageError (a port cannot be had) before it listens."""
    log.configure(config.log_format, sys.stderr)
    log.note("info", "starting", version=__version__, interpreter=interpreter(), of=sys.executable)
    for notice in config.notices:
        log.note("info", "notice", text=notice)
    # A busy loop would hold the disk's thread off for 5 ms (DESIGN §16).
    sys.setswitchinterval(1e-4)
    try:
        with closing(LineFront(config, box)) as line, closing(Node(config, line)) as node:
            return trio.run(node.main, companion)
    finally:
        log.flush()


def _has_peers(config: "Config") -> bool:
    return any(name != config.node for name, _ in config.peers)


def _ground_of(
    config: "Config", line: LineFront, data: DataFront, doors: Doors, directory: DataDirectory
) -> NodeResources:
    return NodeResources(
        directory=directory,
        store=data.store,
        doors=doors,
        runner=line.inline,
        listens=line.facts().listener(),
        boot_id=boot_id(),
        ingest_depth=config.ingest_depth,
        audit_ppm=line.audit_ppm,
        has_peers=_has_peers(config),
        instruments=Instruments(),
    )


def _identity_of(config: "Config", line: LineFront, directory: DataDirectory) -> NodeIdentity:
    return NodeIdentity(
        node=config.node,
        incarnation=directory.incarnation,
        line=line.facts().identity,
        period_ns=config.tick_period_ns,
        address=address_text(config.advertise or config.listen),
        agent=f"rmf {__version__}",
        interpreter=interpreter(),
    )


class Node:
    """Everything that outlives a core. `ground` has directory, doors and gauges. All tasks are kept
    by a `supervisor`, and `stop` bounds the end."""

    def __init__(
        self,
        config: "Config",
        line: LineFront,
        *,
        supervisor: Callable[..., Supervisor] = Supervisor,
        stop: Stop | None = None,
    ) -> None:
        has_peers = _has_peers(config)
        directory = open_directory(config, has_peers=has_peers)
        doors = Doors()
        self._config = config
        self._line = line
        self._data = DataFront(directory, doors)
        self.ground = _ground_of(config, line, self._data, doors, directory)
        self._life = CoreRunner(self.ground, _identity_of(config, line, directory))
        self._peers = PeerFront(config, directory, doors, has_peers=has_peers)
        self._supervisor = supervisor(config.node, doors.letters, doors.events)
        self._stop = stop or Stop()
        self._standing = ""  # of the arbiter, as it was heard last
        if directory.founded:
            self._load_first()

    def _load_first(self) -> None:
        """Read the disk before anything listens, so that what is wrong with it is said at once."""
        state = self._life.load().state
        take_over(self.ground.directory, self._config, len(state.members))
        if state.index and state.period_ns != self._config.tick_period_ns:
            text = f"the cluster's tick is {state.period_ns} ns since genesis; --tick is ignored"
            log.note("warning", "notice", text=text)

    def close(self) -> None:
        """Close the directory."""
        self._data.close()
        self.ground.directory.close()
        self._stop.close()

    # --- The tasks ------------------------------------------------------------------------------

    async def main(self, companion: Companion | None) -> int:
        """Run all tasks until a signal; return the exit code."""
        collector.tame(self._config.glovebox)
        listening = ingest.ClientListening(*self._config.listen)
        await listening.bind()
        await self._peers.bind()
        web = await web_front.bind(self._config)
        with trio.open_signal_receiver(*heard()) as signals:
            async with trio.open_nursery() as outside:
                outside.start_soon(self._stop.obey, signals, self.ground.doors.events)
                await self._live(companion, listening, web)
                outside.cancel_scope.cancel()
        return 0

    async def _live(
        self,
        companion: Companion | None,
        listening: ingest.ClientListening,
        web: http.HttpListening | None,
    ) -> None:
        """Run all tasks until the node has stopped: each of them is a child."""
        own = self._own(listening)
        async with trio.open_nursery() as nursery:

            def start(child: Child) -> None:
                nursery.start_soon(self._supervisor.keep, child)

            for child in (*self._first_children(own), *self._web(web, listening)):
                start(child)
            start(self._child("founding", partial(self._join_cluster, nursery, own)))
            if not self.ground.has_peers:
                with trio.move_on_after(limits.ACCESSION_S_MAX):
                    await self._heard("reigns", "stopped")
            start(self._child("ingest", partial(ingest.run, listening, self._port())))
            here = address_text((listening.host, listening.port))
            others = (self._peers.address, web.address if web else None)
            say_ready(self._config.node, here, *others, self._config.data)
            if companion is not None:
                start(self._child("companion", partial(accompany, companion, here)))
            await self._heard("stopped")
            await self._wind_down(listening)
            nursery.cancel_scope.cancel()

    async def _heard(self, *wanted: str) -> None:
        """Return once the arbiter says that this is how it stands."""
        while self._standing not in wanted:
            self._standing = await self.ground.doors.standing_out.receive()

    def _child(self, name: str, run: Run) -> Child:
        return child_of(name, run, self.ground.doors)

    def _own(self, listening: ingest.ClientListening) -> Own:
        """Return what this node says of itself to others. Port 0 has become a number: they receive
        that one."""
        identity = self._life.identity
        address = address_text(self._config.advertise or (listening.host, listening.port))
        own = self._peers.own(address, identity.line)
        self._life.identity = attrs.evolve(identity, address=address, peer_address=own.peer_address)
        return own

    def _first_children(self, own: Own) -> list[Child]:
        """Return the tasks that a node needs before it belongs to a cluster."""
        ground, gauges = self.ground, self.ground.instruments
        doors, directory = ground.doors, ground.directory
        history = History(directory.ledgers, lambda: directory.cluster, self._history_facts)
        publish = partial(publisher.run, doors, Feed(), history, gauges.pulse)
        return [
            self._life.child(),
            self._child("publisher", publish),
            self._child("file_turns", FileTurns(doors).run),
            self._child("beats", partial(beats.run, doors)),
            *self._line.children(doors, gauges.execute),
            *self._peers.children(own, self._supervisor),
        ]

    def _web(self, web: http.HttpListening | None, port: ingest.ClientListening) -> list[Child]:
        if web is None:
            return []
        ground = self.ground
        front = web_front.WebFront(ground.directory, ground.doors, ground.instruments, port)
        return [self._child("http", partial(http.run, web, front.sources))]

    async def _join_cluster(self, nursery: trio.Nursery, own: Own, in_progress: InProgress) -> None:
        """See to it that there is a cluster, then start the tasks that keep its data."""
        in_progress.free()  # it holds no packets
        await self._peers.found(own)
        await self._data.open()
        ground, life = self.ground, self._life
        ground.doors.founded.put(ground.directory.cluster)
        for child in (
            self._data.letter_keeper(),
            *self._data.children(ground.boot_id, life.serial),
            *self._line.apart(ground.doors, ground.instruments.audits),
        ):
            nursery.start_soon(self._supervisor.keep, child)

    def _port(self) -> Port:
        directory = self.ground.directory
        return Port(
            doors=self.ground.doors,
            node=self._config.node,
            cluster=lambda: directory.cluster,
            now=now,
            strangers=Strangers(),
            inquire=Inquiry(directory.dlq_path, directory),
        )

    def _history_facts(self) -> tuple[int, str]:
        assert self._life.core is not None
        state = self._life.core.committed
        return state.period_ns, state.line.name

    # --- Stop -------------------------------------------------------------------------------------

    async def _wind_down(self, listening: ingest.ClientListening) -> None:
        listening.shut()
        with trio.move_on_after(limits.GOODBYE_S_MAX):
            while listening.open:
                await listening.quiet.wait()
        self.ground.doors.letters.close()
        if not self._data.is_open:
            return  # without a cluster nothing is kept
        with trio.move_on_after(limits.STOP_S_MAX):
            await self._data.stored.wait()
        await leave(self.ground.directory)
