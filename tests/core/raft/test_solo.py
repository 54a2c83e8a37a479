"""Consensus of one (R29): the vote is durable before the reign, an Entry before it is committed."""

from typing import Any

import cbor2
import pytest

from rmf.core.effects import Persist, RecordDraft
from rmf.core.raft.solo import Solo
from rmf.core.record import ENTRY, GENESIS_CHAIN, HARD, chain_of

CLUSTER = b"c" * 16


def solo(**more: Any) -> Solo:
    place = {"term": 0, "last_index": 0, "chain": GENESIS_CHAIN, **more}
    return Solo("n1", CLUSTER, **place)


def leader() -> Solo:
    raft = solo()
    raft.campaign()
    raft.persisted(1, 1)
    return raft


def record(effects: list[Any]) -> tuple[int, RecordDraft]:
    (persist,) = effects
    assert isinstance(persist, Persist)
    (draft,) = persist.records
    return persist.ticket, draft


def test_it_votes_for_itself_in_the_next_term() -> None:
    ticket, draft = record(solo(term=4, last_index=9, chain=b"x" * 16).campaign())
    assert ticket == 1
    assert (draft.kind, draft.index, draft.term, draft.chain) == (HARD, 9, 5, b"x" * 16)
    assert cbor2.loads(draft.body) == [5, "n1"]


def test_the_reign_begins_once_the_vote_is_on_the_disk() -> None:
    raft = solo()
    raft.campaign()
    assert (raft.role, raft.leader) == ("candidate", None)
    raft.persisted(1, 1)
    assert (raft.role, raft.leader, raft.term) == ("leader", "n1", 1)


def test_what_the_ledger_held_before_is_committed_with_the_vote() -> None:
    """Its own disk is the majority."""
    raft = solo(last_index=9)
    raft.campaign()
    assert raft.commit == 0
    raft.persisted(1, 10)
    assert raft.commit == 9


def test_an_entry_is_committed_when_the_disk_has_it() -> None:
    raft = leader()
    assert record(raft.propose(b"one"))[0] == 2
    assert record(raft.propose(b"two"))[0] == 3
    assert (raft.last_index, raft.commit) == (2, 0)
    raft.persisted(2, 2)
    assert (raft.commit, raft.serial) == (1, 2)
    raft.persisted(3, 3)
    assert (raft.commit, raft.serial) == (2, 3)


def test_one_fsync_may_cover_several_writes() -> None:
    raft = leader()
    raft.propose(b"one")
    raft.propose(b"two")
    raft.persisted(3, 3)
    assert raft.commit == 2


def test_each_entry_is_chained_to_the_one_before() -> None:
    raft = leader()
    _, one = record(raft.propose(b"one"))
    _, two = record(raft.propose(b"two"))
    assert (one.kind, one.index, one.term, one.body) == (ENTRY, 1, 1, b"one")
    assert one.chain == chain_of(GENESIS_CHAIN, CLUSTER, 1, 1, b"one")
    assert two.chain == raft.chain == chain_of(one.chain, CLUSTER, 2, 1, b"two")


def test_who_abdicates_proposes_nothing_more() -> None:
    raft = leader()
    raft.propose(b"one")
    raft.abdicate()
    assert (raft.role, raft.leader) == ("follower", None)
    with pytest.raises(AssertionError):
        raft.propose(b"two")


def test_who_gave_up_before_its_vote_was_durable_does_not_reign() -> None:
    raft = solo()
    raft.campaign()
    raft.abdicate()
    raft.persisted(1, 1)
    assert raft.role == "follower"


def test_nobody_proposes_before_the_reign() -> None:
    raft = solo()
    raft.campaign()
    with pytest.raises(AssertionError):
        raft.propose(b"early")
