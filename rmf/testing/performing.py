"""What stands around one simulated node's core and does its effects: a line, a DLQ, a disk, what
peers ask of it, and the network and the people outside.

Everything takes time, in which the process may die or the core be replaced; what was begun for a
core that is gone reaches no node. The order of what is done is that of the effects.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from rmf import limits
from rmf.core import effects as ef
from rmf.testing.catching_up import CatchingUp
from rmf.testing.disk_driver import DiskDriver, Machine
from rmf.testing.environment import Environment
from rmf.testing.network import Caller, Network
from rmf.testing.performer import Arms, Happen, Later, LetterStore, LineRunner, Performer
from rmf.testing.ports import Ports
from rmf.testing.rebirth import Reborn
from rmf.testing.watcher import Watcher

__all__ = ["Performing"]

_STORE_MS = (2, 150)
_LONG_CHECKPOINT_MS = (1_000, 6_000)


class PerformingProcess(Machine, Caller, Protocol):
    """Whose effects are done."""

    def arms(self) -> Arms:
        """Which effects are done to the process itself, and how."""
        ...


_N = TypeVar("_N", bound=PerformingProcess)


class Performing(Generic[_N]):
    """`line`, `dlq`, `drive` and `catching_up` are the node's; letters wait until
    `letters_wait_until_ns`. `others` are the DLQs that may be asked for letters."""

    def __init__(
        self,
        node: _N,
        env: Environment,
        network: Network,
        ports: Ports,
        watch: Watcher[_N],
        happen: Happen,
        later: Later,
        others: Callable[[], list[LetterStore]],
    ) -> None:
        self._node = node
        self._env = env
        self._network, self._ports, self._watch = network, ports, watch
        self._later = later
        self._others = others
        self._dice = dice = env.dice.stream(f"disk/{node.name}")
        self.letters_wait_until_ns = 0
        self.line = LineRunner(env.runner, happen, later)
        self.line.line_ns = int(env.options.line_ms * limits.MS)
        self.dlq = LetterStore(happen, later, self._store_ns, self._letters_stall)
        self.drive = DiskDriver(node, happen, dice, later, watch, env.count, self._archive_from)
        self.drive.fsync_ns = int(env.options.fsync_ms * limits.MS)
        if env.options.crowd:
            self.drive.checkpoint_ms = _LONG_CHECKPOINT_MS
        fsync_wait_ns = self.drive.fsync_wait_ns
        self.catching_up = CatchingUp(node, happen, later, fsync_wait_ns, env.count)
        self._agenda = env.agenda
        self._stored_ns = 0
        parts = (self.line, self.drive, self.catching_up, node, self)
        self.perform = Performer(*parts, leaves_out=(ef.RunAgain,)).perform

    def arms(self) -> Arms:
        """What reaches the network and the people outside."""
        node, ports, watch = self._node, self._ports, self._watch
        return {
            ef.Tell: self._tell,
            ef.Answer: self._answer,
            ef.Broadcast: lambda effect: ports.broadcast(node.name, effect.message),
            ef.Close: lambda effect: ports.close(effect.connection),
            ef.Publish: lambda effect: watch.publishes(node, effect),
            ef.Note: lambda effect: self._env.note(node.name, effect),
            ef.StoreLetters: self._store,
        }

    def _tell(self, effect: ef.Tell) -> None:
        self._watch.tells(self._node, effect)
        self._network.send(self._node, effect.peer, effect.message)

    def _answer(self, effect: ef.Answer) -> None:
        self._watch.answers(self._node, effect.connection, effect.messages)
        self._ports.answer(effect.connection, effect.messages)

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
        self._watch.stores(self._node, effect)
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
        self._later(wait_ns, self._fetch_letters)

    def _fetch_letters(self) -> None:
        """Ask another node for the letters that a Checkpoint did not bring (R39)."""
        through = self.dlq.missing_through
        others = [x for x in self._others() if not x.missing_through and x.cursor >= through]
        if not others:
            self._fetch_letters_later()
            return
        known = self._env.books.letters
        found = self._dice.choice(others).letters
        self.dlq.keep([x for x in found.values() if known.get(x.id, through + 1) <= through])
        self.dlq.missing_through = 0
        self._env.count("letters_fetched")

    def _archive_from(self) -> int:
        return -1 if self._env.options.archive else self.dlq.cursor
