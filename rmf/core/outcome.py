"""What comes of one slot of a Tick: the changes that it makes to the World, or why it went wrong.

Values only, below Entries, which keep them, and Events, which bring them from the glove box.
"""

import attrs

from rmf.core.bag import Evidence

__all__ = ["Change", "Outcome"]

# One change of the World: (slot, key, value or None to remove, shelf). `shelf` is -1 to inherit the
# packet's shelf life, 0 to keep for ever, else a shelf life of its own in ms (R9).
Change = tuple[int, str, bytes | None, int]


@attrs.frozen
class Outcome:
    """A slot that did not go well: why, where, and the evidence."""

    slot: int
    reason: str
    stage: str
    error: Evidence
