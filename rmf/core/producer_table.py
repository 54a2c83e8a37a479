"""The producers' table (R32, R33): who produces, in which epoch, up to which seq, what came of it.

It is replicated: every node has the same, a Checkpoint holds it, and its rows are in the digest.
A table never changes; each change gives a new one, so that speculation can be dropped (R3).

Outcomes are kept as runs: consecutive seqs that were latched in one Tick from one frame. A row
keeps the last OUTCOME_RUNS_KEPT runs, which covers the announced window of frames in flight; what
is older is answered `unknown`.
"""

from struct import Struct
from typing import NamedTuple

import immutables
import xxhash

from rmf import limits
from rmf.core import messages as m
from rmf.core.packet import letter_id

__all__ = [
    "OutcomeRun",
    "ProducerRow",
    "Table",
    "acks_with",
    "marked_row",
    "name_fault",
    "wire_runs",
]

_MASK = (1 << 128) - 1
_RUN = Struct(">QQQQQ").pack
_ROW = Struct(">QQQ?16s").pack


class OutcomeRun(NamedTuple):
    """Seqs `first_seq` … + packets - 1 had the slots from `first_slot` on of (term, tick). `bags`
    are pairs (offset, reason) of those that were bagged; the others were applied."""

    first_seq: int
    packets: int
    term: int
    tick: int
    first_slot: int
    bags: tuple[tuple[int, str], ...]

    def mark(self) -> int:
        """Return this run's share of the digest."""
        head = _RUN(self.first_seq, self.packets, self.term, self.tick, self.first_slot)
        if self.bags:
            head += "".join(f"{offset}:{reason};" for offset, reason in self.bags).encode()
        return xxhash.xxh3_128_intdigest(head)


class ProducerRow(NamedTuple):
    """`seen_tick` is the last Tick that took something in from it; `runs_total` the sum of the
    marks of its runs, mod 2^128; `mark` the row's share of the digest."""

    epoch: int
    last_seq: int
    identity: str
    ephemeral: bool
    seen_tick: int
    runs: tuple[OutcomeRun, ...]
    runs_total: int
    mark: int


def _row(
    name: str,
    epoch: int,
    last_seq: int,
    identity: str,
    ephemeral: bool,
    seen_tick: int,
    runs: tuple[OutcomeRun, ...],
    runs_total: int,
) -> ProducerRow:
    """Return a row with its mark."""
    head = _ROW(epoch, last_seq, seen_tick, ephemeral, runs_total.to_bytes(16, "big"))
    mark = xxhash.xxh3_128_intdigest(head + f"{name}\0{identity}".encode())
    return ProducerRow(epoch, last_seq, identity, ephemeral, seen_tick, runs, runs_total, mark)


def marked_row(
    name: str,
    epoch: int,
    last_seq: int,
    identity: str,
    ephemeral: bool,
    seen_tick: int,
    runs: tuple[OutcomeRun, ...],
) -> ProducerRow:
    """Return a row that comes from a Checkpoint: the sum of its runs and its mark are computed."""
    total = sum(run.mark() for run in runs) & _MASK
    return _row(name, epoch, last_seq, identity, ephemeral, seen_tick, runs, total)


def name_fault(name: str) -> str | None:
    """Return what is wrong with a producer's name, or None."""
    size = len(name.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= limits.PRODUCER_NAME_BYTES_MAX:
        most = limits.PRODUCER_NAME_BYTES_MAX
        return f"a producer's name has 1 to {most} bytes, found {size}"
    if not name.isprintable():
        return "a producer's name holds printable characters only"
    return None


class Table:
    """One version of the table."""

    __slots__ = ("rows", "total")

    def __init__(self, rows: "immutables.Map[str, ProducerRow]", total: int) -> None:
        self.rows = rows
        self.total = total

    @classmethod
    def of(cls, rows: dict[str, ProducerRow]) -> "Table":
        """Return a table of these rows, marks computed."""
        marked = {name: _row(name, *row[:-1]) for name, row in rows.items()}
        return cls(immutables.Map(marked), sum(row.mark for row in marked.values()) & _MASK)

    def get(self, name: str) -> ProducerRow | None:
        """Return the row of a producer, or None."""
        return self.rows.get(name)

    def _with(self, name: str, row: ProducerRow) -> "Table":
        old = self.rows.get(name)
        total = self.total + row.mark - (old.mark if old is not None else 0)
        return Table(self.rows.set(name, row), total & _MASK)

    def registered(
        self, name: str, epoch: int, identity: str, *, ephemeral: bool, tick: int
    ) -> "Table":
        """Return the table after a producer's HELLO was latched."""
        old = self.rows.get(name)
        last_seq, runs, total = (old.last_seq, old.runs, old.runs_total) if old else (0, (), 0)
        row = _row(name, epoch, last_seq, identity, ephemeral, tick, runs, total)
        return self._with(name, row)

    def without(self, name: str) -> "Table":
        """Return the table after a producer left."""
        old = self.rows.get(name)
        if old is None:
            return self
        return Table(self.rows.delete(name), (self.total - old.mark) & _MASK)

    def latched(self, name: str, run: OutcomeRun) -> "Table":
        """Return the table after a run of packets of this producer was latched.

        The seqs must follow the row's last seq: anything else was settled before (R33).
        """
        row = self.rows[name]
        assert run.first_seq == row.last_seq + 1
        runs = (*row.runs, run)
        total = row.runs_total + run.mark()
        if len(runs) > limits.OUTCOME_RUNS_KEPT:
            total -= runs[0].mark()
            runs = runs[1:]
        last_seq = run.first_seq + run.packets - 1
        return self._with(
            name,
            _row(
                name,
                row.epoch,
                last_seq,
                row.identity,
                row.ephemeral,
                run.tick,
                runs,
                total & _MASK,
            ),
        )

    def outcomes(self, name: str, first_seq: int, last_seq: int) -> list[m.Run]:
        """Return what became of seqs that are at or below the last one, as duplicates (R33)."""
        row = self.rows[name]
        assert 1 <= first_seq <= last_seq <= row.last_seq
        answer: list[m.Run] = []
        known_from = row.runs[0].first_seq if row.runs else row.last_seq + 1
        if first_seq < known_from:
            count = min(last_seq + 1, known_from) - first_seq
            answer.append(m.Run(first_seq, count, m.UNKNOWN, True, None, None, None, None, None))
        for run in row.runs:
            low = max(first_seq, run.first_seq)
            high = min(last_seq, run.first_seq + run.packets - 1)
            if low <= high:
                answer += wire_runs(run, low, high, duplicate=True)
        return answer

    def idle_since(self, tick: int) -> list[str]:
        """Return the producers not seen since before `tick`, in the order of their names."""
        return sorted(name for name, row in self.rows.items() if row.seen_tick < tick)


def wire_runs(run: OutcomeRun, low: int, high: int, *, duplicate: bool) -> list[m.Run]:
    """Return the seqs `low` to `high` as the runs of an ACK: each bag is a run of its own."""
    answer: list[m.Run] = []
    at = low

    def applied(until: int) -> None:
        if at < until:
            slot = run.first_slot + at - run.first_seq
            answer.append(
                m.Run(at, until - at, m.APPLIED, duplicate, run.term, run.tick, slot, None, None)
            )

    for offset, reason in run.bags:
        seq = run.first_seq + offset
        if not low <= seq <= high:
            continue
        applied(seq)
        slot = run.first_slot + offset
        letter = letter_id(run.term, run.tick, slot)
        answer.append(m.Run(seq, 1, m.BAGGED, duplicate, run.term, run.tick, slot, reason, letter))
        at = seq + 1
    applied(high + 1)
    return answer


# Of one ACK: with its array, the code and the message's array it is within FRAME_ITEMS_MAX.
_ACK_RUNS_MAX = (limits.FRAME_ITEMS_MAX - 3) // (1 + len(m.Run._fields))


def acks_with(runs: list[m.Run]) -> list[m.Ack]:
    """Return runs as ACKs: one, unless it would be more than a frame may hold."""
    if len(runs) <= _ACK_RUNS_MAX:
        return [m.Ack(runs)]
    parts = range(0, len(runs), _ACK_RUNS_MAX)
    return [m.Ack(runs[begin : begin + _ACK_RUNS_MAX]) for begin in parts]
