"""The node among its peers: what it says of itself, who is linked, how it came to a cluster (R28).

Puts together peer_port, peer_links and founding, and passes on what they learn to the Arbiter. It
decides nothing; whom to let in says core/raft/greetings, who is a member the ledger.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import attrs
import trio

from rmf.core.arbiter import Arbiter
from rmf.core.entry import Member
from rmf.core.events import PeerMet, Unfounded
from rmf.core.raft.greetings import Hello, Own
from rmf.floor import founding, peer_port
from rmf.floor.doors import Doors
from rmf.floor.founding import Claims, Founded
from rmf.floor.letterbox import Letterbox
from rmf.floor.peer_connection import PeerPort, met_by
from rmf.floor.peer_links import PeerLinks
from rmf.floor.supervisor import Child, Hands
from rmf.notation import Address, address_text
from rmf.storage.directory import DataDirectory

__all__ = ["Peering"]


class Peering:
    """`listening` is None where no peers can come. `core` tells the Arbiter that is loaded."""

    def __init__(
        self,
        doors: Doors,
        directory: DataDirectory,
        hints: Mapping[str, Address],
        core: Callable[[], Arbiter | None],
        listening: peer_port.Listening | None,
    ) -> None:
        self.listening = listening
        self.client_address = ""
        self._doors = doors
        self._directory = directory
        self._hints = hints
        self._core = core
        self._claims = Claims()
        self._links: PeerLinks | None = None
        self._members: tuple[Member, ...] = ()
        self._port = PeerPort(
            doors.events,
            self.own,
            Letterbox(directory.dlq_path),
            on_met=self._on_met,
            on_parted=self._on_parted,
            on_claimed=self._claims.take,
            on_stranger=self._on_stranger,
        )

    @property
    def peer_address(self) -> str:
        """Where peers reach this node: as `--peers` says, else where it listens."""
        hint = self._hints.get(self._directory.node)
        if hint is not None:
            return address_text(hint)
        return self.listening.address if self.listening is not None else ""

    def own(self) -> Own:
        """Return what this node says of itself."""
        directory, core = self._directory, self._core()
        members: tuple[Member, ...] = ()
        index = 0
        if core is not None:
            members, index = core.raft.membership.admitted, core.raft.membership.index
        return Own(
            node=directory.node,
            incarnation=directory.incarnation,
            cluster=directory.cluster if directory.founded else None,
            members=members,
            membership=index,
            client_address=self.client_address,
            peer_address=self.peer_address,
            listed=tuple(sorted({*self._hints, directory.node})),
            line=core.identity.line if core is not None else None,
        )

    async def found(self) -> Founded:
        """Return once the directory belongs to a cluster."""
        return await founding.found(
            self._directory, self.own, self._hints, self._claims, self._tell_unfounded
        )

    def open(self, nursery: trio.Nursery, supervise: Callable[[Child], Awaitable[None]]) -> None:
        """Keep links in this nursery from now on."""
        self._links = PeerLinks(self._doors.events, self.own, self._hints, nursery, supervise)
        self._links.set(self._members)
        for attendee in self._port.attending.values():
            self._links.meet(attendee.hello)

    def link(self, members: Sequence[Member]) -> None:
        """From now on these are the members."""
        self._members = tuple(members)
        if self._links is not None:
            self._links.set(members)
        self._port.judge_again()

    def peers(self) -> list[Any]:
        """Return who is linked."""
        return self._links.peers() if self._links is not None else []

    def present(self) -> list[PeerMet]:
        """Return who is linked: what a core that was loaded anew has to be told before anything."""
        return self._port.present()

    def child(self, node: str, wall_ns: Callable[[], int]) -> Child:
        """Return the task of the port."""
        assert self.listening is not None
        run = partial(
            self._run_port, self.listening, node=node, letters=self._doors.letters, wall_ns=wall_ns
        )
        return Child("peer_port", run)

    async def _run_port(self, listening: peer_port.Listening, hands: Hands, **others: Any) -> None:
        await peer_port.run(listening, self._port, hands, **others)

    def _on_met(self, hello: Hello) -> None:
        if self._links is not None:
            self._links.meet(hello)

    def _on_parted(self, name: str) -> None:
        if self._links is not None:
            self._links.part(name)

    def _on_stranger(self, hello: Hello) -> None:
        """Note who would like to come in: an operator may add it (see core/admin)."""
        self._say(attrs.evolve(met_by(hello), linked=False))

    def _tell_unfounded(self, why: str) -> None:
        self._say(Unfounded(why))

    def _say(self, met: PeerMet | Unfounded) -> None:
        with suppress(trio.WouldBlock):  # it calls again
            self._doors.events.send_nowait(met)
