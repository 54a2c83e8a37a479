"""QUERY about the DLQ, and for a backup: read beside the store, piece by piece, in a thread (R39).

Each inquiry is a task of its own connection: it has its own reader and waits for its own client.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.packet import kind_of
from rmf.errors import ProtocolFault, RmfError
from rmf.storage import dlq_query
from rmf.storage.backup_source import BackupSource
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_reader import DlqReader

__all__ = ["Inquiry"]

Bodies = Iterator[dict[str, Any]]


class _Source(Protocol):
    """What is open as long as a question is answered out of it."""

    def close(self) -> None:
        """Release it."""
        ...


class Inquiry:
    """Answers QUERYs out of the DLQ at `path`, and gives backups of `directory`, if there is one.
    A backup is long: it has a thread of its own."""

    def __init__(self, path: Path, directory: DataDirectory | None = None) -> None:
        self._path = path
        self._directory = directory
        self._limiter = trio.CapacityLimiter(limits.QUERY_THREADS_MAX)
        self._backups = trio.CapacityLimiter(limits.BACKUPS_AT_ONCE)

    async def __call__(self, query: m.Query, pages: trio.MemorySendChannel[bytes]) -> None:
        """Send ITEMs and one END into `pages`, which is closed afterwards."""
        end = m.End(query.request, None, None)
        with pages:
            try:
                if query.subject == "backup" and self._directory is not None:
                    await self._back_up(query, self._directory, pages)
                else:
                    await self._send_bodies(query, self._letters, pages, self._limiter)
            except ProtocolFault as fault:
                end = m.End(query.request, fault.code, fault.text)
            except RmfError as exc:
                end = m.End(query.request, "internal", str(exc))
            except trio.BrokenResourceError:
                return
            with suppress(trio.BrokenResourceError):
                await pages.send(codec.encode(end))

    async def _back_up(
        self, query: m.Query, directory: DataDirectory, pages: trio.MemorySendChannel[bytes]
    ) -> None:
        index = query.args.get("index")
        if type(index) is not int or set(query.args) != {"index"}:
            raise ProtocolFault("wrong_shape", f"backup: `index`, a number; found {kind_of(index)}")
        if self._backups.available_tokens < 1:
            raise ProtocolFault("busy", "another backup is being taken; ask again")

        def opened(_query: m.Query) -> tuple[BackupSource, Bodies]:
            source = BackupSource(directory, index)
            return source, source.bodies()

        await self._send_bodies(query, opened, pages, self._backups)

    def _letters(self, query: m.Query) -> tuple[DlqReader, Bodies]:
        if self._directory is not None and not self._directory.founded:
            text = "this node belongs to no cluster yet, and has no letters"
            raise ProtocolFault("not_ready", text)
        reader = DlqReader.open(self._path)
        try:
            return reader, iter(dlq_query.answer(reader, query.subject, query.args))
        except BaseException:
            reader.close()
            raise

    async def _send_bodies(
        self,
        query: m.Query,
        opened: Callable[[m.Query], tuple[_Source, Bodies]],
        pages: trio.MemorySendChannel[bytes],
        limiter: trio.CapacityLimiter,
    ) -> None:
        in_thread = partial(trio.to_thread.run_sync, limiter=limiter)
        source, bodies = await in_thread(opened, query)
        slices = _Slices(bodies)
        try:
            while slice_ := await in_thread(slices.take):
                for body in slice_:
                    await pages.send(codec.encode(m.Item(query.request, body)))
        finally:
            with trio.CancelScope(shield=True):
                await in_thread(source.close)


class _Slices:
    """Bodies, a few at a time: each may be as large as a frame, so memory stays bounded. What fails
    behind some of them is raised once these are taken."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._fault: RmfError | None = None

    def take(self) -> list[dict[str, Any]]:
        """Return the next few; none: that was all. Raises what reading raises."""
        if self._fault is not None:
            raise self._fault
        taken: list[dict[str, Any]] = []
        try:
            for body in islice(self._bodies, limits.QUERY_BODIES_A_SLICE):
                taken.append(body)  # noqa: PERF402 those before a fault are shown
        except RmfError as exc:
            self._fault = exc
        if self._fault is not None and not taken:
            raise self._fault
        return taken
