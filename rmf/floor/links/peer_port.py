"""The port for other nodes: accepts their connections, each served by a task of its own (R28).

It knows nothing of what they say (see peer_connection). Connections are bounded; one that fails is
our bug: that becomes a letter, and no other notices.

Errors: when the port itself fails it is opened again by the supervisor, on the same number.
Shutdown: cancel it; who was here is said to be lost, where a task still listens.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from rmf import limits
from rmf.core.raft import wire
from rmf.core.raft.greetings import Refusal
from rmf.floor.edge import acceptor
from rmf.floor.edge.acceptor import Acceptor, last_words, linger, peer_name
from rmf.floor.links.peer_connection import PeerConnection, PeerPort
from rmf.floor.supervisor import InProgress, caught, seal
from rmf.notation import Address, address_text

__all__ = ["PeerListening", "run"]


class PeerListening(acceptor.Listening):
    """Where to listen for other nodes."""

    def __init__(self, address: Address) -> None:
        super().__init__(address, "--peer-listen")


async def run(
    listening: PeerListening,
    port: PeerPort,
    in_progress: InProgress,
    *,
    node: str,
    letters: trio.MemorySendChannel[Any],
    wall_ns: Callable[[], int],
) -> None:
    """Accept and serve connections until cancelled. `letters` takes what a failed connection leaves
    behind. Raises OSError if the port fails."""
    in_progress.free()  # it holds no packets
    listeners = await listening.listeners()
    explain = partial(seal, "peer_port", node=node, letters=letters, wall_ns=wall_ns)
    async with trio.open_nursery() as connections:
        serve = partial(_serve, listening, port, explain)
        await Acceptor(listening, connections, serve).accept(listeners)


async def _serve(
    listening: PeerListening, port: PeerPort, explain: Callable[..., Any], stream: trio.SocketStream
) -> None:
    if listening.open > limits.PEER_CONNECTIONS_MAX:
        await last_words(stream, _CROWDED)
        await linger(stream, limits.GOODBYE_S_MAX)  # else a reset may overtake the words
        return
    connection = PeerConnection(stream, _address_of(stream), port)
    exc = await caught(connection.serve)
    if exc is not None:
        cancelled = await explain(exc, InProgress())
        if cancelled is not None:
            raise cancelled


def _address_of(stream: trio.SocketStream) -> str:
    name = peer_name(stream)
    return "gone" if name is None else address_text(name)


_CROWDED = wire.PREFACE + wire.encode(
    Refusal("too_many_connections", f"at most {limits.PEER_CONNECTIONS_MAX} connections are served")
)
