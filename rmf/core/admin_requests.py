"""Acts of operators on their way: asked, written as an Entry, answered once that is committed.

Decides who hears of what when; whether an act is possible, `admin` decides. Also lets the reign do
its chores: one Entry at a time, only when nothing else of that kind is under way.
"""

from collections.abc import Collection
from typing import Any

from rmf import limits
from rmf.core import admin
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.address_book import AddressBook
from rmf.core.effects import Answer, Effect, Note
from rmf.core.entry import Members, Settings
from rmf.core.line_versions import nodes_with_older_line
from rmf.core.producer_sessions import IntakeRefusal
from rmf.core.raft.raft_node import Raft
from rmf.core.reign import Reign
from rmf.core.state import State
from rmf.core.triage import Triage

__all__ = ["AdminRequests"]

_Decree = Members | Triage | Settings


class AdminRequests:
    """Orders that wait: for the commit of an Entry, by its index; `transfers` for another leader;
    `held` until an Entry may be written."""

    def __init__(self, raft: Raft, book: AddressBook) -> None:
        self._raft = raft
        self._book = book
        self._waiting: dict[int, ev.Asked] = {}
        self.held: list[ev.Asked] = []  # a Tick on the bench has its number; in flight is no room
        self.transfers: list[tuple[str, ev.Asked, int]] = []  # until when (boot ns)

    def ask(
        self, event: ev.Asked, reign: Reign | None, refusal: IntakeRefusal | None, now: ev.Now
    ) -> list[Effect]:
        """Do what is asked for, or say why not."""
        if reign is None or refusal is not None:
            code, _, text = refusal or IntakeRefusal(
                "no_reign", None, "the election is not over yet"
            )
            return [_end(event, code, text)]
        if event.subject == "admin.transfer":
            return self._transfer(event, nodes_with_older_line(self._book.met, reign.line), now)
        if not reign.may_write:
            if len(self.held) >= limits.READS_WAITING_MAX:
                return [_end(event, "busy", "too many orders wait; ask again")]
            self.held.append(event)
            return []
        raft, version = self._raft, reign.state.version
        found: _Decree | admin.Denied
        if event.subject == "admin.add":
            found = admin.added(raft, event.args, self._book.callers, now.boot_ns)
        elif event.subject == "admin.remove":
            found = admin.removed(raft, event.args, now.boot_ns)
        elif event.subject == "admin.triage":
            found = admin.triaged(raft, event.args, event.by, version)
        elif event.subject == "admin.set":
            found = admin.settings(event.args, event.by, version)
        else:
            return [_end(event, "unknown_query", f"no such act: {event.subject}")]
        if isinstance(found, admin.Denied):
            return [_end(event, *found)]
        index, effects = reign.decree(found, now)
        assert index not in self._waiting
        self._waiting[index] = event
        return [*effects, Note("info", type(found).__name__.lower(), _noted(found))]

    def _transfer(self, event: ev.Asked, avoid: Collection[str], now: ev.Now) -> list[Effect]:
        raft = self._raft
        found = admin.successor(raft, event.args, avoid)
        if isinstance(found, admin.Denied):
            return [_end(event, *found)]
        leads = raft.leadership
        assert leads is not None
        if len(self.transfers) >= limits.READS_WAITING_MAX:
            return [_end(event, "busy", "too many orders wait; ask again")]
        if found != raft.name:
            leads.handover.begin(found, now.boot_ns)
        self.transfers.append((found, event, now.boot_ns + limits.TRANSFER_NS_MAX))
        return leads.handover.hand_over()

    def settle(self, now_ns: int) -> list[Effect]:
        """Answer those who wait for a leader that is there by now, or will not be."""
        raft = self._raft
        effects: list[Effect] = []
        for waiting in list(self.transfers):
            target, event, until_ns = waiting
            handing_over = raft.leadership is not None and raft.leadership.handover.target == target
            undecided = raft.leader is None or (handing_over and raft.name != target)
            if undecided and now_ns < until_ns:
                continue
            self.transfers.remove(waiting)
            if raft.leader == target:
                item = m.Item(event.request, {"leader": target})
                effects.append(Answer(event.connection, [item, m.End(event.request, None, None)]))
            else:
                text = f"{target} did not take over in time; {raft.leader or 'no node'} leads"
                effects.append(_end(event, "not_ready", text))
        return effects

    def committed(self, index: int) -> list[Effect]:
        """Answer the operator that waited for this Entry."""
        event = self._waiting.pop(index, None)
        if event is not None and event.subject in {"admin.triage", "admin.set"}:
            item = m.Item(event.request, {"index": index})
            return [Answer(event.connection, [item, m.End(event.request, None, None)])]
        return [self._item(event)] if event is not None else []

    def _item(self, event: ev.Asked) -> Answer:
        item = m.Item(event.request, {"members": self._book.members()})
        return Answer(event.connection, [item, m.End(event.request, None, None)])

    def drop(self, through: int) -> list[Effect]:
        """Answer all that wait, but for what is committed, up to `through`, as the reign is over:
        what became of it is unknown here."""
        lost = [index for index in self._waiting if index > through]
        waiting = [*(self._waiting.pop(index) for index in lost), *self.held]
        self.held = []
        text = "the reign ended before this was committed; look what became of it, and ask again"
        return [_end(event, "not_leader", text) for event in waiting]

    def give_up(self, why: str) -> list[Effect]:
        """Answer all that wait for another leader: this node is on strike, and hears of none."""
        transfers, self.transfers = self.transfers, []
        text = f"this node is on strike ({why}): look who leads, and ask again"
        return [_end(event, "strike", text) for _, event, _ in transfers]

    def chores(self, reign: Reign, committed: State, now: ev.Now) -> list[Effect]:
        """Do what waited for the bench; else write what a leader writes by itself: promotions, the
        cluster's version."""
        if not reign.may_write:
            return []
        if self.held:
            held, self.held = self.held, []
            return [x for event in held for x in self.ask(event, reign, None, now)]
        if reign.state.version != committed.version:
            return []
        book = self._book
        wanted = admin.chores(self._raft, committed.version, book.met, book.identity.agent)
        if wanted is None:
            return []
        _, effects = reign.decree(wanted, now)
        why = wanted.why if isinstance(wanted, Members) else f"cluster version {wanted.version}"
        return [*effects, Note("info", "members", {"why": why})]


def _noted(found: _Decree) -> dict[str, Any]:
    """Return what the log says of an act: who did what, and why (R40)."""
    if isinstance(found, Members):
        return {"why": found.why}
    if isinstance(found, Settings):
        return {"election_ms": list(found.election_ms), "by": found.by}
    fields = {"act": found.act, "by": found.by, "why": found.why, "letters": len(found.letters)}
    return {**fields, "group": found.group, "before": found.before, "job": found.job}


def _end(event: ev.Asked, code: str, text: str) -> Answer:
    return Answer(event.connection, [m.End(event.request, code, text)])
