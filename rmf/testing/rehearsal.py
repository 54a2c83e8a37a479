"""A user's line in the simulator: the kinds of fault one may ask for, and what is judged.

    from rmf.testing import simulate

    report = simulate(line, seed=7)
    assert report.verdict == "passed", report.why

All that holds of any line is held to after every step (see invariants, audit, promises): one
leader a term, logs and Worlds that match, every packet latched once and answered truly, every
letter the same everywhere, nothing shown after its shelf life. At the end, once all is healed and
every node is the same, the whole history is run again through the line (R27).
"""

from collections.abc import Sequence

import attrs

from rmf import limits
from rmf.core.record import ENTRY, Record
from rmf.errors import UsageError
from rmf.line.line import Line
from rmf.testing.books import Books
from rmf.testing.cluster import SimulatedCluster
from rmf.testing.dice import Dice
from rmf.testing.line_workload import Given, LineWorkload
from rmf.testing.options import FAULTS, Options, derived
from rmf.testing.rerun import differences
from rmf.testing.run import Report, run
from rmf.testing.violation import Violation, Void

__all__ = [
    "KINDS",
    "SECONDS_MIN",
    "faults_met",
    "kinds_of",
    "options_for",
    "records_of",
    "simulate",
]

_NETWORK = (
    "cut_one_way",
    "cut_both_ways",
    "isolate",
    "isolate_leader",
    "bridge",
    "flap",
    "loss",
    "doubling",
    "delay",
    "drop_clients",
    "lag",
)
_DISK = (
    "slow_disk",
    "hanging_disk",
    "failing_disk",
    "rot",
    "rotten_checkpoint",
    "wipe",
    "lost_tail",
    "restored_copy",
    "stalled_letters",
    "old_acquaintances",
)
_PROCESS = (
    "kill",
    "kill_leader",
    "power_cut",
    "kill_all",
    "power_cut_all",
    "split_votes",
    "pause",
    "pause_leader",
    "slow_line",
)

# What each kind of fault means to the nemesis; most of those of members are the operators' work.
KINDS: dict[str, tuple[str, ...]] = {
    "network": _NETWORK,
    "disk": _DISK,
    "clock": ("wall_jump",),
    "process": _PROCESS,
    "members": ("torn_change",),
}
# What two nodes are needed for, and what destroys a disk: then three others have to remember all.
_BETWEEN_TWO = frozenset(_NETWORK) - {"drop_clients"}
_DESTROYING = frozenset({"rot", "wipe", "lost_tail", "restored_copy", "old_acquaintances"})
_FAULTS_MIN = 3  # fewer kinds may all find nothing to do

# Acts of operators that change who belongs to the cluster, or who leads it.
_ACTS = ("add_asked", "removed", "transfer_asked", "stop_asked")
_NEVER_MS = 1e12
_ACT_EVERY_MS = 4_000.0
_NODES = range(1, 8)
SECONDS_MIN = 5.0  # the first three pass without faults, so that there is something to lose


def kinds_of(text: str) -> tuple[str, ...]:
    """Return the kinds in `all`, `none` or `network,disk`. Raises UsageError."""
    if text in {"all", "none"}:
        return tuple(KINDS) if text == "all" else ()
    kinds = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for kind in kinds:
        if kind not in KINDS:
            known = ", ".join(KINDS)
            raise UsageError(f"faults {kind!r}: expected all, none, or some of {known}")
    return kinds


def options_for(
    seed: int,
    kinds: Sequence[str],
    *,
    nodes: int = 3,
    seconds: float = 60.0,
    packets_a_second: float = 20.0,
) -> Options:
    """Return the options of a seed, with faults of these kinds and no others. Raises UsageError."""
    if nodes not in _NODES:
        raise UsageError(f"{nodes} nodes: expected {_NODES[0]} to {_NODES[-1]}")
    if seconds < SECONDS_MIN:
        raise UsageError(f"{seconds:g} seconds: expected {SECONDS_MIN:g} at least")
    options = derived(seed, nodes=nodes, seconds=seconds, packets_a_second=packets_a_second)
    wanted = {
        name: FAULTS.get(name, 1.0)
        for kind in kinds
        for name in KINDS[kind]
        if not (nodes < 2 and name in _BETWEEN_TWO) and not (nodes < 3 and name in _DESTROYING)
    }
    # A run that knows fewer faults goes deeper into those it knows, as those of the simulator do.
    dice = Dice(seed).stream("kinds")
    share = dice.choice((0.4, 1.0))
    faults = {name: weight for name, weight in wanted.items() if dice.chance(share)}
    if len(faults) < _FAULTS_MIN:
        faults = wanted
    if "network" not in kinds:
        options = attrs.evolve(options, loss=0.0, doubling=0.0, straggling=0.0)
    return attrs.evolve(
        options,
        faults=faults,
        fault_every_ms=dice.choice((1_500.0, 3_000.0, 6_000.0)),
        spares=1 if "members" in kinds or "wipe" in faults else 0,
        act_every_ms=_ACT_EVERY_MS if "members" in kinds else _NEVER_MS,
        drift_ppm=options.drift_ppm if "clock" in kinds else 0,
        archive=False,
        crowd=0,
        places=0,
        calm_seconds=0.0,
        lines=options.lines if "members" in kinds else 1,
    )


def simulate(
    line: Line,
    seed: int = 1,
    *,
    nodes: int = 3,
    seconds: float = 60.0,
    faults: str = "all",
    packets: Sequence[Given] = (),
) -> Report:
    """Run `line` on simulated nodes for so many virtual seconds, with everything going wrong that
    `faults` names ("all", "none", or some of network, disk, clock, process, members); then heal it
    all and judge. Packets are made up for the line's topics, unless they are given.

    The Report's `verdict` is "passed", "failed" or "void": too little was committed, or no fault
    was met. Raises UsageError and LineError.
    """
    line.check()
    kinds = kinds_of(faults)
    options = options_for(seed, kinds, nodes=nodes, seconds=seconds)

    def judge(cluster: SimulatedCluster) -> None:
        if not cluster.audit.packets:
            raise Void("no packet was committed")
        if kinds and not faults_met(cluster.counts):
            raise Void("no fault was met")
        _run_again(cluster, line)

    return run(options, LineWorkload(line, packets), judge)


def faults_met(counts: dict[str, int]) -> int:
    """Return how many faults were met, acts of operators among them."""
    faults = sum(count for name, count in counts.items() if name.startswith("fault_"))
    return faults + sum(counts.get(name, 0) for name in _ACTS)


# --- Again --------------------------------------------------------------------------------------


def records_of(books: Books, cluster: bytes) -> list[Record]:
    """Return history as a ledger would give it."""
    return [
        Record(cluster, ENTRY, x.index, x.index, x.term, x.chain, 0, b"", 0, x.body, x.index)
        for x in books.history
    ]


def _run_again(cluster: SimulatedCluster, line: Line) -> None:
    """Run all of history through the line once more; raise Violation where it comes out as
    another: then the line kept something from one call to the next."""
    records = records_of(cluster.books, cluster.nodes["n1"].disk.cluster)
    found = next(differences(line, records), None)
    if found is not None:
        handler, packet = found["handler"] or {}, found["packet"] or {}
        raise Violation(
            "replay",
            f"run again, {found['key'] or found['kind']} comes out as {found['again']!r}, was"
            f" {found['first']!r} at term {found['term']}, tick {found['tick']}, slot"
            f" {found['slot']}: {handler.get('function')}, {handler.get('file')}:"
            f"{handler.get('line')}, for {packet.get('topic') or packet.get('expired')!r}",
        )


assert set(FAULTS) == {name for kind in KINDS.values() for name in kind} - {"wall_jump"}
assert _NODES[-1] <= limits.MEMBERS_MAX
