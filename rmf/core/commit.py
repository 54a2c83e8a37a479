"""What is committed is applied here, and what waited for it is let out (R2, R3, R25, R45).

Decides how much is applied in one step and what goes first; lets out, Entry by Entry, acks,
letters, answers and the picture, in that order. What is committed, consensus says; what an Entry
makes of the state, `settled` or the reign knows.

Invariant: what is applied is committed, and on this node's disk (R2); each Entry once, in order.
"""

from typing import Final

import attrs

from rmf import limits
from rmf.core.address_book import AddressBook
from rmf.core.admin_requests import AdminRequests
from rmf.core.answers import acks_of, checkpoint_of, welcome_of
from rmf.core.checkpointing import Checkpointing
from rmf.core.committed_state import CommittedState
from rmf.core.effects import Effect, StoreLetters
from rmf.core.entry import Accession, Genesis, Settings
from rmf.core.events import LettersStored, Now
from rmf.core.in_flight import InFlight, Room
from rmf.core.latch import Latched
from rmf.core.leadership_lifecycle import LeadershipLifecycle
from rmf.core.letters import acts_of, letters_of
from rmf.core.line_check import LineCheck
from rmf.core.node_health import NodeHealth
from rmf.core.producer_sessions import ProducerSessions
from rmf.core.publishing import Publishing
from rmf.core.raft.raft_node import Raft
from rmf.core.state import State
from rmf.core.unapplied import Unapplied, shrink_log

__all__ = ["Commit"]

# Below the room a whole Tick of letters still fits what the DLQ keeper may owe.
_LETTERS_MAX: Final = limits.LETTERS_IN_FLIGHT_MAX
_LETTERS_ROOM: Final = _LETTERS_MAX - limits.TICK_LETTERS_MAX


@attrs.define(eq=False)
class Commit:
    """`letters_unstored` are letters of the line that the DLQ keeper has, and has not stored yet;
    `unapplied` knows where the Entries are that wait."""

    _raft: Raft
    _settled: CommittedState
    _book: AddressBook
    _health: NodeHealth
    _lifecycle: LeadershipLifecycle
    _sessions: ProducerSessions
    _acts: AdminRequests
    _checkpointing: Checkpointing
    _line: LineCheck
    _publishing: Publishing
    unapplied: Unapplied
    letters_unstored: int
    _sheds: bool = False  # more of the log in memory has to go

    @property
    def has_room(self) -> bool:
        """Whether the DLQ keeper may be given the letters of one more Tick."""
        return self.letters_unstored < _LETTERS_ROOM

    @property
    def has_more(self) -> bool:
        """Whether there is something to apply, or to drop, that need not wait for an event. A
        follower whose disk or leader waits for it writes and replies first; but it never falls
        behind by more than a leader may have in flight."""
        raft, settled = self._raft, self._settled
        if self._sheds or settled.has_more:
            return True
        # The first comparison is there for speed: at rest, it is all that each step pays.
        if settled.state.index >= raft.log.commit or not self._is_behind:
            return False
        if self.unapplied.next(raft.log) is None:
            return False
        return not (raft.durable.writes and self._may_wait)

    @property
    def _is_behind(self) -> bool:
        index, raft = self._settled.state.index, self._raft
        if index >= raft.log.commit or index >= raft.applicable or self._health.fault is not None:
            return False
        return self.letters_unstored < _LETTERS_ROOM

    @property
    def _may_wait(self) -> bool:
        behind = self._raft.applicable - self._settled.state.index
        return self._raft.leadership is None and behind <= limits.ENTRIES_IN_FLIGHT

    def stored(self, event: LettersStored, now_ns: int) -> None:
        """The DLQ keeper has stored some letters."""
        assert 0 <= event.letters <= self.letters_unstored
        self.letters_unstored -= event.letters
        self._health.live.letters_taken(self.letters_unstored, now_ns)

    def settle(self, now: Now, effects: list[Effect]) -> None:
        """Apply and let out what is committed, and ask for a Checkpoint if one is due. Asked at
        every step, so what is at rest is passed over. Raises Unfit."""
        raft = self._raft
        if not self._is_behind:
            self.unapplied.rest()
            if self._sheds or raft.log.bytes > limits.LOG_MEMORY_BYTES:
                self._sheds = shrink_log(raft, self._settled.state.index)
        elif not self._may_wait or not self.unapplied.puts_off(
            now.boot_ns, writes=bool(effects) or raft.durable.writes
        ):
            self._apply(now, effects)
        else:
            self._sheds = False  # what hurries goes first
        self._settled.tidy(now.boot_ns)
        if self._checkpointing.wanted and self._checkpointing.may_begin:
            self._checkpoint(now, effects)

    def _apply(self, now: Now, effects: list[Effect]) -> None:
        self._lifecycle.drop_accession()  # it built on less than what is committed now
        raft, settled, reign = self._raft, self._settled, self._lifecycle.reign
        room = Room()
        while room.left and self._is_behind:
            found = self.unapplied.next(raft.log)
            if found is None:  # it is in the ledger only
                effects += self.unapplied.wish(raft.log, now.boot_ns)
                break
            assert found.index <= raft.log.commit
            assert found.index <= raft.log.durable, "it is not on this node's disk (R2)"
            done = reign.take_next() if reign is not None else settled.apply(found)
            assert done.index == found.index, "the reign has another Entry in flight than the log"
            room.take(found.body, done.entry)
            self._release(done, now.boot_ns, effects)
            self.unapplied.applied(found)
            assert self.unapplied.place.index == settled.state.index
            self._checkpointing.applied(len(found.body))
        self._sheds = shrink_log(raft, settled.state.index)

    def _release(self, done: InFlight, now_ns: int, effects: list[Effect]) -> None:
        """Make this the committed state, and let out what waited for it (R2)."""
        reign, raft, state = self._lifecycle.reign, self._raft, done.state
        self._settled.take(done)
        self._obey(done, effects)
        self._health.live.applied(done, now_ns)
        raft.pace.reach(state.tick)
        self._health.look_again()
        if raft.period_ns != state.period_ns:
            raft.period_ns = state.period_ns
            if reign is None:
                raft.pace.clock = None  # it was made with another period: hear it again
        if done.latched is not None:
            effects += acks_of(done.latched, done.applied)
            if done.latched.joined:
                self._welcome(done.latched, state, effects)
        effects += self._sessions.departures.see(done, now_ns)
        letters = letters_of(done.entry, done.before, state.term, self._book.identity.node)
        acts = acts_of(done.entry, done.index)
        if letters or acts:
            self.letters_unstored += len(letters) + len(acts)
            assert self.letters_unstored <= _LETTERS_MAX
            self._health.live.letters_wait(now_ns)
            effects.append(StoreLetters(done.index, letters, acts))
        effects += self._sessions.tell(done.waiting)
        effects += self._acts.committed(done.index)
        effects.append(self._publishing.show(done.applied))
        in_flight = reign.in_flight if reign is not None else ()
        self._settled.forget_keys(done.applied.removed, in_flight)

    def _obey(self, done: InFlight, effects: list[Effect]) -> None:
        """Do what the Entry asks of this node itself, or of one that follows."""
        books, follows = done.entry.books, self._lifecycle.reign is None
        if follows:
            self._settled.tend_shelf(done)
        if isinstance(books, Genesis | Settings):
            self._raft.obey(done.state.election_ms)
        elif isinstance(books, Accession):
            effects += self._line.compare(done.state.line)
        elif follows and self._line.audit_ppm:
            effects += self._line.audit(done)

    def _welcome(self, latched: Latched, state: State, effects: list[Effect]) -> None:
        """Admit the producers whose epoch an Entry raised (R32)."""
        for joined, register in zip(latched.joined, latched.registers, strict=True):
            row = state.producers.rows[joined.producer]
            parts = self._book, state, self._raft, self._health
            welcome = welcome_of(*parts, epoch=register.epoch, row=row)
            effects += self._sessions.welcome(joined, welcome)

    def _checkpoint(self, now: Now, effects: list[Effect]) -> None:
        """Ask for a Checkpoint of what is committed; one at a time, and no Tick waits (R25)."""
        state, raft = self._settled.state, self._raft
        serial = raft.durable.serials.of(state.index)
        if self._health.fault is not None or not state.index or serial is None:
            return  # nothing is committed, or much is not applied yet: its record's number is gone
        self._checkpointing.begin(state.index)
        # Every letter up to here is on its way: the DLQ's cursor may follow, and unpin the ledger.
        effects.append(StoreLetters(state.index, []))
        place = self.unapplied.place
        assert place.index == state.index
        effects.append(checkpoint_of(state, place.chain, serial, raft.pace.clock, now.boot_ns))
