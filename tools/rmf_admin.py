"""rmf-admin: who belongs to the factory, who leads it, and which node is to be left in peace.

It decides what a user may order and what has to be confirmed, and shows what came of it. How an
order finds its node is decided by admin_orders, what it does by the node. Neither trio nor attrs is
imported.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rmf import limits
from rmf.client.command import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_TIME_OUT,
    add_connect_option,
    argument,
    command_parser,
    notice,
    parse_address,
    parse_duration_ms,
    run_command,
)
from rmf.client.render import json_line
from rmf.client.route import address_text
from rmf.errors import Refused, RmfError, UsageError
from tools.admin_orders import Orders
from tools.status_words import member_rows, remarks
from tools.text_table import aligned, printable

__all__ = ["main"]

_EXAMPLES = """\
examples:
  rmf-admin add n4 10.0.0.4:7510 --client-address 10.0.0.4:7410
                                     a new member: it learns, then votes
  rmf-admin add n2 10.0.0.2:7510     the same for a node that lost its data: under its old name
  rmf-admin remove n4 --yes          off a terminal, what cannot be taken back needs --yes
  rmf-admin transfer n1              hand leadership over, to the fittest node if none is named
  rmf-admin checkpoint n2            have a node write a Checkpoint now
  rmf-admin strike n2 --why "new disk"; rmf-admin strike n2 --end
  rmf-admin set election 2s-4s       over slow links: wait longer before another leader is elected
  rmf-admin backup plant.tar         then: rmf serve --restore plant.tar --data EMPTY-DIR
  rmf-admin recover /var/lib/rmf/n1  says what would be given up; --i-accept-loss gives it up

manual: rmf help cluster

exit codes: 0 done, 1 it cannot be done, 2 usage, 4 cannot connect, 5 refused, 6 time-out,
130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = _parser().parse_args(argv)
    return run_command("rmf-admin", lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "rmf-admin", "Give orders to a factory, or to one of its nodes.", _EXAMPLES
    )
    commands = parser.add_subparsers(dest="order", required=True, metavar="ORDER")
    add = commands.add_parser("add", help="make a node a member, or re-admit one that was wiped")
    add.add_argument("node", metavar="NODE", help="its name, as `serve --node` says")
    add.add_argument("peer_address", metavar="HOST:PORT", type=argument(_peer_address),
                     help="where other nodes reach it: its --peer-listen")  # fmt: skip
    add.add_argument("--client-address", metavar="HOST:PORT", type=argument(_client_address),
                     help="where clients reach it (default: what it says of itself)")  # fmt: skip
    add.add_argument("--no-wait", action="store_true", help="do not wait until it votes")
    remove = commands.add_parser("remove", help="take a node out of the factory")
    remove.add_argument("node", metavar="NODE")
    transfer = commands.add_parser("transfer", help="have another node lead")
    transfer.add_argument("node", metavar="NODE", nargs="?", help="default: the fittest")
    checkpoint = commands.add_parser("checkpoint", help="have a node write a Checkpoint now")
    checkpoint.add_argument("node", metavar="NODE", nargs="?", help="default: the one of -c")
    strike = commands.add_parser("strike", help="have a node stop working, but not vanish")
    strike.add_argument("node", metavar="NODE", nargs="?", help="default: the one of -c")
    strike.add_argument("--end", action="store_true", help="have it work again")
    strike.add_argument("--why", default="an operator's order", help="shown in its status")
    setting = commands.add_parser("set", help="set something for the whole factory")
    setting.add_argument("setting", choices=("election",),
                         help="how long nodes wait before they elect another leader")  # fmt: skip
    setting.add_argument("value", metavar="MIN-MAX", type=argument(_span_ms),
                         help="as 500ms-1s: a random time between the two")  # fmt: skip
    setting.set_defaults(node=None)
    for command in (add, remove, transfer, checkpoint, strike, setting):
        _add_common_options(command)
    backup = commands.add_parser("backup", help="write a running node's whole factory into a file")
    backup.add_argument("out", metavar="OUT.tar", type=Path)
    add_connect_option(backup)
    backup.add_argument("-W", "--wait", type=argument(parse_duration_ms), metavar="TIMEOUT",
                        help=f"for each step (default {limits.ADMIN_PATIENCE_S:g}s)")  # fmt: skip
    recover = commands.add_parser(
        "recover", help="go on with one node's directory after the majority was lost for good"
    )
    recover.add_argument("directory", metavar="DIR", type=Path, help="of a node that does not run")
    recover.add_argument("--i-accept-loss", action="store_true", help="do it")
    for command in (backup, recover):
        command.add_argument("-o", "--output", choices=("text", "json"),
                             help="default: text on a terminal, else json")  # fmt: skip
    return parser


def _add_common_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add_connect_option(command)
    add("-o", "--output", choices=("text", "json"),
        help="default: text on a terminal, else json")  # fmt: skip
    add("-W", "--wait", type=argument(parse_duration_ms), metavar="TIMEOUT",
        help=f"how long to try (default {limits.ADMIN_PATIENCE_S:g}s)")  # fmt: skip
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")
    add("--yes", action="store_true", help="do not ask (remove, strike)")


def _peer_address(text: str) -> str:
    if ":" not in text.rpartition("]")[2]:
        raise UsageError(f"address {text!r}: a peer's address has no usual port; add :PORT")
    return address_text(parse_address(text))


def _client_address(text: str) -> str:
    return address_text(parse_address(text))


def _span_ms(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if not dash:
        raise UsageError(f"{text!r}: expected two durations, as 500ms-1s")
    return parse_duration_ms(low), parse_duration_ms(high)


def _run(args: argparse.Namespace) -> int:
    if args.order in {"backup", "recover"}:
        _show(args, {"order": args.order, **_put_by(args)})
        return EXIT_DONE
    patience_s = args.wait / 1000 if args.wait else limits.ADMIN_PATIENCE_S
    orders = Orders(args.connect, patience_s, lambda text: notice(f"rmf-admin: {text}"))
    try:
        if args.dry_run:
            return _dry_run(args, orders)
        _confirm(args)
        answer = _ORDERS[args.order](args, orders)
    except TimeoutError as exc:
        notice(f"rmf-admin: {exc}")
        return EXIT_TIME_OUT
    except Refused as exc:
        if exc.code not in {"no_such_member", "not_possible"}:
            raise
        notice(f"rmf-admin: {exc}")
        return EXIT_FAILED
    _show(args, {"order": args.order, "node": args.node, **answer})
    return EXIT_DONE


def _put_by(args: argparse.Namespace) -> dict[str, Any]:
    from tools import admin_backup

    try:
        return (admin_backup.back_up if args.order == "backup" else admin_backup.recover)(args)
    except TimeoutError as exc:
        raise RmfError(str(exc)) from exc


# --- The orders -----------------------------------------------------------------------------


def _question_of(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return subject and arguments of the QUERY that gives this order."""
    wanted: dict[str, Any] = {}
    if args.order in {"add", "remove"} or (args.order == "transfer" and args.node is not None):
        wanted["node"] = args.node
    if args.order == "add":
        wanted["peer_address"] = args.peer_address
        if args.client_address is not None:
            wanted["client_address"] = args.client_address
    if args.order == "set":
        low_ms, high_ms = args.value
        wanted = {"election_min_ms": low_ms, "election_max_ms": high_ms}
    if args.order == "strike":
        wanted = {"end": args.end, "why": "" if args.end else args.why}
    return f"admin.{args.order}", wanted


def _add(args: argparse.Namespace, orders: Orders) -> dict[str, Any]:
    answer = orders.to_the_leader(*_question_of(args))
    return answer if args.no_wait else _voting(args.node, orders) or answer


def _voting(node: str, orders: Orders) -> dict[str, Any]:
    """Wait until a new member votes; return the members then."""
    said = ""
    while True:
        status = orders.to_the_leader("status", {})
        members = status.get("members")
        rows = [row for row in members if type(row) is dict] if type(members) is list else []
        member = next((row for row in rows if row.get("node") == node), {})
        if member.get("voter"):
            return {"members": rows}
        text = f"{printable(node)} learns: {member.get('match')} of {status.get('index')}"
        if text != said:
            notice(f"rmf-admin: {text}")
        said = text
        orders.pause(
            limits.ADMIN_POLL_S, f"{node} does not vote yet; it goes on learning by itself"
        )


def _to_the_leader(args: argparse.Namespace, orders: Orders) -> dict[str, Any]:
    # Without a name, giving it twice might pass leadership on twice.
    repeatable = args.order != "transfer" or args.node is not None
    return orders.to_the_leader(*_question_of(args), repeatable=repeatable)


def _to_the_node(args: argparse.Namespace, orders: Orders) -> dict[str, Any]:
    return orders.to_the_node(args.node, *_question_of(args))


_ORDERS: dict[str, Callable[[argparse.Namespace, Orders], dict[str, Any]]] = {
    "add": _add,
    "remove": _to_the_leader,
    "transfer": _to_the_leader,
    "checkpoint": _to_the_node,
    "strike": _to_the_node,
    "set": _to_the_leader,
}


# --- Asking first ---------------------------------------------------------------------------


def _confirm(args: argparse.Namespace) -> None:
    """Ask before what stops a node from working; off a terminal --yes has to say so."""
    if args.yes or args.order not in {"remove", "strike"} or getattr(args, "end", False):
        return
    what = f"{args.order} {args.node or 'the node at ' + address_text(args.connect[0])}"
    if not sys.stdin.isatty():
        raise UsageError(f"{what}: no terminal to ask on; add --yes, or --dry-run to see")
    sys.stderr.write(f"{what}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError(f"{what}: not confirmed")


def _dry_run(args: argparse.Namespace, orders: Orders) -> int:
    """Show the order, and the members as they are now."""
    subject, wanted = _question_of(args)
    to_node = args.order in {"checkpoint", "strike"}
    status = (
        orders.to_the_node(args.node, "status", {})
        if to_node
        else orders.to_the_leader("status", {})
    )
    _show(
        args,
        {
            "dry_run": True,
            "order": args.order,
            "to": status.get("node") if to_node else status.get("leader"),
            "subject": subject,
            "args": wanted,
            "members": status.get("members"),
        },
    )
    return EXIT_DONE


# --- Showing --------------------------------------------------------------------------------


def _show(args: argparse.Namespace, answer: dict[str, Any]) -> None:
    name = args.output or ("text" if sys.stdout.isatty() else "json")
    if name == "json":
        print(json_line(answer))
        return
    tables = {"members"} if member_rows([answer]) else set()
    for key, value in answer.items():
        if key not in tables and value is not None:
            print(f"{key:12} {printable(str(value))}")
    for remark in remarks(answer):
        print(remark)
    for line in aligned(member_rows([answer])) if tables else ():
        print(line)


if __name__ == "__main__":
    sys.exit(main())
