from contextlib import suppress
from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.bag import Evidence
from rmf.core.effects import Batch, ExpiredCell, FrameGroup
from rmf.core.events import Executed
from rmf.core.outcome import Outcome
from rmf.core.packet import SEQ, PresetVerdict
from rmf.core.send_frames import rows_of
from rmf.core.world import World
from rmf.line import Inline, board
from rmf.line.glovebox import pipe
from rmf.line.glovebox.pipe import BoxBroken, Splitter
from tests import strategies
from tests.line.bench import batch, row

# --- Frames --------------------------------------------------------------------------------------

frames = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=6)


@given(frames, st.data())
def test_frames_come_out_as_they_went_in_whatever_the_pieces(
    told: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(pipe.frame(kind, body) for kind, body in told)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    splitter = Splitter()
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += splitter.feed(stream[begin:end])
    assert found == told


def test_a_frame_is_as_long_as_it_may_be_or_the_box_is_broken() -> None:
    most = limits.BOX_FRAME_BYTES_MAX
    assert Splitter().feed(pipe.HEAD.pack(most, 1) + b"x") == []
    with pytest.raises(BoxBroken, match=f"{most + 1} bytes, at most {most}"):
        Splitter().feed(pipe.HEAD.pack(most + 1, 1))


# --- A batch -------------------------------------------------------------------------------------


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """A batch as the latch makes one: what it has bagged may hold anything."""
    slot = draw(st.integers(0, 2))
    keys = draw(st.lists(strategies.topics, min_size=slot, max_size=slot))
    expired = [
        ExpiredCell(at, key, draw(strategies.cells(key)), "expired") for at, key in enumerate(keys)
    ]
    groups = []
    for _ in range(draw(st.integers(0, 3))):
        rows = draw(strategies.packets(first_seq=1))
        bad = draw(st.sets(st.integers(0, len(rows) - 1)))
        for at in bad:
            rows[at] = [draw(strategies.values), at + 1, *draw(st.lists(strategies.values))]
        verdicts = {at: PresetVerdict("label_invalid", "bad") for at in bad}
        name, ticks = draw(strategies.names), draw(strategies.ticks)
        groups.append(FrameGroup(name, draw(st.integers(1, 9)), slot, ticks, rows, verdicts))
        slot += len(rows)
    return Batch(
        draw(st.integers(0, 2**62)),
        draw(st.integers(1, 2**30)),
        draw(strategies.ticks),
        World.empty(),
        draw(st.frozensets(strategies.topics)),
        expired,
        groups,
        slot,
        draw(st.integers(1, 2**40)),
        draw(strategies.harvested),
        draw(strategies.ticks),
    )


@given(batches(), st.dictionaries(strategies.topics, st.booleans(), max_size=3), st.data())
def test_a_batch_comes_out_as_it_went_in_but_for_what_is_not_run(
    told: Batch, keys: dict[str, bool], data: st.DataObject
) -> None:
    cells = [
        (k, tuple(data.draw(strategies.cells(k))) if there else None) for k, there in keys.items()
    ]
    instead = object()
    found, found_cells = pipe.decode_run(pipe.encode_run(told, cells), instead)
    assert found_cells == cells
    assert found.world is instead
    for mine, theirs in zip(told.groups, found.groups, strict=True):
        assert mine.verdicts.keys() == theirs.verdicts.keys()
        for at, packet in enumerate(mine.rows):
            assert theirs.rows[at] == ([] if at in mine.verdicts else packet)
    same = [attrs.evolve(x, rows=[], verdicts={}) for x in told.groups]
    assert [attrs.evolve(x, rows=[], verdicts={}) for x in found.groups] == same
    assert attrs.evolve(found, groups=[], world=told.world) == attrs.evolve(told, groups=[])


def test_what_the_latch_has_bagged_may_be_anything_at_all() -> None:
    """What cannot be said over the pipe would end the reign, and nobody will look at it anyway."""
    rows = [row("a"), [cbor2.undefined, 2, {}, object()], row("c", seq=3)]
    told = batch(*rows, verdicts={1: PresetVerdict("label_invalid", "bad")})
    found, _ = pipe.decode_run(pipe.encode_run(told, ()), told.world)
    assert found.groups[0].rows == [rows[0], [], rows[2]]


@given(strategies.topics, st.data(), st.booleans())
def test_cells_come_out_as_they_went_in(key: str, data: st.DataObject, more: bool) -> None:
    cells: list[pipe.KnownCell] = [(key, tuple(data.draw(strategies.cells(key)))), ("none", None)]
    assert pipe.read_cells(pipe.cells_body(cells, more=more)) == (cells, more)


# --- What came of it -----------------------------------------------------------------------------

BATCH = batch(row("a", 1), row("b", 2, seq=2), row("c", b"\xff", seq=3))


@pytest.mark.parametrize("skip", [0, 2])
def test_a_frame_is_opened_in_the_box_as_it_was_outside(skip: int) -> None:
    sent = [row(f"a/{seq}", b"x" * 9, seq=seq) for seq in range(1, 6)]
    frame = codec.encode(m.Send([[*x[:4], cbor2.dumps(x[4])] for x in sent]))[4:]
    rows = rows_of(frame, skip, 3)
    group = attrs.evolve(BATCH.groups[0], rows=rows, frame=frame, skip=skip)
    told = attrs.evolve(BATCH, groups=[group])
    found, _ = pipe.decode_run(pipe.encode_run(told, ()), told.world)
    assert found.groups[0].rows == rows
    assert [x[SEQ] for x in found.groups[0].rows] == [1 + skip, 2 + skip, 3 + skip]


def done_of(executed: Executed) -> pipe.BatchDone:
    return pipe.decode_done(pipe.encode_done(executed, reads=True, own=False), BATCH)


def test_what_came_of_a_batch_comes_out_as_it_went_in() -> None:
    executed = Inline(board).run(BATCH)
    assert [outcome.slot for outcome in executed.outcomes] == [2]
    assert len(executed.listed) == 2
    told = done_of(executed)
    assert [tuple(change) for change in told.executed.listed] == executed.listed
    assert attrs.evolve(told.executed, listed=executed.listed) == executed
    assert (told.reads, told.own) == (True, False)
    closed = attrs.evolve(executed, cut_short=True)
    assert done_of(closed).executed.cut_short is True


FAIR = [7, 3, cbor2.dumps([[0, "a", b"\x01", -1]]), [], False, [], False, False]
LONG = "x/" * 600
BAG = [2, "handler_error", "", "", ""]


_FIELDS = ("number", "done", "encoded", "bags", "cut_short", "verbatim", "reads", "own")


def done(**changes: Any) -> Any:
    """The fields of a fair DONE, some of them changed."""
    return list((dict(zip(_FIELDS, FAIR, strict=True)) | changes).values())


def change(*fields: Any) -> Any:
    return done(encoded=cbor2.dumps([list(fields)]))


NONSENSE = {
    "null": None,
    "nothing": [],
    "too few": FAIR[:7],
    "too many": [*FAIR, 1],
    "a map": {"batch": 7},
    "another batch": done(number=8),
    "no number": done(number="7"),
    "a float": done(number=7.0),
    "true": done(number=True),
    "a slot too many": done(done=4),
    "less than nothing": done(done=-1),
    "half a slot": done(done=1.5),
    "done is text": done(done="3"),
    "done is true": done(done=True),
    "no changes": done(encoded=None),
    "changes as text": done(encoded="\x80"),
    "changes that are no CBOR": done(encoded=b"\xff"),
    "changes cut off": done(encoded=b"\x81"),
    "changes and more": done(encoded=b"\x80\x00"),
    "no array of changes": done(encoded=b"\xa0"),
    "changes of indefinite length": done(encoded=b"\x9f\xff"),
    "a change that is none": done(encoded=b"\x81\x00"),
    "a change of three": change(0, "a", b"\x01"),
    "a change of five": change(0, "a", b"\x01", -1, 0),
    "a change as a map": done(encoded=cbor2.dumps([{0: 0, 1: 1, 2: 2, 3: 3}])),
    "a change before slot 0": change(-1, "a", b"\x01", -1),
    "a change of a slot not run": change(3, "a", b"\x01", -1),
    "a change of no slot": change(None, "a", b"\x01", -1),
    "a change of a true slot": change(True, "a", b"\x01", -1),
    "changes out of order": done(
        encoded=cbor2.dumps([[1, "b", b"\x01", -1], [0, "a", b"\x01", -1]])
    ),
    "a key that is bytes": change(0, b"a", b"\x01", -1),
    "an empty key": change(0, "", b"\x01", -1),
    "a key that is a filter": change(0, "a/#", b"\x01", -1),
    "a key that is too long": change(0, LONG, b"\x01", -1),
    "a value that is text": change(0, "a", "x", -1),
    "a value that is too long": change(0, "a", b"x" * (limits.VALUE_BYTES_MAX + 1), -1),
    "a shelf below all": change(0, "a", b"\x01", -2),
    "a shelf beyond all": change(0, "a", b"\x01", limits.TTL_MS_MAX + 1),
    "a shelf that is a float": change(0, "a", b"\x01", 1.0),
    "spans that are none": done(verbatim=7),
    "spans that were not asked for": done(verbatim=[[1, 1]]),
    "bags that are none": done(bags=7),
    "a bag that is none": done(bags=[7]),
    "a bag too short": done(bags=[BAG[:4]]),
    "reads that are none": done(bags=[[*BAG, 7]]),
    "a bag too long": done(bags=[[*BAG, ""]]),
    "a bag longer still": done(bags=[[*BAG, [], []]]),
    "a read without a slot": done(bags=[[*BAG, [["a", 1, 2]]]]),
    "a read of no key": done(bags=[[*BAG, [[b"a", 1, 2, 3]]]]),
    "a read of too long a key": done(bags=[[*BAG, [[LONG, 1, 2, 3]]]]),
    "a read before all time": done(bags=[[*BAG, [["a", 1, -2, 3]]]]),
    "a read of no term": done(bags=[[*BAG, [["a", -3, 2, 3]]]]),
    "too many reads": done(bags=[[*BAG, [["a", 1, 2, 3]] * (limits.EVIDENCE_READS_MAX + 2)]]),
    "a reason that is none": done(bags=[[0, "diverged", "", "", ""]]),
    "a reason that is a list": done(bags=[[0, [], "", "", ""]]),
    "evidence that is bytes": done(bags=[[0, "handler_error", b"", "", ""]]),
    "a bag of a slot not run": done(done=2, bags=[BAG]),
    "a bag of no slot": done(bags=[["0", *BAG[1:]]]),
    "two bags of a slot": done(bags=[BAG, BAG]),
    "bags out of order": done(bags=[BAG, [1, *BAG[1:]]]),
}


def test_a_fair_word_is_taken() -> None:
    read = [["a", 1, 2, 3], ["b", 0, 0, 0], ["c", -1, 0, 0], ["", -2, 0, 0]]
    for fields in (FAIR, done(bags=[BAG]), done(bags=[[*BAG, read]])):
        assert pipe.decode_done(cbor2.dumps(fields), BATCH).executed.done == 3


@pytest.mark.parametrize("what", NONSENSE)
def test_what_cannot_have_come_of_a_batch_means_that_the_box_is_broken(what: str) -> None:
    with pytest.raises(BoxBroken, match="DONE"):
        pipe.decode_done(cbor2.dumps(NONSENSE[what]), BATCH)


BYTES = [
    b"",
    b"\xff",
    b"\x81",
    b"\xf7\xf7",
    b"\x9f\xff",
    b"\xc2\x5a\x00\x00\x10\x00" + b"\xff" * 4096,  # a number nobody can write down
    b"\xc1\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd8\x1e\x82\x01\x00",
    b"\x81" * 5000 + b"\x00",
    b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x61\xff",
]


@pytest.mark.parametrize("body", BYTES)
def test_bytes_that_are_no_fair_word(body: bytes) -> None:
    with pytest.raises(BoxBroken):
        pipe.decode_done(body, BATCH)
    with pytest.raises(BoxBroken):
        pipe.decode_memory(body, BATCH)


anything = st.recursive(
    strategies.scalars | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=10,
)


@settings(max_examples=300)
@given(st.data())
def test_nothing_but_broken_is_ever_raised(data: st.DataObject) -> None:
    fields = list(data.draw(st.sampled_from([FAIR, done(bags=[BAG]), change(0, "a", None, 0)])))
    at = data.draw(st.integers(0, 3))
    fields[at] = data.draw(anything)
    if at == 2 and data.draw(st.booleans()):
        fields[at] = cbor2.dumps(fields[at])
    body = cbor2.dumps(fields)
    if data.draw(st.booleans()):
        spot = data.draw(st.integers(0, len(body) - 1))
        body = body[:spot] + data.draw(st.binary(max_size=3)) + body[spot + 1 :]
    for decode in (pipe.decode_done, pipe.decode_memory):
        with suppress(BoxBroken):
            decode(body, BATCH)


# --- Out of memory -------------------------------------------------------------------------------


def test_which_slot_ran_out_of_memory() -> None:
    error = Evidence("MemoryError", "", "  File x\n")
    assert pipe.decode_memory(cbor2.dumps([2, *error.fields()]), BATCH) == (2, error)


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        [0],
        [0, "", ""],
        [0, "", "", "", ""],
        [3, "", "", ""],
        [-1, "", "", ""],
        [True, "", "", ""],
        ["0", "", "", ""],
        [0, "", b"", ""],
        {"slot": 0},
        "slot",
    ],
)
def test_who_names_no_slot_is_broken(fields: Any) -> None:
    with pytest.raises(BoxBroken, match="MEMORY"):
        pipe.decode_memory(cbor2.dumps(fields), BATCH)


def test_an_outcome_that_only_another_process_can_find_is_none_of_a_box() -> None:
    """That a handler died is the node's word: a box that says it is broken."""
    outcome = Outcome(0, "handler_died", "line", Evidence("", "", ""))
    with pytest.raises(BoxBroken):
        done_of(Executed(7, 1, [], b"\x80", [outcome]))
