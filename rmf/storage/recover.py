"""One node goes on alone after the majority of its cluster was lost for good (R28): a way back that
gives something up, and says what.

Decides what the new cluster begins with: everything that this one disk holds, whether it is known
to be committed or not (see last_state). What only the lost disks held is gone. The new cluster has
an id of its own, so no other member of the old one can come back into it, and no client goes on
with it unawares.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from rmf import limits
from rmf.core.bag import Letter
from rmf.core.state import head_of
from rmf.core.triage import Act
from rmf.core.world import World
from rmf.errors import StorageError
from rmf.storage import refound
from rmf.storage.checkpoint import CellRow, CheckpointWriter
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_store import DlqStore
from rmf.storage.last_state import LastState, read_last
from rmf.storage.refound import Refounding, new_head

__all__ = ["go_on_alone", "look"]


def look(directory: DataDirectory) -> LastState:
    """Return what this disk holds; the letters of its Entries are in the DLQ afterwards. Raises
    StorageError: for damage, and where nothing was lost that could be given up."""
    if not directory.founded:
        raise StorageError(f"{directory.path} belongs to no cluster: there is nothing to recover")
    store = DlqStore.open(directory.dlq_path, cluster=directory.cluster, node=directory.node)
    with closing(store):

        def put(letters: list[Letter], index: int, acts: list[Act]) -> None:
            if index > store.cursor:
                store.put_line(letters, index, acts)

        last = read_last(directory, put)
    voters = [member.name for member in last.state.members if member.voter]
    if voters == [directory.node]:
        raise StorageError(
            f"{directory.path}: {directory.node} is the only voter of its cluster, so no majority"
            f" is missing: just start it"
        )
    return last


def go_on_alone(directory: DataDirectory, last: LastState) -> Refounding:
    """Make the directory that of a new cluster of this node alone; return it. What stood there
    before is kept beside it. Raises OSError, StorageError."""
    state, base = last.state, last.base
    known = last.boot_id and last.boot_ns
    head = {
        **head_of(state),
        "serial": base.serial,
        "chain": base.chain,
        "clock": [state.tick, last.boot_ns] if known else None,
        "boot_id": last.boot_id,
    }
    own = next((x for x in state.members if x.name == directory.node), None)
    addresses = {"peer": own.peer_address, "client": own.client_address} if own else {}
    source = f"{directory.cluster.hex()} after the loss of its majority"
    new = Refounding.of(directory.node, head, source, **addresses)

    def write(target: Path) -> Path:
        writer = CheckpointWriter(target, new.cluster, new_head(head, new), state.producers)
        try:
            for cells in _slices(state.world):
                writer.add(cells)
            return writer.finish()
        except BaseException:
            writer.abort()
            raise

    refound.stage(directory.path, new, write)
    directory.refounded()
    return new


def _slices(world: World) -> Iterator[list[CellRow]]:
    """Give all cells in key order, some at a time."""
    cells: list[CellRow] = []
    for key, cell in world.scan():
        cells.append((key, *cell[:-1]))
        if len(cells) >= limits.CHECKPOINT_SLICE_CELLS:
            yield cells
            cells = []
    yield cells
