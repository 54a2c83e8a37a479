"""What a node is and knows at a moment: its name, its consensus, what is committed, who is there.

Decides nothing but what follows from these: whether the node is on strike, why it would refuse a
petition, where clients find a member. `answers` tells from it, `throne` and `arbiter` change it.
"""

from collections.abc import Callable

import attrs

from rmf import limits
from rmf.core import events as ev
from rmf.core.acts import Acts
from rmf.core.answers import members_of
from rmf.core.checkpointing import Checkpointing
from rmf.core.current import CurrentReads
from rmf.core.dry_run import DryRuns
from rmf.core.effects import Publish
from rmf.core.entry import LineId, Member
from rmf.core.lines import Kinship
from rmf.core.live import Live
from rmf.core.petitions import Petitions, Refusal
from rmf.core.raft.node import Raft
from rmf.core.reign import Reign
from rmf.core.settled import Settled
from rmf.core.shelf import Shelf
from rmf.core.state import State
from rmf.core.surroundings import NOTHING_HEARD, Surroundings
from rmf.core.unapplied import Unapplied

__all__ = ["Identity", "Office"]


@attrs.frozen
class Identity:
    """Who this node is: its name and incarnation, its line, the period for a new cluster, and the
    addresses that clients and peers are told."""

    node: str
    incarnation: bytes
    line: LineId
    period_ns: int
    address: str
    agent: str
    peer_address: str = ""


class Office:
    """`listens` says whether the line wants to hear of a key's expiry. The time since the last Tick
    is the `pace` of `raft`, if anybody knows it (R6); `now_ns` is the boot time of the step under
    way. `met` are the nodes that called and were let in, `knocked` those that were not. `kinship`
    says how this node's line stands to the ledger's; of what others executed `audit_ppm` in a
    million Entries are to be run again here (R21). `around` is what is known of the surroundings
    when it begins.

    Invariant: committed.index <= raft.applicable; what runs ahead of it is the reign's alone.
    """

    def __init__(
        self,
        identity: Identity,
        state: State,
        shelf: Shelf,
        raft: Raft,
        *,
        listens: Callable[[str], bool],
        depth_packets_max: int,
        audit_ppm: int = 0,
        around: Surroundings = NOTHING_HEARD,
    ) -> None:
        self.identity = identity
        self.raft = raft
        if state.index:
            raft.obey(state.election_ms)
        self.settled = Settled(state, shelf)
        self.unapplied = Unapplied(identity.node, state.cluster, raft.log.base)
        self.petitions = Petitions(depth_packets_max)
        self.mark = around.mark
        self.started_ns = 0
        self.now_ns = 0
        self.box_restarts = around.box_restarts
        self.dlq_facts = around.dlq_facts
        self.met: dict[str, ev.PeerMet] = {}
        self.knocked: dict[str, ev.PeerMet] = {}
        self.kinship: Kinship = "same"
        self._unfounded: str | None = None  # what it waits for that belongs to no cluster
        self._fault: tuple[str, str] | None = None
        self.live = Live(raft)
        self._knows_a_reign = False  # as it was looked at last
        self._touch_is_old = self._live_is_old = True  # something happened since
        self._shown: Publish | None = None
        self._listens = listens
        self._audit_ppm = audit_ppm
        self._reign: Reign | None = None
        self._accession: Reign | None = None  # a reign that still has to take over what there was
        self._acts = Acts(lambda: members_of(self), lambda: {**self.met, **self.knocked})
        self._reads = CurrentReads()
        self._letters_unstored = around.letters_unstored
        self._sheds = False  # more of the log in memory has to go
        self._dry_runs = DryRuns()
        self._checkpointing = Checkpointing(around.behind_bytes, around.checkpoint_bytes)
        self._stopping = False
        self._handed_over = False
        self._full_until_ns = 0  # no hand-over for want of disk before then
        self._said_goaway = False
        self._stopped = False

    def strike_for(self, kind: str, why: str) -> None:
        """Be on strike from the start: a core that only answers (R17)."""
        self._fault = (kind, why)

    @property
    def surroundings(self) -> Surroundings:
        """What this core knows of its surroundings, for the one that takes its place (R15)."""
        return Surroundings(self.mark, self.dlq_facts, self.box_restarts, self._letters_unstored)

    @property
    def committed(self) -> State:
        """The state after the last Entry that is applied."""
        return self.settled.state

    @property
    def newest(self) -> State:
        """The state after the last Entry that was written or applied here, committed or not: shelf
        and key index stand there, for all versions share them (R3)."""
        reign = self._reign or self._accession
        return self.committed if reign is None else reign.state

    @property
    def present_tick(self) -> int:
        """The tick that it is now, as far as this node knows: not before the last one."""
        return max(self.committed.tick, self.raft.pace.tick_at(self.now_ns))

    @property
    def is_live(self) -> bool:
        """Whether what is shown is what the factory shows by now (R36)."""
        if self._live_is_old:
            self._live_is_old = False
            self.live.judge(self.now_ns, in_touch=self.in_touch)
        return self.live.value

    @property
    def in_touch(self) -> bool:
        """Whether this node is not on strike and knows of a reigning Arbiter. Its own reign counts
        from its first commit on: before, a display may have seen newer pictures elsewhere (R36)."""
        if self._touch_is_old:
            self._touch_is_old, raft = False, self.raft
            self._knows_a_reign = (
                self._fault is None
                and (raft.leadership is None or self.settled.state.term == raft.term)
                and raft.in_touch(self.now_ns)
            )
        return self._knows_a_reign

    @property
    def strike(self) -> tuple[str, str] | None:
        """Kind and reason of the strike that this node is on, or None (R17)."""
        if self._fault is not None:
            return self._fault
        if self.in_touch:
            return None
        if self._unfounded is not None:
            return ("no_reign", self._unfounded)
        why = "no reigning Arbiter was heard of for an election time-out"
        if self.raft.role == "candidate" or not self.committed.index:
            why = "the election is not over yet"
        known = self.raft.membership.voters
        return ("no_reign", f"{why}: {self.raft.presence.turnout}" if known else why)

    @property
    def reigns(self) -> bool:
        """Whether this node takes packets in."""
        return self._reign is not None

    @property
    def is_under_way(self) -> bool:
        """Whether an Entry of this reign is on the bench or not committed yet."""
        return self._reign is not None and not self._reign.idle

    @property
    def has_acceded(self) -> bool:
        """Whether this node reigns and has applied all that anybody was told before."""
        return self._reign is not None and self.committed.term == self.raft.term

    @property
    def takes_in(self) -> bool:
        """Whether the floor should hand over more offers; if not, the edge waits (R16)."""
        return not self.petitions.queue.full

    def meet(self, event: ev.PeerMet) -> None:
        """Note who is there: what it says from now on counts for this incarnation alone. Whoever
        only knocks takes no member's place by its name."""
        known = self.met if event.linked else self.knocked
        self.knocked.pop(event.peer, None)
        known[event.peer] = event
        while len(known) > 2 * limits.MEMBERS_MAX:
            del known[next(name for name in known if name != event.peer)]
        if event.linked:
            self.raft.presence.met(event.peer, event.incarnation)

    def address_of(self, node: str | None) -> str | None:
        """Return where clients reach a member: as it said itself, else as the ledger says."""
        if node is None:
            return None
        if node == self.identity.node:
            return self.identity.address
        met, member = self.met.get(node), self.raft.membership.member(node)
        told = met.client_address if met is not None else ""
        return told or (member.client_address if member is not None else "") or None

    def _refusal(self) -> Refusal | None:
        """Return why intake is refused at present, or None."""
        leader = self.raft.leader
        elsewhere = self.address_of(leader) if leader != self.identity.node else None
        if self._stopping:
            return Refusal("stopping", elsewhere, "the node is being stopped")
        if self._fault is not None:
            return Refusal("strike", elsewhere, self._fault[1])
        if self._reign is not None:
            return None
        if self.in_touch and leader is not None:
            return Refusal("not_leader", elsewhere, f"node {leader} reigns, this one does not")
        assert self.strike is not None or leader == self.identity.node
        return Refusal("no_reign", None, "the election is not over yet")

    def _busy(self) -> Refusal | None:
        if self.mark != "hard":
            return None
        return Refusal("busy", None, "the disk is at its hard mark: no packets for now")

    def _own_member(self) -> Member:
        identity = self.identity
        return Member(identity.node, identity.incarnation, identity.peer_address, identity.address)
