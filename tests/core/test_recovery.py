"""The comeback of a node (R2, R23, R26): the committed is applied, the rest held, votes kept."""

from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.effects import RecordDraft
from rmf.core.entry import decode_entry, encode_entry
from rmf.core.raft.raft_values import HardState, LogEntry, Place
from rmf.core.record import ENTRY, GENESIS_CHAIN, Record
from rmf.core.recovery import LastTick, Recovery, hard_state_of, higher_of
from rmf.core.state import State, genesis_state, head_of
from rmf.errors import Diverged
from rmf.native import COMPILED
from tests.calls import calls_of
from tests.core.author import BOOT_ID, BOOT_NS, Author, recorded
from tests.core.surroundings import CLUSTER, PERIOD_NS

GENESIS = Place(0, 0, GENESIS_CHAIN)


def back(records: list[Record], cursor: int = 0) -> Recovery:
    comeback = Recovery("n1", genesis_state(CLUSTER), GENESIS, 0, cursor)
    for record in records:
        comeback.take(record)
    return comeback


def everything(state: State) -> Any:
    return head_of(state), state.producers.rows, dict(state.world.cells.items())


def committing(author: Author, drafts: list[RecordDraft], commit: int) -> list[Record]:
    """The records of these drafts, and one that says up to where they were committed."""
    author.commit = commit
    return recorded([*drafts, author.hard()])


def test_before_genesis_there_is_nothing() -> None:
    comeback = back([])
    standing = comeback.standing()
    assert (standing.hard, standing.place, standing.serial) == (HardState(0, None), GENESIS, 0)
    assert (standing.tail, standing.tail_serials, standing.whole) == ((), (), True)
    assert comeback.last_tick is None


def test_what_is_not_said_to_be_committed_is_held_and_not_applied() -> None:
    author = Author()
    drafts = [*author.genesis(), author.tick("a"), author.tick("b")]
    comeback = back(committing(author, drafts, 3))
    assert everything(comeback.state) == everything(author.states[3])
    standing = comeback.standing(whole=False)
    third = drafts[2]
    assert (standing.place, standing.serial) == (Place(3, 1, third.chain), 3)
    (entry,) = standing.tail
    assert entry[:4] == (4, 1, drafts[3].chain, drafts[3].body)
    assert standing.tail_serials == (4,)
    assert not standing.whole


def test_the_checksum_of_a_held_entry_is_that_of_its_body() -> None:
    author = Author()
    (entry,) = back(recorded([author.written(b"123456789")])).standing().tail
    assert entry == LogEntry(1, 1, author.chain, b"123456789", 0xE3069283)


def test_a_ledger_of_release_0_1_is_applied_to_its_end() -> None:
    author = Author()
    drafts = [*author.genesis(), author.tick("a", "poison"), author.tick("b")]
    records = [attrs.evolve(x, commit=x.index) for x in recorded(drafts)]
    comeback = back(records)
    assert everything(comeback.state) == everything(author.state)
    assert comeback.standing().tail == ()


def test_a_later_record_voids_what_was_held() -> None:
    author = Author()
    drafts = [*author.genesis(), author.tick("a"), author.tick("lost"), author.tick("lost too")]
    author.void_after(3)
    drafts += [author.accession("n2"), author.tick("kept")]
    comeback = back(committing(author, drafts, 4))
    assert everything(comeback.state) == everything(author.states[4])
    standing = comeback.standing()
    assert standing.hard == HardState(2, None)
    assert [(x.index, x.term) for x in standing.tail] == [(5, 2)]
    assert (standing.serial, standing.tail_serials) == (6, (7,))


def test_what_was_committed_is_never_voided() -> None:
    author = Author()
    records = committing(author, author.genesis(), 2)
    author.void_after(1)
    astray = recorded([author.accession()], after_serial=len(records))
    with pytest.raises(ValueError, match=r"Entry 2 \(record 4\) does not follow Entry 2"):
        back([*records, *astray])


def test_more_than_a_ledger_may_void_is_not_held() -> None:
    author = Author()
    drafts = [author.written(b"body") for _ in range(limits.VOID_ENTRIES_MAX + 1)]
    comeback = back(recorded(drafts[:-1]))
    assert len(comeback.standing().tail) == limits.VOID_ENTRIES_MAX
    with pytest.raises(ValueError, match="no record says that they were committed"):
        comeback.take(recorded(drafts)[-1])


def test_an_entry_of_a_newer_kind_ends_it_once_it_is_committed() -> None:
    author = Author()
    newer = cbor2.loads(author.genesis()[0].body)
    newer[1] = 99
    drafts = [*author.drafts[1:], author.written(cbor2.dumps(newer))]
    comeback = back(committing(author, drafts, 2))
    assert comeback.last_tick is None
    author.commit = 3
    with pytest.raises(ValueError, match="kind 99, which this version of RMF does not know"):
        comeback.take(recorded([author.hard()], after_serial=4)[0])


def test_an_entry_that_states_another_digest_ends_it() -> None:
    author = Author()
    drafts = [*author.genesis(), author.tick("a")]
    lie = encode_entry(attrs.evolve(decode_entry(drafts[-1].body), digest=b"x" * 16))
    drafts[-1] = attrs.evolve(drafts[-1], body=lie)
    with pytest.raises(Diverged, match=r"Entry 3 \(term 1, tick 30\) states the digest 7878"):
        back(committing(author, drafts, 3))


def test_the_last_tick_is_that_of_the_last_entry_held_or_applied() -> None:
    author = Author()
    drafts = [*author.genesis(), author.tick("a"), author.tick("b")]
    records = committing(author, drafts, 3)
    found = [back(records[:count]).last_tick for count in (1, 2, 3, 4, 5)]
    fourth = LastTick(PERIOD_NS, 40, BOOT_ID, BOOT_NS + 4)
    assert found == [
        *(LastTick(PERIOD_NS, 10 * index, BOOT_ID, BOOT_NS + index) for index in (1, 2, 3)),
        fourth,
        fourth,
    ]


def test_letters_of_what_is_committed_come_once_and_only_behind_the_cursor() -> None:
    author = Author()
    drafts = [*author.genesis(), *(author.tick("poison", "a", "poison") for _ in range(3))]
    comeback = back(committing(author, drafts, 4), cursor=3)
    assert comeback.letters_waiting == 2
    assert [(x.tick, x.slot, x.seq) for x in comeback.take_letters()] == [(40, 0, 4), (40, 2, 6)]
    assert comeback.letters_waiting == 0
    author.commit = 5
    comeback.take(recorded([author.hard()], after_serial=6)[0])
    assert [(x.tick, x.node) for x in comeback.take_letters()] == [(50, "n1")] * 2


def test_keys_that_are_gone_leave_the_index() -> None:
    author = Author()
    drafts = [*author.genesis(), author.tick("a", "b"), author.tick("-a")]
    comeback = back(committing(author, drafts, 4))
    assert list(comeback.state.world.index.walk("")) == ["b"]


# --- The hard state -------------------------------------------------------------------------------


def test_the_vote_that_was_written_last_holds() -> None:
    author = Author()
    author.term = 3
    first = author.hard("n2")
    author.term = 5
    assert back(recorded([first])).standing().hard == HardState(3, "n2")
    assert back(recorded([first, author.hard()])).standing().hard == HardState(5, None)
    assert back(recorded([author.hard(), author.hard("n1")])).standing().hard == HardState(5, "n1")


def test_an_entry_of_a_higher_term_raises_the_term_and_leaves_no_vote() -> None:
    author = Author()
    vote = author.hard("n2")
    author.term = 4
    comeback = back(recorded([vote, author.written(b"body")]))
    assert comeback.standing().hard == HardState(4, None)
    comeback.remember(HardState(4, "n3"))
    assert comeback.standing().hard == HardState(4, "n3")


@pytest.mark.parametrize(
    ("one", "other", "holds"),
    [
        (HardState(2, None), HardState(1, "n1"), HardState(2, None)),
        (HardState(1, "n1"), HardState(2, "n2"), HardState(2, "n2")),
        (HardState(2, None), HardState(2, "n2"), HardState(2, "n2")),
        (HardState(2, "n2"), HardState(2, None), HardState(2, "n2")),
        (HardState(2, "n2"), HardState(2, "n2"), HardState(2, "n2")),
        (HardState(0, None), HardState(0, None), HardState(0, None)),
    ],
)
def test_of_two_hard_states_the_higher_holds(
    one: HardState, other: HardState, holds: HardState
) -> None:
    assert higher_of(one, other) == holds


def test_two_votes_in_one_term_are_none() -> None:
    with pytest.raises(ValueError, match="in term 2 there are two votes, for 'n1' and 'n2'"):
        higher_of(HardState(2, "n1"), HardState(2, "n2"))


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x01", cbor2.dumps([1]), cbor2.dumps(["a", 1])])
def test_a_hard_record_that_says_nothing_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="HARD record"):
        hard_state_of(body)


# --- Against a model ------------------------------------------------------------------------------

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tick"), st.lists(st.sampled_from(["a", "b", "-a", "poison"]))),
        st.tuples(st.just("void"), st.integers(0, 4)),
        st.tuples(st.just("commit"), st.integers(0, 4)),
        st.tuples(st.just("vote"), st.sampled_from(["n1", "n2", None])),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=120)
@given(_STEPS, st.integers(0, 12))
def test_whatever_happened_all_that_was_committed_is_applied_and_the_rest_is_the_tail(
    steps: list[tuple[str, Any]], cursor: int
) -> None:
    author = Author()
    drafts = author.genesis()
    model_hard = HardState(1, None)
    for what, much in steps:
        if what == "tick":
            drafts.append(author.tick(*much))
        elif what == "void":
            author.void_after(max(author.commit, author.index - much))
            drafts.append(author.accession("n2"))
            model_hard = HardState(author.term, None)
        elif what == "commit":
            author.commit = max(author.commit, author.index - much)
        elif model_hard.voted_for in {None, much}:
            drafts.append(author.hard(much))
            model_hard = HardState(author.term, much)
    said = max((min(x.commit, x.index) for x in drafts), default=0)
    comeback = back(recorded(drafts), cursor)
    standing = comeback.standing()
    assert everything(comeback.state) == everything(author.states[said])
    assert standing.hard == model_hard
    place = author.drafts[said]
    assert standing.place == Place(place.index, place.term, place.chain)
    held = author.drafts[said + 1 :]
    assert [x.body for x in standing.tail] == [x.body for x in held]
    entries = [x for x in recorded(drafts) if x.kind == ENTRY]
    serials = {(x.index, x.chain): x.serial for x in entries}
    assert standing.tail_serials == tuple(serials[x.index, x.chain] for x in held)
    assert standing.serial == serials.get((place.index, place.chain), 0)
    bagged = author.states[said].bagged - author.states[min(cursor, said)].bagged
    assert len(comeback.take_letters()) == bagged


def test_no_shelf_is_kept_while_a_ledger_is_read_and_the_world_has_one_after_it() -> None:
    """Keeping one took a third of the time that a ledger of new cells took to be read."""

    def work(count: int) -> int:
        author = Author()
        topics = [f"cell/{number}" for number in range(count)]
        drafts = [*author.genesis(), author.tick(*topics), author.tick("cell/0")]
        records = committing(author, drafts, 4)
        found: list[Recovery] = []
        calls = calls_of(lambda: found.append(back(records)))
        world = found[0].state.world
        assert len(found[0].shelf().armed) == len(world) == count
        return calls

    calls_a_cell = 16 if COMPILED else 24
    assert work(500) - work(100) <= 400 * calls_a_cell
