"""The effects of one core, done: on a simulated disk, network and DLQ, and for the people outside.

Everything takes time, in which the process may die or the core be replaced; what was begun for a
core that is gone reaches nobody. The order of what is done is that of the effects.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.raft.values import Place
from rmf.core.world import KeyIndex
from rmf.testing.catching_up import CatchingUp
from rmf.testing.dice import Stream
from rmf.testing.disk import Base, StoredCheckpoint
from rmf.testing.rebirth import Reborn

if TYPE_CHECKING:
    from rmf.testing.node import Node

__all__ = ["Performing"]

_STORE_MS = (2, 150)
_CHECKPOINT_MS, _LONG_CHECKPOINT_MS = (20, 300), (1_000, 6_000)
_STALLED_NS = 20 * limits.MS


class Performing:
    """`fsync_ns` and `hangs_until_ns` are the disk's weather; `fails`: the next write fails.
    `line_ns` is how long a batch is on the bench. `holds_keys`: a Checkpoint is being written,
    which holds the keys of its World."""

    def __init__(self, node: "Node", dice: Stream) -> None:
        self.node = node
        self.fsync_ns = int(node.cluster.options.fsync_ms * limits.MS)
        self.hangs_until_ns = self.letters_wait_until_ns = 0
        self.fails = self.holds_keys = False
        self.line_ns = int(node.cluster.options.line_ms * limits.MS)
        self.catching_up = CatchingUp(node)
        self._dice = dice
        self._agenda = node.cluster.agenda
        self._stored_ns = 0
        self._unstored: deque[ef.StoreLetters] = deque()
        self._arms: dict[type[Any], Callable[[Any], None]] = {
            ef.Persist: self._persist,
            ef.Execute: self._execute,
            ef.DryRun: self._dry_run,
            ef.Tell: self._tell,
            ef.Answer: self._answer,
            ef.Broadcast: self._broadcast,
            ef.Close: self._close,
            ef.Publish: self._publish,
            ef.StoreLetters: self._store,
            ef.WriteCheckpoint: self._write_checkpoint,
            ef.LinkPeers: self._link,
            ef.ReadEntries: self.catching_up.read_entries,
            ef.ReadChunk: self.catching_up.read_chunk,
            ef.WriteChunk: self.catching_up.write_chunk,
            ef.Note: self._note,
            ef.MarkWhole: self._mark,
            ef.Reload: self._reload,
            ef.Stopped: self._stopped,
        }

    def perform(self, effects: list[ef.Effect]) -> None:
        """Do what a step wants done."""
        arms = self._arms
        for effect in effects:
            arms[type(effect)](effect)

    def later(self, wait_ns: int, call: Callable[..., None], *args: Any) -> None:
        """Call this later, unless the core is another one by then."""
        self._agenda.after(wait_ns, self._if_still, self.node.core_life, call, args)

    def _if_still(self, core_life: int, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        node = self.node
        if core_life == node.core_life and not node.defer(self._if_still, core_life, call, args):
            call(*args)

    # --- The disk ------------------------------------------

    def fsync_wait_ns(self) -> int:
        """Return how long the next fsync takes."""
        wait_ns = int(self.fsync_ns * (0.5 + self._dice.random()))
        return max(wait_ns, self.hangs_until_ns - self._agenda.now_ns)

    def _persist(self, effect: ef.Persist) -> None:
        disk = self.node.disk
        disk.take(effect)
        self.node.cluster.watch.persists(self.node, effect)
        if not disk.writing and not disk.broken:
            self._begin()

    def _begin(self) -> None:
        node = self.node
        node.disk.begin(self._agenda.now_ns, node.boot_id, node.now().boot_ns)
        self.later(self.fsync_wait_ns(), self._synced)

    def _synced(self) -> None:
        node, disk = self.node, self.node.disk
        if self.fails:
            self.fails, disk.broken = False, True
            node.cluster.count("disk_failed")
            node.happen(ev.DiskFault("the simulated disk fails"))
            return
        ticket, serial = disk.finish(self._agenda.now_ns)
        if disk.waiting:
            self._begin()
        node.happen(ev.Persisted(ticket, serial))

    def finish_writes(self) -> None:
        """A core is given up, its process lives: what is under way gets to the disk."""
        disk = self.node.disk
        disk.crash(len(disk.writing) if not disk.broken else 0, copied=True)

    def crash(self) -> None:
        """The process dies: some of what is under way gets to the disk."""
        disk = self.node.disk
        kept = self._dice.randint(0, len(disk.writing))
        if kept < len(disk.writing) and self._dice.chance(0.5):
            self.node.cluster.count("torn_tail")  # half a record more: it is cut
        disk.crash(kept, copied=self._dice.chance(0.5))
        self.fails = False
        self.catching_up.crash()

    def disk_replaced(self) -> None:
        """Another disk took the place of the one that was lost."""
        self.fails, self.hangs_until_ns = False, 0
        self.catching_up = CatchingUp(self.node)
        self._arms[ef.ReadEntries] = self.catching_up.read_entries
        self._arms[ef.ReadChunk] = self.catching_up.read_chunk
        self._arms[ef.WriteChunk] = self.catching_up.write_chunk

    # --- The line and the people ------------------------------------------

    def _execute(self, effect: ef.Execute) -> None:
        executed = self.node.cluster.runner.run(effect.batch)
        self.later(self.line_ns, self.node.happen, executed)

    def _dry_run(self, effect: ef.DryRun) -> None:
        self.later(self.line_ns, self._dry_run_done, effect)

    def _dry_run_done(self, effect: ef.DryRun) -> None:
        executed = self.node.cluster.runner.run(effect.batch)
        effect.world.index.unpin(effect.pin)
        done = ev.DryRunDone(effect.connection, effect.request, effect.world, executed)
        self.node.happen(done)

    def _tell(self, effect: ef.Tell) -> None:
        node = self.node
        node.cluster.watch.tells(node, effect)
        node.cluster.network.send(node, effect.peer, effect.message)

    def _answer(self, effect: ef.Answer) -> None:
        node = self.node
        node.cluster.watch.answers(node, effect.connection, effect.messages)
        node.cluster.ports.answer(effect.connection, effect.messages)

    def _broadcast(self, effect: ef.Broadcast) -> None:
        self.node.cluster.ports.broadcast(self.node.name, effect.message)

    def _close(self, effect: ef.Close) -> None:
        self.node.cluster.ports.close(effect.connection)

    def _publish(self, effect: ef.Publish) -> None:
        self.node.cluster.watch.publishes(self.node, effect)

    def _note(self, effect: ef.Note) -> None:
        self.node.cluster.note(self.node.name, effect)

    def _link(self, effect: ef.LinkPeers) -> None:
        self.node.members = effect.members
        if not effect.members:
            self.node.met.clear()
        self.node.cluster.network.tend(self.node)

    def _mark(self, effect: ef.MarkWhole) -> None:
        disk = self.node.disk
        if disk.repairing == effect.whole:
            disk.repairing = not effect.whole
            self.node.cluster.count("repaired" if effect.whole else "less_than_said")
        self.later(0, self.node.happen, ev.WholeMarked(effect.whole))

    def _reload(self, effect: ef.Reload) -> None:
        self.node.reload(effect)

    def _stopped(self, _effect: ef.Stopped) -> None:
        self.node.cluster.count("stopped")
        node = self.node
        self._agenda.after(0, self._exit, node.life)

    def _exit(self, life: int) -> None:
        if life == self.node.life:
            self.node.end(power=False)

    # --- Letters and Checkpoints ------------------------------------------

    def begin_life(self, found: Reborn) -> None:
        """A core begins: store the letters that recovery found, and fetch what is missing."""
        node = self.node
        for letter in found.letters:
            node.letters[letter.id] = letter
        self._unstored.clear()
        self.holds_keys = False
        node.missing_through = max(node.missing_through, found.missing_through)
        node.cursor = max(node.cursor, found.core.committed.index)
        if node.missing_through:
            self.later(int(limits.LETTER_FETCH_S * limits.SECOND), self._fetch_letters)

    def _fetch_letters(self) -> None:
        """Ask another node for the letters that a Checkpoint did not bring (R39)."""
        node = self.node
        others = [
            x
            for x in node.cluster.nodes.values()
            if x is not node and x.running and not x.missing_through
        ]
        others = [x for x in others if x.cursor >= node.missing_through]
        if not others:
            self.later(int(limits.LETTER_FETCH_S * limits.SECOND), self._fetch_letters)
            return
        other = self._dice.choice(others)
        through = node.missing_through
        for name, letter in other.letters.items():
            if node.cluster.books.letters.get(name, through + 1) <= through:
                node.letters.setdefault(name, letter)
        node.missing_through = 0
        node.cluster.count("letters_fetched")

    def _store(self, effect: ef.StoreLetters) -> None:
        self.node.cluster.watch.stores(self.node, effect)
        now_ns = self._agenda.now_ns  # one after another, in order: the cursor counts on it
        wait_ns = self._dice.randint(*_STORE_MS) * limits.MS
        self._stored_ns = max(self._stored_ns, now_ns + wait_ns)
        self._unstored.append(effect)
        self.later(self._stored_ns - now_ns, self._stored)

    def _stored(self) -> None:
        node = self.node
        if self._agenda.now_ns < self.letters_wait_until_ns:
            self.later(_STALLED_NS, self._stored)
            return
        effect = self._unstored.popleft()
        for letter in effect.letters:
            node.letters[letter.id] = letter
        node.cursor = max(node.cursor, effect.index)
        count = len(effect.letters) + len(effect.acts)
        if count:
            node.happen(ev.LettersStored(count, effect.index, {}))

    def _write_checkpoint(self, effect: ef.WriteCheckpoint) -> None:
        self.node.cluster.laws.head(self.node, effect.head)
        head = {**effect.head, "boot_id": self.node.boot_id}
        base = Base(head["serial"], Place(effect.index, head["term"], head["chain"]))
        found = StoredCheckpoint(base, head, effect.producers, effect.world.cells)
        span_ms = _LONG_CHECKPOINT_MS if self.node.cluster.options.crowd else _CHECKPOINT_MS
        index = effect.world.index
        wait_ns = self._dice.randint(*span_ms) * limits.MS
        self.holds_keys = True
        self.later(wait_ns, self._checkpoint_written, found, index, index.pin())

    def _checkpoint_written(self, found: StoredCheckpoint, index: KeyIndex, pin: int) -> None:
        node = self.node
        self.holds_keys = False
        node.cluster.laws.work(node, "the end of a Checkpoint", index.unpin, pin)
        if node.disk.broken:
            node.happen(ev.CheckpointEnded(found.base.place.index, "the simulated disk fails"))
            return
        through = -1 if node.cluster.options.archive else node.cursor
        node.disk.keep_checkpoint(found, through_index=through)
        node.cluster.watch.checkpointed(node, found)
        node.cluster.count("checkpoint")
        node.happen(ev.CheckpointEnded(found.base.place.index, None))
