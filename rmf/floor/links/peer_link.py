"""The link to one peer: dials it for as long as it is a member, and carries messages there (R28).

Messages go one way: what the peer has to say comes over the link that it dials (see peer_port).
Only how much of what is long has come, is said here by the peer. Each connection has doors of its
own, which the Arbiter gets to know once they lead somewhere: a link that is down holds nothing back
for later. Raft sends again what still matters, and old messages would only tell of a past.

Errors: whatever becomes of a connection, the next attempt follows, after a pause that grows with
jitter. A failure of this task is our bug: it holds no packets, and the supervisor starts it again.
Shutdown: cancel it.
"""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import trio

from rmf import limits
from rmf.core.raft import wire
from rmf.core.raft.greetings import RAFT, Alive, Own, Taken, hello_of
from rmf.errors import ProtocolFault, Refused
from rmf.floor import log
from rmf.floor.doors import link_doors
from rmf.floor.edge.receiving import receive
from rmf.floor.items import EventItem, Linked
from rmf.floor.links.dialling import FAILURES, Dialled, Peer, dial
from rmf.floor.links.peer_writer import PeerWriter
from rmf.floor.supervisor import InProgress
from rmf.notation import address_text

__all__ = ["carry", "run"]


async def run(
    peer: Peer,
    own: Own,
    dials: trio.MemoryReceiveChannel[Own],
    events: trio.MemorySendChannel[EventItem],
    in_progress: InProgress,
) -> None:
    """Keep a link to `peer` until cancelled. `own` is what this node says of itself, until `dials`
    says another; with that, or if it is said again, it is time to dial."""
    in_progress.free()  # it holds no packets
    pause_s = limits.RECONNECT_PEER_S_MIN
    while True:
        with suppress(trio.WouldBlock):
            own = dials.receive_nowait()
        try:
            dialled = await dial(peer.address, hello_of(own, peer.name, peer.incarnation, RAFT))
        except FAILURES as exc:
            level = "warning" if isinstance(exc, Refused) else "info"
            address = address_text(peer.address)
            log.note(level, "peer_not_linked", peer=peer.name, address=address, error=str(exc))
        else:
            log.note("info", "peer_linked", peer=peer.name, address=address_text(peer.address))
            pause_s = limits.RECONNECT_PEER_S_MIN
            await carry(dialled, events)
            log.note("info", "peer_link_lost", peer=peer.name)
        with trio.move_on_after(pause_s * (0.5 + random.random() / 2)):  # noqa: S311 jitter
            own = await dials.receive()
        pause_s = min(2 * pause_s, limits.RECONNECT_PEER_S_MAX)


async def carry(dialled: Dialled, events: trio.MemorySendChannel[EventItem]) -> None:
    """Write into a connection what the Arbiter sends, until it is gone."""
    writer = PeerWriter(dialled.stream, dialled.welcome.version)
    hurrying, hurrying_out, bulk, bulk_out = link_doors()
    tasks: list[Callable[[], Awaitable[None]]] = [
        partial(writer.write_hurrying, hurrying_out),
        partial(writer.write_bulk, bulk_out),
        partial(_hear, dialled, writer),
        partial(_say_alive, writer),
    ]
    try:
        with hurrying_out, bulk_out:
            async with trio.open_nursery() as nursery:
                for task in tasks:
                    nursery.start_soon(_until_it_ends, task, nursery.cancel_scope)
                await events.send(Linked(dialled.welcome.node, hurrying, bulk))
    finally:
        await trio.aclose_forcefully(dialled.stream)


async def _until_it_ends(task: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
    """Do one side of a connection; with its end, the other side ends."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await task()
    scope.cancel()


async def _hear(dialled: Dialled, writer: PeerWriter) -> None:
    """Take note of what the peer says it has taken; nothing else is ever said here."""
    frames = dialled.buffer
    try:
        while True:
            for frame in frames.frames():
                writer.taken(_taken(frame))
            data = await receive(dialled.stream, limits.RECEIVE_BYTES)
            if not data:
                return
            frames.feed(data)
    except ProtocolFault as fault:
        log.note("warning", "peer_fault", peer=dialled.welcome.node, error=str(fault))


def _taken(frame: bytes) -> int:
    message = wire.decode(frame)
    if isinstance(message, Taken):
        return message.bytes
    raise ProtocolFault("wrong_shape", "only TAKEN is said here")


async def _say_alive(writer: PeerWriter) -> None:
    """Say something now and then where nothing else is said: silence means death there."""
    writes = writer.writes
    while True:
        await trio.sleep(limits.PEER_ALIVE_S)
        if writer.writes == writes:
            await writer.say(Alive())
        writes = writer.writes
