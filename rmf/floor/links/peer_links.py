"""Which links there are: one to each other member, and one to each node that was let in here (R28).

The ledger says who the members are. A node that is behind does not know all of them, or none at
all; so a peer that was let in gets a link back for as long as it is here: a leader that is new to
this node hears its answers. Where a peer is, `--peers` says first, then the ledger, then the peer.
"""

from collections.abc import Mapping, Sequence

import attrs
import trio

from rmf.core.entry import Member
from rmf.core.raft.greetings import Hello, Own
from rmf.floor import log
from rmf.floor.children import child_of
from rmf.floor.doors import Doors, dial_door
from rmf.floor.latest import Latest
from rmf.floor.links import peer_link
from rmf.floor.links.dialling import Peer
from rmf.floor.supervisor import InProgress, Supervisor
from rmf.notation import Address, parse_address

__all__ = ["PeerLinks"]


class PeerLinks:
    """Keeps a link task for each peer in `nursery`, under `supervisor`; `own` is what links say of
    this node."""

    def __init__(
        self,
        doors: Doors,
        own: Own,
        hints: Mapping[str, Address],
        nursery: trio.Nursery,
        supervisor: Supervisor,
    ) -> None:
        self._doors = doors
        self._own = own
        self._hints = hints
        self._nursery = nursery
        self._supervisor = supervisor
        self._members: dict[str, Peer] = {}
        self._met: dict[str, Peer] = {}
        self._linked: dict[str, _Kept] = {}

    def set(self, own: Own, members: Sequence[Member]) -> None:
        """From now on this is to be said, and these are the members."""
        found = [self._peer(x.name, x.incarnation, x.peer_address) for x in members]
        self._members = {peer.name: peer for peer in found if peer is not None}
        self._update()
        if own != self._own:
            self._own = own
            for kept in self._linked.values():
                kept.dials.put(own)

    def meet(self, hello: Hello) -> None:
        """This node was let in: link back, at once."""
        peer = self._peer(hello.node, hello.incarnation, hello.peer_address)
        if peer is None:
            return
        self._met[peer.name] = peer
        self._update()
        self._linked[peer.name].dials.put(self._own)

    def part(self, name: str) -> None:
        """This node is here no more; only a member's link stays."""
        self._met.pop(name, None)
        self._update()

    def peers(self) -> tuple[Peer, ...]:
        """Return who is linked: whom else to ask for something."""
        return tuple(kept.peer for kept in self._linked.values())

    def _peer(self, name: str, incarnation: bytes, address: str) -> Peer | None:
        if name == self._own.node:
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
        for name, kept in list(self._linked.items()):
            if wanted.get(name) != kept.peer:
                kept.scope.cancel()
                del self._linked[name]
        for name, peer in wanted.items():
            if name not in self._linked:
                dials, dials_out = dial_door()
                kept = self._linked[name] = _Kept(peer, dials, trio.CancelScope())
                self._nursery.start_soon(self._keep, kept, dials_out)

    async def _keep(self, kept: "_Kept", dials: trio.MemoryReceiveChannel[Own]) -> None:
        async def run(
            in_progress: InProgress,
        ) -> None:  # whatever failed begins with what is so then
            await peer_link.run(kept.peer, self._own, dials, self._doors.events, in_progress)

        with kept.scope:
            await self._supervisor.keep(child_of(f"peer_link.{kept.peer.name}", run, self._doors))


@attrs.frozen
class _Kept:
    """A link, and how to reach it."""

    peer: Peer
    dials: Latest[Own]
    scope: trio.CancelScope
