"""What a core must know of its surroundings when it begins (R15).

A core hears of changes only: of watermarks that the disk passes, of letters that are stored. One
that is read from the disk again would have to guess what the one before heard, so it begins with
it. It decides nothing.
"""

from typing import Any

import attrs

__all__ = ["NOTHING_HEARD", "Reported", "Surroundings"]


def _no_letters() -> dict[str, Any]:
    facts: dict[str, Any] = dict.fromkeys(("letters", "groups", "bytes"), 0)
    return facts | {"complete": True, "open": 0, "reopened": 0}


@attrs.frozen
class Surroundings:
    """The disk's mark (R38), what the status shows of the DLQ and of the glove box, how many
    letters of the line wait to be stored; how many bytes of Entries stand behind the Checkpoint
    that it began with, and how large that is (R25)."""

    mark: str = "ok"
    dlq_facts: dict[str, Any] = attrs.Factory(_no_letters)
    box_restarts: int = 0
    letters_unstored: int = 0
    behind_bytes: int = 0
    checkpoint_bytes: int = 0


NOTHING_HEARD = Surroundings()


@attrs.define(eq=False)
class Reported:
    """What the floor told last of the disk, of the DLQ and of the glove box."""

    mark: str
    dlq_facts: dict[str, Any]
    box_restarts: int
