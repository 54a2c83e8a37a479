"""The node among its peers: what it says of itself, who is let in, and which links there are (R28).

One task owns all of that, and is reached through doors alone: what the ledger says of the
members comes from the Arbiter; each connection hands in the HELLO that it heard, and gets a
verdict; links get what to say. It decides nothing: whom to let in says core/raft/greetings, who is
a member the ledger. It awaits no send, so no task waits for long.

Nothing of a peer's older connection is delivered once a newer one was let in: the older one's
verdict ends then, and it looks at that before it delivers anything (see peer_connection).

Errors: a failure is our bug. All connections of peers end with it, and come again; what is known of
the members and of this node is kept. Shutdown: cancel it; who was here is said to be lost, where
a task still listens.
"""

from collections.abc import Mapping
from contextlib import suppress

import attrs
import trio

from rmf.core.entry import Member
from rmf.core.events import PeerLost, PeerMet
from rmf.core.raft.greetings import GENESIS, RAFT, Hello, Own, Refusal, refusal_of, welcome_of
from rmf.floor.asking import answer
from rmf.floor.doors import Doors
from rmf.floor.items import Belongs, Greeting, Parted, PeeringFacts, PeeringItem
from rmf.floor.links.peer_connection import met_by
from rmf.floor.links.peer_links import PeerLinks
from rmf.floor.supervisor import InProgress, Supervisor
from rmf.notation import Address

__all__ = ["Peering"]


class Peering:
    """`own` is what the node says of itself at first, `hints` where peers are, before the ledger
    says it; `supervisor` keeps its links."""

    def __init__(
        self,
        doors: Doors,
        own: Own,
        hints: Mapping[str, Address],
        supervisor: Supervisor,
    ) -> None:
        self._doors = doors
        self._own = own
        self._hints = hints
        self._supervisor = supervisor
        self._members: tuple[Member, ...] = ()
        self._attending: dict[str, Greeting] = {}

    async def run(self, in_progress: InProgress) -> None:
        """Keep links, and answer who comes, until cancelled."""
        in_progress.free()  # it holds no packets
        try:
            async with trio.open_nursery() as nursery:
                links = PeerLinks(self._doors, self._own, self._hints, nursery, self._supervisor)
                links.set(self._own, self._members)
                nursery.start_soon(self._follow, links)
                async for item in self._doors.peering_out:
                    self._take(item, links)
        finally:
            for name, greeting in self._attending.items():
                greeting.verdict.close()
                self._say(PeerLost(name))
            self._attending.clear()

    # --- What this node is ------------------------------------------------------------------------

    async def _follow(self, links: PeerLinks) -> None:
        """Follow what the ledger says of the members: part with peers that would not be let in any
        more."""
        async for roster in self._doors.membership_out:
            self._members = roster.linked
            self._become(
                attrs.evolve(self._own, members=roster.admitted, membership=roster.index), links
            )
            for greeting in self._attending.values():
                if refusal_of(greeting.hello, self._own) is not None:
                    greeting.verdict.close()

    def _become(self, own: Own, links: PeerLinks) -> None:
        self._own = own
        links.set(own, self._members)

    # --- Who comes --------------------------------------------------------------------------------

    def _take(self, item: PeeringItem, links: PeerLinks) -> None:
        match item:
            case Greeting():
                self._judge(item, links)
            case Parted():
                self._part(item.greeting, links)
            case Belongs():
                members = self._own.members or item.members
                self._become(attrs.evolve(self._own, cluster=item.cluster, members=members), links)
            case _:
                answer(item.reply, PeeringFacts(self._own, links.peers()))

    def _judge(self, greeting: Greeting, links: PeerLinks) -> None:
        hello, own = greeting.hello, self._own
        refusal = refusal_of(hello, own)
        attends = refusal is None and hello.purpose == RAFT
        if attends:
            former = self._attending.get(hello.node)
            if former is not None:
                former.verdict.close()
            self._attending[hello.node] = greeting
            links.meet(hello)
        elif self._is_claim(hello, refusal):
            assert hello.cluster is not None
            self._doors.claims.put(hello.cluster)
        elif self._is_stranger(hello, refusal):
            # So that an operator may add it (see core/admin).
            self._say(met_by(hello, linked=False))
        with suppress(trio.BrokenResourceError):
            greeting.verdict.send_nowait(welcome_of(own, hello) if refusal is None else refusal)
        if not attends:
            greeting.verdict.close()

    def _is_claim(self, hello: Hello, refusal: Refusal | None) -> bool:
        """Whether a founded node takes this one, which has no cluster yet, for a member of its."""
        unfounded = refusal is not None and refusal.code == "unfounded"
        mine = hello.to_incarnation == self._own.incarnation
        return unfounded and mine and hello.cluster is not None

    def _is_stranger(self, hello: Hello, refusal: Refusal | None) -> bool:
        """Whether a node would like to belong to this one's cluster, and does not."""
        if refusal is not None:
            return refusal.code in {"not_member", "wrong_incarnation"}
        own = self._own
        asks = hello.purpose == GENESIS and own.cluster is not None
        return asks and not own.is_member(hello.node, hello.incarnation)

    def _part(self, greeting: Greeting, links: PeerLinks) -> None:
        name = greeting.hello.node
        if self._attending.get(name) is not greeting:
            return  # a newer one is there, or it was not let in
        del self._attending[name]
        greeting.verdict.close()
        links.part(name)
        self._say(PeerLost(name))

    def _say(self, event: PeerMet | PeerLost) -> None:
        # A hint may be lost: where this door is full, there is more to hear than a hint.
        with suppress(trio.WouldBlock):
            self._doors.events.send_nowait(event)
