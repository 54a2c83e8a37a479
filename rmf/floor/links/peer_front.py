"""What a node has for its peers, put together: the port where they come, and the task that keeps
what is known of them (R28, R29).

It decides only where this node is for them: as `--peers` says, else where the port listens.
"""

from functools import partial
from typing import TYPE_CHECKING

from rmf.core.entry import LineId
from rmf.core.raft.greetings import Own
from rmf.floor.children import child_of
from rmf.floor.doors import Doors
from rmf.floor.items import Belongs
from rmf.floor.links import founding, peer_port
from rmf.floor.links.letterbox import Letterbox
from rmf.floor.links.peer_connection import PeerPort
from rmf.floor.links.peering import Peering
from rmf.floor.node_clock import now
from rmf.floor.supervisor import Child, InProgress, Supervisor
from rmf.notation import address_text
from rmf.storage.directory import DataDirectory

if TYPE_CHECKING:
    from rmf.config import Config

__all__ = ["PeerFront"]


class PeerFront:
    """Where a node is not listed to have peers, there is a port only if one was asked for."""

    def __init__(
        self, config: "Config", directory: DataDirectory, doors: Doors, *, has_peers: bool
    ) -> None:
        self._hints = dict(config.peers)
        self._directory = directory
        self._doors = doors
        asked_for = has_peers or config.origins["peer_listen"] != "default"
        self._listening = peer_port.PeerListening(config.peer_listen) if asked_for else None

    @property
    def address(self) -> str | None:
        """Where the port listens, if there is one."""
        return self._listening.address if self._listening is not None else None

    async def bind(self) -> None:
        """Have the port, before anything is served. Raises UsageError if it cannot be had."""
        if self._listening is not None:
            await self._listening.bind()

    def own(self, client_address: str, line: LineId) -> Own:
        """Return what this node says of itself before a ledger tells it more."""
        directory = self._directory
        hint = self._hints.get(directory.node)
        return Own(
            node=directory.node,
            incarnation=directory.incarnation,
            cluster=directory.cluster if directory.founded else None,
            client_address=client_address,
            peer_address=address_text(hint) if hint is not None else self.address or "",
            listed=tuple(sorted({*self._hints, directory.node})),
            line=line,
        )

    def children(self, own: Own, supervisor: Supervisor) -> list[Child]:
        """Return the tasks; links to peers are kept by `supervisor`."""
        keeper = Peering(self._doors, own, self._hints, supervisor)
        children = [child_of("peering", keeper.run, self._doors)]
        if self._listening is not None:
            run = partial(self._run_port, self._listening)
            children.append(child_of("peer_port", run, self._doors))
        return children

    async def _run_port(self, listening: peer_port.PeerListening, in_progress: InProgress) -> None:
        doors, directory = self._doors, self._directory
        port = PeerPort(doors.events, doors.peering, Letterbox(directory.dlq_path))
        await peer_port.run(
            listening,
            port,
            in_progress,
            node=directory.node,
            letters=doors.letters,
            wall_ns=lambda: now().wall_ns,
        )

    async def found(self, own: Own) -> None:
        """Return once the directory belongs to a cluster, and peers know it."""
        if self._directory.founded:
            return
        doors = self._doors
        founded = await founding.found(
            self._directory, own, self._hints, doors.claims_out, doors.events
        )
        await doors.peering.send(Belongs(founded.cluster, founded.members or ()))
