"""What stands around one simulated node's core and does its effects: a line, a DLQ, a disk, what
peers ask of it, and the network and the people outside.

Everything takes time, in which the process may die or the core be replaced; what was begun for a
core that is gone reaches no node. The order of what is done is that of the effects.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rmf import limits
from rmf.core import effects as ef
from rmf.testing.catching_up import CatchingUp
from rmf.testing.dice import Stream
from rmf.testing.disk import StoredCheckpoint
from rmf.testing.disk_driver import DiskDriver, Observer
from rmf.testing.performer import Arms, LetterStore, LineRunner, Performer
from rmf.testing.rebirth import Reborn

if TYPE_CHECKING:
    from rmf.testing.node import Node

__all__ = ["Performing"]

_STORE_MS = (2, 150)
_LONG_CHECKPOINT_MS = (1_000, 6_000)


class Performing:
    """`line`, `dlq`, `drive` and `catching_up` are the node's; letters wait until
    `letters_wait_until_ns`."""

    def __init__(self, node: "Node", dice: Stream) -> None:
        cluster = node.cluster
        happen, later = node.loop.happen, node.loop.later
        self.node = node
        self.letters_wait_until_ns = 0
        self.line = LineRunner(cluster.runner, happen, later)
        self.line.line_ns = int(cluster.options.line_ms * limits.MS)
        self.dlq = LetterStore(happen, later, self._store_ns, self._letters_stall)
        self.drive = DiskDriver(node, happen, dice, later, _Seen(node), self._archive_from)
        self.drive.fsync_ns = int(cluster.options.fsync_ms * limits.MS)
        if cluster.options.crowd:
            self.drive.checkpoint_ms = _LONG_CHECKPOINT_MS
        fsync_wait_ns = self.drive.fsync_wait_ns
        self.catching_up = CatchingUp(node, happen, later, fsync_wait_ns, cluster.count)
        self._dice = dice
        self._agenda = cluster.agenda
        self._stored_ns = 0
        parts = (self.line, self.drive, self.catching_up, node, self)
        self.perform = Performer(*parts, leaves_out=(ef.Audit,)).perform

    def arms(self) -> Arms:
        """What reaches the network and the people outside."""
        node, cluster = self.node, self.node.cluster
        return {
            ef.Tell: self._tell,
            ef.Answer: self._answer,
            ef.Broadcast: lambda effect: cluster.ports.broadcast(node.name, effect.message),
            ef.Close: lambda effect: cluster.ports.close(effect.connection),
            ef.Publish: lambda effect: cluster.watch.publishes(node, effect),
            ef.Note: lambda effect: cluster.note(node.name, effect),
            ef.StoreLetters: self._store,
        }

    def _tell(self, effect: ef.Tell) -> None:
        node = self.node
        node.cluster.watch.tells(node, effect)
        node.cluster.network.send(node, effect.peer, effect.message)

    def _answer(self, effect: ef.Answer) -> None:
        node = self.node
        node.cluster.watch.answers(node, effect.connection, effect.messages)
        node.cluster.ports.answer(effect.connection, effect.messages)

    # --- Lives ------------------------------------------

    def begin_life(self, found: Reborn) -> None:
        """A core begins: store the letters that recovery found, and fetch what is missing."""
        self.dlq.begin_life(found.letters, found.core.committed.index, found.missing_through)
        self.drive.holds_keys = False
        if self.dlq.missing_through:
            self._fetch_letters_later()

    def crash(self) -> None:
        """The process dies."""
        self.drive.crash()
        self.catching_up.crash()

    def disk_replaced(self) -> None:
        """Another disk took the place of the one that was lost."""
        self.drive.replaced()
        self.catching_up.replaced()

    # --- Letters ------------------------------------------

    def _store(self, effect: ef.StoreLetters) -> None:
        self.node.cluster.watch.stores(self.node, effect)
        self.dlq.store(effect)

    def _store_ns(self) -> int:
        now_ns = self._agenda.now_ns  # one after another, in order: the cursor counts on it
        wait_ns = self._dice.randint(*_STORE_MS) * limits.MS
        self._stored_ns = max(self._stored_ns, now_ns + wait_ns)
        return self._stored_ns - now_ns

    def _letters_stall(self) -> bool:
        return self._agenda.now_ns < self.letters_wait_until_ns

    def _fetch_letters_later(self) -> None:
        wait_ns = int(limits.LETTER_FETCH_S * limits.SECOND)
        self.node.loop.later(wait_ns, self._fetch_letters)

    def _fetch_letters(self) -> None:
        """Ask another node for the letters that a Checkpoint did not bring (R39)."""
        node, through = self.node, self.dlq.missing_through
        stores = [
            x.performing.dlq for x in node.cluster.nodes.values() if x is not node and x.running
        ]
        others = [x for x in stores if not x.missing_through and x.cursor >= through]
        if not others:
            self._fetch_letters_later()
            return
        known = node.cluster.books.letters
        found = self._dice.choice(others).letters
        self.dlq.keep([x for x in found.values() if known.get(x.id, through + 1) <= through])
        self.dlq.missing_through = 0
        node.cluster.count("letters_fetched")

    def _archive_from(self) -> int:
        return -1 if self.node.cluster.options.archive else self.dlq.cursor


class _Seen(Observer):
    """Tells those who watch what a node's disk does."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._laws = node.cluster.laws

    def persists(self, effect: ef.Persist) -> None:
        self._node.cluster.watch.persists(self._node, effect)

    def checkpoint_begins(self, effect: ef.WriteCheckpoint) -> None:
        self._laws.head(self._node, effect.head)

    def checkpoint_ends(self, unpin: Callable[[int], object], pin: int) -> None:
        self._laws.work(self._node, "the end of a Checkpoint", unpin, pin)

    def checkpointed(self, found: StoredCheckpoint) -> None:
        self._node.cluster.watch.checkpointed(self._node, found)

    def count(self, what: str) -> None:
        self._node.cluster.count(what)
