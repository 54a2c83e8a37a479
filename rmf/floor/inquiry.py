"""QUERY about the DLQ: read beside the store, page by page, in a thread (R39).

Each inquiry is a task of its own connection: it has its own reader and waits for its own client.
"""

from pathlib import Path
from typing import Any

import trio

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
        self._limiter = trio.CapacityLimiter(2)

    async def __call__(self, query: m.Query, pages: trio.MemorySendChannel[bytes]) -> None:
        """Send ITEMs and one END into `pages`, which is closed afterwards."""
        end = m.End(query.request, None, None)
        with pages:
            try:
                bodies = await trio.to_thread.run_sync(
                    self._bodies, query.subject, query.args, limiter=self._limiter
                )
                for body in bodies:
                    await pages.send(codec.encode(m.Item(query.request, body)))
            except ProtocolFault as fault:
                end = m.End(query.request, fault.code, fault.text)
            except RmfError as exc:
                end = m.End(query.request, "internal", str(exc))
            except trio.BrokenResourceError:
                return
            try:
                await pages.send(codec.encode(end))
            except trio.BrokenResourceError:
                return

    def _bodies(self, subject: str, args: dict[str, Any]) -> list[dict[str, Any]]:
        reader = DlqReader.open(self._path)
        try:
            return list(dlq_query.answer(reader, subject, args))
        finally:
            reader.close()
