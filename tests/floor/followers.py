"""A core that follows another node's ledger, and what it wants run again."""

import crc32c

from rmf import limits
from rmf.core import events as ev
from rmf.core.arbiter import Arbiter, NodeIdentity
from rmf.core.effects import Effect, Persist, RunAgain
from rmf.core.raft.peer_messages import Append, WireEntry
from rmf.core.raft.raft_values import HardState, Place, Standing
from rmf.core.record import GENESIS_CHAIN
from rmf.core.shelf import Shelf
from rmf.core.state import genesis_state
from rmf.line import Line
from rmf.testing.rebirth import core_at
from tests.driven_node import DrivenNode

NOW = ev.Now(100 * limits.SECOND, 1_764_000_000 * limits.SECOND)


def follower_of(node: DrivenNode, line: Line) -> Arbiter:
    """A node without a ledger, which runs all again that others executed."""
    cluster = node.directory.cluster
    own = ("n2", b"i" * 16, line.identity)
    return core_at(
        NodeIdentity(*own, limits.TICK_PERIOD_NS, "here:1", "rmf/test"),
        cluster,
        Standing(HardState(0, None), Place(0, 0, GENESIS_CHAIN), 0, (), ()),
        genesis_state(cluster),
        Shelf(),
        listens=line.listens,
        audit_ppm=1_000_000,
    )


def ledger_of(node: DrivenNode) -> ev.Heard:
    """All of a node's Entries, as its leader sends them, committed."""
    records = node.records()
    entries = [WireEntry(x.term, crc32c.crc32c(x.body), x.body) for x in records]
    last = records[-1]
    fields = (0, 0, GENESIS_CHAIN, last.index, last.index, 1, False, 1)
    return ev.Heard("n1", Append(last.term, *fields, entries))


def audits_of(node: DrivenNode, line: Line) -> list[RunAgain]:
    """What a follower wants run again of a node's ledger, the clusters' first Entries on."""
    core = follower_of(node, line)
    effects: list[Effect] = core.start(NOW)
    effects += core.step([ledger_of(node)], NOW)
    serial = 0
    for persist in [x for x in effects if isinstance(x, Persist)]:
        serial += len(persist.records)
        effects += core.step([ev.Persisted(persist.ticket, serial)], NOW)
    while core.has_more:
        effects += core.step([], NOW)
    assert core.committed.index == node.core.committed.index
    return [x for x in effects if isinstance(x, RunAgain)]
