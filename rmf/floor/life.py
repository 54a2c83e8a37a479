"""The core of a node from one reading of the disk to the next (R15, R24).

Loads the core, drives it, and does what it asks for at its end: let a received Checkpoint take the
ledger's place, set a damaged ledger aside, or just read everything again. After a failure it is
read again, too: never on with half-changed memory. A node without a cluster, and one that is given
up, are driven by a core that only answers.
"""

import random
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import attrs
import trio

from rmf import limits
from rmf.core.arbiter import Arbiter, Identity
from rmf.core.clock import Pace
from rmf.core.effects import Reload
from rmf.core.entry import Member
from rmf.core.founding import founding_records
from rmf.core.raft.node import Raft
from rmf.core.raft.values import HardState, Place, Standing
from rmf.core.record import GENESIS_CHAIN
from rmf.core.shelf import Shelf
from rmf.core.state import State, genesis_state
from rmf.errors import CheckpointDamaged, Diverged, LedgerDamaged
from rmf.floor import arbiter, ledger_keeper, log
from rmf.floor.doors import Doors
from rmf.floor.instruments import Instruments
from rmf.floor.peering import Peering
from rmf.floor.present import now
from rmf.floor.recovery import Recovered, recover
from rmf.floor.supervisor import Child, Hands, ReignLost, caught, seal
from rmf.storage import exchange, repair
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_store import DlqStore
from rmf.storage.genesis_draft import read_draft
from rmf.storage.ledger import LedgerWriter

__all__ = ["Ground", "Life"]


@attrs.frozen(kw_only=True)
class Ground:
    """What outlives every core. `exchanging` is held by whoever moves files of the ledger about;
    `has_peers` says whether there is anybody to fetch a lost ledger from. Without a `runner` the
    line runs in a glove box."""

    directory: DataDirectory
    store: Callable[[], DlqStore]
    doors: Doors
    runner: arbiter.Runner | None
    listens: Callable[[str], bool]
    boot_id: bytes
    ingest_depth: int
    audit_ppm: int = 0
    has_peers: bool
    instruments: Instruments
    exchanging: trio.Lock


class Life:
    """`core` is the one that is loaded, `serial` tells the number of its last record. `acceded` is
    set once it reigns over all that there was, `founded` by whoever brings the node into a cluster,
    `stopped` when it is done."""

    def __init__(
        self,
        ground: Ground,
        identity: Identity,
        peering: Callable[[], Peering],
        on_loaded: Callable[[State], None],
    ) -> None:
        self.core: Arbiter | None = None
        self.identity = identity
        self.acceded = trio.Event()
        self.founded = trio.Event()
        self.stopped = trio.Event()
        self._ground = ground
        self._peering = peering
        self._on_loaded = on_loaded
        self._newest = genesis_state(b"")
        self._recovered: Recovered | None = None
        self._writer: LedgerWriter | None = None
        self._limiter = trio.CapacityLimiter(1)

    def serial(self) -> int:
        """Return the number of the last record that is durable here."""
        return self._writer.durable_through if self._writer is not None else 0

    def due_ns(self) -> int | None:
        """Return the boot time at which the core has something to do, or None."""
        return self.core.next_due_ns() if self.core is not None else None

    # --- From the disk ------------------------------------------------------------------------

    def load(self) -> Recovered:
        """Read the disk. A damaged ledger is set aside where peers have another (R24): then this
        node neither votes nor counts until it has caught up. Raises StorageError, Diverged."""
        ground = self._ground
        try:
            recovered = self._recover()
        except (LedgerDamaged, CheckpointDamaged, Diverged) as exc:
            if not ground.has_peers:
                raise
            log.note("error", "ledger_damaged", error=str(exc))
            self._set_aside(str(exc))
            recovered = self._recover()
        for event, fields in recovered.notes:
            log.note("warning", event, **fields)
        self._recovered = recovered
        return recovered

    def _recover(self) -> Recovered:
        ground = self._ground
        directory, store = ground.directory, ground.store()

        def boot_ns() -> int:
            return now().boot_ns

        recovered = recover(directory, store, boot_id=ground.boot_id, boot_ns=boot_ns)
        standing = recovered.standing
        if standing.place.index or standing.tail or not standing.whole:
            return recovered
        draft = read_draft(directory.path, directory.cluster)
        if not draft:
            return recovered
        records = founding_records(
            directory.node, directory.cluster, self.identity.period_ns, draft, now().wall_ns
        )
        recovered.writer.append(records)
        recovered.writer.close()
        return recover(directory, store, boot_id=ground.boot_id, boot_ns=boot_ns)

    def _set_aside(self, why: str) -> None:
        directory = self._ground.directory
        where = repair.set_aside(directory.path, directory.cluster, why)
        log.note("warning", "ledger_set_aside", where=str(where))

    def _new_core(
        self, state: State, shelf: Shelf, standing: Standing, pace: Pace, cluster: bytes
    ) -> Arbiter:
        ground, identity = self._ground, self.identity
        self._note_newest()
        raft = Raft(
            identity.node,
            cluster,
            standing,
            state.members or self._first_members(standing),
            incarnation=identity.incarnation,
            membership=state.membership,
            pace=pace,
            period_ns=state.period_ns if state.index else identity.period_ns,
            dice=random.random,
            ticket=now().boot_ns,
        )
        self.core = Arbiter(
            identity,
            state,
            shelf,
            raft,
            listens=ground.listens,
            depth_packets_max=ground.ingest_depth,
            audit_ppm=ground.audit_ppm,
        )
        return self.core

    def _note_newest(self) -> None:
        """Note what the core that ends had committed: one that was loaded a moment ago may not know
        yet that the end of its ledger is, too."""
        if self.core is not None and self.core.committed.index >= self._newest.index:
            self._newest = self.core.committed

    def _first_members(self, standing: Standing) -> tuple[Member, ...]:
        """Return the members before any Entry names them: this node, if it is alone for good."""
        directory = self._ground.directory
        if not directory.founded or standing.tail:
            return ()
        if read_draft(directory.path, directory.cluster) is not None:
            return ()
        identity = self.identity
        return (
            Member(identity.node, identity.incarnation, identity.peer_address, identity.address),
        )

    # --- Driving ------------------------------------------------------------------------------

    async def run(self, hands: Hands) -> None:
        """Load the core and drive it, again and again, until one of them has stopped."""
        if not self._ground.directory.founded and not await self._wait_for_cluster(hands):
            await arbiter.turn_away(self._ground.doors)
            return
        while True:
            recovered, self._recovered = self._recovered, None
            if recovered is None:
                recovered = await trio.to_thread.run_sync(self.load, limiter=self._limiter)
                self._recovered = None
            reload = await self._live(recovered, hands)
            if reload is None:
                self.stopped.set()
                await arbiter.turn_away(self._ground.doors)
                return
            log.note("warning", "core_reloaded", reason=reload.reason, why=reload.why)
            if reload.reason == "repair" and not self._ground.has_peers:
                await self.only_answer(reload.why, hands)
                return
            async with self._ground.exchanging:
                await trio.to_thread.run_sync(self._prepare, reload, limiter=self._limiter)

    def _prepare(self, reload: Reload) -> None:
        """Do to the files what the next core is to find."""
        directory = self._ground.directory
        if reload.reason == "repair":
            self._set_aside(reload.why)
        elif reload.reason == "installed":
            exchange.take_place(directory.path, directory.cluster)

    async def _live(self, recovered: Recovered, hands: Hands) -> Reload | None:
        ground = self._ground
        ground.doors.renew_reign()
        self._writer = recovered.writer
        core = self._new_core(
            recovered.state,
            recovered.shelf,
            recovered.standing,
            Pace(recovered.bridge),
            ground.directory.cluster,
        )
        self._on_loaded(recovered.state)
        for met in self._peering().present():
            core.meet(met)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_ledger, recovered.writer)
                reload = await self._drive(core, hands)
                nursery.cancel_scope.cancel()
        finally:
            ground.doors.void_wish()
        return reload

    async def _drive(self, core: Arbiter, hands: Hands) -> Reload | None:
        ground = self._ground
        return await arbiter.run(
            core,
            ground.doors,
            ground.runner,
            hands,
            now,
            self.acceded.set,
            self._peering().link,
            ground.instruments,
        )

    async def _keep_ledger(self, writer: LedgerWriter) -> None:
        """Run the ledger keeper; its failure is sealed with what it held, and ends the reign."""
        hands, ground = Hands(), self._ground
        run = partial(ledger_keeper.run, ground.doors, writer, ground.instruments.fsync, hands)
        exc = await caught(run)
        if exc is None:
            return
        cancelled = await seal(
            "ledger_keeper",
            exc,
            hands,
            node=ground.directory.node,
            letters=ground.doors.letters,
            wall_ns=lambda: now().wall_ns,
        )
        raise cancelled or ReignLost("the ledger keeper failed")

    # --- Cores that only answer -----------------------------------------------------------------

    async def _wait_for_cluster(self, hands: Hands) -> bool:
        """Answer whoever asks until this node belongs to a cluster; False: it was stopped."""
        core = self._bare_core(genesis_state(b""))

        async def until_founded() -> None:
            await self.founded.wait()
            nursery.cancel_scope.cancel()

        with suppress(trio.Cancelled):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(until_founded)
                await self._drive(core, hands)
                self.stopped.set()
                nursery.cancel_scope.cancel()
        return not self.stopped.is_set()

    async def only_answer(self, why: str, hands: Hands) -> None:
        """Go on as a core on strike, with the state that was committed last (R17)."""
        self._note_newest()
        core = self._bare_core(self._newest)
        core.strike_for("state", why)
        await self._drive(core, hands)
        self.stopped.set()
        await arbiter.turn_away(self._ground.doors)

    def _bare_core(self, state: State) -> Arbiter:
        place = Place(state.index, state.term, GENESIS_CHAIN)
        standing = Standing(HardState(state.term, None), place, 0, (), ())
        return self._new_core(state, Shelf(), standing, Pace(None), state.cluster)

    def child(self) -> Child:
        """Return the task of the Arbiter."""
        return Child(
            "arbiter",
            self.run,
            limits.ARBITER_RESTARTS_MAX,
            limits.ARBITER_RESTARTS_PERIOD_S,
        )

    def child_that_only_answers(self, why: str) -> Child:
        """Return the task that takes its place once its restarts are spent."""
        answer = partial(self.only_answer, why)
        return Child("arbiter", answer, restarts_max=sys.maxsize)
