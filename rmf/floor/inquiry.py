"""QUERY about the DLQ: read beside the store, page by page, in a thread (R39).

Each inquiry is a task of its own connection: it has its own reader and waits for its own client.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.errors import ProtocolFault, RmfError
from rmf.storage import dlq_query
from rmf.storage.dlq_reader import DlqReader

__all__ = ["Inquiry"]


class Inquiry:
    """Answers QUERYs out of the DLQ at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._limiter = trio.CapacityLimiter(limits.QUERY_THREADS_MAX)

    async def __call__(self, query: m.Query, pages: trio.MemorySendChannel[bytes]) -> None:
        """Send ITEMs and one END into `pages`, which is closed afterwards."""
        end = m.End(query.request, None, None)
        with pages:
            try:
                await self._send_bodies(query, pages)
            except ProtocolFault as fault:
                end = m.End(query.request, fault.code, fault.text)
            except RmfError as exc:
                end = m.End(query.request, "internal", str(exc))
            except trio.BrokenResourceError:
                return
            with suppress(trio.BrokenResourceError):
                await pages.send(codec.encode(end))

    async def _send_bodies(self, query: m.Query, pages: trio.MemorySendChannel[bytes]) -> None:
        in_thread = partial(trio.to_thread.run_sync, limiter=self._limiter)
        reader = await in_thread(DlqReader.open, self._path)
        try:
            bodies = iter(dlq_query.answer(reader, query.subject, query.args))
            while slice_ := await in_thread(_take, bodies):
                for body in slice_:
                    await pages.send(codec.encode(m.Item(query.request, body)))
        finally:
            with trio.CancelScope(shield=True):
                await in_thread(reader.close)


def _take(bodies: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the next few bodies: each may be as large as a frame, so memory stays bounded."""
    return list(islice(bodies, limits.QUERY_BODIES_A_SLICE))
