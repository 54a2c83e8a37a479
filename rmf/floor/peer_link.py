"""The link to one peer: dials it for as long as it is a member, and carries messages there (R28).

Messages go one way: what the peer has to say comes over the link that it dials (see peer_port).
Only how much of what is long has come, is said here by the peer. A link that is down holds nothing
back for later: Raft sends again what still matters, and old messages would only tell of a past.

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
from rmf.floor.dialling import FAILURES, Dialled, Peer, dial
from rmf.floor.peer_end import PeerEnd
from rmf.floor.receiving import receive
from rmf.floor.supervisor import Hands
from rmf.notation import address_text

__all__ = ["carry", "run"]


async def run(peer: Peer, end: PeerEnd, own: Callable[[], Own], hands: Hands) -> None:
    """Keep a link to `peer` until cancelled, and write what is sent by `end`."""
    hands.free()  # it holds no packets
    pause_s = limits.RECONNECT_PEER_S_MIN
    while True:
        try:
            dialled = await dial(peer.address, hello_of(own(), peer.name, peer.incarnation, RAFT))
        except FAILURES as exc:
            level = "warning" if isinstance(exc, Refused) else "info"
            address = address_text(peer.address)
            log.note(level, "peer_not_linked", peer=peer.name, address=address, error=str(exc))
        else:
            log.note("info", "peer_linked", peer=peer.name, address=address_text(peer.address))
            pause_s = limits.RECONNECT_PEER_S_MIN
            await carry(dialled, end)
            log.note("info", "peer_link_lost", peer=peer.name)
        with trio.move_on_after(pause_s * (0.5 + random.random() / 2)):  # noqa: S311 jitter
            await end.hurry.wait()
        pause_s = min(2 * pause_s, limits.RECONNECT_PEER_S_MAX)


async def carry(dialled: Dialled, end: PeerEnd) -> None:
    """Write into a connection what is sent by `end`, until it is gone."""
    stream = dialled.stream
    end.open(stream, dialled.welcome.version)
    try:
        async with trio.open_nursery() as nursery:
            for task in (end.write_hurrying, end.write_bulk, partial(_hear, dialled, end)):
                nursery.start_soon(_until_it_ends, task, nursery.cancel_scope)
            nursery.start_soon(_say_alive, end)
    finally:
        end.close()
        await trio.aclose_forcefully(stream)


async def _until_it_ends(task: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
    """Do one side of a connection; with its end, the other side ends."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await task()
    scope.cancel()


async def _hear(dialled: Dialled, end: PeerEnd) -> None:
    """Take note of what the peer says it has taken; nothing else is ever said here."""
    frames = dialled.buffer
    try:
        while True:
            for frame in frames.frames():
                end.taken(_taken(frame))
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


async def _say_alive(end: PeerEnd) -> None:
    """Say something now and then where nothing else is said: silence means death there."""
    sent = end.sent
    while True:
        await trio.sleep(limits.PEER_ALIVE_S)
        if end.sent == sent:
            with suppress(trio.WouldBlock):
                end.send_nowait(Alive())
        sent = end.sent
