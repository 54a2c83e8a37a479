"""Whether a letter's packet may be sent again, and what would be sent (R40).

It decides by what the letter says and by what is in the World now. A packet goes only where nothing
is newer than it: the cells that its handler read are as they were, and the cell of its topic was
not written since. What a job wrote itself is no news to it: it sends in the order of the letters,
as history was. It asks a DLQ and cells (client/dlq), and sends nothing.
"""

from typing import Any, NamedTuple

from rmf.client.dlq import Body, Source
from rmf.core import profile
from rmf.core.bag import MORE_READS, SCANNED
from rmf.core.packet import PAYLOAD
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


def judge(source: Source, letter: str, job: str, *, force: bool) -> Judged:
    """Return whether a letter is to be sent by a job; `force`: even where something is newer."""
    found = list(source.ask("dlq.show", {"letter": letter}))
    if not found:
        return Judged("not_possible", "there is no such letter (any more)")
    opened = _opened(found[0])
    if isinstance(opened, str):
        return Judged("not_possible", opened)
    if not force:
        news = _news(source, found[0], opened.topic, JOB_PREFIX + job)
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


def _news(source: Source, body: Body, topic: str, producer: str) -> str | None:
    """Return what is newer than the letter, or None. Raises ConnectionFailed if nobody can say."""
    stamp = (body["term"], body["tick"], body["slot"])
    for key, *read in body.get("reads") or []:
        if read[0] == MORE_READS:
            return "its handler read more cells than the letter names"
        if read[0] == SCANNED:
            return f"its handler went through all keys of {key!r}: what is new there, nobody knows"
        found, by = _now(source, key)
        if found != tuple(read) and by != producer:
            return f"{key}: it read {_name(tuple(read))}, now there is {_name(found)}"
    if body.get("reason") in _MAY_NOT_TELL and not body.get("reads"):
        return "its handler may not have lived to tell which cells it read"
    found, by = _now(source, topic)
    if found > stamp and by != producer:
        return f"{topic}: it was written since, by {_name(found)}"
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
