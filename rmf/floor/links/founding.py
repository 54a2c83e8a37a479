"""How a node comes to belong to a cluster: it makes one with its peers, or joins theirs (R29).

It asks all listed peers, lets core/genesis decide, and does what that says, until the data
directory belongs to a cluster. Meanwhile the node's own port must answer the same questions of the
others. The node that makes the cluster writes down its members first, then founds the directory,
and only then says so: a crash in between leads to another round, or to the same cluster.

Errors: DiskFailed, StorageError: the directory could not be written or read; the node cannot start.
Shutdown: cancel it.
"""

import os
from collections.abc import Mapping
from contextlib import suppress

import attrs
import trio

from rmf import limits
from rmf.core.entry import Member
from rmf.core.events import Unfounded
from rmf.core.genesis import Step, decide
from rmf.core.raft.greetings import GENESIS, Own, Welcome, hello_of
from rmf.errors import DiskFailed
from rmf.floor import log
from rmf.floor.items import EventItem
from rmf.floor.links.dialling import FAILURES, dial
from rmf.notation import Address
from rmf.storage.directory import DataDirectory
from rmf.storage.genesis_draft import read_draft, write_draft

__all__ = ["Founded", "found"]

_ID_BYTES = 16


@attrs.frozen
class Founded:
    """The cluster. `members` are its first ones if this node made it: for the Entry Genesis, if the
    ledger is still empty. None: another node made it, and the ledger comes from there."""

    cluster: bytes
    members: tuple[Member, ...] | None


async def found(
    directory: DataDirectory,
    own: Own,
    peers: Mapping[str, Address],
    claims: trio.MemoryReceiveChannel[bytes],
    events: trio.MemorySendChannel[EventItem],
) -> Founded:
    """Return once `directory` belongs to a cluster; at once if it does, or if `peers` names no
    other. `own` is what this node says of itself in its questions. From `claims` comes the id of a
    cluster whose nodes take this one for a member; `events` hears, once per round, what it waits
    for."""
    if directory.founded:
        return Founded(directory.cluster, read_draft(directory.path, directory.cluster) or None)
    others = {name: address for name, address in peers.items() if name != own.node}
    claimed: bytes | None = None
    while True:
        step = decide(own, await _ask_all(own, others))
        with suppress(trio.WouldBlock):
            claimed = claims.receive_nowait()
        if claimed is not None and step.do != "adopt":
            step = Step("adopt", "a founded node names this one a member", claimed)
        level = "warning" if step.do == "wait_for_admin" else "info"
        log.note(level, "founding", step=step.do, why=step.why)
        with suppress(trio.WouldBlock):  # it is said again
            events.send_nowait(Unfounded(step.why))
        match step.do:
            case "found":
                cluster = os.urandom(_ID_BYTES)
                return await _in_thread(directory, cluster, step.members)
            case "adopt":
                assert step.cluster is not None
                return await _in_thread(directory, step.cluster, None)
        with trio.move_on_after(_pause_s(step)):
            claimed = await claims.receive()


def _pause_s(step: Step) -> float:
    if step.do == "wait_for_admin":
        return limits.RECONNECT_PEER_S_MAX  # people take their time
    return limits.GENESIS_ROUND_S


async def _ask_all(own: Own, others: Mapping[str, Address]) -> dict[str, Welcome | None]:
    """Ask all of them at once who they are."""
    answers: dict[str, Welcome | None] = dict.fromkeys(others)

    async def ask(name: str, address: Address) -> None:
        try:
            dialled = await dial(address, hello_of(own, name, None, GENESIS))
        except FAILURES as exc:
            log.note("debug", "no_answer", peer=name, error=str(exc))
            return
        answers[name] = dialled.welcome
        with suppress(trio.BrokenResourceError):
            await dialled.stream.aclose()

    async with trio.open_nursery() as nursery:
        for name, address in others.items():
            nursery.start_soon(ask, name, address)
    return answers


async def _in_thread(
    directory: DataDirectory, cluster: bytes, members: tuple[Member, ...] | None
) -> Founded:
    def write() -> None:
        # Who joins writes that it is no member until the ledger says so: not alone, that is.
        write_draft(directory.path, cluster, members or ())
        try:
            directory.found(cluster)
        except OSError as exc:
            raise DiskFailed(f"{directory.path} cannot be founded: {exc}") from exc

    await trio.to_thread.run_sync(write)
    return Founded(cluster, members)
