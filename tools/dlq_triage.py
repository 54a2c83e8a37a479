"""`rmf-dlq resolve`, `reopen`, `purge` and `audit`: what people decide about letters (R40).

It decides which selection a command line names, what has to be confirmed, and whom an act is given
to: the leader, for letters of the line; the node that is asked, for those of its edge. It waits
until that node's DLQ has done it, so that the next command sees it. No trio and no attrs.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from rmf import limits
from rmf.client import command, dlq, opened_letters
from rmf.client.command import EXIT_DONE, notice
from rmf.client.dlq import Body
from rmf.client.render import json_line
from rmf.errors import RmfError, UsageError
from tools.admin_orders import Orders

__all__ = ["act", "add_verbs", "filters_of", "known_ids", "wait_for_entry"]

Verb = Callable[..., argparse.ArgumentParser]


def add_verbs(verb: Verb) -> None:
    """Add the verbs to the command line of rmf-dlq."""
    for name, text in (
        ("resolve", "Mark letters or a group as dealt with, until it happens again."),
        ("reopen", "Mark letters or a group as not dealt with, after all."),
        ("purge", "Delete letters. Shows what would go; --yes does it."),
    ):
        sub = verb(name, _decide, text)
        sub.set_defaults(act=name)
        sub.add_argument("letters", metavar="ID", nargs="*", help="letters, as `list` shows them")
        sub.add_argument("--group", help="a whole group, as `groups` shows it")
        sub.add_argument("--why", required=True, help="kept in the audit trail of every node")
        if name == "purge":
            sub.add_argument("--before", metavar="TIME", type=moment,
                             help="bagged before 2026-11-26T20:00:00Z, or 30m ago")  # fmt: skip
            sub.add_argument("--yes", action="store_true", help="do it, and do not ask")
    audit = verb("audit", _audit, "What people decided about letters: who, why, when.")
    audit.add_argument("--job", help="of this job of redrive only")


def moment(text: str) -> int:
    """Return wall-clock ns, for argparse."""
    return command.argument(lambda given: command.parse_moment_ns(given, time.time_ns()))(text)


def filters_of(args: argparse.Namespace) -> Body:
    """Return the filters of `dlq.list` that a command line names."""
    names = ("reason", "group", "producer", "topic", "state", "since", "until")
    found = {name: getattr(args, name, None) for name in names}
    return {name: value for name, value in found.items() if value is not None}


# --- Deciding -------------------------------------------------------------------------------------


def _decide(source: dlq.Source, args: argparse.Namespace) -> int:
    before = getattr(args, "before", None)
    if [bool(args.letters), args.group is not None, before is not None].count(True) != 1:
        raise UsageError(f"{args.act}: name letters, or --group, or (purge) --before; one of them")
    if args.data is not None:
        raise UsageError(f"{args.act}: goes through a running node (-c), which every other follows")
    selection = {"group": args.group, "before": before, "letters": known_ids(source, args.letters)}
    selection = {name: value for name, value in selection.items() if value}
    count = len(args.letters) or _count(source, selection)
    if not count:
        raise RmfError(f"{args.act}: {source.name} has no such letters; see `rmf-dlq list`")
    if args.act == "purge" and not _confirmed(source, args, selection, count):
        return EXIT_DONE
    answer = _give(source, args, selection)
    if args.output == "table":
        print(f"{args.act}: {answer['matched']} letters at {source.name}: {args.why}")
    else:
        print(json_line(answer))
    return EXIT_DONE


def known_ids(source: dlq.Source, ids: list[str]) -> list[str]:
    """Return the ids as they are, each once. Raises RmfError for a letter that is not there."""
    for letter in ids:
        if not list(source.ask("dlq.show", {"letter": letter})):
            raise RmfError(
                f"unknown_letter: {source.name} has no letter {opened_letters.plain(letter, 80)}"
            )
    return list(dict.fromkeys(ids))


def _count(source: dlq.Source, selection: Body) -> int:
    return int(next(iter(source.ask("dlq.count", _filters(selection))))["letters"])


def _filters(selection: Body) -> Body:
    named = {"group": selection.get("group"), "until": selection.get("before")}
    return {name: value for name, value in named.items() if value is not None}


def _confirmed(source: dlq.Source, args: argparse.Namespace, selection: Body, count: int) -> bool:
    """Show what would go; return whether it shall."""
    if args.yes:
        return True
    if args.output == "table":
        print(f"{count} letters would go:")
        for body in _some(source, selection):
            print("  " + "  ".join(opened_letters.cells_of(body)))
    else:
        ids = [body["letter"] for body in _some(source, selection)]
        print(json_line({"dry_run": True, "act": "purge", "letters": count, "some": ids}))
    if not sys.stdin.isatty():
        notice("rmf-dlq: nothing was deleted; add --yes to do it")
        return False
    sys.stderr.write("delete them? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _some(source: dlq.Source, selection: Body) -> Iterator[Body]:
    for letter in selection.get("letters", [])[: limits.PURGE_LETTERS_SHOWN]:
        yield from source.ask("dlq.show", {"letter": letter})
    if "letters" not in selection:
        yield from dlq.walk(source, _filters(selection), limits.PURGE_LETTERS_SHOWN)


def _give(source: dlq.Source, args: argparse.Namespace, selection: Body) -> Body:
    """Give the act to whom it concerns; return what it met in the DLQ of the node that is asked."""
    answer: Body = {"act": args.act, "why": args.why, **selection, "matched": 0}
    ids = selection.get("letters", [])
    edge = [letter for letter in ids if ":" in letter]
    for at in range(0, len(ids), limits.TRIAGE_LETTERS_MAX):
        some = [x for x in ids[at : at + limits.TRIAGE_LETTERS_MAX] if ":" not in x]
        if some:
            answer |= _by_the_leader(
                source, args, {**selection, "letters": some}, answer["matched"]
            )
    if not ids:
        answer |= _by_the_leader(source, args, selection, 0)
    if edge or not ids:
        local = {**selection, "letters": edge} if edge else selection
        order = {"act": args.act, "why": args.why, **local}
        (met,) = source.ask("dlq.triage_edge", order)
        answer["matched"] += met["matched"]
    return answer


def _by_the_leader(source: dlq.Source, args: argparse.Namespace, what: Body, before: int) -> Body:
    found = act(args, source, args.act, args.why, **what)
    return {"entry": found["entry"], "matched": before + found["matched"]}


def act(
    args: argparse.Namespace, source: dlq.Source, name: str, why: str, **selection: Any
) -> Body:
    """Have the leader write an act; return it as the node that is asked keeps it then."""
    say = lambda text: notice(f"rmf-dlq: {text}")  # noqa: E731
    orders = Orders(args.connect, max(args.timeout_s, limits.GET_S_MAX), say, dlq.AGENT)
    answer = orders.to_the_leader("admin.triage", {"act": name, "why": why, **selection})
    return wait_for_entry(source, answer["index"], args.timeout_s)


def wait_for_entry(source: dlq.Source, index: int, patience_s: float) -> Body:
    """Wait until a node's DLQ has done the act of an Entry; return it. Raises TimeoutError."""
    deadline = time.monotonic() + patience_s
    while True:
        for body in source.ask("dlq.acts", {"entry": index}):
            return body
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"Entry {index} is committed, but the DLQ of {source.name} has not done it within"
                f" {patience_s:g} s; it will"
            )
        time.sleep(limits.TRIAGE_POLL_S)


# --- The audit trail ------------------------------------------------------------------------------


def _audit(source: dlq.Source, args: argparse.Namespace) -> int:
    after, more = 0, True
    filters = {} if args.job is None else {"job": args.job}
    while more:
        page = list(source.ask("dlq.acts", {**filters, "after": after}))
        more = bool(page)
        for body in page:
            after = body["row"]
            print(_line_of(body) if args.output == "table" else json_line(body))
    return EXIT_DONE


def _line_of(body: Body) -> str:
    selection = f"{len(body['letters'])} letters" if body["letters"] else body["group"]
    if selection is None:
        selection = f"before {opened_letters.time_of(body['before'])}"
    words = (
        opened_letters.time_of(body["at"]),
        f"Entry {body['entry']}" if body["entry"] else "this node",
        body["act"],
        f"job {opened_letters.plain(body['job'])}" if body["job"] else "-",
        f"{opened_letters.plain(selection)} ({body['matched']} here)",
        opened_letters.plain(body["why"], 200),
        f"by {opened_letters.plain(body['by'], 100)}",
    )
    return "  ".join(words)
