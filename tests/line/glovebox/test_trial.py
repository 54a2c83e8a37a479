from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.bag import Evidence
from rmf.core.effects import Batch, ExpiredCell, FrameGroup
from rmf.core.events import Executed
from rmf.core.outcome import Outcome
from rmf.core.packet import SEQ, PresetVerdict
from rmf.core.world import World
from rmf.line.glovebox.trial import Death, Memory, Order, Overdue, Trial, cut
from tests.line.bench import cell, row

EXPIRED = PresetVerdict("expired", "too late")


def group(producer: str, first_slot: int, *seqs: int, decided: tuple[int, ...] = ()) -> FrameGroup:
    """Packets of one producer; those of the seqs `decided` the latch has bagged."""
    rows = [row(f"{producer}/{seq}", seq=seq) for seq in seqs]
    verdicts = {at: EXPIRED for at, seq in enumerate(seqs) if seq in decided}
    return FrameGroup(producer, 1, first_slot, 1, rows, verdicts)


def batch_of(*groups: FrameGroup, keys: tuple[str, ...] = (), number: int = 7) -> Batch:
    expired = [ExpiredCell(at, key, cell(0, key=key), "expired") for at, key in enumerate(keys)]
    slots = len(keys) + sum(len(group.rows) for group in groups)
    gone = frozenset(keys)
    return Batch(number, 1, 1, World.empty(), gone, expired, list(groups), slots)


def executed(done: int, *outcomes: Outcome, cut_short: bool = False) -> Executed:
    return Executed(7, done, [], b"\x80", list(outcomes), cut_short)


def death(slot: int | None, reason: str = "handler_died") -> Death:
    return Death(slot, reason, "killed by SIGSEGV", "  File x\n")


OVERDUE = "its time was used up"


# --- The rules, one by one -----------------------------------------------------------------------


def test_a_batch_without_suspects_is_run_as_a_whole() -> None:
    trial = Trial(batch_of(group("a", 0, 1, 2, 3)), Memory())
    assert trial.nothing_to_run() is None
    assert trial.order() == Order(3, fresh=False)
    assert trial.ran(Order(3, fresh=False), executed(3)) == executed(3)


def test_a_slot_whose_time_was_used_up_is_guilty_at_once() -> None:
    memory = Memory()
    trial = Trial(batch_of(group("a", 0, 1, 2, 3, 4)), memory)
    trial.ended(trial.order(), Overdue(2, OVERDUE, "  File x\n"))
    assert trial.nothing_to_run() is None
    assert trial.order() == Order(2, fresh=False)
    # What stands before it ran well: the Tick closes with the bag of the guilty one.
    told = trial.ran(trial.order(), executed(2))
    assert (told.done, told.cut_short) == (3, True)
    assert told.outcomes == [
        Outcome(2, "handler_timeout", "line", Evidence("", OVERDUE, "  File x\n"))
    ]
    assert memory.verdicts == 1
    assert Trial(batch_of(group("a", 0, 4)), memory).order() == Order(1, fresh=False)


def test_a_guilty_first_slot_leaves_nothing_to_run() -> None:
    trial = Trial(batch_of(group("a", 0, 1, 2)), Memory())
    trial.ended(trial.order(), Overdue(0, OVERDUE, ""))
    told = trial.nothing_to_run()
    assert told is not None
    assert (told.batch, told.done, told.cut_short) == (7, 1, True)
    assert (told.listed, told.encoded) == ([], b"\x80")
    assert [(x.slot, x.reason) for x in told.outcomes] == [(0, "handler_timeout")]


@pytest.mark.parametrize("reason", ["handler_died", "handler_memory"])
def test_only_a_second_death_alone_in_a_fresh_box_is_a_verdict(reason: str) -> None:
    memory = Memory()
    trial = Trial(batch_of(group("a", 0, 1, 2), group("b", 2, 1)), memory)
    trial.ended(trial.order(), death(1, reason))
    assert trial.order() == Order(1, fresh=False)  # what stands before it closes the Tick
    assert trial.ran(Order(1, fresh=False), executed(1)) == executed(1)
    again = Trial(batch_of(group("a", 0, 2), group("b", 1, 1)), memory)
    assert again.order() == Order(1, fresh=True)
    again.ended(again.order(), death(0, reason))
    told = again.nothing_to_run()
    assert told is not None
    assert told.done == 1
    (outcome,) = told.outcomes
    assert (outcome.slot, outcome.reason) == (0, reason)
    assert outcome.error == Evidence("", "killed by SIGSEGV, twice", "  File x\n")


def test_a_suspect_that_lives_alone_was_not_to_blame() -> None:
    memory = Memory()
    trial = Trial(batch_of(group("a", 0, 1, 2)), memory)
    trial.ended(trial.order(), death(0))
    assert trial.order() == Order(1, fresh=True)
    assert trial.ran(trial.order(), executed(1)) == executed(1)
    assert Trial(batch_of(group("a", 0, 2)), memory).order() == Order(1, fresh=False)
    assert memory == Memory()


def test_a_death_outside_any_slot_bags_no_packet() -> None:
    trial = Trial(batch_of(group("a", 0, 1, 2, 3)), Memory())
    trial.ended(trial.order(), death(None))
    assert trial.order() == Order(3, fresh=False)
    assert trial.ran(trial.order(), executed(3)) == executed(3)


def test_after_more_of_them_slots_are_run_one_by_one() -> None:
    memory = Memory()
    trial = Trial(batch_of(group("a", 0, 1, 2, 3)), memory)
    for _ in range(limits.BOX_DEATHS_MAX):
        trial.ended(trial.order(), death(None))
    assert trial.order() == Order(1, fresh=False)
    assert trial.ran(trial.order(), executed(1)) == executed(1)
    assert Trial(batch_of(group("a", 0, 2, 3)), memory).order() == Order(1, fresh=False)
    memory.careful_slots = 1
    last = Trial(batch_of(group("a", 0, 3, 4)), memory)
    assert last.ran(last.order(), executed(1)) == executed(1)
    assert Trial(batch_of(group("a", 0, 4, 5)), memory).order() == Order(2, fresh=False)


def test_who_was_first_by_chance_is_not_blamed_for_deaths_of_the_whole_batch() -> None:
    trial = Trial(batch_of(group("a", 0, 1, 2, 3)), Memory())
    for _ in range(limits.BOX_DEATHS_MAX + 1):
        trial.ended(trial.order(), death(None))
    assert trial.nothing_to_run() is None  # once alone is no proof
    trial.ended(trial.order(), death(None))
    told = trial.nothing_to_run()
    assert told is not None  # but over and over is: else the line would stand still
    assert [(x.slot, x.reason) for x in told.outcomes] == [(0, "handler_died")]


def test_a_guilty_packet_is_remembered_until_it_comes_up() -> None:
    memory = Memory()
    trial = Trial(batch_of(group("a", 0, 1), group("b", 1, 1)), memory)
    trial.ended(trial.order(), Overdue(1, OVERDUE, ""))
    # What stands before it closes the Tick before it is reached.
    early = executed(1, cut_short=True)
    shorter = Trial(batch_of(group("a", 0, 1, 2), group("b", 2, 1)), memory)
    assert shorter.ran(Order(2, fresh=False), early) == early
    later = Trial(batch_of(group("c", 1, 9), group("b", 2, 1), keys=("k",)), memory)
    assert later.order() == Order(2, fresh=False)
    assert later.ran(later.order(), executed(2)).done == 3


def test_several_are_remembered_and_come_up_in_any_order() -> None:
    """Packets of other producers may stand before a suspect, and be poison themselves."""
    memory = Memory()
    Trial(batch_of(group("a", 0, 1)), memory).ended(Order(1, fresh=False), death(0))
    first = Trial(batch_of(group("b", 0, 1), group("a", 1, 1)), memory)
    assert first.order() == Order(1, fresh=False)
    first.ended(first.order(), death(0))
    assert first.order() == Order(1, fresh=True)  # the newer suspect, for it stands first
    first.ended(first.order(), death(0))
    assert first.nothing_to_run() is not None
    rest = Trial(batch_of(group("c", 0, 1), group("a", 1, 1)), memory)
    rest.ended(rest.order(), Overdue(0, OVERDUE, ""))
    assert rest.nothing_to_run() is not None
    # The first suspect is still one: it is tried alone, and dies a second time, no third.
    assert Trial(batch_of(group("a", 0, 1)), memory).order() == Order(1, fresh=True)


def test_a_suspect_before_a_guilty_one_is_still_tried_alone() -> None:
    memory = Memory()
    trial = Trial(batch_of(group("a", 0, 1, 2, 3)), memory)
    trial.ended(trial.order(), Overdue(2, OVERDUE, ""))
    trial.ended(trial.order(), death(0))  # it lived before, and does not now
    assert trial.order() == Order(1, fresh=True)
    trial.ended(trial.order(), death(0))
    assert trial.nothing_to_run() is not None
    rest = Trial(batch_of(group("a", 0, 2, 3)), memory)
    assert rest.order() == Order(1, fresh=False)
    assert [x.slot for x in rest.ran(rest.order(), executed(1)).outcomes] == [1]


@pytest.mark.parametrize("end", [Overdue(1, OVERDUE, ""), death(1)])
def test_what_the_latch_has_bagged_meanwhile_gets_no_second_outcome(end: Death | Overdue) -> None:
    """Its shelf life went by while others were run: `expired` is its outcome, and the only one."""
    memory = Memory()
    trial = Trial(batch_of(group("a", 0, 1, 2, 3)), memory)
    trial.ended(trial.order(), end)
    later = Trial(batch_of(group("a", 0, 2, 3, decided=(2,))), memory)
    assert later.nothing_to_run() is None
    assert later.order() == Order(2, fresh=False)
    assert later.ran(later.order(), executed(2)) == executed(2)
    assert memory == Memory()


def test_what_is_remembered_is_bounded() -> None:
    memory = Memory()
    for seq in range(1, 100):
        trial = Trial(batch_of(group("a", 0, seq)), memory)
        trial.ended(Order(1, fresh=False), death(0))
        trial = Trial(batch_of(group("b", 0, seq)), memory)
        trial.ended(Order(1, fresh=False), Overdue(0, OVERDUE, ""))
    assert len(memory.suspects) == len(memory.guilty) == limits.BOX_REMEMBERED_MAX
    assert Trial(batch_of(group("a", 0, 99, 100)), memory).order() == Order(1, fresh=True)


@pytest.mark.parametrize("slot", [3, 4, 1 << 40, -5])
def test_a_marker_that_names_no_slot_of_the_order_names_none(slot: int) -> None:
    trial = Trial(batch_of(group("a", 0, 1, 2, 3)), Memory())
    trial.ended(trial.order(), Overdue(slot, OVERDUE, ""))
    trial.ended(trial.order(), death(slot))
    assert trial.order() == Order(1, fresh=False)


def test_a_cell_that_expired_can_be_guilty_too() -> None:
    memory = Memory()
    trial = Trial(batch_of(group("a", 2, 1), keys=("k", "l")), memory)
    trial.ended(trial.order(), death(1))
    assert trial.ran(trial.order(), executed(1)) == executed(1)
    again = Trial(batch_of(group("a", 1, 1), keys=("l",)), memory)
    assert again.order() == Order(1, fresh=True)
    again.ended(again.order(), death(0))
    told = again.nothing_to_run()
    assert told is not None
    assert [x.reason for x in told.outcomes] == ["handler_died"]


def test_evidence_is_bounded() -> None:
    trial = Trial(batch_of(group("a", 0, 1)), Memory())
    trial.ended(trial.order(), Overdue(0, "x" * 100_000, "y" * 100_000))
    told = trial.nothing_to_run()
    assert told is not None
    error = told.outcomes[0].error
    assert len(error.message) <= limits.EVIDENCE_TEXT_BYTES_MAX
    assert len(error.traceback) <= limits.EVIDENCE_TRACEBACK_BYTES_MAX


# --- Cutting -------------------------------------------------------------------------------------


@given(
    st.integers(0, 2),
    st.lists(st.lists(st.booleans(), min_size=1, max_size=3), max_size=3),
    st.integers(0, 12),
)
def test_a_cut_batch_holds_the_slots_before_the_cut_and_nothing_else(
    keys: int, frames: list[list[bool]], stop: int
) -> None:
    groups = []
    slot = keys
    for at, frame in enumerate(frames):
        seqs = range(1, len(frame) + 1)
        decided = tuple(seq for seq, is_decided in zip(seqs, frame, strict=True) if is_decided)
        groups.append(group(f"p{at}", slot, *seqs, decided=decided))
        slot += len(frame)
    whole = batch_of(*groups, keys=tuple("klm"[:keys]))
    short = cut(whole, stop)
    assert short.slots == min(stop, whole.slots)
    assert _slots(short) == [x for x in _slots(whole) if x[0] < stop]
    assert (short.number, short.gone, short.world) == (whole.number, whole.gone, whole.world)
    assert all(group.rows for group in short.groups)
    assert _slots(whole)[-1:] == _slots(batch_of(*groups, keys=tuple("klm"[:keys])))[-1:]


def test_part_of_a_frame_is_not_taken_for_all_of_it() -> None:
    """A box would run packets that are another batch's."""
    framed = attrs.evolve(group("p", 0, 1, 2, 3), frame=b"frame")
    assert [x.frame for x in cut(batch_of(framed), 2).groups] == [b""]
    later = attrs.evolve(group("q", 3, 1), frame=b"other")
    assert [x.frame for x in cut(batch_of(framed, later), 3).groups] == [b"frame"]


def _slots(batch: Batch) -> list[tuple[int, Any]]:
    found: list[tuple[int, Any]] = [(x.slot, x.key) for x in batch.expired]
    for one in batch.groups:
        for at, packet in enumerate(one.rows):
            found.append((one.first_slot + at, (one.producer, packet[SEQ], at in one.verdicts)))
    return found


# --- All of it, with a box that dies as it is told ------------------------------------------------

NATURES = [
    *("ok", "ok", "raises", "room", "loops", "hangs", "dies", "memory"),
    *("dies_once", "outside", "outside_once"),
]
BAGGED = {
    "raises": "handler_error",
    "loops": "handler_timeout",
    "hangs": "handler_timeout",
    "dies": "handler_died",
    "memory": "handler_memory",
    "outside": "handler_died",
}
Name = tuple[str, int]


@attrs.define
class Box:
    """A glove box: runs what is ordered, and dies of some packets. `runs` says of each packet how
    it was run: as the very first of this box, and alone."""

    natures: dict[Name, str]
    spent: set[Name]
    runs: dict[Name, list[bool]]
    fresh: bool = True

    def run(self, order: Order, batch: Batch) -> Executed | Death | Overdue:
        fresh, self.fresh = self.fresh, False
        names = _packets(batch)
        assert len(names) == order.stop <= batch.slots == order.stop
        for name, nature in [(x, self.natures[x]) for _, x, decided in names if not decided]:
            if nature == "outside" or (nature == "outside_once" and name not in self.spent):
                self.spent.add(name)
                return death(None)
        outcomes = []
        for slot, name, decided in names:
            if decided:
                continue
            self.runs.setdefault(name, []).append(fresh and batch.slots == 1)
            nature = self.natures[name]
            if nature == "dies_once" and name not in self.spent:
                self.spent.add(name)
                return death(slot)
            if nature in {"dies", "memory"}:
                return death(slot, BAGGED[nature])
            if nature == "hangs":
                return Overdue(slot, OVERDUE, "")
            if nature in {"raises", "loops"}:
                outcomes.append(Outcome(slot, BAGGED[nature], "line", Evidence("", "", "")))
            if nature in {"room", "loops"}:
                return executed(slot + 1, *outcomes, cut_short=nature == "loops")
        return executed(batch.slots, *outcomes)


def _packets(batch: Batch) -> list[tuple[int, Name, bool]]:
    found = [(x.slot, ("", ord(x.key)), False) for x in batch.expired]
    for one in batch.groups:
        for at, packet in enumerate(one.rows):
            found.append((one.first_slot + at, (one.producer, packet[SEQ]), at in one.verdicts))
    return found


@attrs.define
class Reign:
    """What waits, and what came of it. Each Tick latches some of it, in an order of its own."""

    dice: Random
    waiting: dict[str, list[int]]
    keys: list[int]
    expire: bool
    outcomes: dict[Name, list[str]] = attrs.Factory(dict)

    def latch(self, number: int) -> Batch:
        dice = self.dice
        keys = self.keys[: dice.randint(0, 2)]
        groups = []
        slot = len(keys)
        for producer in dice.sample(sorted(self.waiting), len(self.waiting)):
            seqs = self.waiting[producer][: dice.randint(0, 5)]
            if seqs:
                decided = tuple(seqs[: dice.randint(0, 1)]) if self.expire else ()
                groups.append(group(producer, slot, *seqs, decided=decided))
                slot += len(seqs)
        return batch_of(*groups, keys=tuple(map(chr, keys)), number=number)

    def take(self, batch: Batch, told: Executed) -> None:
        assert 0 < told.done <= batch.slots
        bags = {outcome.slot: outcome.reason for outcome in told.outcomes}
        assert len(bags) == len(told.outcomes)
        assert all(slot < told.done for slot in bags)
        for slot, name, decided in _packets(batch)[: told.done]:
            assert not (decided and slot in bags), "two outcomes"
            what = "expired" if decided else bags.get(slot, "applied")
            self.outcomes.setdefault(name, []).append(what)
            (self.waiting[name[0]] if name[0] else self.keys).remove(name[1])


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]), st.lists(st.sampled_from(NATURES), max_size=5)
    ),
    st.lists(st.sampled_from(NATURES), max_size=3),
    st.booleans(),
    st.integers(0, 2**32).map(Random),
)
def test_every_packet_has_one_outcome_and_no_innocent_one_is_bagged(
    producers: dict[str, list[str]], keys: list[str], expire: bool, dice: Random
) -> None:
    natures = {(name, i + 1): x for name, kinds in producers.items() for i, x in enumerate(kinds)}
    natures |= {("", ord("k") + i): nature for i, nature in enumerate(keys)}
    waiting = {name: list(range(1, len(kinds) + 1)) for name, kinds in producers.items()}
    reign = Reign(dice, waiting, [ord("k") + i for i in range(len(keys))], expire)
    spent: set[Name] = set()
    runs: dict[Name, list[bool]] = {}
    memory = Memory()
    box = Box(natures, spent, runs)
    ticks = boxes = 0
    while reign.keys or any(reign.waiting.values()):
        batch = reign.latch(ticks)
        if not batch.slots:
            continue
        ticks += 1
        trial = Trial(batch, memory)
        told = trial.nothing_to_run()
        while told is None:
            order = trial.order()
            if order.fresh and not box.fresh:
                box = Box(natures, spent, runs)
            end = box.run(order, cut(batch, order.stop))
            if isinstance(end, Executed):
                told = trial.ran(order, end)
            else:
                boxes += 1
                assert boxes <= 8 * len(natures)
                box = Box(natures, spent, runs)
                trial.ended(order, end)
                told = trial.nothing_to_run()
        reign.take(batch, told)
    for name, nature in natures.items():
        (outcome,) = reign.outcomes[name]
        assert outcome in {"expired", BAGGED.get(nature, "applied")}
        mine = runs.get(name, [])
        if nature in {"hangs", "loops"}:
            assert len(mine) <= 1
        if nature in {"dies", "memory"} and outcome != "expired":
            assert len(mine) == 2
            assert mine[-1], "its second run was not alone, as the first of a fresh box"
