"""The first records of a cluster of several nodes (R29): written by the lowest of their names.

They are what the leader of term 1 would have written: no other can have led that term, for
no other knew the members yet. From there on Raft rules.
"""

from collections.abc import Sequence

import cbor2

from rmf.core.effects import RecordDraft
from rmf.core.entry import Entry, Genesis, Member, encode_entry
from rmf.core.raft.raft_values import HardState
from rmf.core.record import ENTRY, GENESIS_CHAIN, HARD, chain_of
from rmf.core.shelf import Shelf
from rmf.core.state import apply, genesis_state

__all__ = ["founding_records"]

_TERM = 1


def founding_records(
    node: str, cluster: bytes, period_ns: int, members: Sequence[Member], wall_ns: int
) -> list[RecordDraft]:
    """Return the vote of the founding node and the Entry Genesis."""
    genesis = Genesis(cluster, period_ns, list(members))
    entry = Entry(1, wall_ns, b"", genesis)
    state, _ = apply(genesis_state(cluster), entry, _TERM, 1, Shelf())
    body = encode_entry(Entry(1, wall_ns, state.digest(), genesis))
    chain = chain_of(GENESIS_CHAIN, cluster, 1, _TERM, body)
    hard = cbor2.dumps(list(HardState(_TERM, node)))
    return [
        RecordDraft(HARD, 0, _TERM, GENESIS_CHAIN, hard, 0),
        RecordDraft(ENTRY, 1, _TERM, chain, body, 0),
    ]
