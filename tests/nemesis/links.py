"""The wires between several nodes, one for each way of dialling: cut, or standing still.

A node dials another by the address of the wire, as `--peers` tells each of them.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress

import trio

from rmf.notation import Address

__all__ = ["Links", "own_host"]

_READ_BYTES = 65536
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


def own_host() -> str:
    """Return a loopback address of this process alone: no other has its ports."""
    a, b, c = os.getpid().to_bytes(3, "big")
    return f"127.{a + 1}.{b}.{c}"


class Links:
    """All of them, by who dials whom. `peers` is where the nodes listen for each other."""

    def __init__(self, host: str, first_port: int, peers: Mapping[str, Address]) -> None:
        pairs = [(name, peer) for name in peers for peer in peers if name != peer]
        self._found = {
            pair: _Link((host, first_port + i), peers[pair[1]]) for i, pair in enumerate(pairs)
        }
        self._peers = peers

    def seen_from(self, name: str) -> dict[str, Address]:
        """Return where this node has to dial in order to reach each of the others."""
        wires = {peer: link.address for (dials, peer), link in self._found.items() if dials == name}
        return {**self._peers, **wires}

    async def open(self, nursery: trio.Nursery) -> None:
        """Begin to carry."""
        for link in self._found.values():
            await nursery.start(link.run)

    def cut(self, name: str) -> None:
        """Break every connection of a node with another, both ways; refuse new ones."""
        for link in self._of(name):
            link.cut()

    def stall(self, name: str, peer: str) -> None:
        """Keep what one says to the other on its way; connections stay open."""
        self._found[name, peer].stall()

    def heal(self, name: str) -> None:
        """Carry on, at all wires of this node."""
        for link in self._of(name):
            link.heal()

    def _of(self, name: str) -> Iterator["_Link"]:
        return (link for pair, link in self._found.items() if name in pair)


class _Link:
    def __init__(self, address: Address, there: Address) -> None:
        self.address = address
        self._there = there
        self._is_cut = False
        self._flows = trio.Event()
        self._flows.set()
        self._carrying: set[trio.CancelScope] = set()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        host, port = self.address
        listeners = await trio.open_tcp_listeners(port, host=host)
        task_status.started()
        await trio.serve_listeners(self._carry, listeners)

    def cut(self) -> None:
        self._is_cut = True
        for scope in list(self._carrying):
            scope.cancel()

    def stall(self) -> None:
        if self._flows.is_set():
            self._flows = trio.Event()

    def heal(self) -> None:
        self._is_cut = False
        self._flows.set()

    async def _carry(self, stream: trio.SocketStream) -> None:
        if self._is_cut:
            return
        with suppress(OSError), trio.CancelScope() as scope:
            self._carrying.add(scope)
            try:
                other = await trio.open_tcp_stream(*self._there)
                async with other, trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, stream, other, scope)
                    nursery.start_soon(self._pump, other, stream, scope)
            finally:
                self._carrying.discard(scope)

    async def _pump(
        self, source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        with suppress(*_GONE):
            while data := await source.receive_some(_READ_BYTES):
                await self._flows.wait()
                await target.send_all(data)
        scope.cancel()
