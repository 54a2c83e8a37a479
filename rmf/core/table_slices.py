"""The producers' table on its way into a Checkpoint and out of one, in slices (R25, R45).

Decides how rows become CBOR values and how many of them are sent at once. A table of a thousand
busy producers holds a quarter of a million runs: in one piece it would hold up all else.

A slice is a list of rows: [name, epoch, last_seq, identity, ephemeral, seen_tick, runs]. Rows come
in the order of their names. A row whose runs do not fit is sent again in the next slice, with the
runs that follow; so a row is whole once another name comes.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from rmf import limits
from rmf.core.producer_table import OutcomeRun, ProducerRow, Table, marked_row

__all__ = ["TableSlice", "rows_in", "slices_of", "table_in", "whole_row"]

TableSlice = list[list[Any]]


def slices_of(table: Table, weight_max: int = limits.CHECKPOINT_SLICE_RUNS) -> Iterator[TableSlice]:
    """Give the rows of a table; in each slice so many rows, runs and bags, or one run more."""
    rows: TableSlice = []
    weight = 0
    for name in sorted(table.rows):
        row = table.rows[name]
        runs: list[Any] = []
        rows.append([name, *_facts_of(row), runs])
        weight += 1
        for run in row.runs:
            if weight >= weight_max:
                yield rows
                runs, weight = [], 0
                rows = [[name, *_facts_of(row), runs]]
            runs.append(list(run))
            weight += 1 + len(run.bags)
        if weight >= weight_max:
            yield rows
            rows, weight = [], 0
    if rows:
        yield rows


def whole_row(name: str, row: ProducerRow) -> list[Any]:
    """Return a row with all its runs, as CBOR values."""
    return [name, *_facts_of(row), [list(run) for run in row.runs]]


def _facts_of(row: ProducerRow) -> tuple[Any, ...]:
    return row[:5]


def rows_in(slices: Iterable[TableSlice]) -> Iterator[tuple[str, ProducerRow]]:
    """Give the whole rows, with their marks. Raises ValueError or TypeError for what is no row."""
    name: str | None = None
    facts: list[Any] = []
    runs: list[OutcomeRun] = []
    for found, *told, more in (row for rows in slices for row in rows):
        if found != name:
            if name is not None:
                yield name, _whole(name, facts, runs)
            name, runs = found, []
        facts = told
        runs += [_run_of(*run) for run in more]
    if name is not None:
        yield name, _whole(name, facts, runs)


def _whole(name: str, facts: list[Any], runs: list[OutcomeRun]) -> ProducerRow:
    epoch, last_seq, identity, ephemeral, seen_tick = facts
    return marked_row(name, epoch, last_seq, identity, ephemeral, seen_tick, tuple(runs))


def _run_of(
    first_seq: int, packets: int, term: int, tick: int, first_slot: int, bags: Any
) -> OutcomeRun:
    kept = tuple((offset, reason) for offset, reason in bags)
    return OutcomeRun(first_seq, packets, term, tick, first_slot, kept)


def table_in(slices: Iterable[TableSlice]) -> Table:
    """Return the table that all its slices give. Raises as `rows_in`."""
    return Table.of(dict(rows_in(slices)))
