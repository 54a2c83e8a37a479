"""`rmf-dlq redrive`: send what was bagged once more, as new packets of a job of its own (R40).

It decides what is selected and shown: nothing is sent before `--yes`. What a letter's packet would
be, and whether it may be sent, decides redrive_check; how a job is sent, redrive_job. Its start-up
imports hold neither trio nor attrs.
"""

import argparse
import secrets
import sys
from datetime import UTC, datetime
from typing import Any

from rmf import limits
from rmf.client import command, dlq, opened_letters
from rmf.client.command import EXIT_BAGGED, EXIT_DONE, argument, notice
from rmf.client.dlq import Body
from rmf.client.render import json_line
from rmf.errors import RmfError, UsageError
from tools import dlq_triage
from tools.dlq_triage import Verb

__all__ = ["add_verb"]


def add_verb(verb: Verb) -> argparse.ArgumentParser:
    """Add the verb to the command line of rmf-dlq; return its parser."""
    sub = verb(
        "redrive", _redrive, "Send bagged packets again. Shows what would be sent; --yes does."
    )
    sub.add_argument("letters", metavar="ID", nargs="*", help="letters, as `list` shows them")
    sub.add_argument("--yes", action="store_true", help="do it")
    sub.add_argument("--why", default="redrive", help="kept in the audit trail of every node")
    sub.add_argument("--job", help="its name; of a job that was interrupted: go on with it")
    text = "send also where what the handler read, or what would be written over, is newer"
    sub.add_argument("--force", action="store_true", help=text)
    text = f"packets per second, at most (default {limits.REDRIVE_PER_S:g})"
    rate = argument(_rate)
    sub.add_argument("--rate", metavar="N", type=rate, default=limits.REDRIVE_PER_S, help=text)
    text = "shelf life of the new packets (default: as the old ones had)"
    ttl = argument(_ttl_ms)
    sub.add_argument("--ttl", metavar="DURATION", type=ttl, help=text)
    return sub


def _ttl_ms(text: str) -> int:
    found = command.parse_duration_ms(text)
    if found > limits.TTL_MS_MAX:
        raise UsageError(f"ttl {text!r}: at most {limits.TTL_MS_MAX} ms, which are 69 years")
    return found


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.01 <= rate <= 1_000_000:
        raise UsageError(f"rate {text!r}: expected packets per second, 0.01 to 1000000")
    return rate


def _redrive(source: dlq.Source, args: argparse.Namespace) -> int:
    if args.data is not None:
        raise UsageError("redrive: goes through a running node (-c)")
    from tools import dlq_jobs

    job = None if args.job is None else dlq_jobs.job_of(source, args.job)
    named = bool(args.letters or dlq_triage.filters_of(args))
    if job is not None:
        if named:
            raise UsageError(
                f"redrive: the selection of job {args.job} is frozen; leave out the filters to go"
                " on with it, or name another job"
            )
        ids = job.letters
    elif named:
        ids = _selected(source, args)
    else:
        raise UsageError("redrive: name letters, or a filter (--group, --reason, --since, ...)")
    if not args.yes:
        return _dry_run(source, args, ids, job)
    return _send(source, args, ids)


def _selected(source: dlq.Source, args: argparse.Namespace) -> list[str]:
    """Return the ids of the selection, oldest first; what is not dealt with yet if nothing else is
    said."""
    if args.letters:
        return dlq_triage.known_ids(source, args.letters)
    filters = {"state": "open", **dlq_triage.filters_of(args)}
    most = min(args.limit or limits.TRIAGE_LETTERS_MAX, limits.TRIAGE_LETTERS_MAX)
    found = [body["letter"] for body in dlq.walk(source, filters, most)]
    if not found:
        raise RmfError(f"redrive: {source.name} has no such letters; see `rmf-dlq list`")
    if args.limit is None and len(found) == most:
        notice(f"rmf-dlq: the oldest {most} letters are taken; redrive again for the others")
    return found


def _dry_run(source: dlq.Source, args: argparse.Namespace, ids: list[str], job: Any) -> int:
    """Show what would be sent, and what would be left out, and why; of a job, what is left."""
    from tools import redrive_check

    done = set() if job is None else job.skipped | job.redriven
    sums = {"send": 0, "newer_exists": 0, "not_possible": 0, "done": len(done)}
    for letter in ids:
        if letter in done:
            continue
        found = redrive_check.judge(
            source, letter, args.job or "", force=args.force, ttl_ms=args.ttl
        )
        sums[found.verdict] += 1
        _say(args, {"letter": letter, "would": found.verdict, "why": found.why})
    _sum_up(args, {"dry_run": True, "job": args.job, "letters": len(ids), **sums})
    notice("rmf-dlq: nothing was sent; add --yes to send")
    return EXIT_DONE


def _send(source: dlq.Source, args: argparse.Namespace, ids: list[str]) -> int:
    from tools import redrive_job

    name = args.job or f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    try:
        sums = redrive_job.drive(source, args, name, ids, lambda body: _say(args, body))
    except KeyboardInterrupt:
        notice(f"rmf-dlq: interrupted; to go on: rmf-dlq redrive --job {name} --yes")
        raise
    except RmfError:
        notice(f"rmf-dlq: to go on with it: rmf-dlq redrive --job {name} --yes")
        raise
    _sum_up(args, {"job": name, **sums})
    return EXIT_BAGGED if sums["bagged"] or sums["newer_exists"] else EXIT_DONE


def _say(args: argparse.Namespace, body: Body) -> None:
    if args.output != "table":
        print(json_line(body))
        return
    words = [
        opened_letters.plain(body["letter"]),
        opened_letters.plain(body.get("would") or body.get("outcome")),
    ]
    print(
        "  ".join([*words, opened_letters.plain(body.get("why") or body.get("reason") or "", 160)])
    )


def _sum_up(args: argparse.Namespace, sums: Body) -> None:
    if args.output != "table":
        print(json_line(sums))
        return
    print("  ".join(f"{name} {opened_letters.plain(value)}" for name, value in sums.items()))
    sys.stdout.flush()
