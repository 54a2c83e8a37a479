"""`rmf-bench`: the figures of a factory, so that no change slows the line unseen (DESIGN §15).

Each benchmark starts nodes of its own on free ports, with fsync on, and removes their data. With
`-o json` one object on stdout: {"bench", "nodes", "fsync", "payload_bytes", "seconds"} and the
figures.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from rmf.client.command import command_parser, run_command
from tools.bench_options import (
    add_compare,
    add_links,
    add_load,
    add_scale,
    add_world,
    positive,
)

__all__ = ["main"]

_EXAMPLES = """\
examples:
  rmf-bench throughput                  packets/s, batching producers, committed and acked
  rmf-bench throughput --nodes 3        the same of a factory of three
  rmf-bench latency -o json             one packet in flight: p50, p99, max
  rmf-bench failover --kills 50         last ack of a killed leader to first ack of the next one
  rmf-bench fanout --kind own           what 50 displays of parts of the World cost the line
  rmf-bench edges --kind producers      1,000 of them with a packet in flight each: CPU a packet
  rmf-bench recovery --packets 2000000  how fast a killed node replays its ledger
  rmf-bench links --mbit 100            reigns, packets/s and waits of three over slow links
  rmf-bench links --mbit 10 --catch-up  how long a node needs that was away, over a slow link
  rmf-bench day --keys-per-s 1000       a follower's memory while keys come and go, simulated
  rmf-bench start                       an empty node until ready; rmf-cat --once
  rmf-bench idle --seconds 20           CPU and memory of a node with nothing to do
  rmf-bench steps --keys 1000000        how long the Arbiter's loop stands still in a large World
  rmf-bench pauses --keys 1000000       what a producer waits beside pictures, Checkpoints, restarts
  rmf-bench reboot --keys 1000000       three nodes lose their power: first ack, longest gap
  rmf-bench compare                     beside NATS, etcd, PySyncObj and Redis, as installed
  rmf-bench scale --kind world          what cells cost, from 1,000 to 1,000,000; and other laws
  rmf-bench budget                      what a packet costs, by process and stage, and could cost
  rmf-bench compare --with rmf,rmf-1 --python /usr/bin/python3.11,venv/bin/python
                                        nodes on several interpreters
  rmf-bench compare --job               the same job end to end: packet, handler, state, subscriber
"""


_NODES = {  # the default first
    "throughput": (1, 3, 5),
    "latency": (1, 3, 5),
    "failover": (3, 5),
    "links": (3,),
    "steps": (3,),
    "reboot": (3,),
    "compare": (3,),
    "budget": (3,),
}


_JOB_WINDOW = 8000
_PAYLOADS = dict.fromkeys(("failover", "steps", "reboot"), "number") | {
    "fanout": "bytes",
    "edges": "bytes",
    "pauses": "bytes",
}


def main(argv: list[str] | None = None) -> int:
    """Run one benchmark; return the exit code."""
    options = _parser().parse_args(argv)
    return run_command("rmf-bench", lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("rmf-bench", "Measure a factory.", _EXAMPLES)
    commands = parser.add_subparsers(dest="bench", required=True)
    for name in (*_NODES, "recovery", "pauses", "fanout", "edges", "day", "start", "idle", "scale"):
        command = commands.add_parser(name)
        command.add_argument("-o", dest="output", choices=("table", "json"), default="")
        if name == "failover":
            command.add_argument("--kills", type=positive, default=50)
        elif name != "steps":
            command.add_argument("--seconds", type=float, default=5.0)
        nodes = _NODES.get(name, (1,))
        command.add_argument("--nodes", type=int, choices=nodes, default=nodes[0])
        add_load(command, name)
        if name == "start":
            command.add_argument("--runs", type=positive, default=5)
        if name == "links":
            add_links(command)
        if name == "compare":
            add_compare(command)
        if name == "scale":
            add_scale(command)
        if name in {"steps", "reboot", "pauses"}:
            add_world(command, name)
        if name == "day":
            command.add_argument("--hours", type=float, default=24.0)
            command.add_argument("--keys-per-s", type=positive, default=100)
            command.add_argument("--ttl-s", type=positive, default=10)
    return parser


def _run(options: argparse.Namespace) -> int:
    figures = _benchmark(options)()
    whole = {
        "bench": options.bench,
        "nodes": options.nodes,
        "fsync": True,
        **figures,
        "payload": getattr(options, "payload", _PAYLOADS.get(options.bench, "map")),
        "python": platform.python_version(),
    }
    if options.output == "json" or (not options.output and not sys.stdout.isatty()):
        print(json.dumps(whole))
        return 0
    for line in _lines(whole):
        print(line)
    return 0


def _lines(figures: dict[str, Any]) -> list[str]:
    if figures["bench"] == "budget":
        from tools import bench_budget

        return bench_budget.as_lines(figures)
    if figures["bench"] == "scale":
        from tools import bench_scale

        return bench_scale.as_lines(figures)
    if figures["bench"] == "compare":
        from tools import bench_compare, bench_job

        as_lines = bench_job.as_lines if figures["job"] else bench_compare.as_lines
        return as_lines(figures)
    return [f"{name:24} {value}" for name, value in figures.items()]


def _benchmark(options: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    own = {
        "budget": _budget,
        "compare": _compare,
        "edges": _edges,
        "fanout": _fanout,
        "scale": _scale,
    }.get(options.bench)
    return partial(own, options) if own else _figures_of(options)


def _figures_of(options: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    from tools import bench_day, bench_failover, bench_pauses, bench_reboot, bench_steps
    from tools import bench_load as load

    match options.bench:
        case "throughput":
            return lambda: load.throughput(
                seconds=options.seconds,
                producers=options.producers,
                batch=options.batch,
                window=options.window,
                payload=load.payload_of(options.payload_bytes, options.payload),
                nodes=options.nodes,
                glovebox=options.glovebox,
                line=options.line,
                keys=options.keys,
            )
        case "latency":
            return lambda: load.latency(
                seconds=options.seconds,
                payload=load.payload_of(options.payload_bytes, options.payload),
                nodes=options.nodes,
                glovebox=options.glovebox,
                line=options.line,
            )
        case "failover":
            return lambda: bench_failover.failover(nodes=options.nodes, kills=options.kills)
        case "links":
            return lambda: _links(options, load.payload_of(options.payload_bytes))
        case "steps":
            return lambda: bench_steps.steps(
                keys=options.keys, changes=options.changes, producers=options.producers
            )
        case "reboot":
            return lambda: bench_reboot.reboot(
                keys=options.keys,
                checkpoint=not options.no_checkpoint,
                seconds=options.seconds,
            )
        case "pauses":
            return lambda: bench_pauses.pauses(keys=options.keys, seconds=options.seconds)
        case "recovery":
            return lambda: load.recovery(
                packets=options.packets,
                batch=options.batch,
                payload=load.payload_of(options.payload_bytes, options.payload),
            )
        case "day":
            return lambda: bench_day.day(options.hours, options.keys_per_s, options.ttl_s)
        case "start":
            return lambda: load.start(runs=options.runs)
        case _:
            return lambda: load.idle(seconds=options.seconds)


def _fanout(options: argparse.Namespace) -> dict[str, Any]:
    from tools import bench_fanout

    return bench_fanout.fanout(
        seconds=options.seconds,
        displays=options.displays,
        kind=options.kind,
        batch=options.batch,
    )


def _edges(options: argparse.Namespace) -> dict[str, Any]:
    from tools import bench_edges

    return bench_edges.edges(seconds=options.seconds, clients=options.clients, kind=options.kind)


def _budget(options: argparse.Namespace) -> dict[str, Any]:
    from tools import bench_budget

    return bench_budget.budget(
        seconds=options.seconds, window=options.window, commit=options.commit
    )


def _scale(options: argparse.Namespace) -> dict[str, Any]:
    from tools import bench_scale

    return bench_scale.scale(options.kind, options.sizes, options.seconds)


def _compare(options: argparse.Namespace) -> dict[str, Any]:
    from tools import bench_compare, bench_job, bench_load
    from tools.compare_servers import Load

    names = [name for name in options.names.split(",") if name]
    if options.job:
        return bench_job.job(
            seconds=options.seconds,
            rounds=options.rounds,
            window=options.window or _JOB_WINDOW,
            keys=options.keys,
            rate=options.rate,
            names=names,
        )
    payload = bench_load.payload_of(options.payload_bytes, options.payload)
    load = Load(payload, options.keys, options.seconds, options.window)
    pythons = [path for path in options.pythons.split(",") if path]
    return bench_compare.compare(load, options.rounds, names, pythons)


def _links(options: argparse.Namespace, payload: bytes) -> dict[str, Any]:
    from tools import bench_links

    way = (options.mbit, options.round_trip_ms, options.batch, payload)
    if options.catch_up:
        return bench_links.catch_up(*way, mib=options.mib, patience_s=options.seconds)
    return bench_links.links(*way, seconds=options.seconds)


if __name__ == "__main__":
    sys.exit(main())
