"""What comes of one slot of a Tick: the changes that it makes to the World, or why it went wrong.

Values only, below Entries, which keep them, and Events, which bring them from the glove box.
"""

from collections.abc import Iterable, Iterator

import attrs

from rmf.core.bag import Evidence
from rmf.core.packet import PAYLOAD, TOPIC, Row

__all__ = ["INHERIT", "Change", "Outcome", "Span", "changes_of_spans"]

INHERIT = -1  # as a shelf: the packet's own shelf life

# One change of the World: (slot, key, value or None to remove, shelf). `shelf` is -1 to inherit the
# packet's shelf life, 0 to keep for ever, else a shelf life of its own in ms (R9).
Change = tuple[int, str, bytes | None, int]

# [first slot, how many]: all that each of these slots changed is that its packet is stored as it
# came, the payload's very bytes under the topic, with the packet's shelf life. Said instead of one
# Change per slot, whose key and value stand in the frame already.
Span = list[int]


@attrs.frozen
class Outcome:
    """A slot that did not go well: why, where, and the evidence."""

    slot: int
    reason: str
    stage: str
    error: Evidence


def changes_of_spans(spans: Iterable[Span], rows: list[Row], first_slot: int) -> Iterator[Change]:
    """Give the changes that spans stand for; `rows` are the packets from `first_slot` on."""
    for first, count in spans:
        for slot in range(first, first + count):
            row = rows[slot - first_slot]
            yield slot, row[TOPIC], row[PAYLOAD], INHERIT
