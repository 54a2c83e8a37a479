"""What the publisher hears: what the arbiter published, and who watches (R14, R35).

Values that pass through its two doors (see floor/doors); they decide nothing.
"""

import attrs
import trio

from rmf import limits
from rmf.core.effects import Publish
from rmf.core.messages import Subscribe, Unsubscribe
from rmf.floor.latest import Latest

__all__ = ["News", "Unwatch", "Watched"]


@attrs.frozen
class News:
    """What the arbiter published, oldest first. `pin` is on the last World's index: no key of it
    leaves, and the task that shows that World takes the pin over."""

    publications: list[Publish]
    pin: int

    @classmethod
    def of(cls, publications: list[Publish]) -> "News":
        """Return the news of a step of the arbiter."""
        return cls(publications, publications[-1].world.index.pin())

    def behind(self, older: "News") -> "News":
        """Return both as one, for a task that has heard of neither; beyond CHANGED_TICKS_KEPT the
        oldest are left out."""
        older.let_go()
        joined = older.publications + self.publications
        return News(joined[-limits.CHANGED_TICKS_KEPT :], self.pin)

    def put_into(self, door: "Latest[News]") -> None:
        """Hand it to the publisher, joined with what that has not taken yet."""
        unheard = door.take_back()
        door.put(self if unheard is None else self.behind(unheard))

    def let_go(self) -> None:
        """Take the pin off."""
        self.publications[-1].world.index.unpin(self.pin)


@attrs.frozen
class Watched:
    """A SUBSCRIBE of a connection; the publisher sends frames to `pages`. `dated`: each SNAPSHOT
    shall carry the present tick."""

    connection: int
    subscribe: Subscribe
    pages: trio.MemorySendChannel[bytes]
    dated: bool = False


@attrs.frozen
class Unwatch:
    """An UNSUBSCRIBE of a connection; None: of all its subscriptions, because it is gone."""

    connection: int
    unsubscribe: Unsubscribe | None
