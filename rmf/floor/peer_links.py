"""Which links there are: one to each other member, and one to each node that was let in here (R28).

The ledger says who the members are. A node that is behind does not know all of them, or none at
all; so whoever was let in gets a link back for as long as it is here: a leader that is new to this
node hears its answers. Where a peer is, `--peers` says first, then the ledger, then the peer.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import trio

from rmf.core.entry import Member
from rmf.core.raft.greetings import Hello, Own
from rmf.floor import log, peer_link
from rmf.floor.dialling import Peer
from rmf.floor.doors import peer_end
from rmf.floor.peer_end import PeerEnd
from rmf.floor.supervisor import Child
from rmf.notation import Address, parse_address

__all__ = ["PeerLinks"]


class PeerLinks:
    """Keeps a supervised link task for each peer in `nursery`, and its end in `ends`, by name.

    `supervise` runs a child until it is cancelled. Nothing here waits: the arbiter may call."""

    def __init__(
        self,
        ends: dict[str, PeerEnd],
        own: Callable[[], Own],
        hints: Mapping[str, Address],
        nursery: trio.Nursery,
        supervise: Callable[[Child], Awaitable[None]],
    ) -> None:
        self._ends = ends
        self._own = own
        self._hints = hints
        self._nursery = nursery
        self._supervise = supervise
        self._members: dict[str, Peer] = {}
        self._met: dict[str, Peer] = {}
        self._linked: dict[str, tuple[Peer, trio.CancelScope]] = {}

    def set(self, members: Sequence[Member]) -> None:
        """From now on these are the members."""
        found = [self._peer(x.name, x.incarnation, x.peer_address) for x in members]
        self._members = {peer.name: peer for peer in found if peer is not None}
        self._update()

    def meet(self, hello: Hello) -> None:
        """This node was let in: link back, at once."""
        peer = self._peer(hello.node, hello.incarnation, hello.peer_address)
        if peer is None:
            return
        self._met[peer.name] = peer
        self._update()
        self._ends[peer.name].hasten()

    def part(self, name: str) -> None:
        """This node is here no more; only a member's link stays."""
        self._met.pop(name, None)
        self._update()

    def peers(self) -> list[Peer]:
        """Return who is linked: whom else to ask for something."""
        return [peer for peer, _ in self._linked.values()]

    def _peer(self, name: str, incarnation: bytes, address: str) -> Peer | None:
        if name == self._own().node:
            return None
        hint = self._hints.get(name)
        if hint is not None:
            return Peer(name, incarnation, hint)
        try:
            return Peer(name, incarnation, parse_address(address))
        except ValueError as exc:
            log.note("warning", "peer_without_address", peer=name, found=address, error=str(exc))
            return None

    def _update(self) -> None:
        wanted = self._members | self._met
        for name, (peer, scope) in list(self._linked.items()):
            if wanted.get(name) != peer:
                scope.cancel()
                del self._linked[name], self._ends[name]
        for name, peer in wanted.items():
            if name not in self._linked:
                scope, end = trio.CancelScope(), peer_end()
                self._linked[name] = (peer, scope)
                self._ends[name] = end
                self._nursery.start_soon(self._keep, peer, end, scope)

    async def _keep(self, peer: Peer, end: PeerEnd, scope: trio.CancelScope) -> None:
        with scope:
            run = partial(peer_link.run, peer, end, self._own)
            await self._supervise(Child(f"peer_link.{peer.name}", run))
