"""The throne: accession, the end of a reign, strike, and the way out (R3, R17, R18).

Decides when this node begins to reign, what is dropped and who is told when it does no more, and in
which order a stop goes; also what follows from a reign with another line than its own (R21). What
happens during a reign is `reign`'s and `arbiter`'s matter.
"""

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.answers import picture_of
from rmf.core.effects import (
    Answer,
    Audit,
    Broadcast,
    Effect,
    LinkPeers,
    Note,
    Publish,
    Reload,
    Stopped,
)
from rmf.core.entry import Accession, Genesis, Settings, TickBooks
from rmf.core.faults import FAULTS
from rmf.core.in_flight import InFlight
from rmf.core.lines import is_sampled, kinship_of, laggards, line_text
from rmf.core.office import Office
from rmf.core.petitions import Refusal
from rmf.core.reign import Reign
from rmf.core.state import NOTHING, Applied, State

__all__ = ["Throne"]

_REMARKS = {
    "behind": ("line_behind", "it stands for election last; start it with the newer line"),
    "other": ("line_mismatch", "nothing it runs is compared; start it with the line of the reign"),
}


class Throne(Office):
    """A node's way to the throne and from it."""

    # --- The line of the reign --------------------------------------------------------------------

    def _judge_line(self) -> list[Effect]:
        """Compare this node's line with the one of the accession in force: an older one yields the
        throne to whoever can take it, and people hear of it."""
        before, self.kinship = self.kinship, kinship_of(self.identity.line, self.committed.line)
        self.raft.voting.yields = self.kinship == "behind"
        alone = len(self.raft.members) < 2  # then it reigns itself, in a moment
        if self.kinship == before or self.kinship not in _REMARKS or alone:
            return []
        event, text = _REMARKS[self.kinship]
        mine, ledger = map(line_text, (self.identity.line, self.committed.line))
        return [Note("warning", event, {"line": mine, "ledger": ledger, "why": text})]

    def _take(self, done: InFlight) -> list[Effect]:
        """Stand behind an Entry that is applied; have it run again here, if it belongs to the
        sample and this node can tell what should come of it: somebody else ran it, with this very
        line (R21)."""
        self.settled.take(done)
        if self._reign is None:
            self.settled.tend_shelf(done)
        books = done.entry.books
        if isinstance(books, Genesis | Settings):
            self.raft.obey(done.state.election_ms)
        if isinstance(books, Accession):
            return self._judge_line()
        if (
            not self._audit_ppm
            or self._reign is not None
            or not isinstance(books, TickBooks)
            or not (books.frames or books.expiries)
            or not is_sampled(done.index, self._audit_ppm)
            or done.before.line != self.identity.line
            or books.line_version != self.identity.line.version
        ):
            return []
        pin = done.before.world.index.pin()
        return [Audit(done.index, done.state.term, done.entry, books, done.before, pin)]

    # --- Reign and strike -----------------------------------------------------------------------

    def _follow_role(self, effects: list[Effect]) -> None:
        """Let go when this node is the leader no more. First of all: whoever is refused below is
        told what is so now."""
        self._touch_is_old = self._live_is_old = True
        if self.raft.leadership is None:
            self._end_reign(effects)

    def _show(self, state: State, applied: Applied) -> Publish:
        """Return what subscribers may see of a state, and what changed with it."""
        self._shown = picture_of(self, state, applied)
        return self._shown

    def _show_again(self, effects: list[Effect]) -> None:
        """Show the same once more where it has become live, or is it no longer, or where the clock
        that was shown with it is not right any more (R36)."""
        shown = self._shown
        if not self.committed.index or (
            shown is not None
            and shown.live == self.is_live
            and not self.raft.pace.differs(shown.clock, self.now_ns)
        ):
            return
        effects.append(self._show(self.committed, NOTHING))

    def _begin_reign(self, now: ev.Now, effects: list[Effect]) -> None:
        """Accede (R3, R6): build on the last Entry of the log, committed or not; the clock goes on
        from the last Tick that anybody of the majority knows, or ages are unknown from here.

        Asked once a step until it has acceded: what is committed is applied first, as ever, what
        is not behind that, a slice a step; the heartbeats go on meanwhile (R45)."""
        identity, raft, state = self.identity, self.raft, self.committed
        if self._fault is not None or state.index < raft.applicable:
            return
        if self._accession is None:
            self._accession = Reign(
                state,
                self.settled.shelf,
                raft,
                self.petitions.queue,
                identity.line,
                self._listens,
            )
        reign = self._accession
        try:
            if not reign.inherit(raft.log):
                return
        except ValueError as exc:
            self._strike("state", str(exc), effects)
            return
        self._accession = None
        genesis = None
        if not reign.state.index:
            genesis = Genesis(state.cluster, identity.period_ns, [self._own_member()])
        bridged = raft.pace.bridged
        period_ns = reign.state.period_ns if reign.state.index else identity.period_ns
        reign.clock = raft.pace.lead(period_ns, reign.state.tick, now.boot_ns)
        self._reign = reign
        self._full_until_ns = now.boot_ns + int(limits.FULL_LEADER_S * limits.SECOND)
        effects += reign.accede(identity.node, genesis, now, bridged=bridged)

    def _drop_accession(self) -> None:
        """Forget what was taken over for a reign that has not begun."""
        if self._accession is not None:
            self._accession.undo(self.committed)
            self._accession = None

    def _end_reign(self, effects: list[Effect]) -> None:
        """Drop everything uncommitted (R3), and answer whoever waits for it."""
        self._drop_accession()
        reign, self._reign = self._reign, None
        if reign is None:
            return
        reign.undo(self.committed)
        why = self._refusal() or Refusal("no_reign", None, "the reign is over")
        table = self.committed.producers
        effects += self.petitions.let_down(*reign.unfinished(), why, table)
        effects += self.petitions.refuse_all(why, table)
        # What is committed is answered once it is applied here, as a leader's own removal is.
        effects += self._acts.drop(self.raft.log.commit if self._fault is None else 0)
        effects += self._reads.drop(reign.reads())
        why_over = self._fault[1] if self._fault is not None else self.raft.why_over
        fields = {"term": reign.state.term, "why": why_over}
        effects.append(Note("info", "reign_over", fields))

    def _strike(self, kind: str, why: str, effects: list[Effect], *, unlink: bool = True) -> None:
        """Strike (R17): take in nothing, ack nothing, keep showing the last Snapshot as stale."""
        if self._fault is not None:
            return
        self._fault = (kind, why)
        self.raft.retire()
        effects.append(Note("error", "strike", {"kind": kind, "why": why}))
        self._end_reign(effects)
        effects += self._acts.give_up(why)
        effects += self._reads.give_up(why)
        effects += self._checkpointing.drop(why)
        why_refused = Refusal("strike", None, why)
        effects += self.petitions.refuse_all(why_refused, self.committed.producers)
        if unlink:
            effects.append(LinkPeers(()))  # the peers notice at once, not after a time-out
        self._touch_is_old = self._live_is_old = True
        effects.append(self._show(self.committed, NOTHING))

    def _on_strike_order(self, event: ev.Asked, effects: list[Effect]) -> None:
        found = self.strike
        if not event.args.get("end"):
            self._strike("admin", str(event.args.get("why") or "an operator says so"), effects)
        elif found is not None and found[0] not in {"admin", "no_reign"}:
            text = f"a strike {found[0]} ends by repair, not by an order: {found[1]}"
            end = m.End(event.request, "not_possible", text)
            effects.append(Answer(event.connection, [end]))
            return
        kind, why = self._fault or ("", "")
        strike = {"kind": kind, "why": why} if kind and not event.args.get("end") else None
        item = m.Item(event.request, {"strike": strike})
        effects.append(Answer(event.connection, [item, m.End(event.request, None, None)]))
        if event.args.get("end") and found is not None and found[0] == "admin":
            self._reload(Reload("admin", "an operator ends the strike"), effects)

    def _reload(self, reload: Reload, effects: list[Effect]) -> None:
        """Ask for a core that is read from the disk: this one does nothing any more (R15). Clients
        stay, but for producers: only a WELCOME says what of theirs is committed."""
        if reload.reason == "doubt" and self.raft.doubts > 1:
            # Both ledgers were read again, and still differ: that is for people to decide.
            self._strike("state", f"{reload.why}; both were read again", effects)
            return
        self._strike("state", reload.why, effects, unlink=reload.reason != "doubt")
        effects += self.petitions.send_off(self._goaway("no_reign", reload.why))
        effects.append(reload)

    def _hand_over_if_full(self, now: ev.Now, effects: list[Effect]) -> None:
        """Let another node lead while this one has no room for packets (R38)."""
        leads = self.raft.leadership
        if leads is None or leads.transfer_to is not None or not leads.has_committed:
            return
        target = self._heir()
        if target is None or now.boot_ns < self._full_until_ns:
            return
        self._full_until_ns = now.boot_ns + int(limits.FULL_LEADER_S * limits.SECOND)
        why = "the disk is at its hard mark"
        effects.append(Note("warning", "handing_over", {"to": target, "why": why}))
        leads.transfer(target, now.boot_ns)
        effects += leads.hand_over()

    def _heir(self) -> str | None:
        """Return who should reign next: none whose line is older than this reign's, if possible."""
        leads = self.raft.leadership
        return None if leads is None else leads.successor(laggards(self.met, self.identity.line))

    def _stop(self, effects: list[Effect]) -> None:
        self._stopping = True
        why = self._refusal()
        assert why is not None
        effects += self.petitions.refuse_all(why, self.committed.producers)
        if self._reign is None or not self.raft.membership.others(self.identity.node):
            self._say_goaway(effects)

    def _go_on_stopping(self, now: ev.Now, effects: list[Effect]) -> None:
        """Finish the Tick, hand over, say goaway, and be done (R18)."""
        if self._reign is not None:
            if not self._reign.idle or self.committed.index < self.raft.log.last.index:
                return
            leads = self.raft.leadership
            target = self._heir()
            if leads is not None and target is not None and not self._handed_over:
                self._handed_over = True
                leads.transfer(target, now.boot_ns)
                effects += leads.hand_over()
                return
            if leads is not None and leads.transfer_to is not None:
                return  # it ends by itself, one way or the other
        self._say_goaway(effects)
        self._stopped = True
        effects.append(Stopped())

    def _say_goaway(self, effects: list[Effect]) -> None:
        if self._said_goaway:
            return
        self._said_goaway = True
        effects.append(Broadcast(self._goaway("stopping", "the node is being stopped")))

    def _goaway(self, code: str, text: str) -> m.Goaway:
        """Return a GOAWAY that names where else clients find the factory, the leader first."""
        others = self.raft.membership.others(self.identity.node)
        leader = self.raft.leader
        others.sort(key=lambda name: name != leader)
        known = [self.address_of(name) for name in others]
        alternatives = [address for address in known if address is not None]
        return m.Goaway(code, alternatives, FAULTS[code].back_off_ms, text)
