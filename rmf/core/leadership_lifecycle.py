"""How a node comes to reign and ceases to: accession, the end of a reign, strike (R3, R15, R17).

Decides when this node begins to reign, what is dropped and what clients hear when it does no more,
and what is left of it on strike. What happens during a reign is `reign`'s matter; who leads,
consensus knows.
"""

from collections.abc import Callable

import attrs

from rmf.core import messages as m
from rmf.core.address_book import AddressBook
from rmf.core.admission import Admission
from rmf.core.committed_state import CannotApply, CommittedState
from rmf.core.effects import Answer, Effect, LinkPeers, Note, Reload
from rmf.core.entry import Genesis
from rmf.core.events import Asked, Now
from rmf.core.node_health import NodeHealth
from rmf.core.producer_sessions import IntakeRefusal, ProducerSessions
from rmf.core.publishing import Publishing
from rmf.core.raft.raft_node import Raft
from rmf.core.reign import Reign
from rmf.core.requests import Requests
from rmf.core.state import State
from rmf.core.transfer import Transfer

__all__ = ["LeadershipLifecycle"]


@attrs.define(eq=False)
class LeadershipLifecycle:
    """`reign` is the one under way, `accession` one that still has to take over what there was.
    `listens` says whether the line wants to hear of a key's expiry.

    Invariant: while there is a reign or an accession this node leads, and is not on strike."""

    _raft: Raft
    _settled: CommittedState
    _book: AddressBook
    _health: NodeHealth
    _admission: Admission
    _sessions: ProducerSessions
    _requests: Requests
    _publishing: Publishing
    _transfer: Transfer
    _listens: Callable[[str], bool]
    reign: Reign | None = None
    accession: Reign | None = None

    @property
    def newest(self) -> State:
        """The state after the last Entry that was written or applied here, committed or not: shelf
        and key index stand there, for all versions share them (R3)."""
        reign = self.reign or self.accession
        return self._settled.state if reign is None else reign.state

    # --- Reigns ---------------------------------------------------------------------------------

    def follow(self, effects: list[Effect]) -> None:
        """Drop all when this node is the leader no more. First of all: who is refused below learns
        what is so now."""
        self._health.look_again()
        if self._raft.leadership is None:
            self._end(effects)

    def begin(self, now: Now, effects: list[Effect]) -> None:
        """Accede (R3, R6): build on the last Entry of the log, committed or not; the clock goes on
        from the last Tick that any node of the majority knows, or ages are unknown from here.

        Asked once per step until it has acceded: what is committed is applied first, as ever, what
        is not behind that, a slice per step; the heartbeats go on meanwhile (R45)."""
        raft, state = self._raft, self._settled.state
        assert self.reign is None
        if self._health.fault is not None or state.index < raft.applicable:
            return
        reign = self.accession = self.accession or self._accession_of(state)
        try:
            if not reign.inherit(raft.log):
                return
        except ValueError as exc:
            self.strike("state", str(exc), effects)
            return
        assert reign.state.index == raft.log.last.index
        self.reign, self.accession = reign, None
        self._transfer.reign_begins(now.boot_ns)
        effects += self._accede(reign, now)

    def _accession_of(self, state: State) -> Reign:
        shelf, queue, line = self._settled.shelf, self._sessions.queue, self._book.identity.line
        return Reign(state, shelf, self._raft, queue, line, self._listens)

    def _accede(self, reign: Reign, now: Now) -> list[Effect]:
        identity, pace, state = self._book.identity, self._raft.pace, reign.state
        genesis, period_ns = None, state.period_ns
        if not state.index:
            period_ns = identity.period_ns
            genesis = Genesis(state.cluster, period_ns, [self._book.own])
        bridged = pace.bridged
        reign.clock = pace.lead(period_ns, state.tick, now.boot_ns)
        return reign.accede(identity.node, genesis, now, bridged=bridged)

    def drop_accession(self) -> None:
        """Forget what was taken over for a reign that has not begun."""
        if self.accession is not None:
            self.accession.undo(self._settled.state)
            self.accession = None

    def _end(self, effects: list[Effect]) -> None:
        """Drop everything uncommitted (R3), and answer all that waits for it."""
        self.drop_accession()
        reign, self.reign = self.reign, None
        if reign is None:
            return
        state, fault = self._settled.state, self._health.fault
        assert state.index <= reign.state.index
        reign.undo(state)
        why = self._admission.refusal(reigns=False)
        why = why or IntakeRefusal("no_reign", None, "the reign is over")
        effects += self._sessions.let_down(*reign.unfinished(), why, state.producers)
        effects += self._sessions.refuse_all(why, state.producers)
        effects += self._requests.reign_is_over(reign)
        why_over = fault[1] if fault is not None else self._raft.why_over
        fields = {"term": reign.state.term, "why": why_over}
        effects.append(Note("info", "reign_over", fields))

    # --- Strike ---------------------------------------------------------------------------------

    def strike(self, kind: str, why: str, effects: list[Effect], *, unlink: bool = True) -> None:
        """Strike (R17): take in nothing, ack nothing, keep showing the last Snapshot as stale."""
        if self._health.fault is not None:
            return
        self._health.fault = (kind, why)
        self._raft.retire()
        effects.append(Note("error", "strike", {"kind": kind, "why": why}))
        self._end(effects)
        effects += self._requests.give_up(why)
        table = self._settled.state.producers
        effects += self._sessions.refuse_all(IntakeRefusal("strike", None, why), table)
        if unlink:
            effects.append(LinkPeers(()))  # the peers notice at once, not after a time-out
        self._health.look_again()
        effects.append(self._publishing.show())

    def order_strike(self, event: Asked, effects: list[Effect]) -> None:
        """Begin or end a strike, as an operator says."""
        found, ends = self._health.strike, event.args.get("end")
        if not ends:
            self.strike("admin", str(event.args.get("why") or "an operator says so"), effects)
        elif found is not None and found[0] not in {"admin", "no_reign"}:
            text = f"a strike {found[0]} ends by repair, not by an order: {found[1]}"
            end = m.End(event.request, "not_possible", text)
            effects.append(Answer(event.connection, [end]))
            return
        fault = self._health.fault
        strike = {"kind": fault[0], "why": fault[1]} if fault is not None and not ends else None
        item = m.Item(event.request, {"strike": strike})
        effects.append(Answer(event.connection, [item, m.End(event.request, None, None)]))
        if ends and found is not None and found[0] == "admin":
            self.reload(Reload("admin", "an operator ends the strike"), effects)

    def reload(self, reload: Reload, effects: list[Effect]) -> None:
        """Ask for a core that is read from the disk: this one does nothing any more (R15). Clients
        stay, but for producers: only a WELCOME says what of theirs is committed."""
        if reload.reason == "doubt" and self._raft.doubts > 1:
            # Both ledgers were read again, and still differ: that is for operators to decide.
            self.strike("state", f"{reload.why}; both were read again", effects)
            return
        self.strike("state", reload.why, effects, unlink=reload.reason != "doubt")
        effects += self._sessions.send_off(self._book.goaway("no_reign", reload.why))
        effects.append(reload)

    def give_up(self, fault: CannotApply, effects: list[Effect]) -> None:
        """What is committed cannot be applied here: read it again, or strike."""
        if fault.repair:
            self.reload(Reload("repair", str(fault)), effects)
        else:
            self.strike("state", str(fault), effects)
