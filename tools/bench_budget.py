"""`rmf-bench budget`: what a packet costs, by process and by stage, beside what it could cost.

Nodes are measured from outside (budget_nodes), one and three, with batches and with one packet
after the other; the stages in one process (budget_stages), in big Ticks and in Ticks of one packet;
beside them stand their floors (budget_floors). With `--commit` the table becomes a page of the
manual, and the ratios those that later runs are compared with (budget_ratios).
"""

import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rmf.client.command import notice
from rmf.interpreter import interpreter_build
from rmf.native import COMPILED
from tools.bench_load import payload_of
from tools.budget_floors import FLOORS
from tools.budget_nodes import NodesCost, nodes_cost
from tools.budget_ratios import COMMITTED, committed_of, measured_where, with_committed
from tools.budget_stages import STAGES, Pipeline
from tools.compare_servers import in_a_process
from tools.text_table import aligned

__all__ = ["PAGE", "as_lines", "budget", "page_of"]

PAGE = Path(__file__).parents[1] / "rmf" / "manual" / "budget.txt"
_MEASUREMENTS = 5  # of ratios that are to be committed
_TICKS = {"batch": (4, 500, 80), "lone": (1, 1, 600)}  # frames, packets in each, rounds
_WARM_ROUNDS = 5
_PARTS = [
    *("leader, main thread", "leader, other threads", "leader, boxes"),
    *("follower, main thread", "follower, other threads", "client"),
]


class _Stages(NamedTuple):
    """µs of CPU a packet by stage, and bytes of the ledger a packet."""

    costs: dict[str, float]
    ledger_bytes: float


def budget(*, seconds: float, window: int, commit: bool) -> dict[str, Any]:
    """Return the budget of a packet; `commit`: write it down. Raises RmfError, OSError."""
    if commit and not COMPILED:
        notice("Python alone: the compiled piece is not there (python -m tools.native_build)")
    payload = payload_of(64)
    nodes = {
        (count, kind): nodes_cost(count, seconds, payload, lone=kind == "lone", window=window)
        for count in (1, 3)
        for kind in ("batch", "lone")
    }
    stages = {kind: in_a_process(_stages, *tick, takes_s=60) for kind, tick in _TICKS.items()}
    figures = {
        "payload_bytes": len(payload),
        "seconds": seconds,
        "by_process": {f"{count} {kind}": cost._asdict() for (count, kind), cost in nodes.items()},
        "by_stage": {
            stage: {
                "batch_us": round(stages["batch"].costs[stage], 3),
                "floor_us": FLOORS[stage].python,
                "floor_compiled_us": FLOORS[stage].compiled,
                "lone_us": round(stages["lone"].costs[stage], 2),
            }
            for stage in STAGES
        },
        "ledger_bytes_a_packet": {kind: round(x.ledger_bytes, 1) for kind, x in stages.items()},
        "window": window,
        "compiled_piece": COMPILED,
        "interpreter": interpreter_build(),
    }
    if commit:
        _commit_ratios()
        PAGE.write_text(page_of(figures))
    return figures


def _stages(frames: int, batch: int, rounds: int) -> _Stages:
    """Measure the stages, in a process of its own; of each the tenth percentile of the rounds."""
    pipeline = Pipeline(3, payload_of(64))
    for _ in range(_WARM_ROUNDS):
        pipeline.round(frames, batch)
    took = [pipeline.round(frames, batch) for _ in range(rounds)]
    packets = frames * batch
    costs = {
        stage: statistics.quantiles([one[stage] for one in took], n=10)[0] / packets / 1000
        for stage in STAGES
    }
    return _Stages(costs, pipeline.ledger_bytes / packets)


def _commit_ratios() -> None:
    """Measure ratios and write them down, with the compiled piece if it is there, and without."""
    for pure in ("0", "1") if COMPILED else ("1",):
        with _environment("RMF_PURE", pure):
            told = [measured_where() for _ in range(_MEASUREMENTS)]
        committed = committed_of([one for _, one in told])
        COMMITTED.write_text(with_committed(COMMITTED.read_text(), told[0][0], committed))


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Have processes that are started find this in their environment."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


# --- For people -----------------------------------------------------------------------------------


def as_lines(figures: dict[str, Any]) -> list[str]:
    """Return the two tables, by process and by stage."""
    costs = {name: NodesCost(**cost) for name, cost in figures["by_process"].items()}
    heads = {"1 batch": "1 node", "3 batch": "3 nodes", "1 lone": "1, lone", "3 lone": "3, lone"}
    rows = [["µs of CPU a packet, by process", *heads.values()]]
    for part in _PARTS:
        found = [costs[name].parts.get(part) for name in heads]
        rows.append([part, *("" if cost is None else _micros(cost) for cost in found)])
    rows.append(["all of it", *(_micros(_whole(name, costs[name])) for name in heads)])
    rows.append(["packets/s", *(f"{costs[name].packets_per_s:,.0f}" for name in heads)])
    waits = [costs[name].p50_ms for name in heads]
    rows.append(["p50, ms", *(f"{wait:.2f}" if wait else "" for wait in waits)])
    stages = [["µs of CPU a packet, by stage", "batch", "floor", "compiled", "lone"]]
    for stage, cost in figures["by_stage"].items():
        where, often = STAGES[stage]
        name = f"{stage}, each" if often > 1 or where == "follower" else stage
        floors = [f"{cost['floor_us']:.2f}", f"{cost['floor_compiled_us']:.2f}"]
        stages.append([name, f"{cost['batch_us']:.3f}", *floors, f"{cost['lone_us']:.1f}"])
    stages += [[f"all of it, {nodes} node(s)", *_sums(figures, nodes)] for nodes in (1, 3)]
    size = figures["ledger_bytes_a_packet"]
    piece = "with" if figures["compiled_piece"] else "without"
    rest = [
        f"bytes of the ledger a packet: {size['batch']}; of a lone one: {size['lone']}",
        f"{piece} the compiled piece; {figures['interpreter']}",
    ]
    return [*aligned(rows), "", *aligned(stages), "", *rest]


def _micros(cost: float) -> str:
    return f"{cost:.2f}" if cost < 100 else f"{cost:,.0f}"


def _whole(name: str, cost: NodesCost) -> float:
    """Return what all processes took: the followers' stands there for one of them."""
    followers = int(name.split(maxsplit=1)[0]) - 1
    return sum(
        x * (followers if part.startswith("follower") else 1) for part, x in cost.parts.items()
    )


def _sums(figures: dict[str, Any], nodes: int) -> list[str]:
    sums = []
    for column in ("batch_us", "floor_us", "floor_compiled_us", "lone_us"):
        total = 0.0
        for stage, cost in figures["by_stage"].items():
            where, often = STAGES[stage]
            alone = nodes == 1 and (where == "follower" or often > 1)
            total += 0.0 if alone else cost[column] * often
        sums.append(f"{total:.2f}" if column != "lone_us" else f"{total:.0f}")
    return sums


def page_of(figures: dict[str, Any]) -> str:
    """Return the page of the manual."""
    tables = "\n".join(f"    {line}".rstrip() for line in as_lines(figures))
    return _PAGE.format(tables=tables, seconds=f"{figures['seconds']:g}")


_PAGE = """\
what a packet costs, by process and by stage, beside what it could cost

Measured and written by `rmf-bench budget --commit`, on the machine of its
last commit: 64-byte payloads, 1,000 keys, all nodes and the client on two
cores.

{tables}

By process: real nodes, read off /proc for {seconds} s each. A batch is as much
as a producer can send, 500 packets a frame; a lone packet is sent when the
one before is acked. By stage: the same code in one process, without sockets,
disks or tasks, in Ticks of 2,000 packets and of one. What a process takes
beyond its stages is syscalls, hand-overs between threads and processes, trio.

Floors are estimates of what a stage takes at least, in Python with C
libraries, and with a small compiled piece for its loops; they are of batches.
tools/budget_floors.py says what they are made from.

The default tests compare the stages with a fixed piece of Python in the same
run, and with the ratios in tools/budget.json: a stage that has grown by a
fifth fails them. Where that is meant, or a stage has become cheaper, commit
the budget again.
"""
