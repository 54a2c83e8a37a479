"""An Author writes Entries that hold together, without an Arbiter: for whoever reads a ledger.

Each Entry states the digest of the state that it leads to; what it wrote can be taken back to an
index and written differently, as a new leader does. Drafts go to a real LedgerWriter, or become
records at once (`recorded`).
"""

from collections.abc import Iterable

import attrs
import cbor2

from rmf.core.bag import Evidence
from rmf.core.effects import RecordDraft
from rmf.core.entry import (
    Accession,
    Books,
    Entry,
    Expiry,
    Frame,
    Genesis,
    LineId,
    Member,
    Register,
    TickBooks,
    encode_entry,
)
from rmf.core.outcome import Change, Outcome
from rmf.core.record import ENTRY, GENESIS_CHAIN, HARD, Record, chain_of
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply, genesis_state
from rmf.testing.drifting_clock import WALL_NS
from tests.core.surroundings import CLUSTER, PERIOD_NS, frame_of, row_of

BOOT_ID = b"the boot of this"
BOOT_NS = 12_345


class Author:
    """The latest version of a history. `states[i]` is the state after Entry i; `commit` is what the
    drafts say is committed."""

    def __init__(self, cluster: bytes = CLUSTER) -> None:
        self.cluster = cluster
        self.term = 1
        self.commit = 0
        self.states = [genesis_state(cluster)]
        self.drafts = [RecordDraft(ENTRY, 0, 0, GENESIS_CHAIN, b"", 0)]  # none: the place before

    @property
    def state(self) -> State:
        return self.states[-1]

    @property
    def index(self) -> int:
        return self.state.index

    @property
    def chain(self) -> bytes:
        return self.drafts[-1].chain

    def genesis(self) -> list[RecordDraft]:
        """The first two Entries of a cluster."""
        members = [Member("n1", b"incarnation of 1")]
        return [self.write(Genesis(self.cluster, PERIOD_NS, members)), self.accession()]

    def accession(self, node: str = "n1") -> RecordDraft:
        return self.write(Accession(node, LineId("shop", 7, bytes(16)), age_unknown=False))

    def tick(self, *topics: str, ttl_ms: int = 600_000) -> RecordDraft:
        """A Tick with a packet for each topic: "poison" is bagged, whatever begins with "-" removes
        that key, anything else is a cell of that name."""
        row = self.state.producers.get("probe")
        first_seq = row.last_seq + 1 if row else 1
        rows = [row_of(first_seq + i, topic=t, ttl_ms=ttl_ms) for i, t in enumerate(topics)]
        data = frame_of(rows)
        tick, count = self.state.tick + 10, len(rows)
        changes: list[Change] = []
        expiries: list[Expiry] = []
        bags = []
        for slot, topic in enumerate(topics):
            if topic == "poison":
                error = Evidence("ValueError", "poison", "")
                bags.append(Outcome(slot, "handler_error", "line", error))
            elif topic[0] == "-":
                expiries.append(Expiry(topic[1:], "expired", None))
            else:
                changes.append((slot, topic, rows[slot][4], -1))
        frame = Frame("probe", 1, "id", tick, 0, first_seq, 0, count, data, rows)
        return self.write(
            TickBooks(
                line_version=7,
                registers=[] if row else [Register("probe", 1, "id", False)],
                leavers=[],
                expiries=expiries,
                frames=[frame] if rows else [],
                listed=changes,
                encoded=cbor2.dumps(changes),
                bags=bags,
            )
        )

    def write(self, books: Books) -> RecordDraft:
        """Write the next Entry."""
        index = self.index + 1
        entry = Entry(self.state.tick + 10, WALL_NS, b"", books)
        state, _ = apply(self.state, entry, self.term, index, Shelf())
        body = encode_entry(attrs.evolve(entry, digest=state.digest()))
        return self.written(body, state)

    def written(self, body: bytes, state: State | None = None) -> RecordDraft:
        """Take these bytes for the next Entry; without a state it is one that nobody can read."""
        index = self.index + 1
        chain = chain_of(self.chain, self.cluster, index, self.term, body)
        self.states.append(state or attrs.evolve(self.state, index=index))
        draft = RecordDraft(ENTRY, index, self.term, chain, body, self.commit)
        self.drafts.append(draft)
        return draft

    def hard(self, voted_for: str | None = None) -> RecordDraft:
        body = cbor2.dumps([self.term, voted_for])
        return RecordDraft(HARD, self.index, self.term, self.chain, body, self.commit)

    def void_after(self, index: int) -> None:
        """Go on behind `index`, in a new term."""
        del self.states[index + 1 :], self.drafts[index + 1 :]
        self.term += 1


def recorded(
    drafts: Iterable[RecordDraft],
    cluster: bytes = CLUSTER,
    after_serial: int = 0,
    boot_id: bytes = BOOT_ID,
) -> list[Record]:
    """The records that a ledger keeper makes of these drafts."""
    records = []
    commit = 0
    for serial, x in enumerate(drafts, start=after_serial + 1):
        commit = max(commit, min(x.commit, x.index))
        fields = (cluster, x.kind, serial, x.index, x.term, x.chain, serial - 1, boot_id)
        records.append(Record(*fields, BOOT_NS + serial, x.body, commit))
    return records
