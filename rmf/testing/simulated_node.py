"""One node: a process with its clock, its disk and its core, and the lives it has.

A process begins, is paused, dies, is begun again, on the same boot or on another; within a process
a core may be replaced by one read from the disk (Reload). Decides what of a node survives what.
What effects lead to is `performing`'s part; what goes wrong and when, the nemesis decides.
"""

from collections.abc import Callable, Mapping

import cbor2

from rmf import limits
from rmf.core import events as ev
from rmf.core.arbiter import Arbiter, NodeIdentity
from rmf.core.effects import LinkPeers, RecordDraft, Reload, Stopped
from rmf.core.entry import Member
from rmf.core.raft.greetings import Hello, Own
from rmf.core.raft.raft_values import HardState
from rmf.core.record import HARD
from rmf.testing.disk import SimulatedDisk
from rmf.testing.drifting_clock import WALL_NS, BootClock
from rmf.testing.environment import Environment
from rmf.testing.loop import Loop
from rmf.testing.network import Network
from rmf.testing.performer import Arms, LetterStore
from rmf.testing.performing import Performing
from rmf.testing.ports import Ports
from rmf.testing.rebirth import reborn
from rmf.testing.watcher import Watcher

__all__ = ["SimulatedNode"]

_RELOAD_NS = 20 * limits.MS
_BOOT_IDS = 16


class SimulatedNode:
    """`life` counts processes, `core_life` cores. `core` is None while there is none: the process
    is down, reads its disk, or belongs to no cluster (`founded`)."""

    def __init__(
        self,
        name: str,
        disk: SimulatedDisk,
        env: Environment,
        network: Network,
        ports: Ports,
        watch: Watcher["SimulatedNode"],
        nodes: Mapping[str, "SimulatedNode"],
        *,
        founded: bool,
    ) -> None:
        self.name = name
        self._env, self._network, self._ports, self._watch = env, network, ports, watch
        self._nodes = nodes
        self.disk = disk
        self.founded = founded
        self.core: Arbiter | None = None
        self.up = self.barred = False
        self.life = self.core_life = self.wall_off_ns = self._doubts = 0
        self.boot_id = b""
        self.members: tuple[Member, ...] = ()
        self.met: dict[str, bytes] = {}
        self.dice = env.dice.stream(f"node/{name}")
        self._election_dice = env.dice.stream(f"elections/{name}")
        self.clock = BootClock(0, 0, 0)
        self.loop = Loop(self, env.agenda, watch)
        self.performing = Performing(
            self, env, network, ports, watch, self.loop.happen, self.loop.later, self._other_dlqs
        )
        self.perform = self.performing.perform
        self._boots = 0

    # --- What can be asked ----------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the process runs now."""
        return self.up and not self.paused and (self.core is not None or not self.founded)

    @property
    def paused(self) -> bool:
        """Whether the process is stopped, as by SIGSTOP."""
        return self.loop.paused

    @property
    def idle(self) -> bool:
        """Whether it runs and is in no step: what it has and what its disk has belong together."""
        return self.running and not self.loop.busy

    @property
    def whole(self) -> bool:
        """Whether the disk remembers all that this node ever promised, and takes part."""
        return self.founded and not self.disk.repairing and not self.disk.broken

    @property
    def true_ns(self) -> int:
        """The time, as no clock shows it."""
        return self._env.agenda.now_ns

    def now(self) -> ev.Now:
        """Return the time as a step receives it."""
        true_ns = self._env.agenda.now_ns
        return ev.Now(self.clock.shows(true_ns), WALL_NS + true_ns + self.wall_off_ns)

    def own(self) -> Own:
        """Return what the node says of itself to others (R29)."""
        if not self.founded or self.core is None:
            return Own(self.name, self.disk.incarnation)
        raft = self.core.raft
        return Own(
            self.name,
            self.disk.incarnation,
            self.disk.cluster,
            raft.membership.admitted,
            raft.membership.index,
            self.name,
            self.name,
            line=self._env.line_of(self.life),
        )

    def wanted(self) -> dict[str, bytes | None]:
        """Return whom this node calls, and which incarnation it expects there."""
        if not self.running or not self.founded:
            return {}
        wanted: dict[str, bytes | None] = {
            x.name: x.incarnation for x in self.members if x.name != self.name
        }
        return wanted | self.met

    def _other_dlqs(self) -> list[LetterStore]:
        others = (x for x in self._nodes.values() if x is not self and x.running)
        return [x.performing.dlq for x in others]

    # --- Lives ----------------------------------------------------------------------------------

    def begin(self, *, new_boot: bool) -> None:
        """Start the process, unless it shall stay down."""
        if self.up or self.barred:
            return
        if new_boot or not self._boots:
            self._boots += 1
            self.boot_id = f"{self.name}/{self._boots}".encode().ljust(_BOOT_IDS, b".")
            drift = self._env.options.drift_ppm
            base_ns = self.dice.randrange(1, 10_000) * limits.SECOND
            self.clock = BootClock(
                self._env.agenda.now_ns, base_ns, self.dice.randint(-drift, drift)
            )
        self.life += 1
        self.up = True
        self._doubts = 0
        if self.founded:
            self.load()
        else:
            self._introduce(self.life)

    def end(self, *, power: bool) -> None:
        """The process dies, with the power of the machine or by itself; a crash keeps what it
        keeps of the writes under way."""
        if not self.up:
            return
        self.up = False
        self.core = None
        self.life += 1
        self.core_life += 1
        self.loop.ended()
        self.met.clear()
        self.members = ()
        self.performing.crash()
        self._network.ended(self, told=not power)
        self._ports.close_all(self.name, told=not power)

    def pause(self) -> None:
        """Stop the process as SIGSTOP does."""
        if self.up:
            self.loop.pause()

    def resume(self) -> None:
        """Let it go on: all that came meanwhile comes at once."""
        if self.paused:
            self.loop.resume()
            self._network.tend(self)

    def wipe(self) -> None:
        """The disk is lost, with everything on it; another takes its place."""
        assert not self.up
        incarnation = self.dice.getrandbits(128).to_bytes(16, "big")
        self._env.ghosts.append(self.disk)
        self.disk = SimulatedDisk(self.disk.cluster, incarnation)
        self.founded = False
        self.performing.dlq.replaced()
        self.performing.disk_replaced()

    def load(self) -> None:
        """Read the disk, and begin with a core of it."""
        self.core_life += 1
        self.loop.core_gone()
        env = self._env
        identity = NodeIdentity(
            self.name,
            self.disk.incarnation,
            env.line_of(self.life),
            limits.TICK_PERIOD_NS,
            self.name,
            "rmf/simulated",
            self.name,
        )
        found = reborn(
            self.disk,
            identity,
            self.performing.dlq.cursor,
            boot_id=self.boot_id,
            dice=self._election_random,
            timing=env.timing,
            listens=env.listens,
            doubts=self._doubts,
        )
        self.core = core = found.core
        self._say_both(HardState(core.raft.term, core.raft.durable.voted_for))
        self.performing.begin_life(found)
        self._watch.born(self, core)
        now = self.now()
        effects = core.start(now)
        self.performing.perform(effects)
        here = self._network.met_by(self)
        self.met = {event.peer: event.incarnation for event in here}
        self._network.tend(self)
        self.loop.step([*here])

    def _election_random(self) -> float:
        """Chance in elections; sometimes everybody has the same, and votes are split."""
        return 0.0 if self._env.splits_votes else self._election_dice.random()

    def _say_both(self, hard: HardState) -> None:
        """Have both copies of term and vote say what holds (see floor/recovery)."""
        disk = self.disk
        if not disk.hard == disk.hard_copy == hard:
            at, commit = disk.last_durable, disk.base.place.index
            body = cbor2.dumps(list(hard))
            draft = RecordDraft(HARD, at.index, hard.term, at.chain, body, commit)
            disk.write_now([draft], self.boot_id, self.now().boot_ns)

    def arms(self) -> Arms:
        """Which effects are done to the node itself."""
        return {LinkPeers: self._link, Reload: self._reload, Stopped: self._stopped}

    def _link(self, effect: LinkPeers) -> None:
        self.members = effect.members
        if not effect.members:
            self.met.clear()
        self._network.tend(self)

    def _stopped(self, _effect: Stopped) -> None:
        self._env.count("stopped")
        self._env.agenda.after(0, self._exit, self.life)

    def _exit(self, life: int) -> None:
        if life == self.life:
            self.end(power=False)

    def _reload(self, wish: Reload) -> None:
        """Replace the core by one that is read from the disk."""
        self.core = None
        self.core_life += 1
        self.loop.core_gone()
        self.performing.drive.finish_writes()
        self._ports.close_all(self.name, told=True)
        self._env.count(f"reload_{wish.reason}")
        self._env.agenda.after(_RELOAD_NS, self._reloaded, wish, self.life, self.core_life)

    def _reloaded(self, wish: Reload, life: int, core_life: int) -> None:
        if (life, core_life) != (self.life, self.core_life):
            return
        if self.defer(self._reloaded, wish, life, core_life):
            return
        if wish.reason == "doubt":
            self._doubts += 1
        elif wish.reason == "repair":
            self.disk.set_aside()
        elif wish.reason == "installed" and self.disk.install():
            self._env.count("installed")
        self.load()

    # --- Belonging to a cluster -------------------------------------------------------------------

    def _introduce(self, life: int) -> None:
        """Ask around, as a node without a cluster does; a node that is asked knows it then
        (R29)."""
        if life != self.life or self.founded:
            return
        if not self.paused:
            for other in self._nodes.values():
                cut = self._network.cut
                reachable = not {(self.name, other.name), (other.name, self.name)} & cut
                if other is not self and other.running and other.founded and reachable:
                    own = self.disk.incarnation
                    other.happen(ev.PeerMet(self.name, own, self.name, 2, linked=False))
        self._env.agenda.after(limits.SECOND, self._introduce, life)

    def knock(self, hello: Hello) -> None:
        """A node called that is not let in: if it names this very disk a member, belong to it."""
        if self.founded or hello.to_incarnation != self.disk.incarnation:
            return
        self.founded = True
        self._env.count("adopted")
        self._env.agenda.after(_RELOAD_NS, self._adopted, self.life)

    def _adopted(self, life: int) -> None:
        if life == self.life and self.up and self.core is None:
            self.load()

    def meet(self, hello: Hello, event: ev.PeerMet) -> None:
        """A link from another node is up: link back."""
        self.met[hello.node] = hello.incarnation
        self.happen(event)
        self._network.tend(self)

    def part(self, name: str) -> None:
        """A link from another node is gone."""
        self.met.pop(name, None)
        self.happen(ev.PeerLost(name))

    # --- Steps ----------------------------------------------------------------------------------

    def happen(self, event: ev.Event) -> None:
        """Something happens to this node: it is taken in at once, or as soon as it can be."""
        self.loop.happen(event)

    def defer(self, call: Callable[..., None], *args: object) -> bool:
        """While nothing can be taken in, keep this until it can be; return whether it is kept."""
        return self.loop.defer(call, *args)
