"""The first records of a cluster of several nodes: what its first leader would have written."""

from rmf.core.entry import Genesis, Member, decode_entry
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.first_records import founding_records
from rmf.core.raft.raft_values import HardState, Place
from rmf.core.record import ENTRY, GENESIS_CHAIN, HARD, chain_of
from rmf.core.recovery import Recovery
from rmf.core.state import genesis_state
from rmf.testing.drifting_clock import WALL_NS
from tests.core.author import recorded
from tests.core.cluster import Cluster
from tests.core.cluster_node import member
from tests.core.surroundings import CLUSTER, PERIOD_NS

MEMBERS = [member("n1"), member("n2"), member("n3")]
RECORDS = founding_records("n1", CLUSTER, PERIOD_NS, MEMBERS, WALL_NS)


def test_they_are_a_vote_for_oneself_and_genesis() -> None:
    hard, genesis = RECORDS
    assert (hard.kind, hard.index, hard.term) == (HARD, 0, 1)
    assert (genesis.kind, genesis.index, genesis.term, genesis.commit) == (ENTRY, 1, 1, 0)
    assert genesis.chain == chain_of(GENESIS_CHAIN, CLUSTER, 1, 1, genesis.body)
    entry = decode_entry(genesis.body)
    assert entry.books == Genesis(CLUSTER, PERIOD_NS, MEMBERS, CLUSTER_VERSION)
    assert (entry.tick, entry.wall_ns) == (1, WALL_NS)


def test_a_node_that_reads_them_holds_genesis_and_knows_its_vote() -> None:
    comeback = Recovery("n1", genesis_state(CLUSTER), Place(0, 0, GENESIS_CHAIN), 0, 0)
    for record in recorded(RECORDS):
        comeback.take(record)
    standing = comeback.standing()
    assert standing.hard == HardState(1, "n1")
    assert [entry.index for entry in standing.tail] == [1]
    assert comeback.state.index == 0  # whether it is committed, a majority decides


def test_the_others_get_it_from_the_first_leader_and_no_other_can_lead() -> None:
    play = Cluster()
    assert len(play.nodes) == len(MEMBERS)
    for node in play.nodes.values():
        record, entry = node.disk.entries[0]
        found = (record.index, record.term, record.chain, record.body)
        assert found == (1, RECORDS[1].term, RECORDS[1].chain, RECORDS[1].body)
        assert isinstance(entry.books, Genesis)
        assert node.core.raft.members == tuple(MEMBERS)


def test_who_has_no_ledger_yet_stands_for_no_election() -> None:
    play = Cluster()
    play.kill("n1")
    play.kill("n2")
    alone = play.join("n3")
    play.advance(5_000)
    assert (alone.core.raft.term, alone.core.raft.role) == (0, "follower")
    assert alone.status["strike"]["kind"] == "no_reign"


def test_the_period_of_the_founder_is_that_of_all() -> None:
    members = [Member("n1", b"1" * 16)]
    _, genesis = founding_records("n1", CLUSTER, 7 * PERIOD_NS, members, 0)
    books = decode_entry(genesis.body).books
    assert isinstance(books, Genesis)
    assert books.period_ns == 7 * PERIOD_NS
