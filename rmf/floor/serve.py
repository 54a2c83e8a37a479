"""A whole node: opens the directory, loads the line, starts the tasks, and stops them in order.

The order of a stop (R18): the Arbiter refuses new intake, finishes its Tick and says goaway; when
the ledger is closed connections get a moment to read their last answers; then the DLQ keeper stores
what is in its door, and everything else is cancelled. A second signal exits at once: nothing acked
is lost either way, because an ack is a commit.
"""

import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from rmf import __version__, limits
from rmf.core import topics
from rmf.core.arbiter import Arbiter, Identity
from rmf.core.clock import TickClock
from rmf.core.entry import LineId
from rmf.core.events import StopAsked, Struck
from rmf.core.feed import Feed
from rmf.core.raft.solo import Solo
from rmf.core.shelf import Shelf
from rmf.core.state import State, genesis_state
from rmf.floor import (
    arbiter,
    beats,
    checkpoint_keeper,
    disk_watch,
    dlq_keeper,
    ingest,
    ledger_keeper,
    log,
    publisher,
)
from rmf.floor.connection import Port
from rmf.floor.doors import Doors, EdgeLetter
from rmf.floor.handshake import Strangers
from rmf.floor.history import History
from rmf.floor.inquiry import Inquiry
from rmf.floor.present import boot_id, now
from rmf.floor.recovery import Recovered, recover
from rmf.floor.supervisor import Child, Hands, ReignLost, caught, seal, supervise
from rmf.line.inline import Inline
from rmf.line.load import load_line
from rmf.notation import address_text
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_store import DlqStore
from rmf.storage.ledger import LedgerWriter

if TYPE_CHECKING:
    from rmf.config import Config
    from rmf.core.effects import StoreLetters

__all__ = ["run"]

Companion = Callable[[str], Awaitable[None]]


def run(config: "Config", companion: Companion | None = None) -> int:
    """Run a node until it is told to stop; return the exit code. `companion` is a task that is
    given the node's address once it listens (the demo).

    Raises LineError, StorageError, Diverged, UsageError (the port cannot be had) before it listens.
    """
    log.configure(config.log_format, sys.stderr)
    for notice in config.notices:
        log.note("info", "notice", text=notice)
    # A busy loop would hold the disk's thread off for 5 ms (DESIGN §16).
    sys.setswitchinterval(1e-4)
    node = Node(config)
    try:
        return trio.run(node.main, companion)
    finally:
        node.close()
        log.flush()


class Node:
    """Everything that outlives a reign: directory, DLQ, line, doors, feed."""

    def __init__(self, config: "Config") -> None:
        line = load_line(config.line)
        self._config = config
        self._runner = Inline(line)
        self._directory = DataDirectory.open(config.data, node=config.node)
        self._store = DlqStore.open(
            self._directory.dlq_path, cluster=self._directory.cluster, node=config.node
        )
        self._listens = _listens(line.expired_filters)
        self._boot_id = boot_id()
        self._feed = Feed()
        self._backlog: list[StoreLetters | EdgeLetter] = []
        self._doors = Doors()
        self._store_limiter = trio.CapacityLimiter(1)
        self._acceded = trio.Event()
        self._stopped = trio.Event()
        self._stored = trio.Event()
        self._stopping = False
        self._stop_asked = trio.Event()
        self._core: Arbiter | None = None
        self._recovered: Recovered | None = self._recover()
        state = self._recovered.state
        self._identity = Identity(
            node=config.node,
            incarnation=self._directory.incarnation,
            line=LineId(line.name, line.version, line.digest),
            period_ns=config.tick_period_ns,
            address=address_text(config.advertise or config.listen),
            agent=f"rmf {__version__}",
        )
        if state.index and state.period_ns != config.tick_period_ns:
            text = f"the cluster's tick is {state.period_ns} ns since genesis; --tick is ignored"
            log.note("warning", "notice", text=text)

    def close(self) -> None:
        """Let go of the directory."""
        self._store.close()
        self._directory.close()

    def _recover(self) -> Recovered:
        recovered = recover(
            self._directory,
            self._store,
            boot_id=self._boot_id,
            boot_ns=lambda: now().boot_ns,
        )
        for event, fields in recovered.notes:
            log.note("warning", event, **fields)
        return recovered

    # --- The tasks ------------------------------------------------------------------------------

    async def main(self, companion: Companion | None) -> int:
        """Run all tasks until a signal; return the exit code."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 1_000)  # cells are many, cycles are few
        host, port = self._config.listen
        listening = ingest.Listening(host, port)
        await listening.bind()
        if self._config.advertise is None:  # port 0 has become a number
            address = address_text((host, listening.port))
            self._identity = attrs.evolve(self._identity, address=address)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals)
                nursery.start_soon(self._bound_the_stop)
                for child in self._children():
                    nursery.start_soon(self._supervise, child)
                with trio.move_on_after(limits.ACCESSION_S_MAX):
                    await self._acceded.wait()
                port_child = Child("ingest", partial(ingest.run, listening, self._port()))
                nursery.start_soon(self._supervise, port_child)
                self._say_ready(listening)
                if companion is not None:
                    nursery.start_soon(companion, address_text((host, listening.port)))
                await self._stopped.wait()
                await self._wind_down(listening)
                nursery.cancel_scope.cancel()
        return 0

    def _children(self) -> list[Child]:
        doors, directory, store = self._doors, self._directory, self._store
        history = History(directory.ledgers, directory.cluster, self._history_facts)
        return [
            Child(
                "arbiter",
                self._reign,
                limits.ARBITER_RESTARTS_MAX,
                limits.ARBITER_RESTARTS_PERIOD_S,
            ),
            Child("dlq_keeper", self._keep_letters),
            Child("publisher", partial(publisher.run, doors, self._feed, history)),
            Child(
                "checkpoint_keeper",
                partial(checkpoint_keeper.run, doors, directory, store, self._boot_id),
            ),
            Child("beats", partial(beats.run, doors)),
            Child("disk_watch", partial(disk_watch.run, doors, directory, store)),
        ]

    async def _supervise(self, child: Child) -> None:
        await supervise(
            child,
            node=self._config.node,
            letters=self._doors.letters,
            wall_ns=lambda: now().wall_ns,
            on_spent=partial(self._on_spent, child),
        )

    async def _on_spent(self, child: Child, why: str) -> None:
        """Strike (R17): a task below the Arbiter tells it; the Arbiter itself goes on as a core
        that only answers, with the state that was committed last."""
        if child.name != "arbiter":
            await self._doors.events.send(Struck("state", why))
            if child.name == "dlq_keeper":
                await dlq_keeper.refuse_all(self._doors, self._backlog)
                self._stored.set()
            return
        state = self._core.committed if self._core is not None else genesis_state(b"")
        answer = partial(self._only_answer, state, why)
        await self._supervise(Child("arbiter", answer, restarts_max=sys.maxsize))

    async def _only_answer(self, state: State, why: str, hands: Hands) -> None:
        core = self._new_core(state, Shelf(), term=state.term, chain=b"", bridge=None)
        core.strike = ("state", why)
        await self._drive(core, hands)

    async def _reign(self, hands: Hands) -> None:
        """Load the core and let it reign; ends when it has stopped. After a failure everything is
        read from the disk again: never on with half-changed memory (R15)."""
        recovered, self._recovered = self._recovered, None
        if recovered is None:
            recovered = await trio.to_thread.run_sync(self._recover, limiter=self._store_limiter)
        self._doors.renew_reign()
        core = self._new_core(
            recovered.state,
            recovered.shelf,
            term=recovered.term,
            chain=recovered.chain,
            bridge=recovered.bridge,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_ledger, recovered.writer)
            await self._drive(core, hands)
            nursery.cancel_scope.cancel()

    def _new_core(
        self, state: State, shelf: Shelf, *, term: int, chain: bytes, bridge: TickClock | None
    ) -> Arbiter:
        raft = Solo(
            self._config.node,
            self._directory.cluster,
            term=term,
            last_index=state.index,
            chain=chain,
        )
        self._core = Arbiter(
            self._identity,
            state,
            shelf,
            raft,
            listens=self._listens,
            bridge=bridge,
            depth_packets_max=self._config.ingest_depth,
        )
        return self._core

    async def _drive(self, core: Arbiter, hands: Hands) -> None:
        await arbiter.run(core, self._doors, self._runner, hands, now, self._acceded.set)
        self._stopped.set()

    async def _keep_ledger(self, writer: LedgerWriter) -> None:
        """Run the ledger keeper; its failure is sealed with what it held, and ends the reign."""
        hands = Hands()
        exc = await caught(partial(ledger_keeper.run, self._doors, writer, hands))
        if exc is None:
            return
        cancelled = await seal(
            "ledger_keeper",
            exc,
            hands,
            node=self._config.node,
            letters=self._doors.letters,
            wall_ns=lambda: now().wall_ns,
        )
        raise cancelled or ReignLost("the ledger keeper failed")

    async def _keep_letters(self, hands: Hands) -> None:
        await dlq_keeper.run(self._doors, self._store, self._backlog, self._store_limiter, hands)
        self._stored.set()

    def _port(self) -> Port:
        return Port(
            doors=self._doors,
            node=self._config.node,
            cluster=self._directory.cluster,
            now=now,
            strangers=Strangers(),
            inquire=Inquiry(self._directory.dlq_path),
        )

    def _history_facts(self) -> tuple[int, str]:
        assert self._core is not None
        state = self._core.committed
        return state.period_ns, state.line.name

    # --- Start and stop -------------------------------------------------------------------------

    def _say_ready(self, listening: ingest.Listening) -> None:
        listen = address_text((listening.host, listening.port))
        if sys.stdout.isatty():
            sys.stdout.write(
                f"RMF node {self._config.node} serves on {listen}, data in {self._config.data}\n"
                f"Watch it:  rmf-cat -c {listen}\n"
            )
        else:
            facts = {
                "event": "ready",
                "node": self._config.node,
                "listen": listen,
                "peer_listen": None,
                "http": None,
                "data": str(self._config.data),
            }
            sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        """The first signal stops the node in order; the second one at once (R18)."""
        async for number in signals:
            if self._stopping:
                os._exit(128 + number)
            self._stopping = True
            log.note("info", "stopping", signal=signal.Signals(number).name)
            await self._doors.events.send(StopAsked())
            self._stop_asked.set()

    async def _bound_the_stop(self) -> None:
        """A stop that a hung disk holds up ends without it (R18): nothing acked is lost."""
        await self._stop_asked.wait()
        await trio.sleep(limits.STOP_S_MAX)
        log.note("error", "stop_overdue", seconds=limits.STOP_S_MAX)
        log.flush()
        os._exit(1)

    async def _wind_down(self, listening: ingest.Listening) -> None:
        with trio.move_on_after(limits.GOODBYE_S_MAX):
            while listening.open:
                await listening.quiet.wait()
        self._doors.letters.close()
        with trio.move_on_after(limits.STOP_S_MAX):
            await self._stored.wait()


def _listens(filters: tuple[str, ...]) -> Callable[[str], bool]:
    """Return whether a line with these `on_expired` filters wants to hear of a key."""
    matchers = [topics.matcher(pattern) for pattern in filters]
    return lambda key: any(match(key) for match in matchers)
