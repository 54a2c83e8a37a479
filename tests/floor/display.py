"""A display, played by a test: the pages of one subscription, and what they say."""

from typing import Any

import cbor2
import trio
import trio.testing

from rmf.core import codec
from rmf.core import messages as m
from tests.floor.wire import PATIENCE_S, snapshot_in


class Display:
    """What a subscriber gets."""

    def __init__(self, pages_out: trio.MemoryReceiveChannel[bytes]) -> None:
        self.pages_out = pages_out

    async def page(self) -> bytes:
        with trio.fail_after(PATIENCE_S):
            return await self.pages_out.receive()

    async def next(self) -> m.Snapshot:
        """Return the next frame, whatever it is."""
        return snapshot_in(await self.page())

    async def change(self) -> m.Snapshot:
        """Return the next frame that is no keepalive."""
        while (snapshot := await self.next()).kind == m.KEEPALIVE:
            pass
        return snapshot


def opened(page: bytes) -> m.Snapshot:
    """Return what a page of cells and removals says, as a SNAPSHOT."""
    return snapshot_in(
        codec.encode_snapshot(1, m.DELTA, [1, 1, 1, bytes(16), True, 0], page, more=False)
    )


def keys(snapshot: m.Snapshot) -> list[str]:
    return [cell.key for cell in snapshot.cells]


def values(snapshot: m.Snapshot) -> dict[str, Any]:
    return {cell.key: cbor2.loads(cell.value) for cell in snapshot.cells}
