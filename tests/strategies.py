"""Hypothesis strategies for the values of the core, valid by construction unless they say else."""

from typing import Any

import cbor2
from hypothesis import strategies as st

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.bag import REASONS, STAGES, Evidence, Read
from rmf.core.entry import (
    Accession,
    Entry,
    Expiry,
    Frame,
    Genesis,
    Leaver,
    LineId,
    Member,
    Members,
    Register,
    Settings,
    TickBooks,
    Version,
)
from rmf.core.outcome import INHERIT, Change, Outcome, Span
from rmf.core.producer_table import OutcomeRun
from rmf.core.world import Cell, mark_of

_LEVEL = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="+#/\x7f"), max_size=4
)

ticks = st.integers(1, 2**40)
digests = st.binary(min_size=16, max_size=16)
harvested = st.integers(0, limits.HARVESTED_AT_MAX)
ttls_ms = st.sampled_from([1, 2, 500, 60_000, limits.TTL_MS_MAX]) | st.integers(1, 10_000)
topics = st.lists(_LEVEL, min_size=1, max_size=3).map("/".join).filter(bool)
names = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)
sentences = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
line_ids = st.builds(LineId, names, st.integers(1, 2**31 - 1), digests)
reads = st.builds(
    Read, sentences, st.integers(-2, 2**63 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**31)
)
evidence = st.builds(
    Evidence, sentences, sentences, sentences, st.lists(reads, max_size=3).map(tuple)
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    | st.binary(max_size=6)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
encoded_values = values.map(cbor2.dumps)


@st.composite
def labels(draw: st.DrawFn, seq: int) -> list[Any]:
    """A good packet with this seq, now and then with a fence."""
    row = [draw(topics), seq, draw(harvested), draw(ttls_ms), draw(encoded_values)]
    return row + draw(st.sampled_from([[], [], [0], [3]]))


@st.composite
def packets(draw: st.DrawFn, *, first_seq: int | None = None, most: int = 5) -> list[list[Any]]:
    """Good packets with consecutive seqs."""
    first = draw(st.integers(1, 2**40)) if first_seq is None else first_seq
    return [draw(labels(first + i)) for i in range(draw(st.integers(1, most)))]


@st.composite
def cells(draw: st.DrawFn, key: str, *, most_tick: int = 1000) -> Cell:
    """A cell as it may lie under this key, with its share of the digest."""
    value, term = draw(encoded_values), draw(st.integers(1, 9))
    tick, slot = draw(st.integers(1, most_tick)), draw(st.integers(0, limits.TICK_PACKETS_MAX))
    producer, at = draw(names), draw(harvested)
    expires = draw(st.just(0) | st.integers(tick + 1, tick + most_tick))
    mark = mark_of(key, value, term, tick, slot, producer, at, expires)
    return Cell(value, term, tick, slot, producer, at, expires, mark)


@st.composite
def worlds(draw: st.DrawFn, *, most: int = 8) -> dict[str, Cell]:
    """Cells by key."""
    return {key: draw(cells(key)) for key in draw(st.sets(topics, max_size=most))}


@st.composite
def changes(draw: st.DrawFn, slots: int, *, first_slot: int = 0, most: int = 6) -> list[Change]:
    """Changes of the slots before `slots`, in their order; packets are those from `first_slot` on,
    so that only these have a shelf life to inherit."""
    if not slots:
        return []
    at = sorted(draw(st.lists(st.integers(0, slots - 1), max_size=most)))
    own = st.just(0) | ttls_ms
    values = st.none() | encoded_values
    inherited = own | st.just(INHERIT)
    return [
        (slot, draw(topics), draw(values), draw(own if slot < first_slot else inherited))
        for slot in at
    ]


@st.composite
def outcome_runs(draw: st.DrawFn, first_seq: int, *, most: int = 5) -> OutcomeRun:
    """What became of some packets from `first_seq` on."""
    count = draw(st.integers(1, most))
    bagged = sorted(draw(st.sets(st.integers(0, count - 1), max_size=count)))
    bags = tuple((offset, draw(st.sampled_from(REASONS))) for offset in bagged)
    return OutcomeRun(first_seq, count, draw(st.integers(1, 9)), draw(ticks), 0, bags)


@st.composite
def frames(draw: st.DrawFn, first_slot: int) -> Frame:
    """Some packets of a SEND frame, as a Tick latched them."""
    rows = draw(packets())
    skip = draw(st.integers(0, len(rows) - 1))
    count = draw(st.integers(1, len(rows) - skip))
    mine = rows[skip : skip + count]
    data = codec.encode(m.Send(rows))[4:]
    producer, tick = draw(names), draw(ticks)
    return Frame(producer, 1, "id", tick, first_slot, mine[0][1], skip, count, data, mine)


@st.composite
def tick_books(draw: st.DrawFn) -> TickBooks:
    """The books of a Tick whose slots fit together; they need not fit any state."""
    expiries, slot = [], 0
    for key in draw(st.lists(topics, max_size=3, unique=True)):
        listens = draw(st.booleans())
        expiries.append(Expiry(key, draw(st.sampled_from(["expired", "age_unknown"])), None))
        if listens:
            expiries[-1] = expiries[-1]._replace(slot=slot)
            slot += 1
    latched = []
    for _ in range(draw(st.integers(0, 3))):
        latched.append(draw(frames(slot)))
        slot += latched[-1].packets
    packets_from = latched[0].first_slot if latched else slot
    written = draw(changes(slot, first_slot=packets_from))
    bagged = draw(st.sets(st.integers(0, slot - 1), max_size=3)) if slot else set()
    said = bagged | {change[0] for change in written}
    stored = [at for at in range(packets_from, slot) if at not in said and draw(st.booleans())]
    return TickBooks(
        line_version=draw(st.integers(1, 99)),
        registers=draw(st.lists(st.builds(Register, names, ticks, names, st.booleans()))),
        leavers=draw(st.lists(st.builds(Leaver, names, st.sampled_from(["bye", "idle"])))),
        expiries=expiries,
        frames=latched,
        listed=written,
        encoded=cbor2.dumps(written),
        bags=[
            Outcome(at, draw(st.sampled_from(REASONS)), draw(st.sampled_from(STAGES)), found)
            for at, found in [(at, draw(evidence)) for at in sorted(bagged)]
        ],
        verbatim=spans_of(stored),
    )


def spans_of(slots: list[int]) -> list[Span]:
    """The spans that cover these slots, which ascend."""
    spans: list[Span] = []
    for slot in slots:
        if spans and sum(spans[-1]) == slot:
            spans[-1][1] += 1
        else:
            spans.append([slot, 1])
    return spans


accessions = st.builds(Accession, names, line_ids, st.booleans())
members = st.lists(st.builds(Member, names, digests, names, names, st.booleans()), max_size=3)
geneses = st.builds(Genesis, digests, st.integers(1, 10**10), members, st.integers(1, 9))
changes_of_members = st.builds(Members, members, names)
versions = st.builds(Version, st.integers(1, 9), names)
settings_books = st.builds(Settings, st.tuples(st.integers(1, 999), st.integers(1, 999)), names)
decrees = accessions | geneses | changes_of_members | versions | settings_books
entries = st.builds(Entry, ticks, harvested, digests, decrees | tick_books())
