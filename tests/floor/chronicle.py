"""A ledger on the disk with Ticks in it, made by a core in conversation, for those who read it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmf import limits
from rmf.core.effects import Publish
from rmf.core.entry import decode_entry
from rmf.core.feed import Feed
from rmf.core.record import ENTRY
from rmf.core.tick_changes import TickChanges, changes_of_entry
from rmf.floor.displays.history import History
from rmf.floor.displays.published_world import PublishedWorld
from tests.core.kit import Playbook
from tests.storage.ledger_kit import Ledger, ledger_in


class Chronicle:
    """What a core does is written into the ledger and published."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.play = Playbook()
        self.picture = PublishedWorld(Feed())
        self.turns: list[TickChanges] = []
        self._probe = self.play.join("probe")
        self._seq = 0
        self._published = 0
        self._written = 0
        self.write()

    @property
    def changes(self) -> list[TickChanges]:
        """The Ticks that changed anything."""
        return [turn for turn in self.turns if turn.cells or turn.removed]

    def history(self) -> History:
        """Return the History of this ledger."""
        facts = (limits.TICK_PERIOD_NS, "shop")
        cluster = self.ledger.cluster
        return History(self.ledger.directory.ledgers, lambda: cluster, lambda: facts)

    def tick(self, topic: str, payload: Any = None, *, ttl_ms: int = 60_000) -> Publish:
        """Let a packet make a Tick, write and publish it."""
        self._seq += 1
        self.play.advance(1)
        self._probe.send(self._seq, topic=topic, payload=payload, ttl_ms=ttl_ms)
        return self.write()

    def pass_ms(self, ms: int) -> Publish:
        """Let time go by; what expires is written and published."""
        self.play.advance(ms)
        return self.write()

    def write(self) -> Publish:
        """Write what is durable into the ledger; publish it."""
        drafts = [x for x in self.play.disk.records if x.kind == ENTRY]
        new = drafts[self._written :]
        if new:
            self.ledger.entries(*(draft.body for draft in new))
        for draft in new:
            entry = decode_entry(draft.body)
            turn = changes_of_entry(entry, draft.term, draft.index, limits.TICK_PERIOD_NS, "shop")
            if turn is not None:
                self.turns.append(turn)
        self._written = len(drafts)
        job = self.picture.take(self.play.published[self._published :])
        for _ in job.work:  # whatever the desk has no time for now
            pass
        self._published = len(self.play.published)
        return self.play.published[-1]


@contextmanager
def chronicle(data: Path) -> Iterator[Chronicle]:
    """Open a Chronicle over a data directory; its segments are small."""
    with ledger_in(data) as ledger:
        yield Chronicle(ledger)
