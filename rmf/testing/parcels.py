"""What tests send, with a time of harvest: that of the node's wall clock, for this machine's is no
input."""

from typing import Any

from rmf.client.client_values import Parcel
from rmf.errors import UsageError
from rmf.testing.drifting_clock import WALL_NS

__all__ = ["dated"]


def dated(parcel: tuple[Any, ...], now_ns: int) -> Parcel:
    """Return a (topic, payload, ttl_ms) tuple or a Parcel as a Parcel; one that says no harvest
    time has that of `now_ns` on a clock that began with WALL_NS. Raises UsageError."""
    if len(parcel) not in {3, 5}:
        raise UsageError(f"expected (topic, payload, ttl_ms) or a Parcel, found {len(parcel)}")
    found = Parcel(*parcel)
    return (
        found if found.harvested_at is not None else found._replace(harvested_at=WALL_NS + now_ns)
    )
