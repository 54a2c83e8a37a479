"""The Arbiter core: Events in, Effects out (R13).

The one that reigns latches, stamps, has the line run, proposes one Entry per Tick, and answers what
is committed; the others apply what is committed, and say who reigns. It waits for nothing, reads no
clock and touches no disk; what depends on durability leaves only after the matching Persisted (R2,
R3).

    offered ─▶ queue ─▶ latch ─▶ Execute … Executed ─▶ Entry, applied, proposed ─▶ Persist, Tell …
                                … Persisted, Heard ─▶ committed ─▶ acks, letters, Publish

It is made of parts, each of which owns its state. Here each event is brought to the part that it
concerns, and in each step every part has its turn, in this order:

    raft                    who leads, what is committed
    leadership_lifecycle    whether this node reigns; strike
    commit                  what is committed is applied and let out
    requests                what is asked: facts, reads, orders
    reign                   what is speculative: the next Tick; dropped whole when the reign ends
    transfer, shutdown      another node is to lead; the way out
    publishing              what subscribers are shown

`settled` is the committed state, `sessions` what producers want; `node_health`, `admission`,
`address_book`, `line_check` and `surroundings` are asked by the others.
"""

from collections.abc import Callable
from typing import Any

from rmf.core import events as ev
from rmf.core.address_book import AddressBook, NodeIdentity
from rmf.core.admin_requests import AdminRequests
from rmf.core.admission import Admission
from rmf.core.checkpointing import Checkpointing
from rmf.core.commit import Commit
from rmf.core.committed_state import CannotApply, CommittedState
from rmf.core.effects import Effect, Reload
from rmf.core.leadership_lifecycle import LeadershipLifecycle
from rmf.core.line_check import LineCheck
from rmf.core.live import Live
from rmf.core.node_health import NodeHealth
from rmf.core.producer_sessions import ProducerSessions
from rmf.core.publishing import Publishing
from rmf.core.raft.peer_messages import ReadAsk, ReadReply
from rmf.core.raft.raft_node import Raft
from rmf.core.requests import Requests
from rmf.core.shelf import Shelf
from rmf.core.shutdown import Shutdown, ShutdownPhase
from rmf.core.state import State
from rmf.core.surroundings import NOTHING_HEARD, Reported, Surroundings
from rmf.core.transfer import Transfer
from rmf.core.unapplied import Unapplied

__all__ = ["Arbiter", "NodeIdentity"]


class Arbiter:
    """The deciding core of a node. `listens` says whether the line wants to hear of a key's expiry;
    of what others executed `audit_ppm` in a million Entries are to be run again here (R21);
    `around` is what is known of the surroundings when it begins.

    Invariant: committed.index <= raft.applicable; what runs ahead of it is the reign's alone.
    """

    def __init__(
        self,
        identity: NodeIdentity,
        state: State,
        shelf: Shelf,
        raft: Raft,
        *,
        listens: Callable[[str], bool],
        depth_packets_max: int,
        audit_ppm: int = 0,
        around: Surroundings = NOTHING_HEARD,
    ) -> None:
        if state.index:
            raft.obey(state.election_ms)
        settled, sessions = CommittedState(state, shelf), ProducerSessions(depth_packets_max)
        book, health = AddressBook(identity, raft), NodeHealth(raft, settled, Live(raft))
        node = raft, settled, book, health  # what most parts decide from
        reported = Reported(around.mark, around.dlq_facts, around.box_restarts)
        line, transfer = LineCheck(raft, identity.line, audit_ppm), Transfer(raft, book)
        shutdown = Shutdown(raft, book, transfer)
        admission = Admission(raft, book, health, shutdown, reported)
        publishing = Publishing(raft, settled, health)
        keeping = Checkpointing(around.behind_bytes, around.checkpoint_bytes)
        acts = AdminRequests(raft, book)
        requests = Requests(*node, admission, sessions, reported, line, keeping, acts)
        lifecycle = LeadershipLifecycle(
            *node, admission, sessions, requests, publishing, transfer, listens
        )
        unapplied = Unapplied(identity.node, state.cluster, raft.log.base)
        self.commit = Commit(
            *(*node, lifecycle, sessions, acts, keeping, line, publishing),
            unapplied,
            around.letters_unstored,
        )
        self.raft, self.settled, self.book, self.health = node
        self.sessions, self.requests, self.lifecycle = sessions, requests, lifecycle
        self._reported, self._admission, self._line = reported, admission, line
        self._transfer, self._shutdown = transfer, shutdown
        self._checkpointing, self._publishing = keeping, publishing

    # --- What may be read ---------------------------------------------------------------------

    @property
    def identity(self) -> NodeIdentity:
        """Who this node is."""
        return self.book.identity

    @property
    def surroundings(self) -> Surroundings:
        """What this core knows of its surroundings, for the one that takes its place (R15)."""
        known = self._reported
        unstored = self.commit.letters_unstored
        return Surroundings(known.mark, known.dlq_facts, known.box_restarts, unstored)

    @property
    def committed(self) -> State:
        """The state after the last Entry that is applied."""
        return self.settled.state

    @property
    def newest(self) -> State:
        """The state after the last Entry that was written or applied here, committed or not."""
        return self.lifecycle.newest

    @property
    def is_live(self) -> bool:
        """Whether what is shown is what the factory shows by now (R36)."""
        return self.health.is_live

    @property
    def strike(self) -> tuple[str, str] | None:
        """Kind and reason of the strike that this node is on, or None (R17)."""
        return self.health.strike

    @property
    def reigns(self) -> bool:
        """Whether this node takes packets in."""
        return self.lifecycle.reign is not None

    @property
    def has_acceded(self) -> bool:
        """Whether this node reigns and has applied all that was promised before."""
        return self.lifecycle.reign is not None and self.settled.state.term == self.raft.term

    @property
    def takes_in(self) -> bool:
        """Whether the floor should hand over more offers; if not, the edge waits (R16)."""
        return not self.sessions.queue.full

    @property
    def has_more(self) -> bool:
        """Whether there is work left that needs no event: Entries to be applied, taken over or let
        go, cells to be looked at, keys to be forgotten."""
        lifecycle, reign = self.lifecycle, self.lifecycle.reign
        if lifecycle.accession is not None or (reign is not None and reign.has_more):
            return True
        return self.commit.has_more

    def next_due_ns(self) -> int | None:
        """Return the boot time of the next Beat that is needed, or None while nothing is due."""
        dues = [self.raft.next_due_ns(), self.requests.reads.next_due_ns()]
        dues += [self.commit.unapplied.next_due_ns(), self.settled.next_due_ns()]
        if self.health.is_live:
            dues.append(self.health.live.until_ns())
        reign = self.lifecycle.reign
        if reign is not None and self._may_latch:
            dues.append(reign.next_due_ns())
        return min([due for due in dues if due is not None], default=None)

    def status(self, now: ev.Now) -> dict[str, Any]:
        """Return what `rmf-status` shows (INTERFACES)."""
        return self.requests.status(now)

    # --- What the floor calls -----------------------------------------------------------------

    def meet(self, event: ev.PeerMet) -> None:
        """Note who is there, before the first step."""
        self.book.meet(event)

    def strike_for(self, kind: str, why: str) -> None:
        """Be on strike from the start: a core that only answers (R17)."""
        self.health.fault = (kind, why)

    def start(self, now: ev.Now) -> list[Effect]:
        """Begin: take part in elections, unless the node is on strike for good."""
        self.requests.started_ns = self.health.now_ns = now.boot_ns
        effects: list[Effect] = []
        if self.health.fault is not None:
            self.raft.retire()
            return [self._publishing.show()]
        effects += self._line.compare(self.settled.state.line)
        effects += self.raft.start(now.boot_ns)
        if self.settled.state.index:
            effects.append(self._publishing.show())
        return effects

    def step(self, events: list[ev.Event], now: ev.Now) -> list[Effect]:
        """Take what happened; return what to do about it, in order."""
        effects: list[Effect] = []
        raft, lifecycle = self.raft, self.lifecycle
        self.health.now_ns = now.boot_ns
        lifecycle.follow(effects)  # first: a leader that slept is not in touch (R36)
        for event in events:
            self._on(event, now, effects)
        due_ns = raft.next_due_ns()
        if due_ns is not None and due_ns <= now.boot_ns:
            # Not before: what came while this node was busy says that others are there.
            effects += raft.beat(now.boot_ns)
            lifecycle.follow(effects)
        try:
            self.commit.settle(now, effects)
        except CannotApply as fault:
            lifecycle.give_up(fault, effects)
        self.requests.settle(lifecycle.reign, now, effects)
        if lifecycle.reign is None and raft.leadership is not None:
            lifecycle.begin(now, effects)
        if lifecycle.reign is not None and self._may_latch:
            effects += lifecycle.reign.turn(now)
            for waiting in lifecycle.reign.take_unbound():
                effects += self.sessions.tell(waiting)
        if self._shutdown.phase is not ShutdownPhase.SERVING or self._reported.mark == "hard":
            self._leave(now, effects)
        self._publishing.show_again(effects)
        return effects

    @property
    def _may_latch(self) -> bool:
        """Whether this reign may begin another Tick. One that is to end by order begins none: cells
        that end all the time would keep it."""
        return self.commit.has_room and self._shutdown.phase is ShutdownPhase.SERVING

    def _leave(self, now: ev.Now, effects: list[Effect]) -> None:
        """Let another node lead if this one is to stop, or has no room."""
        if self._shutdown.phase is not ShutdownPhase.SERVING:
            applied = self.settled.state.index
            effects += self._shutdown.go_on(self.lifecycle.reign, applied, now.boot_ns)
        else:
            effects += self._transfer.leave_if_possible(now.boot_ns)

    # --- Events -------------------------------------------------------------------------------

    def _on(self, event: ev.Event, now: ev.Now, effects: list[Effect]) -> None:
        reign = self.lifecycle.reign
        match event:
            case ev.Offered():
                why = self._admission.refusal(reigns=reign is not None) or self._admission.busy()
                effects += self.sessions.offered(event, why, self.settled.state.producers)
            case ev.Executed():
                if reign is not None:
                    effects += reign.executed(event, now)
            case ev.Persisted():
                effects += self.raft.persisted(event, now.boot_ns)
                self.lifecycle.follow(effects)
            case ev.Heard():
                self._on_heard(event, now, effects)
            case ev.Beat():
                pass  # nothing came, but time went on
            case ev.Joined():
                why = self._admission.refusal(reigns=reign is not None)
                effects += self.sessions.joined(event, why)
            case ev.Left():
                if reign is not None:
                    self.sessions.queue.push(event)
            case ev.Lost():
                self.sessions.lost(event.connection)
            case ev.Asked(subject="admin.strike"):
                self.lifecycle.order_strike(event, effects)
            case ev.Asked():
                effects += self.requests.ask(event, reign, now)
            case _:
                self._on_surroundings(event, now, effects)

    def _on_surroundings(self, event: ev.Event, now: ev.Now, effects: list[Effect]) -> None:
        """Take what the floor says of the disk, the DLQ, the glove box, and of itself."""
        match event:
            case ev.LettersStored():
                self.commit.stored(event, now.boot_ns)
                self._reported.dlq_facts = event.facts
            case ev.DryRunDone():
                effects.append(self.requests.dry_runs.done(event))
            case ev.BoxLost():
                self._reported.box_restarts = event.restarts
            case ev.CheckpointEnded():
                effects += self._checkpointing.ended(event)
            case ev.CheckpointAsked():
                self._checkpointing.wanted = True
            case ev.DiskMark():
                self._reported.mark = event.mark
            case ev.DiskFault():
                self.lifecycle.strike("disk", event.why, effects)
            case ev.Struck():
                self.lifecycle.strike(event.kind, event.why, effects)
            case ev.Unfounded():
                self.health.unfounded = event.why
            case ev.StopAsked():
                goaway = self._shutdown.begin()
                why = self._admission.refusal(reigns=self.lifecycle.reign is not None)
                assert why is not None
                effects += self.sessions.refuse_all(why, self.settled.state.producers)
                effects += goaway
            case _:
                self._on_peer(event, now, effects)

    def _on_peer(self, event: ev.Event, now: ev.Now, effects: list[Effect]) -> None:
        """Take what came of a peer, and of what is read or written for one."""
        match event:
            case ev.PeerMet():
                self.book.meet(event)
            case ev.PeerLost():
                self.raft.peer_lost(event.peer, now.boot_ns)
                self.lifecycle.follow(effects)
            case ev.EntriesRead() if event.peer != self.book.identity.node:
                effects += self.raft.disk_read(event, now.boot_ns)
            case ev.EntriesRead():
                if fault := self.commit.unapplied.take(event, self.raft.log):
                    self.lifecycle.reload(Reload("repair", fault), effects)
            case ev.ChunkRead():
                effects += self.raft.disk_read(event, now.boot_ns)
                leads = self.raft.leadership
                if leads is not None and leads.replication.wants_checkpoint:
                    leads.replication.wants_checkpoint = False
                    self._checkpointing.wanted = True
            case ev.ChunkWritten():
                effects += self.raft.chunk_written(event)
                if event.complete:
                    why = f"the Checkpoint of Entry {event.reply.index} takes this ledger's place"
                    self.lifecycle.reload(Reload("installed", why), effects)
            case ev.WholeMarked():
                self.raft.marked(whole=event.whole)
            case _:
                raise AssertionError(event)

    def _on_heard(self, event: ev.Heard, now: ev.Now, effects: list[Effect]) -> None:
        message = event.message
        for effect in self.raft.receive(event.peer, message, now.boot_ns):
            if isinstance(effect, Reload):
                self.lifecycle.reload(effect, effects)
            else:
                effects.append(effect)
        self.lifecycle.follow(effects)
        if message.term != self.raft.term or self.health.fault is not None:
            return
        if isinstance(message, ReadAsk):
            effects += self.requests.reads.asked_by_peer(event.peer, message, self.raft)
        elif isinstance(message, ReadReply):
            effects += self.requests.reads.told(message, now.boot_ns)
