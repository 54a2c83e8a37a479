"""What outlives every core of a node: its directory, doors, line and settings, in one value.

It decides nothing; `serve` fills it, `life` lives on it.
"""

from collections.abc import Callable

import attrs

from rmf.floor.arbiter import arbiter_loop
from rmf.floor.doors import Doors
from rmf.floor.instruments import Instruments
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_store import DlqStore

__all__ = ["NodeResources"]


@attrs.frozen(kw_only=True)
class NodeResources:
    """What outlives every core. `has_peers` says whether there are nodes to fetch a lost ledger
    from. Without a `runner` the line runs in a glove box."""

    directory: DataDirectory
    store: Callable[[], DlqStore]
    doors: Doors
    runner: arbiter_loop.BlockingRunner | None
    listens: Callable[[str], bool]
    boot_id: bytes
    ingest_depth: int
    audit_ppm: int = 0
    has_peers: bool
    instruments: Instruments
