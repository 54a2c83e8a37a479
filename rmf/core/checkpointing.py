"""When a node writes a Checkpoint of itself, and who waits for it (R25).

Decides how much ledger asks for one, that one is written at a time, and what operators hear of it.
It neither makes nor reads Checkpoints.

Theory. A Checkpoint costs as much as the World is large, and spares a restart the ledger behind the
one before. So it comes by bytes of ledger, and by the size of the last one: what is written for
Checkpoints is then never more than what is written for Entries. That has a bound, too, or a restart
of a large World would take as long again for what came since.
"""

from rmf import limits
from rmf.core import messages as m
from rmf.core.effects import Answer, Effect
from rmf.core.events import Asked, CheckpointEnded

__all__ = ["Checkpointing"]


class Checkpointing:
    """`wanted` is set whenever one is wanted. `behind_bytes` counts bodies of Entries applied
    since the last one, `last_bytes` is the size of that."""

    def __init__(self, behind_bytes: int = 0, last_bytes: int = 0) -> None:
        self.wanted = False
        self._behind_bytes = behind_bytes
        self._last_bytes = last_bytes
        self._underway: int | None = None  # the Entry it stands at
        self._asked: list[Asked] = []  # who waits for the next one
        self._awaited: list[Asked] = []  # who waits for the one that is under way

    @property
    def due_bytes(self) -> int:
        """So much ledger asks for a Checkpoint."""
        least, most = limits.CHECKPOINT_LEDGER_BYTES, limits.CHECKPOINT_LEDGER_BYTES_MAX
        return min(max(least, self._last_bytes), most)

    @property
    def may_begin(self) -> bool:
        """Whether one is wanted and none is under way."""
        return self.wanted and self._underway is None

    def applied(self, entry_bytes: int) -> None:
        """An Entry of so many bytes was applied."""
        self._behind_bytes += entry_bytes
        if self._behind_bytes >= self.due_bytes:
            self.wanted = True

    def ask(self, event: Asked, fault: tuple[str, str] | None, index: int) -> list[Effect]:
        """An operator wants one of what is committed now, up to `index`; return the answer, if
        there can be none."""
        if fault is not None or not index:
            code = "strike" if fault is not None else "not_ready"
            return _ends([event], code, "there is nothing that could be written")
        self.wanted = True
        self._asked.append(event)
        return []

    def begin(self, index: int) -> None:
        """The Checkpoint of this Entry is being written from now on."""
        assert self._underway is None
        assert index > 0, "nothing is committed yet"
        self.wanted = False
        self._underway = index
        self._behind_bytes = 0
        self._awaited, self._asked = self._asked, []

    def ended(self, event: CheckpointEnded) -> list[Effect]:
        """The keeper is done; return the answers. One that an earlier core of this node had asked
        for is dropped. A failure asks for nothing at once: the ledger is whole without."""
        if event.index != self._underway:
            return []
        self._underway = None
        awaited, self._awaited = self._awaited, []
        if event.why is not None:
            return _ends(awaited, "not_possible", event.why)
        self._last_bytes = event.file_bytes
        effects: list[Effect] = []
        for asked in awaited:
            item = m.Item(asked.request, {"index": event.index})
            effects.append(Answer(asked.connection, [item, m.End(asked.request, None, None)]))
        return effects

    def drop(self, why: str) -> list[Effect]:
        """Nothing more is written here, for a strike; return what those hear who wait."""
        waiting = [*self._awaited, *self._asked]
        self._awaited, self._asked = [], []
        return _ends(waiting, "strike", why)


def _ends(asked: list[Asked], code: str, why: str) -> list[Effect]:
    return [Answer(x.connection, [m.End(x.request, code, why)]) for x in asked]
