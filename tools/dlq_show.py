"""`rmf-dlq show`: one letter with everything that is known of it (R38, R40).

Beside what the letter says: what is now in the cells that its handler read, if a node can say;
whose redrive it was, and what people decided about it. It decides what is asked for; how a letter
looks, client/letters does.
"""

from collections.abc import Iterator
from typing import Any

from rmf.client import opened_letters
from rmf.client.dlq import Body, Source
from rmf.client.render import json_line
from rmf.core import profile
from rmf.errors import ConnectionFailed, ProtocolFault
from tools import dlq_jobs

__all__ = ["for_scripts", "text_of"]


def for_scripts(source: Source, body: Body) -> Body:
    """Return a letter as `list` gives it, and what is known of it beyond."""
    letter = opened_letters.for_scripts(body)
    letter["reads"] = [_with_now(source, read) for read in letter["reads"]]
    return {
        **letter,
        "parent": dlq_jobs.parent_of(source, body),
        "attempt": dlq_jobs.attempt_of(source, body),
        "acts": [_act(act) for act in dlq_jobs.acts_of(source, letter=body["letter"])],
    }


def _act(act: Body) -> Body:
    names = ("entry", "at", "act", "by", "why", "group", "before", "job")
    return {name: act.get(name) for name in names}


def _with_now(source: Source, read: Body) -> Body:
    """Return a read with `now`: the cell as it is, null if there is none; without where it cannot
    say."""
    if "key" not in read:
        return read
    try:
        cell = source.cell(read["key"])
    except (LookupError, ConnectionFailed):
        return read
    if cell is None:
        return {**read, "now": None}
    now = {"term": cell.term, "tick": cell.tick, "slot": cell.slot, "producer": cell.producer}
    return {**read, "now": {**now, "value": _value_of(cell.value)}}


def _value_of(encoded: bytes) -> Any:
    try:
        return profile.decode_value(encoded)
    except ProtocolFault:
        return encoded


def text_of(source: Source, body: Body) -> str:
    """Return everything of a letter, for a person to read."""
    found = for_scripts(source, body)
    return "\n".join([opened_letters.text_of(body), *_reads(found), *_history(found)])


def _reads(found: Body) -> Iterator[str]:
    if found["reads"]:
        yield ""
        yield "it read"
    for read in found["reads"]:
        if "more" in read:
            yield "  … and more"
        elif "scan" in read:
            yield f"  all keys that begin with {opened_letters.plain(read['scan'])!r}"
        else:
            yield f"  {opened_letters.plain(read['key'])}  {_stamp(read)}{_now(read)}"


def _stamp(read: Body) -> str:
    return f"{read['term']}.{read['tick']}.{read['slot']}" if read["term"] else "nothing there"


def _now(read: Body) -> str:
    if "now" not in read:
        return ""
    now = read["now"]
    if now is None:
        return "" if not read["term"] else "  (gone since)"
    if _stamp(now) == _stamp(read):
        return f"  (unchanged: {opened_letters.plain(json_line(now['value']), 60)})"
    value = opened_letters.plain(json_line(now["value"]), 60)
    return f"  (now {_stamp(now)} of {opened_letters.plain(now['producer'], 40)}: {value})"


def _history(found: Body) -> Iterator[str]:
    if found["parent"] is not None:
        yield ""
        yield f"redriven   from {found['parent']}, attempt {found['attempt']}"
    if found["acts"]:
        yield ""
        yield "what people decided"
    for act in found["acts"]:
        where = f"Entry {act['entry']}" if act["entry"] else "this node"
        job = f" (job {opened_letters.plain(act['job'])})" if act["job"] else ""
        who, why = opened_letters.plain(act["by"], 80), opened_letters.plain(act["why"], 200)
        yield f"  {opened_letters.time_of(act['at'])}  {act['act']}{job}: {why}, by {who}, {where}"
