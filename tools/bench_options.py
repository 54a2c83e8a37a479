"""The options of `rmf-bench` that are of several commands, or of one that has many.

It decides their names, defaults and what may be chosen; what they lead to, the benchmarks know.
"""

import argparse

__all__ = ["add_compare", "add_links", "add_load", "add_scale", "add_world", "positive"]


def add_load(command: argparse.ArgumentParser, name: str) -> None:
    """Add what packets are made of, and how many are sent at once, to the command of this name."""
    if name in {"throughput", "latency", "recovery", "compare"}:
        command.add_argument("--payload-bytes", type=positive, default=64)
        command.add_argument(
            "--payload", choices=("bytes", "map"), default="bytes", help="what a packet holds"
        )
    if name == "throughput":
        command.add_argument("--producers", type=positive, default=1)
        command.add_argument("--keys", type=positive, default=1000, help="cells of the World")
        command.add_argument("--window", type=positive, default=16, help="frames in flight")
    if name == "budget":
        command.add_argument("--window", type=positive, default=16, help="frames in flight")
        command.add_argument(
            "--commit", action="store_true", help="write the manual's page, and the ratios for CI"
        )
    if name in {"throughput", "latency"}:
        command.add_argument("--glovebox", choices=("process", "inline"), default="process")
        command.add_argument("--line", help="FILE.py:NAME instead of the built-in board")
    if name == "fanout":
        command.add_argument("--displays", type=int, default=50)
        command.add_argument(
            "--kind",
            choices=("all", "own", "one", "every"),
            default="own",
            help="of everything, of a part each, of a cell each, of every Tick",
        )
    if name == "edges":
        command.add_argument("--clients", type=positive, default=1000)
        command.add_argument(
            "--kind",
            choices=("producers", "idle", "one", "own"),
            default="producers",
            help="producers, idle displays, displays of everything, of a part each",
        )
    if name in {"throughput", "recovery", "fanout"}:
        command.add_argument("--batch", type=positive, default=500, help="packets a frame")
    if name == "recovery":
        command.add_argument("--packets", type=positive, default=1_000_000)


def add_links(command: argparse.ArgumentParser) -> None:
    """Add what links are like."""
    command.set_defaults(seconds=60.0)
    command.add_argument("--mbit", type=float, default=100.0, help="of each node's way to others")
    command.add_argument("--round-trip-ms", type=float, default=0.5)
    command.add_argument("--payload-bytes", type=positive, default=1000)
    command.add_argument("--batch", type=positive, default=100, help="packets handed over at once")
    command.add_argument(
        "--catch-up", action="store_true", help="of a node that was away: only its links are slow"
    )
    command.add_argument("--mib", type=float, default=32.0, help="what it missed, in payloads")


def add_world(command: argparse.ArgumentParser, name: str) -> None:
    """Add how large a World is, to the command of this name."""
    command.add_argument("--keys", type=positive, default=1_000_000, help="cells that perish")
    if name == "steps":
        command.add_argument("--changes", type=positive, default=100_000, help="at once")
        command.add_argument("--producers", type=positive, default=1000)
    if name != "reboot":
        return
    command.set_defaults(seconds=60.0)
    command.add_argument(
        "--no-checkpoint", action="store_true", help="each node has all of its ledger to read"
    )


def add_compare(command: argparse.ArgumentParser) -> None:
    """Add what is compared, and how."""
    command.set_defaults(seconds=2.0)
    command.add_argument("--job", action="store_true", help="a whole job instead of messages")
    command.add_argument("--rate", type=float, default=200.0, help="of the job: packets/s to time")
    command.add_argument("--rounds", type=positive, default=3, help="of all contenders in turn")
    command.add_argument("--window", type=int, default=0, help="messages in flight, of all alike")
    command.add_argument("--keys", type=positive, default=1000)
    command.add_argument(
        "--with",
        dest="names",
        default="",
        metavar="NAME,...",
        help="only these; rmf-map and rmf-keys (maps as payloads, 100,000 keys) stand only here",
    )
    command.add_argument(
        "--python",
        dest="pythons",
        default="",
        metavar="PATH,...",
        help="further interpreters to run RMF's nodes on, with its dependencies installed",
    )


def add_scale(command: argparse.ArgumentParser) -> None:
    """Add what grows, and how far."""
    command.set_defaults(seconds=3.0)
    kinds = ("world", "producers", "displays", "letters", "ticks", "ledger", "overload")
    command.add_argument("--kind", choices=kinds, default="world", help="what grows")
    command.add_argument(
        "--sizes",
        type=lambda text: [positive(size) for size in text.split(",")],
        default=[],
        metavar="N,...",
        help="instead of those that take less than five minutes",
    )


def positive(text: str) -> int:
    """Return a whole number above 0. Raises ArgumentTypeError, which names what was expected."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected a whole number above 0")
    return number
