"""The state after the last Entry that a ledger holds, known to be committed or not (R28): for
a factory that goes on with what one disk has, because nothing else is left.

It reads a data directory that no node runs, verifies everything on the way, and changes nothing of
it. Entries at the end of which it is unknown whether they were committed are taken, too: what was
acked was on a majority's disks, and this may be the only one of them that is left.
"""

from collections.abc import Callable

import attrs

from rmf.core.bag import Letter
from rmf.core.entry_walk import entry_of, follow
from rmf.core.letters import acts_of, letters_of
from rmf.core.state import State
from rmf.core.triage import Act
from rmf.errors import Diverged, LedgerDamaged
from rmf.storage.archive import starts
from rmf.storage.directory import DataDirectory
from rmf.storage.ledger_extent import Survey, holding, survey
from rmf.storage.restore import restore
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import LedgerPlace

__all__ = ["LastState", "read_last"]

Put = Callable[[list[Letter], int, list[Act]], object]


@attrs.frozen
class LastState:
    """`state` is what the disk holds, at `base`. Up to `commit` its Entries are known to be
    committed. The last one's record was written in the boot `boot_id`, at `boot_ns`, and stamped
    `wall_ns`; all are empty where the ledger holds no Entry behind its Checkpoint."""

    state: State
    base: LedgerPlace
    commit: int
    boot_id: bytes
    boot_ns: int
    wall_ns: int


def read_last(directory: DataDirectory, put: Put) -> LastState:
    """Return the last state of a ledger; `put` is given the letters and acts of each Entry on the
    way. Raises StorageError for damage: what stands behind it is unknown then, and Diverged."""
    ledgers, cluster = directory.ledgers, directory.cluster
    places = starts(ledgers, directory.checkpoints, cluster)
    restored, faults = restore(reversed(places), cluster)
    if restored is None:
        raise faults[0] if faults else LedgerDamaged(f"{directory.path} holds no ledger")
    seen = _sound(survey(LedgerScan(ledgers, cluster, restored.start.base)))
    state, base, shelf = restored.state, restored.start.base, restored.shelf
    boot_id, boot_ns, wall_ns = b"", 0, 0
    for record in holding(LedgerScan(ledgers, cluster, base), seen):
        entry, before = entry_of(record), state
        state = follow(state, entry, record.term, record.index, shelf)
        if state.digest() != entry.digest:
            raise Diverged(
                f"Entry {record.index} (term {record.term}) states the digest {entry.digest.hex()},"
                f" applying it gives {state.digest().hex()}"
            )
        put(
            letters_of(entry, before, record.term, directory.node),
            record.index,
            acts_of(entry, record.index),
        )
        base = LedgerPlace(record.serial, record.index, record.term, record.chain)
        boot_id, boot_ns, wall_ns = record.boot_id, record.boot_ns, entry.wall_ns
    commit = max(seen.commit, restored.state.index)
    return LastState(state, base, commit, boot_id, boot_ns, wall_ns)


def _sound(seen: Survey) -> Survey:
    if seen.fault is not None:
        raise seen.fault
    return seen
