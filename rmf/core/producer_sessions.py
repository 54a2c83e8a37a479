"""What producers ask for, and what they receive: the queue before the latch, and the answers (R4).

Decides what is refused before it is latched, who may speak for a producer, and which answers leave
with a committed Entry. It knows the queue and the connections, and nothing of terms or peers: why a
node takes nothing in, each Refusal says.
"""

from collections import deque
from typing import NamedTuple

from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.departures import Departures
from rmf.core.effects import Answer, Close, Effect
from rmf.core.latch import IngestQueue, Waiting
from rmf.core.producer_table import Table, acks_with

__all__ = ["IntakeRefusal", "ProducerSessions"]


class IntakeRefusal(NamedTuple):
    """Why nothing is taken in: a code of the error table, where to go instead, a sentence."""

    code: str
    leader: str | None
    text: str


class ProducerSessions:
    """The ingest queue and the producers' connections. `duplicates` counts packets that were
    answered from the table, `departures` names that left it."""

    def __init__(self, depth_packets_max: int) -> None:
        self.queue = IngestQueue(depth_packets_max)
        self.duplicates = 0
        self.departures = Departures()
        self._joining: set[int] = set()
        self._connections: dict[str, int] = {}  # who was welcomed last, by name
        self._names: dict[int, str] = {}  # of each living connection that said HELLO

    # --- Taking in ------------------------------------------------------------------------------

    def offered(self, event: ev.Offered, why: IntakeRefusal | None, table: Table) -> list[Effect]:
        """Queue packets, or refuse them."""
        if why is not None:
            return [self.refuse(event, why, table)]
        self.queue.push(event)
        return []

    @staticmethod
    def refuse(event: ev.Offered, why: IntakeRefusal, table: Table) -> Answer:
        """Say that these packets were not taken in, and which seq is expected."""
        row = table.get(event.producer)
        expected = row.last_seq + 1 if row is not None else 1
        refusal = m.Refuse(event.rows[0][1], why.code, expected, why.leader, why.text)
        return Answer(event.connection, [refusal])

    def joined(self, event: ev.Joined, why: IntakeRefusal | None) -> list[Effect]:
        """Queue a producer's HELLO, or refuse it: then the connection is of no use."""
        if why is None:
            self._joining.add(event.connection)
            self._names[event.connection] = event.producer
            self.queue.speakers[event.producer] += 1
            self.queue.joined.append(event)
            return []
        return self._turn_away(event.connection, why)

    def _turn_away(self, connection: int, why: IntakeRefusal) -> list[Effect]:
        """Refuse a HELLO: the producer asks elsewhere."""
        self._joining.discard(connection)
        refusal = m.Refuse(0, why.code, 0, why.leader, why.text)
        return [Answer(connection, [refusal]), Close(connection)]

    def lost(self, connection: int) -> None:
        """A connection is gone."""
        self._joining.discard(connection)
        producer = self._names.pop(connection, None)
        if producer is None:
            return
        if self._connections.get(producer) == connection:
            del self._connections[producer]
        speakers = self.queue.speakers
        speakers[producer] -= 1
        assert speakers[producer] >= 0
        if not speakers[producer]:
            del speakers[producer]
            self.queue.parted.append(producer)

    def let_down(
        self,
        offers: list[ev.Offered],
        joining: list[ev.Joined],
        waiting: list[Waiting],
        why: IntakeRefusal,
        table: Table,
    ) -> list[Effect]:
        """Refuse what was latched by a reign that is over before it was committed (R3)."""
        effects: list[Effect] = [self.refuse(offer, why, table) for offer in offers]
        for item in waiting:
            for connection, runs in item.duplicates:
                first = runs[0].seq
                row = table.get(self._names.get(connection, ""))
                expected = min(first, row.last_seq + 1) if row is not None else first
                refusal = m.Refuse(first, why.code, expected, why.leader, why.text)
                effects.append(Answer(connection, [refusal]))
            for connection, _ in item.farewells:
                joins = connection in self._joining
                effects += self._turn_away(connection, why) if joins else [Close(connection)]
        for joined in joining:
            effects += self._turn_away(joined.connection, why)
        return effects

    def refuse_all(self, why: IntakeRefusal, table: Table) -> list[Effect]:
        """Refuse all that waits: none must wait for an answer that will not come (R3)."""
        items = self.queue.drain()
        offers = [item for item in items if isinstance(item, ev.Offered)]
        effects: list[Effect] = [self.refuse(offer, why, table) for offer in offers]
        joining: deque[ev.Joined] = self.queue.joined
        while joining:
            effects += self._turn_away(joining.popleft().connection, why)
        return effects

    def send_off(self, goaway: m.Goaway) -> list[Effect]:
        """Send all producers away: what of theirs is committed, a WELCOME tells them (R33)."""
        gone = list(self._connections.values())
        self._connections.clear()
        return [x for mine in gone for x in (Answer(mine, [goaway]), Close(mine))]

    # --- Answers --------------------------------------------------------------------------------

    def tell(self, waiting: Waiting) -> list[Effect]:
        """Let out answers that depend on nothing uncommitted any more (R3)."""
        effects: list[Effect] = []
        for connection, runs in waiting.duplicates:
            self.duplicates += sum(run.packets for run in runs)
            effects.append(Answer(connection, [*acks_with(runs)]))
        for connection, error in waiting.farewells:
            effects += [Answer(connection, [error]), Close(connection)]
        return effects

    def welcome(self, joined: ev.Joined, welcome: m.Welcome) -> list[Effect]:
        """Admit a producer whose epoch is committed; its older connection is superseded (R32)."""
        effects: list[Effect] = []
        before = self._connections.pop(joined.producer, None)
        if before is not None:
            text = f"a newer connection speaks for producer {joined.producer!r}"
            effects.append(Answer(before, [m.Error("superseded", text, None)]))
            effects.append(Close(before))
        if joined.connection not in self._joining:
            return effects  # it was lost meanwhile
        self._joining.discard(joined.connection)
        self._connections[joined.producer] = joined.connection
        return [*effects, Answer(joined.connection, [welcome])]
