"""What a node applies: only what fits, the same on every node, and never a skip (R2, R26, R30)."""

import re
from typing import Any

import attrs
import cbor2
import pytest
from crc32c import crc32c

from rmf import limits
from rmf.core import events as ev
from rmf.core.committed_state import CannotApply, CommittedState
from rmf.core.effects import Reload
from rmf.core.entry import Books, Entry, Version, encode_entry
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.raft.peer_messages import Append, WireEntry
from rmf.core.raft.raft_values import LogEntry
from rmf.core.record import ENTRY, chain_of
from rmf.core.shelf import Shelf
from rmf.core.state import apply, genesis_state
from rmf.testing.drifting_clock import WALL_NS
from tests.core.author import Author
from tests.core.cluster import Cluster
from tests.core.cluster_node import Node
from tests.core.surroundings import CLUSTER


def log_entry(index: int, body: bytes, term: int = 1) -> LogEntry:
    return LogEntry(index, term, bytes(16), body, crc32c(body))


def written(author: Author) -> list[LogEntry]:
    return [log_entry(x.index, x.body, x.term) for x in author.drafts if x.kind == ENTRY and x.body]


# --- Settled alone --------------------------------------------------------------------------------


def test_entries_are_applied_one_behind_the_other() -> None:
    author = Author()
    author.genesis()
    author.tick("cell/a", "poison")
    author.tick("-cell/a", "cell/b")
    settled = CommittedState(genesis_state(CLUSTER), Shelf())
    for found in written(author):
        done = settled.apply(found)
        assert settled.state.index == found.index - 1  # not before it is taken
        settled.take(done)
        assert settled.state.digest() == author.states[found.index].digest()
        settled.forget_keys(done.applied.removed, ())
    assert list(settled.state.world.index.walk("")) == ["cell/b"]


def test_a_key_stays_in_the_index_as_long_as_a_version_on_its_way_has_it() -> None:
    author = Author()
    author.genesis()
    author.tick("cell/a", "cell/b")
    for topics in (["-cell/a", "-cell/b"], ["cell/a"], ["-cell/a"]):
        author.tick(*topics)
    settled = CommittedState(genesis_state(CLUSTER), Shelf())
    done = []
    for found in written(author):
        done.append(settled.apply(found))
        settled.take(done[-1])
    *_, gone, again, gone_again = done
    settled.forget_keys(gone.applied.removed, [again, gone_again])
    assert list(settled.state.world.index.walk("")) == ["cell/a"]
    settled.forget_keys(gone_again.applied.removed, [])
    assert list(settled.state.world.index.walk("")) == []


def test_it_looks_at_the_index_again_until_nothing_that_went_is_left() -> None:
    """R45: what is held by somebody has to wait, what is free goes a slice at a time."""
    settled = CommittedState(genesis_state(CLUSTER), Shelf())
    index = settled.state.world.index
    gone = [f"{i:04}" for i in range(limits.INDEX_SLICE_KEYS * 3)]
    index.add_all(gone)
    settled.tidy(5)
    assert (settled.has_more, settled.next_due_ns()) == (False, None)
    pin = index.pin()
    for key in gone:
        index.discard(key)
    settled.tidy(5)
    assert (settled.has_more, settled.next_due_ns()) == (False, 5 + limits.INDEX_LOOK_NS)
    index.unpin(pin)  # takes a slice itself
    settled.tidy(6)
    assert (settled.has_more, len(index)) == (True, limits.INDEX_SLICE_KEYS)
    settled.tidy(7)
    assert (settled.has_more, len(index), settled.next_due_ns()) == (False, 0, None)


def test_another_digest_asks_for_a_repair() -> None:
    author = Author()
    author.genesis()
    settled = CommittedState(genesis_state(CLUSTER), Shelf())
    for found in written(author):
        settled.take(settled.apply(found))
    form, kind, tick, wall, _digest, *fields = cbor2.loads(author.tick("cell/a").body)
    body = cbor2.dumps([form, kind, tick, wall, b"another digest..", *fields])
    with pytest.raises(
        CannotApply, match=r"Entry 3 \(term 1, tick 30\) states the digest"
    ) as caught:
        settled.apply(log_entry(3, body))
    assert caught.value.repair
    assert settled.state.index == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (cbor2.dumps([1, 9, 30, 0, bytes(16)]), "kind 9, which this version"),
        (cbor2.dumps([2, 2, 30, 0, bytes(16)]), "of format 2; this version"),
        (b"\xff", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_never_skipped(body: bytes, words: str) -> None:
    author = Author()
    author.genesis()
    settled = CommittedState(genesis_state(CLUSTER), Shelf())
    for found in written(author):
        settled.take(settled.apply(found))
    with pytest.raises(CannotApply, match=words) as caught:
        settled.apply(log_entry(3, body))
    assert not caught.value.repair


# --- In a cluster ---------------------------------------------------------------------------------


@pytest.fixture
def play() -> Cluster:
    return Cluster()


def foist(play: Cluster, body: bytes) -> Node:
    """Let n2 hear of an Entry that its leader is said to have committed."""
    n1, n2 = play["n1"], play["n2"]
    raft = n1.core.raft
    last = raft.log.last
    append = Append(
        raft.term,
        last.index,
        last.term,
        last.chain,
        last.index + 1,
        last.index + 1,
        raft.pace.tick_at(n1.now().boot_ns),
        True,
        1,
        [WireEntry(raft.term, crc32c(body), body)],
    )
    n2.happen(ev.Heard("n1", append))
    return n2


def next_body(play: Cluster, books: Books, **changes: Any) -> bytes:
    """An Entry as the leader would write it, but for changes."""
    core = play["n1"].core
    state = core.committed
    entry = Entry(state.tick + 1_000, WALL_NS, state.digest(), books)
    return encode_entry(attrs.evolve(entry, **changes))


def test_a_node_that_computes_another_digest_fetches_its_state_again(play: Cluster) -> None:
    n2 = foist(play, next_body(play, Version(2, "0.2"), digest=b"no such digest.."))
    (reload,) = n2.seen(Reload)
    assert reload.reason == "repair"
    assert b"no such digest..".hex() in reload.why
    assert n2.core.strike is not None
    assert n2.core.strike[0] == "state"
    assert not n2.live


@pytest.mark.parametrize(
    ("books", "body", "words"),
    [
        (None, cbor2.dumps([1, 9, 90_000, 0, bytes(16), "?"]), "an Entry of kind 9"),
        (
            Version(9, "0.9"),
            b"",
            f"version is 9, .* up to {CLUSTER_VERSION}; install RMF 0.9 or newer",
        ),
    ],
)
def test_a_release_that_is_too_old_strikes_and_names_what_it_needs(
    play: Cluster, books: Books | None, body: bytes, words: str
) -> None:
    play["n1"].join("probe").send(1)
    play.advance(50)
    n2 = foist(play, body if books is None else next_body(play, books))
    strike = n2.status["strike"]
    assert strike["kind"] == "state"
    assert re.search(words, strike["why"]), strike
    assert n2.seen(Reload) == []
    assert (n2.live, n2.world) == (False, {"cell/a": 1})  # it shows what it had


def test_followers_have_what_the_king_has(play: Cluster) -> None:
    probe = play["n1"].join("probe")
    probe.send(1, 2, topic="count/c")
    probe.send(3, topic="cell/loud/x", ttl_ms=100)
    probe.send(4, topic="poison")
    probe.send(5, topic="remove", payload=["count/c"])
    play.advance(200)
    king, *others = (node.core.committed for node in play.nodes.values())
    assert king.bagged == 1
    for state in others:
        assert list(state.world.scan()) == list(king.world.scan())
        assert state.producers.rows == king.producers.rows
        assert attrs.evolve(state, world=king.world, producers=king.producers) == king
    pictures = [
        [(x.tick, x.digest, x.changed, x.removed) for x in node.published if x.index > 3]
        for node in play.nodes.values()
    ]
    ticks = [{picture[0]: picture for picture in found if picture[2]} for found in pictures]
    assert ticks[0] == ticks[1] == ticks[2]


def test_a_follower_applies_only_what_is_on_its_own_disk(play: Cluster) -> None:
    n3 = play["n3"]
    n3.disk.hold()
    probe = play["n1"].join("probe")
    probe.send(1)
    play.advance(100)
    assert probe.told == {1: "applied"}
    assert n3.core.raft.log.commit > n3.core.committed.index
    assert n3.status["world"]["cells"] == 0
    play.sync("n3")
    assert n3.world == {"cell/a": 1}


def test_a_digest_leads_to_the_same_place_whatever_the_chain(play: Cluster) -> None:
    state, shelf = genesis_state(CLUSTER), Shelf()
    chain = bytes(16)
    assert len(play["n1"].disk.entries) > 1
    for draft, entry in play["n1"].disk.entries:
        state, _ = apply(state, entry, draft.term, draft.index, shelf)
        chain = chain_of(chain, CLUSTER, draft.index, draft.term, draft.body)
        assert (chain, state.digest()) == (draft.chain, entry.digest)
