"""A nursery that is a detail of ours: users meet their own exceptions, not our groups.

trio wraps whatever leaves a nursery in an exception group. A user who writes
`except Refused` around `async with rmf.connect(...)` never sees a nursery, so a single exception is
taken out of its group, also if several tasks met the same one (whatever ended a producer is raised
to all who wait for it). Different ones stay a group, because none may be lost.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

__all__ = ["open_hidden_nursery"]


@asynccontextmanager
async def open_hidden_nursery() -> AsyncIterator[trio.Nursery]:
    """Open a nursery whose group of one is taken off."""
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        if any(exc is not group.exceptions[0] for exc in group.exceptions):
            raise
        # Its own context and cause are all there is: the group only came of our nursery.
        raise group.exceptions[0] from group.exceptions[0].__cause__  # noqa: ASYNC123
