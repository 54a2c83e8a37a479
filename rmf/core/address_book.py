"""Who this node is, who called on it, and where clients reach the members (R28, R29, R31).

Decides which address of a member counts: what it said of itself, else what the ledger says. Knows
the members from consensus, and takes no part in it.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from rmf import limits
from rmf.core import messages as m
from rmf.core.entry import LineId, Member
from rmf.core.events import PeerMet
from rmf.core.faults import FAULTS
from rmf.core.raft.raft_node import Raft

__all__ = ["AddressBook", "NodeIdentity"]


@attrs.frozen
class NodeIdentity:
    """Who this node is: its name and incarnation, its line, the period for a new cluster, the
    addresses that clients and peers receive, and what it runs on, in words."""

    node: str
    incarnation: bytes
    line: LineId
    period_ns: int
    address: str
    agent: str
    peer_address: str = ""
    interpreter: str = ""


@attrs.define(eq=False)
class AddressBook:
    """`met` are the nodes that called and were let in, `knocked` those that were not."""

    identity: NodeIdentity
    _raft: Raft
    met: dict[str, PeerMet] = attrs.Factory(dict)
    knocked: dict[str, PeerMet] = attrs.Factory(dict)

    @property
    def callers(self) -> Mapping[str, PeerMet]:
        """Who called lately, let in or not."""
        return {**self.met, **self.knocked}

    @property
    def own(self) -> Member:
        """This node, as a ledger names it."""
        identity = self.identity
        return Member(identity.node, identity.incarnation, identity.peer_address, identity.address)

    @property
    def addresses(self) -> list[str]:
        """Where clients reach the members, as far as it is known."""
        known = [self.address_of(member.name) for member in self._raft.members]
        return [address for address in known if address]

    def meet(self, event: PeerMet) -> None:
        """Note who is there: what it says from now on counts for this incarnation alone. A node
        that only knocks takes no member's place by its name."""
        known = self.met if event.linked else self.knocked
        self.knocked.pop(event.peer, None)
        known[event.peer] = event
        while len(known) > 2 * limits.MEMBERS_MAX:
            del known[next(name for name in known if name != event.peer)]
        if event.linked:
            self._raft.presence.met(event.peer, event.incarnation)

    def address_of(self, node: str | None) -> str | None:
        """Return where clients reach a member: as it said itself, else as the ledger says."""
        if node is None:
            return None
        if node == self.identity.node:
            return self.identity.address
        met, member = self.met.get(node), self._raft.membership.member(node)
        told = met.client_address if met is not None else ""
        return told or (member.client_address if member is not None else "") or None

    def goaway(self, code: str, text: str) -> m.Goaway:
        """Return a GOAWAY that names where else clients find the factory, the leader first."""
        others, leader = self._raft.membership.others(self.identity.node), self._raft.leader
        others.sort(key=lambda name: name != leader)
        known = [self.address_of(name) for name in others]
        alternatives = [address for address in known if address is not None]
        return m.Goaway(code, alternatives, FAULTS[code].back_off_ms, text)

    def members(self) -> list[dict[str, Any]]:
        """Return what is known here of the members, as the status shows it."""
        return [self._facts_of(member) for member in self._raft.members]

    def _facts_of(self, member: Member) -> dict[str, Any]:
        """Return what is known here of one member; `match` only the leader knows."""
        raft, name = self._raft, member.name
        role = "follower" if member.voter else "learner"
        match = None
        if name == self.identity.node:
            role, match = raft.role, raft.log.durable
        elif name == raft.leader:
            role = "leader"
        elif raft.leadership is not None:
            match = raft.leadership.peers[name].match
        return {
            "node": name,
            "address": self.address_of(name),
            "peer_address": member.peer_address or None,
            "role": role,
            "match": match,
            "voter": member.voter,
        }
