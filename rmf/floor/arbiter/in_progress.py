"""What the arbiter has in hand while it works: the packets that a failure would be explained with
(R15). It reads events and batches, and decides nothing.
"""

import cbor2

from rmf.core import events as ev
from rmf.core.effects import Batch
from rmf.floor.supervisor import HeldItem

__all__ = ["packets_among", "packets_on"]


def packets_among(events: list[ev.Event]) -> list[HeldItem]:
    """Return the packets among events, for the letter of a failed core."""
    return [
        HeldItem(event.frame, event.producer, event.epoch, event.connection)
        for event in events
        if isinstance(event, ev.Offered)
    ]


def packets_on(batch: Batch) -> list[HeldItem]:
    """Return the packets on the bench, for the letter of a failed runner."""
    return [
        HeldItem(cbor2.dumps(group.rows), group.producer, group.epoch) for group in batch.groups
    ]
