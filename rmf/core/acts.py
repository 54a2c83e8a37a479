"""Acts of operators on their way: asked, written as an Entry, answered once that is committed.

Decides who hears of what when; whether an act is possible, `admin` decides. Also lets the reign do
its chores: one Entry at a time, only when nothing else of that kind is under way.
"""

from collections.abc import Mapping
from typing import Any

from rmf.core import admin
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.effects import Answer, Effect, Note
from rmf.core.entry import Members
from rmf.core.petitions import Refusal
from rmf.core.raft.node import Raft
from rmf.core.reign import Reign
from rmf.core.state import State

__all__ = ["Acts", "facts_of"]


def facts_of(members: Any) -> dict[str, Any]:
    """Return what an operator is told of the members."""
    return {
        "members": [
            {"node": x.name, "address": x.client_address, "voter": x.voter} for x in members
        ]
    }


class Acts:
    """What waits for the commit of an Entry, by index."""

    def __init__(self) -> None:
        self._waiting: dict[int, ev.Asked] = {}

    def ask(
        self,
        event: ev.Asked,
        reign: Reign | None,
        raft: Raft,
        met: Mapping[str, ev.PeerMet],
        refusal: Refusal | None,
        now: ev.Now,
    ) -> list[Effect]:
        """Do what is asked for, or say why not."""
        if reign is None or refusal is not None:
            code, _, text = refusal or Refusal("no_reign", None, "the election is not over yet")
            return [_end(event, code, text)]
        if event.subject == "admin.transfer":
            return self._transfer(event, raft, now)
        found: Members | admin.Denied | None
        if event.subject == "admin.add":
            found = admin.added(raft, event.args, met)
        elif event.subject == "admin.remove":
            found = admin.removed(raft, event.args)
        else:
            return [_end(event, "unknown_query", f"no such act: {event.subject}")]
        if isinstance(found, admin.Denied):
            return [_end(event, *found)]
        if found is None:
            return [_item(event, raft.members)]
        index, effects = reign.decree(found, now)
        self._waiting[index] = event
        return [*effects, Note("info", "members", {"why": found.why})]

    @staticmethod
    def _transfer(event: ev.Asked, raft: Raft, now: ev.Now) -> list[Effect]:
        found = admin.successor(raft, event.args)
        if isinstance(found, admin.Denied):
            return [_end(event, *found)]
        leads = raft.leadership
        assert leads is not None
        leads.transfer(found, now.boot_ns)
        item = m.Item(event.request, {"transfer_to": found})
        answer = Answer(event.connection, [item, m.End(event.request, None, None)])
        return [*leads.hand_over(), answer]

    def committed(self, index: int, state: State) -> list[Effect]:
        """Answer whoever waited for this Entry."""
        event = self._waiting.pop(index, None)
        return [_item(event, state.members)] if event is not None else []

    def drop(self) -> list[Effect]:
        """Answer whoever waits, as the reign is over: what became of it, nobody here knows."""
        waiting, self._waiting = self._waiting, {}
        text = "the reign ended before this was committed; look at the members, and ask again"
        return [_end(event, "not_leader", text) for event in waiting.values()]

    @staticmethod
    def chores(
        reign: Reign,
        raft: Raft,
        committed: State,
        met: Mapping[str, ev.PeerMet],
        release: str,
        now: ev.Now,
    ) -> list[Effect]:
        """Write what a leader writes by itself: promotions, the cluster's version."""
        if reign.state.version != committed.version:
            return []
        wanted = admin.chores(raft, committed.version, met, release)
        if wanted is None:
            return []
        _, effects = reign.decree(wanted, now)
        why = wanted.why if isinstance(wanted, Members) else f"cluster version {wanted.version}"
        return [*effects, Note("info", "members", {"why": why})]


def _item(event: ev.Asked, members: Any) -> Answer:
    item = m.Item(event.request, facts_of(members))
    return Answer(event.connection, [item, m.End(event.request, None, None)])


def _end(event: ev.Asked, code: str, text: str) -> Answer:
    return Answer(event.connection, [m.End(event.request, code, text)])
