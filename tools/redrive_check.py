"""Whether a letter's packet may be sent again, and what would be sent (R40).

It decides by what the letter says, by what is in the World now, and by what the present line would
write. A packet goes only where nothing is newer than it: the cells that its handler read are as
they were, and the cells that would be written were not written since, whether a handler ever ran
or not. What a job wrote itself is no news to it: it sends in the order of the letters, as history
was. What it takes for a packet is what the node takes. It asks a DLQ, cells and the line
(client/dlq), and sends nothing.
"""

from typing import Any, NamedTuple

import cbor2

from rmf.client.dlq import Body, Source
from rmf.core import profile
from rmf.core.bag import MORE_READS, SCANNED
from rmf.core.packet import PAYLOAD, Row, check_rows
from rmf.core.triage import JOB_PREFIX, LINE_ID
from rmf.errors import ConnectionFailed, ProtocolFault

__all__ = ["Judged", "judge"]

_MAY_NOT_TELL = frozenset({"handler_timeout", "handler_died", "handler_memory"})


class Judged(NamedTuple):
    """`verdict` is "send", "newer_exists" or "not_possible"; `why` says why not. `topic`, `payload`
    (bytes, as they came), `ttl_ms` and `harvested_at` are those of the old packet."""

    verdict: str
    why: str
    topic: str = ""
    payload: bytes = b""
    ttl_ms: int = 0
    harvested_at: int = 0


def judge(
    source: Source, letter: str, job: str, *, force: bool, ttl_ms: int | None = None
) -> Judged:
    """Return whether a letter is to be sent by a job; `force`: even where something is newer.
    `ttl_ms` is the new packet's shelf life, None for that of the old one."""
    found = list(source.ask("dlq.show", {"letter": letter}))
    if not found:
        return Judged("not_possible", "there is no such letter (any more)")
    opened = _opened(found[0])
    if isinstance(opened, str):
        return Judged("not_possible", opened)
    opened = opened._replace(ttl_ms=ttl_ms or opened.ttl_ms)
    row = [opened.topic, 1, opened.harvested_at, opened.ttl_ms, opened.payload]
    verdicts = check_rows([row])
    if verdicts:
        return opened._replace(verdict="not_possible", why=verdicts[0].text)
    if not force:
        news = _news(source, found[0], row, JOB_PREFIX + job)
        if news is not None:
            return opened._replace(verdict="newer_exists", why=news)
    return opened


def _opened(body: Body) -> Judged | str:
    """Return the old packet, or why there is none that could be sent."""
    if LINE_ID.fullmatch(body["letter"]) is None:
        return "it is of one node's edge: its bytes held no packet with a seq, or were refused"
    if body.get("seq") is None:
        return "no packet was there: a handler of an expired cell failed"
    try:
        row = profile.decode(body["packet"])
    except (ProtocolFault, KeyError) as exc:
        return f"its packet cannot be read: {exc}"
    topic, ttl_ms, harvested_at = (body.get(x) for x in ("topic", "ttl_ms", "harvested_at"))
    if type(row) is not list or len(row) <= PAYLOAD or type(row[PAYLOAD]) is not bytes:
        return "its packet holds no payload"
    if type(topic) is not str or type(ttl_ms) is not int or type(harvested_at) is not int:
        return "its label cannot be read"
    if body.get("reason") == "label_invalid":
        return "its label is invalid: it would be bagged again"
    return Judged("send", "", topic, row[PAYLOAD], ttl_ms, harvested_at)


def _news(source: Source, body: Body, row: Row, producer: str) -> str | None:
    """Return what is newer than the letter, or None. Raises ConnectionFailed if that is unknown
    what is in a cell."""
    stamp = (body["term"], body["tick"], body["slot"])
    for key, *read in body.get("reads") or []:
        if read[0] == MORE_READS:
            return "its handler read more cells than the letter names"
        if read[0] == SCANNED:
            return f"its handler went through all keys of {key!r}: what is new there is unknown"
        found, by = _now(source, key)
        if found != tuple(read) and by != producer:
            return f"{key}: it read {_name(tuple(read))}, now there is {_name(found)}"
    if body.get("reason") in _MAY_NOT_TELL and not body.get("reads"):
        return "its handler may not have lived to tell which cells it read"
    return _overwritten(source, row, stamp, producer)


def _overwritten(source: Source, row: Row, stamp: tuple[Any, ...], producer: str) -> str | None:
    """Return which newer cell the present line would write over, or None. What it would not say
    counts as newer."""
    try:
        would = source.would(cbor2.dumps(row), producer)
    except LookupError as exc:
        return f"what the present line would write is unknown: {exc}"
    if would.get("more"):
        return "the present line would write more cells than the answer names"
    for key, term, tick, slot, by in would["cells"]:
        if (term, tick, slot) > stamp and by != producer:
            found = _name((term, tick, slot))
            return f"{key}: it was written since, by {found}, and the line would write over it"
    return None


def _now(source: Source, key: str) -> tuple[tuple[Any, ...], str]:
    """Return the Stamp of a cell as it is, (0, 0, 0) where there is none, and its maker."""
    try:
        cell = source.cell(key)
    except LookupError as exc:
        raise ConnectionFailed(f"{source.name} cannot say what is in {key!r} now: {exc}") from exc
    if cell is None:
        return (0, 0, 0), ""
    return (cell.term, cell.tick, cell.slot), cell.producer


def _name(stamp: tuple[Any, ...]) -> str:
    return ".".join(map(str, stamp)) if any(stamp) else "nothing"
