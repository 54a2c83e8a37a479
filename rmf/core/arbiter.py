"""The Arbiter core: Events in, Effects out (R13).

The one that reigns latches, stamps, has the line run, proposes one Entry a Tick, and answers what
is committed; the others apply what is committed, and tell whoever asks where the reign is. It waits
for nothing, reads no clock and touches no disk; whatever depends on durability leaves only after
the matching Persisted (R2, R3).

    offered ─▶ queue ─▶ latch ─▶ Execute … Executed ─▶ Entry, applied, proposed ─▶ Persist, Tell …
                                … Persisted, Heard ─▶ committed ─▶ acks, letters, Publish

The speculative part of it is a Reign, which is dropped whole when the reign ends. What is committed
is `Settled`, what producers want is `Petitions`, who leads is `raft`'s matter.
"""

from rmf import limits
from rmf.core import admin
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.answers import acks_of, checkpoint_of, status_of, value_of, welcome_of
from rmf.core.effects import Answer, Effect, Reload, StoreLetters
from rmf.core.in_flight import InFlight, Room
from rmf.core.letters import acts_of, letters_of
from rmf.core.office import Identity
from rmf.core.raft.messages import ReadAsk, ReadReply
from rmf.core.settled import Unfit
from rmf.core.state import NOTHING
from rmf.core.throne import Throne
from rmf.core.unapplied import shrink_log

__all__ = ["Arbiter", "Identity"]

# Below this a whole Tick of letters still fits what the DLQ keeper may owe.
_LETTERS_ROOM = limits.LETTERS_IN_FLIGHT_MAX - limits.TICK_LETTERS_MAX


class Arbiter(Throne):
    """The deciding core of a node (see office for what it knows, throne for how it reigns)."""

    # --- What the floor calls ----------------------------------------------------------------

    def start(self, now: ev.Now) -> list[Effect]:
        """Begin: take part in elections, unless the node is on strike for good."""
        self.started_ns = self.now_ns = now.boot_ns
        if self._fault is not None:
            self.raft.retire()
            return [self._show(self.committed, NOTHING)]
        effects = [*self._judge_line(), *self.raft.start(now.boot_ns)]
        if self.committed.index:
            effects.append(self._show(self.committed, NOTHING))
        return effects

    def step(self, events: list[ev.Event], now: ev.Now) -> list[Effect]:
        """Take what happened; return what to do about it, in order."""
        effects: list[Effect] = []
        self.now_ns = now.boot_ns
        self._follow_role(effects)  # first: a leader that slept is not in touch (R36)
        for event in events:
            self._on(event, now, effects)
        due_ns = self.raft.next_due_ns()
        if due_ns is not None and due_ns <= now.boot_ns:
            # Not before: what came while this node was busy says that others are there.
            effects += self.raft.beat(now.boot_ns)
            self._follow_role(effects)
        self._settle(now, effects)
        if self._reign is None and self.raft.leadership is not None:
            self._begin_reign(now, effects)
        if self._reign is not None and self._may_latch:
            effects += self._reign.turn(now)
            for waiting in self._reign.take_unbound():
                effects += self.petitions.tell(waiting)
        if self.mark == "hard" and not self._stopping:
            self._hand_over_if_full(now, effects)
        if self._stopping and not self._stopped:
            self._go_on_stopping(now, effects)
        self._show_again(effects)
        return effects

    @property
    def has_more(self) -> bool:
        """Whether there is work left that needs no event: Entries to be applied, taken over or let
        go, cells to be looked at, keys to be forgotten. A follower whose disk or leader waits for
        it writes and replies first; but it never falls behind by more than a leader may have in
        flight."""
        reign = self._reign
        if self._sheds or self._accession is not None or self.settled.has_more:
            return True
        if reign is not None and reign.has_more:
            return True
        if not self._is_behind or self.unapplied.next(self.raft.log) is None:
            return False
        return not (self.raft.durable.writes and self._may_wait)

    @property
    def _is_behind(self) -> bool:
        index, raft = self.settled.state.index, self.raft
        # The first comparison is there for speed: at rest, it is all that each step pays.
        if index >= raft.log.commit or index >= raft.applicable or self._fault is not None:
            return False
        return self._letters_unstored < _LETTERS_ROOM

    @property
    def _may_wait(self) -> bool:
        behind = self.raft.applicable - self.settled.state.index
        return self.raft.leadership is None and behind <= limits.ENTRIES_IN_FLIGHT

    @property
    def _may_latch(self) -> bool:
        """Whether this reign may begin another Tick. One that is to end by order begins none: cells
        that end all the time would keep it."""
        return self._letters_unstored < _LETTERS_ROOM and not self._stopping

    def next_due_ns(self) -> int | None:
        """Return the boot time of the next Beat that is needed, or None while nothing is due."""
        dues = [self.raft.next_due_ns(), self._reads.next_due_ns(), self.unapplied.next_due_ns()]
        dues.append(self.settled.next_due_ns())
        if self.is_live:
            dues.append(self.live.until_ns())
        if self._reign is not None and self._may_latch:
            dues.append(self._reign.next_due_ns())
        return min((due for due in dues if due is not None), default=None)

    # --- Events ---------------------------------------------------------------------------------

    def _on(self, event: ev.Event, now: ev.Now, effects: list[Effect]) -> None:
        match event:
            case ev.Offered():
                why = self._refusal() or self._busy()
                effects += self.petitions.offered(event, why, self.committed.producers)
            case ev.Executed() | ev.BoxLost() | ev.DryRunDone():
                self._on_line(event, now, effects)
            case ev.Persisted():
                effects += self.raft.persisted(event, now.boot_ns)
                self._follow_role(effects)
            case ev.Heard():
                self._on_heard(event, now, effects)
            case ev.Joined():
                effects += self.petitions.joined(event, self._refusal())
            case ev.Left():
                if self.reigns:
                    self.petitions.queue.push(event)
            case ev.Lost():
                self.petitions.lost(event.connection)
            case ev.Asked():
                self._on_asked(event, now, effects)
            case ev.LettersStored():
                self._letters_unstored = max(0, self._letters_unstored - event.letters)
                self.live.letters_taken(self._letters_unstored, now.boot_ns)
                self.dlq_facts = event.facts
            case ev.CheckpointEnded():
                effects += self._checkpointing.ended(event)
            case ev.CheckpointAsked():
                self._checkpointing.wanted = True
            case ev.Disk():
                self.mark = event.mark
            case ev.DiskFault():
                self._strike("disk", event.why, effects)
            case ev.Struck():
                self._strike(event.kind, event.why, effects)
            case ev.StopAsked():
                self._stop(effects)
            case ev.Unfounded():
                self._unfounded = event.why
            case _:  # Beat: nothing came, but time went on
                self._on_peer(event, now, effects)

    def _on_line(
        self, event: ev.Executed | ev.BoxLost | ev.DryRunDone, now: ev.Now, effects: list[Effect]
    ) -> None:
        match event:
            case ev.BoxLost():
                self.box_restarts = event.restarts
            case ev.DryRunDone():
                effects.append(self._dry_runs.done(event))
            case _ if self._reign is not None:
                effects += self._reign.executed(event, now)

    def _on_peer(self, event: ev.Event, now: ev.Now, effects: list[Effect]) -> None:
        match event:
            case ev.PeerMet():
                self.meet(event)
            case ev.PeerLost():
                self.raft.peer_lost(event.peer, now.boot_ns)
                self._follow_role(effects)
            case ev.EntriesRead():
                self._on_entries_read(event, now, effects)
            case ev.ChunkRead():
                effects += self.raft.chunk_read(event, now.boot_ns)
                leads = self.raft.leadership
                if leads is not None and leads.wants_checkpoint:
                    leads.wants_checkpoint = False
                    self._checkpointing.wanted = True
            case ev.WholeMarked():
                self.raft.marked(whole=event.whole)
            case ev.ChunkWritten():
                effects += self.raft.chunk_written(event)
                if event.complete:
                    why = f"the Checkpoint of Entry {event.reply.index} takes this ledger's place"
                    self._reload(Reload("installed", why), effects)

    def _on_heard(self, event: ev.Heard, now: ev.Now, effects: list[Effect]) -> None:
        message = event.message
        found = self.raft.receive(event.peer, message, now.boot_ns)
        for effect in found:
            if isinstance(effect, Reload):
                self._reload(effect, effects)
            else:
                effects.append(effect)
        self._follow_role(effects)
        if message.term != self.raft.term or self._fault is not None:
            return
        if isinstance(message, ReadAsk):
            effects += self._reads.asked_by_peer(event.peer, message, self.raft)
        elif isinstance(message, ReadReply):
            effects += self._reads.told(message, now.boot_ns)

    def _on_asked(self, event: ev.Asked, now: ev.Now, effects: list[Effect]) -> None:
        match event.subject:
            case "welcome":
                effects.append(Answer(event.connection, [welcome_of(self)]))
            case "ping":
                pong = m.Pong(event.request, self.raft.term, self.present_tick)
                effects.append(Answer(event.connection, [pong]))
            case "get" if not event.linearizable:
                effects.append(Answer(event.connection, [value_of(self, event)]))
            case "get" | "line.would" if self._fault is not None:
                end = m.End(event.request, "strike", self._fault[1])
                effects.append(Answer(event.connection, [end]))
            case "get" | "line.would":
                effects += self._reads.ask(event, self.raft, now.boot_ns)
            case "status":
                found = m.Item(event.request, status_of(self, now))
                effects.append(Answer(event.connection, [found, m.End(event.request, None, None)]))
            case "admin.strike":
                self._on_strike_order(event, effects)
            case "admin.checkpoint":
                effects += self._checkpointing.ask(event, self._fault, self.committed.index)
            case _:
                why = self._refusal() or (self._busy() if event.subject == "admin.triage" else None)
                effects += self._acts.ask(event, self._reign, self.raft, self.met, why, now)

    def _on_entries_read(self, event: ev.EntriesRead, now: ev.Now, effects: list[Effect]) -> None:
        """Go on with what was read for a peer, or for this node itself."""
        if event.peer != self.identity.node:
            effects += self.raft.entries_read(event, now.boot_ns)
        elif fault := self.unapplied.take(event, self.raft.log):
            self._reload(Reload("repair", fault), effects)

    # --- Commit -----------------------------------------------------------------------------------

    def _settle(self, now: ev.Now, effects: list[Effect]) -> None:
        """Apply and let out what is committed; write Checkpoints, answer reads, do chores. Asked at
        every step, so what is at rest is passed over."""
        if not self._is_behind:
            self.unapplied.rest()
            if self._sheds or self.raft.log.bytes > limits.LOG_MEMORY_BYTES:
                self._sheds = shrink_log(self.raft, self.committed.index)
        elif not self._may_wait or not self.unapplied.puts_off(
            now.boot_ns, writes=bool(effects) or self.raft.durable.writes
        ):
            self._apply_committed(now, effects)
        else:
            self._sheds = False  # what hurries goes first
        self.settled.tidy(now.boot_ns)
        if self._checkpointing.may_begin:
            self._maybe_checkpoint(now, effects)
        if self._reads.any_wait(self.raft):
            found, ready = self._reads.settle(self.raft, self.committed.index, now.boot_ns)
            effects += found
            effects += [self._read(event, now) for event in ready]
        if self._acts.any_wait:
            effects += self._acts.settle(self.raft, now.boot_ns)
        if self._reign is not None and (
            self._acts.held or admin.has_chores(self.raft, self.committed.version)
        ):
            effects += self._acts.chores(
                self._reign, self.raft, self.committed, self.met, self.identity.agent, now
            )

    def _read(self, event: ev.Asked, now: ev.Now) -> Effect:
        """Answer a question for whose answer nothing that was acked is missing any more."""
        if event.subject == "get":
            return Answer(event.connection, [value_of(self, event)])
        if end := self._dry_runs.denied(event, self.kinship):
            return Answer(event.connection, [end])
        tick = max(self.committed.tick, self.raft.pace.tick_at(now.boot_ns))
        return self._dry_runs.begin(event, self.committed, tick, now)

    def _apply_committed(self, now: ev.Now, effects: list[Effect]) -> None:
        self._drop_accession()  # it built on less than what is committed now
        room = Room()
        while room.left and self._is_behind:
            found = self.unapplied.next(self.raft.log)
            if found is None:  # it is in the ledger only
                effects += self.unapplied.wish(self.raft.log, now.boot_ns)
                break
            try:
                done = self._reign.take_next() if self._reign is not None else None
                done = done or self.settled.apply(found)
                room.take(found.body, done.entry)
                self._release(done, now, effects)
            except Unfit as exc:
                if exc.repair:
                    self._reload(Reload("repair", str(exc)), effects)
                else:
                    self._strike("state", str(exc), effects)
                return
            self.unapplied.applied(found)
            self._checkpointing.applied(len(found.body))
        self._sheds = shrink_log(self.raft, self.committed.index)

    def _release(self, done: InFlight, now: ev.Now, effects: list[Effect]) -> None:
        """Let out what waited for this Entry: acks, letters, the Snapshot (R2)."""
        effects += self._take(done)
        state = done.state
        self.live.applied(done, now.boot_ns)
        self.raft.pace.reach(state.tick)
        self._touch_is_old = self._live_is_old = True
        if self.raft.period_ns != state.period_ns:
            self.raft.period_ns = state.period_ns
            if self._reign is None:
                self.raft.pace.clock = None  # it was made with another period: hear it anew
        if done.latched is not None:
            effects += acks_of(done.latched, done.applied)
            for joined, register in zip(done.latched.joined, done.latched.registers, strict=True):
                row = state.producers.rows[joined.producer]
                welcome = welcome_of(self, epoch=register.epoch, row=row)
                effects += self.petitions.welcome(joined, welcome)
        effects += self.petitions.departures.see(done, now.boot_ns)
        letters = letters_of(done.entry, done.before, state.term, self.identity.node)
        acts = acts_of(done.entry, done.index)
        if letters or acts:
            self._letters_unstored += len(letters) + len(acts)
            self.live.letters_wait(now.boot_ns)
            effects.append(StoreLetters(done.index, letters, acts))
        effects += self.petitions.tell(done.waiting)
        effects += self._acts.committed(done.index)
        effects.append(self._show(state, done.applied))
        in_flight = self._reign.in_flight if self._reign is not None else ()
        self.settled.forget_keys(done.applied.removed, in_flight)

    def _maybe_checkpoint(self, now: ev.Now, effects: list[Effect]) -> None:
        """Ask for a Checkpoint of what is committed; one at a time, and no Tick waits (R25)."""
        index = self.committed.index
        if self._fault is not None or not index or self.raft.durable.serials.of(index) is None:
            return  # nothing is committed, or much is not applied yet: its record's number is gone
        self._checkpointing.begin(self.committed.index)
        # Every letter up to here is on its way: the DLQ's cursor may follow, and unpin the ledger.
        effects.append(StoreLetters(self.committed.index, []))
        effects.append(checkpoint_of(self, now))
