"""`rmf-bench compare --job`: the same job end to end, on RMF and on what would be put together
instead.

Each system is started, and takes the packets of three phases: a rate that all can take (how long a
packet waits until the subscriber sees what came of it), as many as it takes (packets seen a
second), and the same rate while the process that runs the handler is killed in the middle (what
was lost, what was done twice, for how long nothing was seen). The job is described in job_values.
"""

import statistics
import threading
import time
from functools import partial
from typing import Any, NamedTuple

import cbor2

from rmf import limits
from rmf.errors import RmfError
from rmf.interpreter import interpreter
from tools import job_nats, job_redis, job_rmf, job_syncobj
from tools.bench_compare import chosen, in_rounds, ratio
from tools.bench_cpu import tree_cpu_s
from tools.bench_load import quantile_ms
from tools.job_processes import JobContender, RunningJob
from tools.job_values import Books, Phase, Produced, books, longest_gap_s, payload_of, waits_s
from tools.text_table import aligned

__all__ = ["Came", "all_jobs", "as_lines", "job", "summary"]

_WARM_S = 0.5
_SETTLED_S = 1.5  # after all was seen: something done twice would have come
_GIVEN_UP_S = 6.0  # after a kill, nothing more was seen: the rest is lost
_DRAIN_S_MAX = 60.0  # until what was produced is seen
_PAYLOAD_BYTES = len(cbor2.dumps(payload_of(100_000)))


class Came(NamedTuple):
    """What came of one round of a system."""

    seen_per_s: float
    produced_per_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    books: Books
    unacked: int
    gap_s: float


def all_jobs() -> list[JobContender]:
    """Return all systems that can do the job, also those that are not installed."""
    modules = (job_rmf, job_nats, job_redis, job_syncobj)
    return [contender for module in modules for contender in module.contenders()]


def job(
    *, seconds: float, rounds: int, window: int, keys: int, rate: float, names: list[str]
) -> dict[str, Any]:
    """Return what came of the job on each system: medians over the rounds; what was lost or doubled
    over all of them. Raises RmfError."""
    contenders = chosen(all_jobs(), names)
    here = [one for one in contenders if not one.missing]
    phase = Phase(0, seconds, rate, window, keys)
    came = in_rounds({one.name: partial(_once, one, phase) for one in here}, rounds)
    facts = {one.name: one.facts for one in here}
    return {
        "payload_bytes": _PAYLOAD_BYTES,
        "seconds": seconds,
        "job": True,
        "rounds": rounds,
        "rate": rate,
        "keys": keys,
        "contenders": summary(came, facts),
        "left_out": {one.name: one.missing for one in contenders if one.missing},
        "interpreter": interpreter(),
    }


def _once(contender: JobContender, phase: Phase) -> Came:
    with contender.start() as running:
        return _round(running, phase)


def _round(running: RunningJob, phase: Phase) -> Came:
    first = running.produce(phase._replace(seconds=_WARM_S))
    _drain(running, len(first.sent_ns))
    paced = running.produce(phase._replace(first=_end(first)))
    _drain(running, _end(paced))
    waits = sorted(waits_s(running.rows(), paced, phase.keys))
    cpu_s = tree_cpu_s(running.pids())
    full = running.produce(phase._replace(first=_end(paced), rate=0.0))
    _drain(running, _end(full))
    cpu_s = tree_cpu_s(running.pids()) - cpu_s
    rows = running.rows()
    took_s = (max(row[0] for row in rows) - full.sent_ns[0]) / 1e9
    running.prepare_kill()
    killer = threading.Timer(phase.seconds / 2, running.kill)
    killer.start()
    killed = running.produce(phase._replace(first=_end(full)))
    killer.join()
    packets = _end(killed)
    end_ns = time.monotonic_ns()
    _settle(running, packets)
    rows = running.rows()
    unacked = packets - sum(one.acked for one in (first, paced, full, killed))
    packets_full = len(full.sent_ns)
    return Came(
        packets_full / took_s,
        packets_full / max(phase.seconds, (full.sent_ns[-1] - full.sent_ns[0]) / 1e9),
        1e6 * cpu_s / packets_full,
        quantile_ms(waits, 0.50),
        quantile_ms(waits, 0.99),
        books(rows, packets, phase.keys),
        unacked,
        longest_gap_s(rows, killed.sent_ns[0], end_ns),
    )


def _end(produced: Produced) -> int:
    return produced.first + len(produced.sent_ns)


def _drain(running: RunningJob, packets: int) -> None:
    """Wait until the subscriber has seen the effect of so many packets. Raises RmfError."""
    deadline = time.monotonic() + _DRAIN_S_MAX
    while running.total() < packets:
        if time.monotonic() > deadline:
            raise RmfError(f"of {packets} packets only {running.total()} were seen")
        time.sleep(limits.BENCH_POLL_S)


def _settle(running: RunningJob, packets: int) -> None:
    """Wait until all is seen, and then, as it may be more, until nothing more is."""
    total, since_s = -1, time.monotonic()
    deadline = since_s + _DRAIN_S_MAX
    while (now_s := time.monotonic()) < deadline:
        if (newest := running.total()) != total:
            total, since_s = newest, now_s
        if now_s - since_s > (_SETTLED_S if total >= packets else _GIVEN_UP_S):
            return
        time.sleep(limits.BENCH_POLL_S)


def summary(
    came: dict[str, list[Came | None]], facts: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return of each system the medians of its rounds, and in `ratio` how many times as many
    packets RMF did; what was lost, doubled or wrong in any round."""
    found: dict[str, dict[str, Any]] = {}
    ours = [one and one.seen_per_s for one in came.get("rmf", [])]
    for name, all_of_it in came.items():
        found[name] = {"failed": all_of_it.count(None), **facts[name]}
        well = [one for one in all_of_it if one is not None]
        if not well:
            continue

        def median(figure: str, well: list[Came] = well) -> float:
            return float(statistics.median(getattr(one, figure) for one in well))

        found[name] |= {
            "packets_per_s": round(median("seen_per_s")),
            "produced_per_s": round(median("produced_per_s")),
            "cpu_us_a_packet": round(median("cpu_us"), 1),
            "p50_ms": round(median("p50_ms"), 3),
            "p99_ms": round(median("p99_ms"), 3),
            "kill_gap_s": round(median("gap_s"), 3),
            "lost": sum(one.books.lost for one in well),
            "doubled": sum(one.books.doubled for one in well),
            "wrong": sum(one.books.wrong for one in well),
            "unacked": sum(one.unacked for one in well),
        }
        if ours and name != "rmf":
            found[name]["ratio"] = ratio(ours, [one and one.seen_per_s for one in all_of_it])
    return found


def as_lines(figures: dict[str, Any]) -> list[str]:
    """Return the figures for people."""
    heads = ["", "packets/s seen", "RMF x", "p50 ms", "p99 ms", "µs CPU", "kill: nothing for"]
    rows = [[*heads, "lost", "doubled"]]
    for name, one in figures["contenders"].items():
        if "packets_per_s" not in one:
            rows.append([name, "failed", *[""] * 7])
            continue
        beside = f"{one['ratio']:.1f}" if one.get("ratio") else ""
        waits = [f"{one['p50_ms']:.2f}", f"{one['p99_ms']:.2f}", f"{one['cpu_us_a_packet']:.1f}"]
        kill = [f"{one['kill_gap_s']:.2f} s", str(one["lost"]), str(one["doubled"])]
        rows.append([name, f"{one['packets_per_s']:,}", beside, *waits, *kill])
    lines = aligned(rows)
    for name, one in figures["contenders"].items():
        lines.append(
            f"{name}: {one['version']}; nodes: {one['nodes']}; fsync: {one['fsync']};"
            f" made of: {one['made of']}; killed: {one['killed']}"
        )
    lines += [f"left out: {name}: {why}" for name, why in figures["left_out"].items()]
    when = f"p50 and p99 from packet to subscriber at {figures['rate']:g} packets/s"
    return [*lines, f"{figures['rounds']} rounds; {when}; {figures['interpreter']}"]
