"""A whole node: opens the directory, loads the line, starts the tasks, and stops them in order.

The order of a start: ports first, then the cluster, if this node has none yet; then the disk is
read and the core takes part. `ready` means listening, quorum or not (R29).

The order of a stop (R18): the Arbiter refuses new intake, finishes its Tick, hands over and says
goaway; when the ledger is closed connections get a moment to read their last answers; then the DLQ
keeper stores what is in its door, and everything else is cancelled. A second signal exits at once:
nothing acked is lost either way, because an ack is a commit.
"""

import signal
import sys
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from rmf import __version__, limits
from rmf.core.arbiter import Identity
from rmf.core.events import Struck
from rmf.core.feed import Feed
from rmf.core.raft.greetings import Own
from rmf.core.state import State
from rmf.floor import (
    beats,
    catch_up,
    checkpoint_keeper,
    collector,
    disk_watch,
    dlq_keeper,
    http,
    ingest,
    letter_fetch,
    log,
    peering,
    publisher,
    web_front,
)
from rmf.floor.companion import Companion, accompany
from rmf.floor.connection import Port
from rmf.floor.doors import Doors
from rmf.floor.ground import Ground
from rmf.floor.handshake import Strangers
from rmf.floor.history import History
from rmf.floor.inquiry import Inquiry
from rmf.floor.instruments import Instruments
from rmf.floor.life import Life
from rmf.floor.line_front import LineFront
from rmf.floor.peer_front import PeerFront
from rmf.floor.present import boot_id, now
from rmf.floor.ready import say_ready
from rmf.floor.restoring import leave, open_directory, take_over
from rmf.floor.stopping import Stop
from rmf.floor.supervisor import Child, Hands, supervise
from rmf.line.glovebox.handle import BoxHandle
from rmf.notation import address_text
from rmf.storage.dlq_store import DlqStore
from rmf.storage.sending import Sending

if TYPE_CHECKING:
    from rmf.config import Config

__all__ = ["run"]


def run(
    config: "Config", companion: Companion | None = None, *, box: BoxHandle | None = None
) -> int:
    """Run a node until it is told to stop; return the exit code. `companion` is given its address
    once it listens (the demo); `box` is a glove box started already. Raises LineError,
    StorageError, Diverged, UsageError (a port cannot be had) before it listens."""
    log.configure(config.log_format, sys.stderr)
    for notice in config.notices:
        log.note("info", "notice", text=notice)
    # A busy loop would hold the disk's thread off for 5 ms (DESIGN §16).
    sys.setswitchinterval(1e-4)
    try:
        with closing(LineFront(config, box)) as line, closing(Node(config, line)) as node:
            return trio.run(node.main, companion)
    finally:
        log.flush()


class Node:
    """Everything that outlives a core: directory, DLQ, line, doors, feed, ports."""

    def __init__(self, config: "Config", line: LineFront) -> None:
        self._line = line
        self._config = config
        self._has_peers = any(name != config.node for name, _ in config.peers)
        self._directory = open_directory(config, has_peers=self._has_peers)
        self._store: DlqStore | None = None
        self._feed = Feed()
        self._backlog: list[dlq_keeper.Item] = []
        self._doors = Doors()
        self._instruments = Instruments()
        self._exchanging = trio.Lock()
        self._store_limiter = trio.CapacityLimiter(1)
        self._stopped_storing = trio.Event()
        self._stop = Stop()
        self._boot_id = boot_id()
        self._strangers = Strangers()
        facts = self._line.facts()
        identity = Identity(
            node=config.node,
            incarnation=self._directory.incarnation,
            line=facts.identity,
            period_ns=config.tick_period_ns,
            address=address_text(config.advertise or config.listen),
            agent=f"rmf {__version__}",
        )
        ground = Ground(
            directory=self._directory,
            store=self._open_store,
            doors=self._doors,
            runner=self._line.inline,
            listens=facts.listener(),
            boot_id=self._boot_id,
            ingest_depth=config.ingest_depth,
            audit_ppm=self._line.audit_ppm,
            has_peers=self._has_peers,
            instruments=self._instruments,
            exchanging=self._exchanging,
        )
        self._life = Life(ground, identity, self._on_loaded)
        self._peers = PeerFront(config, self._directory, self._doors, has_peers=self._has_peers)
        self._nursery: trio.Nursery | None = None
        self._fetching = trio.CancelScope()
        if self._directory.founded:
            self._load_first()

    def _load_first(self) -> None:
        """Read the disk before anything listens, so that what is wrong with it is said at once."""
        state = self._life.load().state
        take_over(self._directory, self._config, len(state.members))
        if state.index and state.period_ns != self._config.tick_period_ns:
            text = f"the cluster's tick is {state.period_ns} ns since genesis; --tick is ignored"
            log.note("warning", "notice", text=text)

    def _open_store(self) -> DlqStore:
        if self._store is None:
            path, cluster = self._directory.dlq_path, self._directory.cluster
            self._store = DlqStore.open(path, cluster=cluster, node=self._directory.node)
        return self._store

    def close(self) -> None:
        """Let go of the directory."""
        if self._store is not None:
            self._store.close()
        self._directory.close()
        self._stop.close()

    # --- The tasks ------------------------------------------------------------------------------

    async def main(self, companion: Companion | None) -> int:
        """Run all tasks until a signal; return the exit code."""
        config = self._config
        collector.tame(config.glovebox)
        listening = ingest.Listening(*config.listen)
        await listening.bind()
        await self._peers.bind()
        web = await web_front.bind(config)
        own = self._own(listening)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as outside:
                outside.start_soon(self._stop.obey, signals, self._doors.events)
                await self._live(companion, listening, web, own)
                outside.cancel_scope.cancel()
        return 0

    async def _live(
        self,
        companion: Companion | None,
        listening: ingest.Listening,
        web: http.Listening | None,
        own: Own,
    ) -> None:
        """Run all tasks until the node has stopped: each of them is a child."""
        config, life = self._config, self._life
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for child in self._first_children(listening, web, own):
                nursery.start_soon(self._supervise, child)
            founding = Child("founding", partial(self._join_cluster, nursery, own))
            nursery.start_soon(self._supervise, founding)
            if not self._has_peers:
                with trio.move_on_after(limits.ACCESSION_S_MAX):
                    await life.acceded.wait()
            port = Child("ingest", partial(ingest.run, listening, self._port()))
            nursery.start_soon(self._supervise, port)
            here = address_text((listening.host, listening.port))
            others = (self._peers.address, web.address if web else None)
            say_ready(config.node, here, *others, config.data)
            if companion is not None:
                run = partial(accompany, companion, here)
                nursery.start_soon(self._supervise, Child("companion", run, is_vital=False))
            await life.stopped.wait()
            await self._wind_down(listening)
            nursery.cancel_scope.cancel()

    def _own(self, listening: ingest.Listening) -> Own:
        """Return what this node says of itself to others. Port 0 has become a number: they are told
        that one."""
        identity = self._life.identity
        address = address_text(self._config.advertise or (listening.host, listening.port))
        own = self._peers.own(address, identity.line)
        self._life.identity = attrs.evolve(identity, address=address, peer_address=own.peer_address)
        return own

    def _first_children(
        self, listening: ingest.Listening, web: http.Listening | None, own: Own
    ) -> list[Child]:
        """Return the tasks that a node needs before it belongs to a cluster."""
        doors, directory, life = self._doors, self._directory, self._life
        history = History(directory.ledgers, lambda: directory.cluster, self._history_facts)
        children = [
            life.child(),
            Child("publisher", partial(publisher.run, doors, self._feed, history, self._turns)),
            Child("beats", partial(beats.run, doors)),
        ]
        children += self._line.children(doors, self._instruments.execute)
        children += self._peers.children(own, self._supervise)
        if web is not None:
            front = web_front.WebFront(directory, doors, self._instruments, listening)
            run = partial(http.run, web, front.sources)
            children.append(Child("http", run, restarts_max=sys.maxsize))
        return children

    def _turns(self) -> bool:
        """Whether the Arbiter's loop turned lately enough to know what is live (R36)."""
        return self._instruments.pulse.age_s() * limits.SECOND < limits.LIVE_NS

    async def _join_cluster(self, nursery: trio.Nursery, own: Own, hands: Hands) -> None:
        """See to it that there is a cluster, then start the tasks that keep its data."""
        hands.free()  # it holds no packets
        await self._peers.found(own)
        store = await trio.to_thread.run_sync(self._open_store, limiter=self._store_limiter)
        self._life.founded.set()
        for child in self._keepers(store):
            nursery.start_soon(self._supervise, child)

    def _keepers(self, store: DlqStore) -> list[Child]:
        doors, directory, shared = self._doors, self._directory, (self._exchanging, Sending())
        checkpoints = partial(checkpoint_keeper.run, doors, directory, store, self._boot_id)
        return [
            Child("dlq_keeper", partial(self._keep_letters, store)),
            Child("checkpoint_keeper", partial(checkpoints, *shared)),
            Child("disk_watch", partial(disk_watch.run, doors, directory, store, *shared)),
            Child("catch_up", partial(catch_up.run, doors, directory, self._life.serial, *shared)),
            *self._line.apart(doors, self._instruments.audits),
        ]

    def _on_loaded(self, state: State) -> None:
        """A core begins behind what the disk holds: letters of what came before may be missing
        here, where a Checkpoint of a peer took the ledger's place (R39)."""
        if not self._has_peers or self._nursery is None or not state.index:
            return
        run = partial(
            letter_fetch.run,
            self._doors,
            self._open_store(),
            self._store_limiter,
            letter_fetch.Through(state.index, state.term, state.tick),
        )
        self._fetching.cancel()  # what it was to fetch is less than this
        self._fetching = trio.CancelScope()
        self._nursery.start_soon(self._fetch, self._fetching, Child("letter_fetch", run))

    async def _fetch(self, scope: trio.CancelScope, child: Child) -> None:
        with scope:
            await self._supervise(child)

    async def _supervise(self, child: Child) -> None:
        await supervise(
            child,
            node=self._config.node,
            letters=self._doors.letters,
            wall_ns=lambda: now().wall_ns,
            on_spent=partial(self._on_spent, child),
        )

    async def _on_spent(self, child: Child, why: str) -> None:
        """Strike (R17): a task tells the Arbiter, which goes on as a core that only answers."""
        if child.name == "arbiter":
            await self._supervise(self._life.child_that_only_answers(why))
            return
        await self._doors.events.send(Struck("state", why))
        if child.name == "peering":
            await peering.turn_away(self._doors)
        if child.name == "publisher":
            await publisher.turn_away(self._doors, why)
        if child.name == "dlq_keeper":
            await dlq_keeper.refuse_all(self._doors, self._backlog)
            self._stopped_storing.set()

    async def _keep_letters(self, store: DlqStore, hands: Hands) -> None:
        await dlq_keeper.run(self._doors, store, self._backlog, self._store_limiter, hands)
        self._stopped_storing.set()

    def _port(self) -> Port:
        return Port(
            doors=self._doors,
            node=self._config.node,
            cluster=lambda: self._directory.cluster,
            now=now,
            strangers=self._strangers,
            inquire=Inquiry(self._directory.dlq_path, self._directory),
        )

    def _history_facts(self) -> tuple[int, str]:
        assert self._life.core is not None
        state = self._life.core.committed
        return state.period_ns, state.line.name

    # --- Start and stop -------------------------------------------------------------------------

    async def _wind_down(self, listening: ingest.Listening) -> None:
        listening.shut()
        with trio.move_on_after(limits.GOODBYE_S_MAX):
            while listening.open:
                await listening.quiet.wait()
        self._doors.letters.close()
        if not self._life.founded.is_set():
            return  # without a cluster nothing is kept
        with trio.move_on_after(limits.STOP_S_MAX):
            await self._stopped_storing.wait()
        await leave(self._directory)
