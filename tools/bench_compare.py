"""`rmf-bench compare`: RMF beside other systems on this machine, in rounds that alternate.

Each contender is started, asked for the waits of messages that go one after the other and then for
as much as it takes, and stopped before the next is started, so that each has the machine to itself.
It tells of each figure the median over the rounds, and the ratio of RMF's to it, and names what is
not installed and left out. What a contender does is in a file of its own.
"""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from rmf.errors import RmfError, UsageError
from rmf.interpreter import interpreter
from tools import compare_etcd, compare_nats, compare_redis, compare_rmf, compare_syncobj
from tools.bench_cpu import tree_cpu_s
from tools.bench_load import quantile_ms
from tools.compare_servers import Contender, Load
from tools.job_processes import JobContender
from tools.text_table import aligned

__all__ = [
    "Round",
    "all_contenders",
    "as_lines",
    "chosen",
    "compare",
    "in_rounds",
    "medians",
    "ratio",
]

_SPECIAL = {"rmf-map", "rmf-keys"}  # only on demand
_ONE_NODE = "rmf-1"  # stands beside what has one node
_THREE_NODES = "rmf"
_OURS = {_THREE_NODES, _ONE_NODE, *_SPECIAL}

_T = TypeVar("_T")

_Named = TypeVar("_Named", Contender, JobContender)


def all_contenders(pythons: Sequence[str] = ()) -> list[Contender]:
    """Return all contenders, also those that are not installed; nodes on other interpreters, too.
    Raises UsageError for one on which RMF does not run."""
    others = (compare_nats, compare_etcd, compare_syncobj, compare_redis)
    ours = compare_rmf.contenders(pythons)
    return [*ours, *(contender for module in others for contender in module.contenders())]


def chosen(known: Sequence[_Named], names: Sequence[str]) -> list[_Named]:
    """Return the contenders with these names, or with a name that goes on with a dash; without
    names, all but RMF's special ones. Raises UsageError for a name that none has."""
    if not names:
        return [one for one in known if one.name not in _SPECIAL]
    for name in names:
        if not any(_is_meant(one, name) for one in known):
            raise UsageError(f"no contender {name!r}; known are {', '.join(c.name for c in known)}")
    return [one for one in known if any(_is_meant(one, name) for name in names)]


def _is_meant(contender: Contender | JobContender, name: str) -> bool:
    if name in {_THREE_NODES, _ONE_NODE}:  # and on which interpreters they are to run
        return contender.name == name or contender.name.startswith(f"{name}-on-")
    return contender.name == name or contender.name.startswith(f"{name}-")


class Round(NamedTuple):
    """What a contender did in one round: per second, ms, and CPU µs a message: of all processes,
    and of the client among them."""

    packets_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    client_us: float


def compare(
    load: Load, rounds: int, names: Sequence[str], pythons: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the medians of each contender and RMF's ratios to it; nodes on each of `pythons` are
    contenders, too. Raises RmfError."""
    contenders = chosen(all_contenders(pythons), names)
    here = [one for one in contenders if not one.missing]
    done = in_rounds({one.name: partial(_round, one, load) for one in here}, rounds)
    facts = {one.name: one.facts for one in here}
    return {
        "payload_bytes": len(load.payload),
        "seconds": load.seconds,
        "job": False,
        "rounds": rounds,
        "contenders": medians(done, facts),
        "left_out": {one.name: one.missing for one in contenders if one.missing},
        "interpreter": interpreter(),
    }


def in_rounds(
    contenders: Mapping[str, Callable[[], _T]], rounds: int
) -> dict[str, list[_T | None]]:
    """Have each contender do its round, and all of them again; return what came of it, by round.
    One that fails is said on stderr, and is None."""
    done: dict[str, list[_T | None]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, once in contenders.items():
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
            try:
                done[name].append(once())
            except (RmfError, OSError) as error:
                print(f"{name} failed: {error}", file=sys.stderr, flush=True)
                done[name].append(None)
    return done


def ratio(ours: list[float | None], theirs: list[float | None]) -> float | None:
    """Return the median of the ratios of the rounds in which both did well; None if none is."""
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    return round(statistics.median(a / b for a, b in pairs), 2) if pairs else None


def _round(contender: Contender, load: Load) -> Round:
    with contender.start() as running:
        waits = sorted(running.waits(load._replace(seconds=load.seconds / 2)))
        before_s = tree_cpu_s(running.pids())
        sent = running.send(load)
        servers_us = 1e6 * (tree_cpu_s(running.pids()) - before_s) / (sent.messages + sent.before)
    client_us = 1e6 * sent.client_cpu_s / sent.messages
    return Round(
        sent.messages / sent.seconds,
        quantile_ms(waits, 0.50),
        quantile_ms(waits, 0.99),
        servers_us + client_us,
        client_us,
    )


def medians(
    rounds: dict[str, list[Round | None]], facts: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return of each contender the median of each figure, the least and the most per second, and
    in `ratio` and `ratio_p50` how RMF stood to it: the median of the ratios of each round, of
    three nodes, or of one where the other has one. RMF is ahead where `ratio` is above 1, and
    where `ratio_p50` is below."""
    found: dict[str, dict[str, Any]] = {}
    for name, all_of_it in rounds.items():
        found[name] = {"failed": all_of_it.count(None), **facts[name]}
        well = [one for one in all_of_it if one is not None]
        if not well:
            continue
        rates = [one.packets_per_s for one in well]
        found[name] |= {
            "packets_per_s": round(statistics.median(rates)),
            "packets_per_s_min": round(min(rates)),
            "packets_per_s_max": round(max(rates)),
            "p50_ms": round(statistics.median(one.p50_ms for one in well), 3),
            "p99_ms": round(statistics.median(one.p99_ms for one in well), 3),
            "cpu_us_a_message": round(statistics.median(one.cpu_us for one in well), 2),
            "client_cpu_us_a_message": round(statistics.median(one.client_us for one in well), 2),
        }
        ours = rounds.get(_ONE_NODE if facts[name].get("nodes") == 1 else _THREE_NODES)
        if ours and name not in _OURS:
            pairs = (ours, all_of_it)
            rate, wait = ([[x and x[at] for x in side] for side in pairs] for at in (0, 1))
            found[name] |= {"ratio": ratio(*rate), "ratio_p50": ratio(*wait)}
    return found


def as_lines(figures: dict[str, Any]) -> list[str]:
    """Return the figures for people."""
    rows = [["", "messages/s", "least-most", "RMF x", "p50 ms", "p99 ms", "µs CPU", "of client"]]
    for name, one in figures["contenders"].items():
        if "packets_per_s" not in one:
            rows.append([name, "failed", *[""] * 6])
            continue
        span = f"{one['packets_per_s_min']:,}-{one['packets_per_s_max']:,}"
        waits = [f"{one['p50_ms']:.2f}", f"{one['p99_ms']:.2f}"]
        cpu = [f"{one['cpu_us_a_message']:.1f}", f"{one['client_cpu_us_a_message']:.2f}"]
        beside = f"{one['ratio']:.2f}" if one.get("ratio") else ""
        rows.append([name, f"{one['packets_per_s']:,}", span, beside, *waits, *cpu])
    lines = aligned(rows)
    for name, one in figures["contenders"].items():
        lines.append(
            f"{name}: {one['version']}; nodes: {one['nodes']}; fsync: {one['fsync']};"
            f" client: {one['client']}"
        )
    lines += [f"left out: {name}: {why}" for name, why in figures["left_out"].items()]
    return [*lines, f"{figures['rounds']} rounds; {figures['interpreter']}"]
