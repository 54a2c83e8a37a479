"""What goes along with a node in its process, as a client of its port: the demo.

It decides nothing about the node: a companion that ends, is refused or fails leaves it as it is.
"""

from collections.abc import Awaitable, Callable

from rmf.errors import RmfError
from rmf.floor import log
from rmf.floor.supervisor import InProgress

__all__ = ["Companion", "accompany"]

Companion = Callable[[str], Awaitable[None]]


async def accompany(companion: Companion, here: str, in_progress: InProgress) -> None:
    """Run a companion of the node that listens `here`. That it is refused, because another client
    speaks for its name or because the node is on strike, is no failure of a task (R15)."""
    in_progress.free()  # its packets are a client's
    try:
        await companion(here)
    except RmfError as exc:
        log.note("warning", "companion_ended", why=str(exc))
