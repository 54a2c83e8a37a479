"""Step 4 of 6 · before: floor/arbiter (the loop) · next: line/inline (the handler).

The Arbiter core: Events in, Effects out (R13). It latches, stamps, has the line run, proposes one
Entry a Tick, and answers what is committed. It waits for nothing, reads no clock and touches no
disk; whatever depends on durability leaves only after the matching Persisted (R2, R3).

    offered ─▶ queue ─▶ latch ─▶ Execute … Executed ─▶ Entry, applied, proposed ─▶ Persist …
                                      … Persisted ─▶ committed ─▶ acks, letters, Publish

The speculative part of it is a Reign, which is dropped whole when the reign ends.
"""

from collections.abc import Callable

import attrs

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.answers import acks_of, checkpoint_of, picture_of, status_of, value_of, welcome_of
from rmf.core.clock import TickClock
from rmf.core.effects import Answer, Broadcast, Close, Effect, Note, Stopped, StoreLetters
from rmf.core.entry import Genesis, LineId
from rmf.core.faults import FAULTS
from rmf.core.latch import IngestQueue, Latched, Waiting
from rmf.core.letters import letters_of
from rmf.core.raft.solo import Solo
from rmf.core.reign import InFlight, Reign
from rmf.core.shelf import Shelf
from rmf.core.state import NOTHING, State

__all__ = ["Arbiter", "Identity"]

_STOPPING_HOLD_OFF_MS = FAULTS["stopping"].back_off_ms
# Below this a whole Tick of letters still fits what the DLQ keeper may owe.
_LETTERS_ROOM = limits.LETTERS_IN_FLIGHT_MAX - limits.TICK_PACKETS_MAX


@attrs.frozen
class Identity:
    """Who this node is: its name and incarnation, its line, the period for a new cluster, and the
    address clients are told."""

    node: str
    incarnation: bytes
    line: LineId
    period_ns: int
    address: str
    agent: str


class Arbiter:
    """The deciding core of a node.

    `listens` says whether the line wants to hear of a key's expiry. `bridge` relates the last Tick
    to boot time if this boot wrote it, else None: then ages are unknown (R6).
    Invariant: committed.index <= raft.commit; what runs ahead of it is the reign's alone.
    """

    def __init__(
        self,
        identity: Identity,
        state: State,
        shelf: Shelf,
        raft: Solo,
        *,
        listens: Callable[[str], bool],
        bridge: TickClock | None,
        depth_packets_max: int,
    ) -> None:
        self.identity = identity
        self.committed = state
        self.raft = raft
        self.queue = IngestQueue(depth_packets_max)
        self.strike: tuple[str, str] | None = ("no_reign", "the election is not over yet")
        self.mark = "ok"
        self.duplicates = 0
        self.started_ns = 0
        self.dlq_facts: dict[str, object] = {
            "letters": 0,
            "groups": 0,
            "bytes": 0,
            "complete": True,
        }
        self._shelf = shelf
        self._listens = listens
        self._bridge = bridge
        self._reign: Reign | None = None
        self._joining: set[int] = set()
        self._connections: dict[str, int] = {}
        self._chain = raft.chain
        self._letters_unstored = 0
        self._checkpoint_wanted = False
        self._checkpoint_underway = False
        self._stopping = False
        self._stopped = False

    # --- What the floor calls ----------------------------------------------------------------

    def start(self, now: ev.Now) -> list[Effect]:
        """Begin: stand for election, unless the node is on strike for good."""
        self.started_ns = now.boot_ns
        if self.strike is not None and self.strike[0] != "no_reign":
            return [picture_of(self, self.committed, NOTHING)]
        return self.raft.campaign()

    def step(self, events: list[ev.Event], now: ev.Now) -> list[Effect]:
        """Take what happened; return what to do about it, in order."""
        effects: list[Effect] = []
        for event in events:
            self._on(event, now, effects)
        if self._reign is not None and self._letters_unstored < _LETTERS_ROOM:
            effects += self._reign.turn(now)
            for waiting in self._reign.take_unbound():
                self._tell(waiting, effects)
        if self._stopping and not self._stopped and (self._reign is None or self._reign.idle):
            self._stopped = True
            effects.append(Stopped())
        return effects

    @property
    def reigns(self) -> bool:
        """Whether this node takes packets in."""
        return self._reign is not None

    @property
    def takes_in(self) -> bool:
        """Whether the floor should hand over more offers; if not, the edge waits (R16)."""
        return not self.queue.full

    def next_due_ns(self) -> int | None:
        """Return the boot time of the next Beat that is needed, or None while nothing is due."""
        if self._reign is None or self._letters_unstored >= _LETTERS_ROOM:
            return None
        return self._reign.next_due_ns()

    # --- Events ---------------------------------------------------------------------------------

    def _on(self, event: ev.Event, now: ev.Now, effects: list[Effect]) -> None:
        match event:
            case ev.Offered():
                self._on_offered(event, effects)
            case ev.Executed():
                if self._reign is not None:
                    effects += self._reign.executed(event)
            case ev.Persisted():
                self._on_persisted(event, now, effects)
            case ev.Joined():
                self._on_joined(event, effects)
            case ev.Left():
                if self.reigns:
                    self.queue.push(event)
            case ev.Lost():
                self._forget(event.connection)
            case ev.Asked():
                effects.append(self._answer(event, now))
            case ev.LettersStored():
                self._letters_unstored -= event.letters
                self.dlq_facts = event.facts
            case ev.CheckpointWritten():
                self._checkpoint_underway = False
            case ev.CheckpointAsked():
                self._checkpoint_wanted = True
                self._maybe_checkpoint(effects)
            case ev.Disk():
                self.mark = event.mark
            case ev.DiskFault():
                self._strike("disk", event.why, effects)
            case ev.Struck():
                self._strike(event.kind, event.why, effects)
            case ev.StopAsked():
                self._stop(effects)
            case ev.Beat():
                pass

    def _on_offered(self, event: ev.Offered, effects: list[Effect]) -> None:
        code = self._refusal()
        if code is None and self.mark == "hard":
            code = "busy"
        if code is None:
            self.queue.push(event)
        else:
            effects.append(self._refuse(event, code))

    def _refusal(self) -> str | None:
        """Return the code with which intake is refused at present, or None."""
        if self._stopping:
            return "stopping"
        if self.strike is not None:
            return "no_reign" if self.strike[0] == "no_reign" else "strike"
        return None

    def _refuse(self, event: ev.Offered, code: str) -> Answer:
        row = self.committed.producers.get(event.producer)
        expected = row.last_seq + 1 if row is not None else 1
        text = self.strike[1] if self.strike else f"the node says {code}"
        refusal = m.Refuse(event.rows[0][1], code, expected, None, text)
        return Answer(event.connection, [refusal])

    def _on_joined(self, event: ev.Joined, effects: list[Effect]) -> None:
        code = self._refusal()
        if code is None:
            self._joining.add(event.connection)
            self.queue.joined.append(event)
            return
        text = self.strike[1] if self.strike else f"the node says {code}"
        effects.append(Answer(event.connection, [m.Refuse(0, code, 0, None, text)]))
        effects.append(Close(event.connection))

    def _forget(self, connection: int) -> None:
        self._joining.discard(connection)
        for producer, mine in list(self._connections.items()):
            if mine == connection:
                del self._connections[producer]

    def _answer(self, event: ev.Asked, now: ev.Now) -> Answer:
        if event.subject == "welcome":
            return Answer(event.connection, [welcome_of(self)])
        if event.subject == "ping":
            pong = m.Pong(event.request, self.raft.term, self.committed.tick)
            return Answer(event.connection, [pong])
        if event.subject == "get":
            return Answer(event.connection, [value_of(self, event)])
        facts = status_of(self, now)
        return Answer(
            event.connection, [m.Item(event.request, facts), m.End(event.request, None, None)]
        )

    def _strike(self, kind: str, why: str, effects: list[Effect]) -> None:
        """Strike (R17): take in nothing, ack nothing, keep showing the last Snapshot as stale."""
        if self.strike is not None and self.strike[0] != "no_reign":
            return
        self.strike = (kind, why)
        self.raft.abdicate()
        effects.append(Note("error", "strike", {"kind": kind, "why": why}))
        if self._reign is not None:
            effects += [self._refuse(offer, "strike") for offer in self._reign.unfinished()]
        self._refuse_all("strike", effects)
        self._reign = None
        effects.append(picture_of(self, self.committed, NOTHING))
        if self._stopping and not self._stopped:
            self._stopped = True
            effects.append(Stopped())

    def _refuse_all(self, code: str, effects: list[Effect]) -> None:
        for item in self.queue.drain():
            effects += [self._refuse(item, code)] if isinstance(item, ev.Offered) else []
        while self.queue.joined:
            self._on_joined(self.queue.joined.popleft(), effects)

    def _stop(self, effects: list[Effect]) -> None:
        self._stopping = True
        text = "the node is being stopped"
        effects.append(Broadcast(m.Goaway("stopping", [], _STOPPING_HOLD_OFF_MS, text)))
        self._refuse_all("stopping", effects)

    # --- Commit -----------------------------------------------------------------------------------

    def _on_persisted(self, event: ev.Persisted, now: ev.Now, effects: list[Effect]) -> None:
        was = self.raft.role
        self.raft.persisted(event.ticket, event.serial)
        if was == "candidate" and self.raft.role == "leader":
            effects += self._begin_reign(now)
        if self._reign is None:
            return
        for done in self._reign.take_committed(self.raft.commit):
            self._release(done, effects)
            self._reign.forget_keys(done.applied.removed)
        if self._reign.entry_bytes >= limits.CHECKPOINT_LEDGER_BYTES:
            self._checkpoint_wanted = True
        self._maybe_checkpoint(effects)

    def _begin_reign(self, now: ev.Now) -> list[Effect]:
        """Accede (R3, R6): the clock goes on from the last Tick, or ages are unknown from here."""
        assert self.strike is not None
        self.strike = None
        identity, state = self.identity, self.committed
        genesis = None
        period_ns = state.period_ns
        if state.index == 0:
            period_ns = identity.period_ns
            members = [(identity.node, identity.incarnation)]
            genesis = Genesis(state.cluster, period_ns, members)
        clock = self._bridge or TickClock(period_ns, state.tick + 1, now.boot_ns)
        self._reign = Reign(
            state, self._shelf, self.raft, self.queue, clock, identity.line, self._listens
        )
        return self._reign.accede(identity.node, genesis, now, bridged=self._bridge is not None)

    def _release(self, done: InFlight, effects: list[Effect]) -> None:
        """Let out what waited for this Entry: acks, letters, the Snapshot (R2)."""
        self.committed = done.state
        self._chain = done.chain
        if done.latched is not None:
            self._ack(done, done.latched, effects)
            letters = letters_of(done.entry, done.before, done.state.term, self.identity.node)
            if letters:
                self._letters_unstored += len(letters)
                effects.append(StoreLetters(done.index, letters))
        self._tell(done.waiting, effects)
        effects.append(picture_of(self, done.state, done.applied))

    def _tell(self, waiting: Waiting, effects: list[Effect]) -> None:
        """Let out answers that depend on nothing uncommitted any more (R3)."""
        for connection, runs in waiting.duplicates:
            self.duplicates += sum(run.packets for run in runs)
            effects.append(Answer(connection, [m.Ack(runs)]))
        for connection, error in waiting.farewells:
            effects += [Answer(connection, [error]), Close(connection)]

    def _ack(self, done: InFlight, latched: Latched, effects: list[Effect]) -> None:
        effects += acks_of(latched, done.applied)
        for joined, register in zip(latched.joined, latched.registers, strict=True):
            self._welcome(joined, register.epoch, done.state, effects)

    def _welcome(self, joined: ev.Joined, epoch: int, state: State, effects: list[Effect]) -> None:
        """Admit a producer whose epoch is committed; its older connection is superseded (R32)."""
        before = self._connections.pop(joined.producer, None)
        if before is not None:
            text = f"a newer connection speaks for producer {joined.producer!r}"
            effects.append(Answer(before, [m.Error("superseded", text, None)]))
            effects.append(Close(before))
        if joined.connection not in self._joining:
            return  # it was lost meanwhile
        self._joining.discard(joined.connection)
        self._connections[joined.producer] = joined.connection
        row = state.producers.get(joined.producer)
        last_seq = row.last_seq if row is not None else 0
        effects.append(
            Answer(joined.connection, [welcome_of(self, epoch=epoch, last_seq=last_seq)])
        )

    def _maybe_checkpoint(self, effects: list[Effect]) -> None:
        """Ask for a Checkpoint of what is committed; one at a time, and no Tick waits (R25)."""
        reign = self._reign
        if not self._checkpoint_wanted or self._checkpoint_underway or reign is None:
            return
        self._checkpoint_wanted = False
        self._checkpoint_underway = True
        reign.entry_bytes = 0
        # Every letter up to here is on its way: the DLQ's cursor may follow, and unpin the ledger.
        effects.append(StoreLetters(self.committed.index, []))
        effects.append(checkpoint_of(self, reign.clock, self._chain))
