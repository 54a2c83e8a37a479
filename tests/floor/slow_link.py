"""A link with a bandwidth and a length, in virtual time: what a wire, or the queue before it, does.

async with slow_link(10, 0.1) as (ours, theirs): ...   10 Mbit/s and 100 ms, each way
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

__all__ = ["slow_link"]

_PACKET_BYTES = 4096


@asynccontextmanager
async def slow_link(
    mbit: float, seconds: float
) -> AsyncIterator[tuple[trio.abc.Stream, trio.abc.Stream]]:
    """Give both ends. Whatever is sent is taken at once: the queue before the link has no end."""
    ours, near = trio.testing.memory_stream_pair()
    far, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        for source, target in ((near, far), (far, near)):
            nursery.start_soon(_carry, source, target, mbit, seconds)
        yield ours, theirs
        nursery.cancel_scope.cancel()


async def _carry(
    source: trio.abc.ReceiveStream, target: trio.abc.SendStream, mbit: float, seconds: float
) -> None:
    under_way, arriving = trio.open_memory_channel[tuple[float, bytes]](10**9)

    async def arrive() -> None:
        async for comes, data in arriving:
            await trio.sleep_until(comes)
            await target.send_all(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(arrive)
        free = trio.current_time()
        while data := bytes(await source.receive_some(_PACKET_BYTES)):
            free = max(free, trio.current_time()) + len(data) * 8 / (mbit * 1e6)
            await trio.sleep_until(free)
            under_way.send_nowait((free + seconds, data))
        await under_way.aclose()
