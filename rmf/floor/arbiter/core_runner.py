"""The core of a node from one reading of the disk to the next (R15, R24).

Loads the core, drives it, and does what it asks for at its end: let a received Checkpoint take the
ledger's place, set a damaged ledger aside, or just read everything again. After a failure it is
read again, too: never on with half-changed memory. A node without a cluster, and one that is given
up, are driven by a core that only answers.
"""

import random
from functools import partial

import attrs
import trio

from rmf.core.arbiter import Arbiter, NodeIdentity
from rmf.core.clock import Pace, TickClock
from rmf.core.effects import Reload
from rmf.core.entry import Member
from rmf.core.first_records import founding_records
from rmf.core.raft.raft_node import Raft
from rmf.core.raft.raft_values import HardState, Place, Standing
from rmf.core.record import GENESIS_CHAIN
from rmf.core.shelf import Shelf
from rmf.core.state import State, genesis_state
from rmf.core.surroundings import NOTHING_HEARD, Surroundings
from rmf.errors import CheckpointDamaged, DiskFailed, DiskHangs, Diverged, LedgerDamaged
from rmf.floor import log
from rmf.floor.arbiter import arbiter_loop
from rmf.floor.arbiter.clients import Clients
from rmf.floor.arbiter.node_resources import NodeResources
from rmf.floor.arbiter.peers import Peers
from rmf.floor.arbiter.recover_node import Recovered, recover
from rmf.floor.asking import NoTurn, file_turn
from rmf.floor.children import child_of
from rmf.floor.data import ledger_keeper
from rmf.floor.items import Through
from rmf.floor.node_clock import now
from rmf.floor.stand_ins import refuse_connections
from rmf.floor.supervisor import Child, InProgress, ReignLost, caught, seal
from rmf.storage import repair, swap_directories
from rmf.storage.genesis_draft import read_draft
from rmf.storage.ledger import LedgerWriter

__all__ = ["CoreRunner"]


def _told(recovered: Recovered) -> Recovered:
    """Tell the log what was found."""
    for event, fields in recovered.notes:
        log.note("warning", event, **fields)
    return recovered


class CoreRunner:
    """`core` is the one that is loaded, `serial` tells the number of its last record. How it stands
    goes to the `standing` door; that there is a cluster comes from `founded`."""

    def __init__(
        self,
        ground: NodeResources,
        identity: NodeIdentity,
    ) -> None:
        self.core: Arbiter | None = None
        self.identity = identity
        self._ground = ground
        self._newest = genesis_state(b"")
        self._recovered: Recovered | None = None
        self._writer: LedgerWriter | None = None
        self._limiter = trio.CapacityLimiter(1)
        self._clients, self._peers = Clients(), Peers()
        self._doubts = 0  # see Outlook

    def serial(self) -> int:
        """Return the number of the last record that is durable here."""
        return self._writer.durable_through if self._writer is not None else 0

    # --- From the disk ------------------------------------------------------------------------

    def load(self) -> Recovered:
        """Read the disk, before anything runs. Raises StorageError, Diverged."""
        found = self._read()
        if isinstance(found, str):
            self._set_aside(found)
            found = self._recover()
        self._recovered = _told(found)
        return found

    async def _load_again(self) -> Recovered:
        """Read the disk while all else runs: no task may move files of the ledger about meanwhile
        that is set aside. Raises as `load`."""
        found = await trio.to_thread.run_sync(self._read, limiter=self._limiter)
        if isinstance(found, str):
            async with file_turn(self._ground.doors.file_turns):
                await trio.to_thread.run_sync(self._set_aside, found, limiter=self._limiter)
            found = await trio.to_thread.run_sync(self._recover, limiter=self._limiter)
        return _told(found)

    def _read(self) -> Recovered | str:
        """Return what the disk gives, or why its ledger has to be set aside: where peers have
        another (R24). Then this node neither votes nor counts until it has caught up."""
        try:
            return self._recover()
        except (LedgerDamaged, CheckpointDamaged, Diverged) as exc:
            if not self._ground.has_peers:
                raise
            log.note("error", "ledger_damaged", error=str(exc))
            return str(exc)

    def _recover(self) -> Recovered:
        ground = self._ground
        directory, store = ground.directory, ground.store()
        read = partial(
            recover, directory, store, boot_id=ground.boot_id, boot_ns=lambda: now().boot_ns
        )
        recovered = read()
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
        return read()

    def _set_aside(self, why: str) -> None:
        directory = self._ground.directory
        where = repair.set_aside(directory.path, directory.cluster, why)
        log.note("warning", "ledger_set_aside", where=str(where))

    def _new_core(
        self,
        state: State,
        shelf: Shelf,
        standing: Standing,
        bridge: TickClock | None,
        cluster: bytes,
        around: Surroundings,
    ) -> Arbiter:
        ground, identity, before = self._ground, self.identity, self.core
        self._note_newest()
        raft = Raft(
            identity.node,
            cluster,
            standing,
            state.members or self._first_members(standing),
            incarnation=identity.incarnation,
            membership=state.membership,
            pace=before.raft.pace if before and before.raft.pace.bridged else Pace(bridge),  # R6
            period_ns=state.period_ns if state.index else identity.period_ns,
            dice=random.random,
            ticket=now().boot_ns,
            doubts=self._doubts,
        )
        self.core = Arbiter(
            identity,
            state,
            shelf,
            raft,
            listens=ground.listens,
            depth_packets_max=ground.ingest_depth,
            audit_ppm=ground.audit_ppm,
            around=around,
        )
        return self.core

    def _around(self, behind_bytes: int = 0, checkpoint_bytes: int = 0) -> Surroundings:
        """Return what the next core must know of its surroundings: it hears of changes only, and
        the one before may have heard of them."""
        known = self.core.surroundings if self.core is not None else NOTHING_HEARD
        return attrs.evolve(
            known,
            letters_unstored=self._ground.instruments.owed.letters,
            behind_bytes=behind_bytes,
            checkpoint_bytes=checkpoint_bytes,
        )

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
        me = Member(identity.node, identity.incarnation, identity.peer_address, identity.address)
        return (me,)

    # --- Driving ------------------------------------------------------------------------------

    async def run(self, in_progress: InProgress) -> None:
        """Load the core and drive it, again and again, until one of them has stopped. A disk that
        hangs or fails on the way is a strike: it is unknown what it will hold (R17). So is that no
        file of the ledger may be moved any more."""
        if not self._ground.directory.founded and not await self._wait_for_cluster(in_progress):
            await refuse_connections(self._ground.doors, "it has stopped")
            return
        try:
            await self._live_on(in_progress)
        except (DiskHangs, DiskFailed) as exc:
            await self.only_answer(str(exc), in_progress, kind="disk")
        except NoTurn as exc:
            await self.only_answer(str(exc), in_progress)

    async def _live_on(self, in_progress: InProgress) -> None:
        while True:
            recovered, self._recovered = self._recovered, None
            if recovered is None:
                recovered = await self._load_again()
            reload = await self._live(recovered, in_progress)
            if reload is None:
                self._ground.doors.standing.put("stopped")
                await refuse_connections(self._ground.doors, "it has stopped")
                return
            log.note("warning", "core_reloaded", reason=reload.reason, why=reload.why)
            if reload.reason == "repair" and not self._ground.has_peers:
                await self.only_answer(reload.why, in_progress)
                return
            async with file_turn(self._ground.doors.file_turns):
                await trio.to_thread.run_sync(self._prepare, reload, limiter=self._limiter)

    def _prepare(self, reload: Reload) -> None:
        """Do to the files what the next core is to find, once the thread of the one before is sure
        to write nothing more. Raises DiskHangs, DiskFailed, OSError."""
        directory = self._ground.directory
        directory.fence.take()
        self._doubts += reload.reason == "doubt"
        if reload.reason == "repair":
            self._set_aside(reload.why)
        elif reload.reason == "installed":
            swap_directories.take_place(directory.path, directory.cluster)

    async def _live(self, recovered: Recovered, in_progress: InProgress) -> Reload | None:
        ground = self._ground
        ground.doors.renew_reign()
        self._writer = recovered.writer
        core = self._new_core(
            recovered.state,
            recovered.shelf,
            recovered.standing,
            recovered.bridge,
            ground.directory.cluster,
            self._around(recovered.behind_bytes, recovered.checkpoint_bytes),
        )
        self._say_restored(recovered.state)
        for met in self._peers.present():
            core.meet(met)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_ledger, recovered.writer)
                reload = await self._drive(core, in_progress)
                nursery.cancel_scope.cancel()
        finally:
            ground.doors.end_life()
        return reload

    def _say_restored(self, state: State) -> None:
        """A core begins behind what the disk holds: letters of what came before may be missing
        here, where a Checkpoint of a peer took the ledger's place (R39)."""
        if self._ground.has_peers and state.index:
            self._ground.doors.restored.put(Through(state.index, state.term, state.tick))

    async def _drive(self, core: Arbiter, in_progress: InProgress) -> Reload | None:
        ground = self._ground
        return await arbiter_loop.run(
            core,
            ground.doors,
            ground.runner,
            in_progress,
            now,
            ground.instruments,
            self._clients,
            self._peers,
        )

    async def _keep_ledger(self, writer: LedgerWriter) -> None:
        """Run the ledger keeper; its failure is sealed with what it held, and ends the reign."""
        in_progress, ground = InProgress(), self._ground
        run = partial(
            ledger_keeper.run, ground.doors, writer, ground.instruments.fsync, in_progress
        )
        exc = await caught(run)
        if exc is None:
            return
        cancelled = await seal(
            "ledger_keeper",
            exc,
            in_progress,
            node=ground.directory.node,
            letters=ground.doors.letters,
            wall_ns=lambda: now().wall_ns,
        )
        raise cancelled or ReignLost("the ledger keeper failed")

    # --- Cores that only answer -----------------------------------------------------------------

    async def _wait_for_cluster(self, in_progress: InProgress) -> bool:
        """Answer questions until this node belongs to a cluster; False: it was stopped."""
        core = self._bare_core(genesis_state(b""))

        async def until_founded() -> None:
            await self._ground.doors.founded_out.receive()
            nursery.cancel_scope.cancel()

        is_stopped = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_founded)
            await self._drive(core, in_progress)
            is_stopped = True
            self._ground.doors.standing.put("stopped")
            nursery.cancel_scope.cancel()
        return not is_stopped

    async def only_answer(self, why: str, in_progress: InProgress, kind: str = "state") -> None:
        """Go on as a core on strike, with the state that was committed last (R17)."""
        self._note_newest()
        core = self._bare_core(self._newest)
        core.strike_for(kind, why)
        await self._drive(core, in_progress)
        self._ground.doors.standing.put("stopped")
        await refuse_connections(self._ground.doors, "it has stopped")

    def _bare_core(self, state: State) -> Arbiter:
        place = Place(state.index, state.term, GENESIS_CHAIN)
        standing = Standing(HardState(state.term, None), place, 0, (), ())
        return self._new_core(state, Shelf(), standing, None, state.cluster, self._around())

    def child(self) -> Child:
        """Return the task of the Arbiter."""
        return child_of("arbiter", self.run, self._ground.doors, stand_in=self.only_answer)
