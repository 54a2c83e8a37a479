"""The link to one peer: dials it for as long as it is a member, and carries messages there (R28).

Messages go one way: what the peer has to say comes over the link that it dials (see peer_port). All
that waits leaves in one write. A link that is down holds nothing back for later: Raft sends again
what still matters, and old messages would only tell of a past.

Errors: whatever becomes of a connection, the next attempt follows, after a pause that grows with
jitter. A failure of this task is our bug: it holds no packets, and the supervisor starts it again.
Shutdown: cancel it.
"""

import random
from collections.abc import Callable
from contextlib import suppress

import trio

from rmf import limits
from rmf.core.raft.greetings import RAFT, Alive, Own, hello_of
from rmf.errors import Refused
from rmf.floor import log
from rmf.floor.dialling import FAILURES, Dialled, Peer, dial
from rmf.floor.peer_end import PeerEnd
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
            nursery.start_soon(_write, stream, end, nursery.cancel_scope)
            nursery.start_soon(_say_alive, end)
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await stream.receive_some(1)  # nothing is ever said here: it ends, one way or other
            nursery.cancel_scope.cancel()
    finally:
        end.close()
        await trio.aclose_forcefully(stream)


async def _write(stream: trio.abc.Stream, end: PeerEnd, scope: trio.CancelScope) -> None:
    async for frame in end.waiting:
        frames = [frame, *end.take()]
        data = b"".join(frames) if len(frames) > 1 else frame
        try:
            await stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            break
        end.written(len(data))
    scope.cancel()


async def _say_alive(end: PeerEnd) -> None:
    """Say something now and then where nothing else is said: silence means death there."""
    sent = end.sent
    while True:
        await trio.sleep(limits.PEER_ALIVE_S)
        if end.sent == sent:
            with suppress(trio.WouldBlock):
                end.send_nowait(Alive())
        sent = end.sent
