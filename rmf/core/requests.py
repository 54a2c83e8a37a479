"""What is asked of a node besides taking packets in: facts, reads, dry runs, orders (R28, R40).

Decides who answers what, and when: facts at once from what is committed here, reads once nothing is
missing in them, dry runs from such a read, orders once their Entry is committed. How a read becomes
current, `current` knows; what an order makes, `acts` and `admin` do.
"""

from typing import Any

import attrs

from rmf.core import admin
from rmf.core import messages as m
from rmf.core.address_book import AddressBook
from rmf.core.admin_requests import AdminRequests
from rmf.core.admission import Admission
from rmf.core.answers import status_of, value_of, welcome_of
from rmf.core.checkpointing import Checkpointing
from rmf.core.committed_state import CommittedState
from rmf.core.dry_run import DryRuns
from rmf.core.effects import Answer, Effect
from rmf.core.events import Asked, Now
from rmf.core.line_check import LineCheck
from rmf.core.linearizable_reads import LinearizableReads
from rmf.core.node_health import NodeHealth
from rmf.core.producer_sessions import ProducerSessions
from rmf.core.raft.raft_node import Raft
from rmf.core.reign import Reign
from rmf.core.surroundings import Reported

__all__ = ["Requests"]


@attrs.define(eq=False)
class Requests:
    """`acts` are orders under way, `reads` the reads. `started_ns` is when the core began."""

    _raft: Raft
    _settled: CommittedState
    _book: AddressBook
    _health: NodeHealth
    _admission: Admission
    _sessions: ProducerSessions
    _reported: Reported
    _line: LineCheck
    _checkpointing: Checkpointing
    acts: AdminRequests
    reads: LinearizableReads = attrs.Factory(LinearizableReads)
    dry_runs: DryRuns = attrs.Factory(DryRuns)
    started_ns: int = 0

    def ask(self, event: Asked, reign: Reign | None, now: Now) -> list[Effect]:
        """Answer, or take in what is answered later."""
        fault, state = self._health.fault, self._settled.state
        match event.subject:
            case "welcome":
                welcome = welcome_of(self._book, state, self._raft, self._health)
                return [Answer(event.connection, [welcome])]
            case "ping":
                pong = m.Pong(event.request, self._raft.term, self._health.tick)
                return [Answer(event.connection, [pong])]
            case "status":
                found = m.Item(event.request, self.status(now))
                return [Answer(event.connection, [found, m.End(event.request, None, None)])]
            case "get" if not event.linearizable:
                return [Answer(event.connection, [value_of(event, state, self._health)])]
            case "get" | "line.would" if fault is not None:
                return [Answer(event.connection, [m.End(event.request, "strike", fault[1])])]
            case "get" | "line.would":
                return self.reads.ask(event, self._raft, now.boot_ns)
            case "admin.checkpoint":
                return self._checkpointing.ask(event, fault, state.index)
            case _:
                return self._order(event, reign, now)

    def _order(self, event: Asked, reign: Reign | None, now: Now) -> list[Effect]:
        why = self._admission.refusal(reigns=reign is not None)
        if why is None and event.subject == "admin.triage":
            why = self._admission.busy()
        return self.acts.ask(event, reign, why, now)

    def status(self, now: Now) -> dict[str, Any]:
        """Return what `rmf-status` shows."""
        return status_of(
            self._book,
            self._settled,
            self._raft,
            self._health,
            self._sessions,
            self._reported,
            self._line.kinship,
            now.boot_ns - self.started_ns,
        )

    def settle(self, reign: Reign | None, now: Now, effects: list[Effect]) -> None:
        """Answer what can be answered by now, and do chores. Asked at every step."""
        raft, state = self._raft, self._settled.state
        if self.reads.any_wait(raft):
            found, ready = self.reads.settle(raft, state.index, now.boot_ns)
            effects += found
            effects += [self._read(event, now) for event in ready]
        if self.acts.transfers:
            effects += self.acts.settle(now.boot_ns)
        if reign is not None and (self.acts.held or admin.has_chores(raft, state.version)):
            effects += self.acts.chores(reign, state, now)

    def _read(self, event: Asked, now: Now) -> Effect:
        """Answer a question for whose answer nothing that was acked is missing any more."""
        state = self._settled.state
        if event.subject == "get":
            return Answer(event.connection, [value_of(event, state, self._health)])
        if end := self.dry_runs.denied(event, self._line.kinship):
            return Answer(event.connection, [end])
        return self.dry_runs.begin(event, state, self._health.tick, now)

    def reign_is_over(self, reign: Reign) -> list[Effect]:
        """Answer what waited for this reign. What is committed is answered once it is applied here,
        as a leader's own removal is."""
        committed = self._raft.log.commit if self._health.fault is None else 0
        return [*self.acts.drop(committed), *self.reads.drop(reign.reads())]

    def give_up(self, why: str) -> list[Effect]:
        """Answer all that waits: the node is on strike."""
        effects = self.acts.give_up(why) + self.reads.give_up(why)
        return effects + self._checkpointing.drop(why)
