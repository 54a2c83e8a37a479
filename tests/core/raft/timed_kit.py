"""A cluster of cores whose time goes on by itself: what is written, asked and sent takes its time,
in which a node may die; each core gets the Beats it asks for, and no other."""

from collections import Counter
from collections.abc import Callable
from functools import partial

from rmf.core.effects import Effect
from rmf.core.raft.raft_node import Raft
from tests.core.raft.cluster_kit import Cluster
from tests.core.raft.entries_kit import MS
from tests.core.raft.node_kit import Sent


class TimedCluster(Cluster):
    """Subclasses say how long it takes to write, and what becomes of a message."""

    def __init__(self, names: str, dice: Callable[[], float]) -> None:
        super().__init__(names, dice)
        self._lives: Counter[str] = Counter()
        self._due: dict[str, int] = {}

    def run(self, ms: float) -> None:
        """Let so much time go by."""
        self.agenda.run_until(self.now_ns + int(ms * MS))

    def in_this_life(self, wait_ns: int, act: Callable[[], object], *names: str) -> None:
        """Do it later, unless one of these nodes died meanwhile."""
        lives = [self._lives[x] for x in names]
        self.agenda.after(wait_ns, self._if_still, act, names, lives)

    def _if_still(
        self, act: Callable[[], object], names: tuple[str, ...], lives: list[int]
    ) -> None:
        if lives == [self._lives[x] for x in names] and names[0] in self.running():
            act()

    # --- Lives ----------------------------------------------------------------------------------

    def start(self, *names: str) -> None:
        for name in names or list(self.nodes):
            self._lives[name] += 1
            super().start(name)
            self._arm(name)

    def crash(self, name: str, kept: int = 0) -> None:
        self._lives[name] += 1
        super().crash(name, kept)

    def lose_link(self, name: str) -> None:
        super().lose_link(name)
        for other in self.running():
            self._arm(other)

    # --- Steps ----------------------------------------------------------------------------------

    def step(self, name: str, act: Callable[[Raft], list[Effect] | None]) -> list[Effect]:
        effects = super().step(name, act)
        if name in self.running():
            self.on_step(name)
            self._arm(name)
        return effects

    def on_step(self, name: str) -> None:
        """A core took a step."""

    def _arm(self, name: str) -> None:
        due = self.core(name).next_due_ns()
        if due is not None and self._due.get(name) != due:
            self._due[name] = due
            self.agenda.at(due, self._beat, name, due)

    def _beat(self, name: str, due: int) -> None:
        if name in self.running() and self._due.get(name) == due:
            self._due.pop(name)
            self.beat(name)
            self._arm(name)

    # --- What takes its time --------------------------------------------------------------------

    def on_persist(self, name: str) -> None:
        self.in_this_life(self.write_ns(), partial(self.on_written, name), name)

    def write_ns(self) -> int:
        """Return how long a write takes."""
        raise NotImplementedError

    def on_written(self, name: str) -> None:
        """A write took its time."""
        if self.nodes[name].disk.waiting:
            self.sync(name)

    def on_asked(self, name: str, wait_ns: int) -> None:
        self.in_this_life(wait_ns, partial(self._serve, name), name)

    def _serve(self, name: str) -> None:
        if self.nodes[name].asked:
            self.serve(name)

    def carry(self, sent: Sent, wait_ns: int) -> None:
        """Have a message arrive, if both nodes live as long as that."""
        self.in_this_life(wait_ns, partial(self.deliver, sent), sent.target, sent.source)
