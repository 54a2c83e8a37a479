"""The producers' table (R32, R33): last seqs, epochs, and the outcomes of the announced window."""

from typing import Any

import immutables
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core import codec, profile
from rmf.core import messages as m
from rmf.core.producer_table import OutcomeRun, Table, acks_with, name_fault, wire_runs
from tests import strategies as own


def joined(*names: str, epoch: int = 1, tick: int = 5) -> Table:
    table = Table.of({})
    for name in names:
        table = table.registered(name, epoch, f"id:{name}", ephemeral=False, tick=tick)
    return table


def each(runs: list[m.Run]) -> dict[int, tuple[Any, ...]]:
    """What an ACK says of each single seq."""
    found: dict[int, tuple[Any, ...]] = {}
    for run in runs:
        assert run.packets == 1 or run.outcome != m.BAGGED
        for i in range(run.packets):
            slot = run.slot + i if run.slot is not None else None
            assert run.seq + i not in found
            said = (run.outcome, run.term, run.tick, slot, run.reason, run.letter, run.duplicate)
            found[run.seq + i] = said
    return found


def of_run(run: OutcomeRun, *, duplicate: bool) -> dict[int, tuple[Any, ...]]:
    """The same, from a run of the table."""
    found: dict[int, tuple[Any, ...]] = {}
    bags = dict(run.bags)
    for i in range(run.packets):
        slot, reason = run.first_slot + i, bags.get(i)
        letter = f"{run.term}.{run.tick}.{slot}" if reason else None
        outcome = m.BAGGED if reason else m.APPLIED
        found[run.first_seq + i] = (
            outcome,
            run.term,
            run.tick,
            slot,
            reason,
            letter,
            duplicate,
        )
    return found


@st.composite
def histories(draw: st.DrawFn, *, most: int = 8) -> list[OutcomeRun]:
    runs, seq = [], 1
    for _ in range(draw(st.integers(1, most))):
        runs.append(draw(own.outcome_runs(seq)))
        seq += runs[-1].packets
    return runs


@settings(deadline=None, max_examples=150)
@given(histories(), st.data())
def test_what_became_of_a_resend_is_what_was_said_the_first_time(
    runs: list[OutcomeRun], data: st.DataObject
) -> None:
    """R33: answered from the table, with the original Stamp, as a duplicate; never applied again
    (raft-cases 67)."""
    table, model = joined("p"), dict[int, tuple[Any, ...]]()
    for run in runs:
        table = table.latched("p", run)
        model |= of_run(run, duplicate=True)
    first = data.draw(st.integers(1, max(model)))
    last = data.draw(st.integers(first, max(model)))
    expected = {seq: said for seq, said in model.items() if first <= seq <= last}
    assert each(table.outcomes("p", first, last)) == expected


def test_beyond_the_window_an_outcome_is_unknown() -> None:
    """R33: OUTCOME_RUNS_KEPT runs are kept; what is older was not announced (raft-cases 68)."""
    table = joined("p")
    most = limits.OUTCOME_RUNS_KEPT
    for seq in range(1, most + 4):
        table = table.latched("p", OutcomeRun(seq, 1, 1, 10 + seq, 0, ()))
    said = each(table.outcomes("p", 1, most + 3))
    unknown = (m.UNKNOWN, None, None, None, None, None, True)
    assert [seq for seq, what in said.items() if what == unknown] == [1, 2, 3]
    assert said[4] == (m.APPLIED, 1, 14, 0, None, None, True)
    assert set(said) == set(range(1, most + 4))
    assert table.outcomes("p", 1, 2) == [m.Run(1, 2, m.UNKNOWN, True, *[None] * 5)]


@settings(deadline=None, max_examples=100)
@given(own.outcome_runs(7, most=8), st.data())
def test_the_runs_of_an_ack_say_the_same_as_the_table(run: OutcomeRun, data: st.DataObject) -> None:
    low = data.draw(st.integers(7, 6 + run.packets))
    high = data.draw(st.integers(low, 6 + run.packets))
    said = each(wire_runs(run, low, high, duplicate=False))
    assert said == {k: v for k, v in of_run(run, duplicate=False).items() if low <= k <= high}


@pytest.mark.parametrize("packets", [1, limits.FRAME_PACKETS_MAX, 3 * limits.FRAME_PACKETS_MAX])
def test_acks_of_many_bagged_packets_are_frames_of_no_more_items_than_a_frame_may_have(
    packets: int,
) -> None:
    bags = tuple((offset, "no_handler") for offset in range(packets))
    runs = wire_runs(OutcomeRun(1, packets, 1, 2, 0, bags), 1, packets, duplicate=False)
    acks = acks_with(runs)
    for ack in acks:
        profile.scan(codec.encode(ack)[4:])
    assert [run for ack in acks for run in ack.runs] == runs
    assert (len(acks) == 1) == (packets == 1)


def test_seqs_are_contiguous_or_it_is_our_bug() -> None:
    table = joined("p").latched("p", OutcomeRun(1, 2, 1, 10, 0, ()))
    with pytest.raises(AssertionError):
        table.latched("p", OutcomeRun(4, 1, 1, 11, 0, ()))


def test_a_new_epoch_keeps_the_last_seq_and_the_outcomes() -> None:
    """R32: a restarted producer needs no disk."""
    table = joined("p").latched("p", OutcomeRun(1, 2, 1, 10, 0, ((1, "expired"),)))
    again = table.registered("p", 2, "id:new", ephemeral=True, tick=20)
    row = again.get("p")
    assert row is not None
    assert (row.epoch, row.last_seq, row.identity, row.ephemeral) == (2, 2, "id:new", True)
    assert row.seen_tick == 20
    assert again.outcomes("p", 1, 2) == table.outcomes("p", 1, 2)


def test_a_table_is_a_value() -> None:
    """R3: what is uncommitted can be dropped."""
    before = joined("p")
    before.latched("p", OutcomeRun(1, 1, 1, 10, 0, ()))
    before.without("p")
    row = before.get("p")
    assert row is not None
    assert row.last_seq == 0


@settings(deadline=None, max_examples=100)
@given(histories(most=4), st.permutations(["a", "b", "c"]))
def test_the_digest_is_incremental_and_does_not_depend_on_order(
    runs: list[OutcomeRun], order: list[str]
) -> None:
    """R26: equal to that of a table which is built from its rows."""
    table, other = joined("a", "b", "c"), joined(*order)
    for run in runs:
        for name in "ab":
            table = table.latched(name, run)
        for name in order[::-1]:
            other = other.latched(name, run) if name != "c" else other
    assert table.total == other.total == Table.of(dict(table.rows.items())).total
    assert table.without("b").without("a").without("c").total == 0


def test_the_digest_tells_apart_whatever_a_row_says() -> None:
    base = joined("p").latched("p", OutcomeRun(1, 2, 1, 10, 0, ()))
    others = [
        joined("q").latched("q", OutcomeRun(1, 2, 1, 10, 0, ())),
        base.registered("p", 2, "id:p", ephemeral=False, tick=10),
        base.registered("p", 1, "id:x", ephemeral=False, tick=10),
        base.registered("p", 1, "id:p", ephemeral=True, tick=10),
        base.registered("p", 1, "id:p", ephemeral=False, tick=11),
        joined("p").latched("p", OutcomeRun(1, 2, 1, 10, 0, ((0, "expired"),))),
        joined("p").latched("p", OutcomeRun(1, 2, 1, 10, 1, ())),
        joined("p").latched("p", OutcomeRun(1, 2, 2, 10, 0, ())),
        joined("p").latched("p", OutcomeRun(1, 3, 1, 10, 0, ())),
    ]
    assert len({table.total for table in [base, *others]}) == 10


def test_old_runs_leave_the_digest_with_the_window() -> None:
    table = joined("p")
    for seq in range(1, limits.OUTCOME_RUNS_KEPT + 10):
        table = table.latched("p", OutcomeRun(seq, 1, 1, seq + 10, 0, ()))
    row = table.get("p")
    assert row is not None
    assert row.runs_total == sum(run.mark() for run in row.runs) & ((1 << 128) - 1)


def test_idle_is_who_was_not_seen_since_a_tick() -> None:
    table = joined("b", "a", tick=5).registered("c", 1, "", ephemeral=False, tick=6)
    assert table.idle_since(5) == []
    assert table.idle_since(6) == ["a", "b"]


def test_leaving_twice_changes_nothing() -> None:
    table = joined("a")
    assert table.without("b") is table


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("p", None),
        ("redrive:7", None),
        ("p" * 255, None),
        ("", "1 to 255 bytes, found 0"),
        ("é" * 128, "1 to 255 bytes, found 256"),
        ("a\0b", "printable"),
        ("\ud800", "printable"),
    ],
)
def test_a_name_has_its_bounds(name: str, fault: str | None) -> None:
    found = name_fault(name)
    assert found is None if fault is None else found is not None and fault in found


def test_the_rows_are_structure_sharing() -> None:
    assert isinstance(joined("a").rows, immutables.Map)
