"""Who left the producers' table (R33), for the log: counted by reason, and said where a name was
crowded out.

It sees committed Entries. A name that was crowded out has lost what the table remembered of it, so
the reigning node says who it was. A crowd may come in thousands, so that is said once in a while,
with some of the names and the number of all. It decides nothing.
"""

from rmf import limits
from rmf.core.effects import Effect, Note
from rmf.core.entry import TickBooks
from rmf.core.in_flight import InFlight

__all__ = ["Departures"]


class Departures:
    """`counts` are names that left since the start of this core, by reason."""

    def __init__(self) -> None:
        self.counts = {"bye": 0, "idle": 0, "crowded": 0}
        self._names: list[str] = []
        self._untold = 0
        self._said_ns: int | None = None

    def see(self, done: InFlight, now_ns: int) -> list[Effect]:
        """Take in a committed Entry; return what is to be said of it and of those before."""
        books = done.entry.books
        if isinstance(books, TickBooks):
            for name, reason in books.leavers:
                self.counts[reason] += 1
                if reason == "crowded" and done.latched is not None:
                    self._note(name, done)
        if not self._untold or not self._may_say(now_ns):
            return []
        why = (
            f"the table holds {limits.PRODUCERS_MAX} names; what these have not heard of yet is"
            " unknown to them when they come back"
        )
        fields = {"names": ", ".join(self._names), "count": self._untold, "why": why}
        self._names, self._untold, self._said_ns = [], 0, now_ns
        return [Note("warning", "producers_crowded_out", fields)]

    def _note(self, name: str, done: InFlight) -> None:
        """Remember a name; those that never sent a packet lose nothing, and are only counted."""
        row = done.before.producers.get(name)
        self._untold += 1
        if row is not None and row.last_seq and len(self._names) < limits.CROWDED_NAMES_SAID:
            self._names.append(name)

    def _may_say(self, now_ns: int) -> bool:
        since = self._said_ns
        return since is None or now_ns - since >= limits.CROWDED_SAID_S * limits.SECOND
