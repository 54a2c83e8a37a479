"""What `rmf-sim` found, as one line of JSON for scripts and as text.

It decides how a finding looks: what differs, in which handler, for which packet, why, and where to
look. Foreign texts pass `printable`, so that a terminal survives them.
"""

import json
from collections.abc import Iterator
from typing import Any

from tools.text_table import printable

__all__ = ["json_of", "table_of"]

_VALUE_CHARACTERS_MAX = 160

_dumps = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def json_of(result: dict[str, Any]) -> str:
    """Return the result as one line of JSON."""
    return _dumps(result)


def table_of(result: dict[str, Any]) -> str:
    """Return the result as human-readable text."""
    lines = [result["verdict"]]
    if result["seeds"] is not None:
        lines += _seeds(result["seeds"])
    if result["determinism"] is not None:
        lines += _determinism(result["determinism"])
    return "\n".join(map(printable, lines))


def _seeds(seeds: dict[str, Any]) -> Iterator[str]:
    bad = ("failed", "void", "hung", "overdue", "died")
    said = [f"{seeds[name]} {name}" for name in bad if seeds[name]]
    yield (
        f"  seeds         {seeds['first']} to {seeds['last']}: "
        + ", ".join([f"{seeds['passed']} passed", *said])
    )
    yield (
        f"                {seeds['nodes']} nodes, {seeds['packets']} packets committed,"
        f" {seeds['faults']} faults met ({seeds['kinds']}),"
        f" {seeds['seeds_per_minute']:g} seeds/minute"
    )
    for failure in seeds["failures"]:
        yield f"  seed {failure['seed']}: {failure['verdict']}: {failure['why']}"
        if failure["handler"] is not None:
            yield f"    in          {_handler(failure['handler'])}"
            yield f"    for         {_short(failure['packet'])}"
        yield f"    again       {failure['command']}"


def _determinism(found: dict[str, Any]) -> Iterator[str]:
    runs = len(found.get("runs", ()))
    if found["deterministic"]:
        yield f"  determinism   {found['packets']} packets came out the same in {runs} runs more"
    elif found["deterministic"] is None:
        yield "  determinism   there is no history to run again: making it came to an end"
    else:
        count = len(found["findings"])
        yield f"  determinism   {found['packets']} packets, {runs} runs more: {count} findings"
    if found.get("bagged"):
        counts = ", ".join(f"{count} {reason}" for reason, count in found["bagged"].items())
        yield f"  bagged        {counts} of {found['packets']}"
    if found.get("unfit"):
        filters = ", ".join(found["unfit"])
        yield (
            f"  made up       no payload that the class takes was found for {filters}:"
            " give --packets"
        )
    for fate in found["fates"]:
        yield f"  {fate['kind']}: {fate['why']}"
        if fate["handler"] is not None:
            yield f"    in          {_handler(fate['handler'])}"
            yield f"    for         {_short(fate['packet'])}"
    for one in found["findings"]:
        yield from _finding(one)


def _finding(one: dict[str, Any]) -> Iterator[str]:
    yield f"  {', '.join(one['causes'])}: {one['why']}"
    yield f"    in          {_handler(one['handler'])}"
    what = f"key {one['key']}" if one["key"] is not None else one["kind"]
    yield (
        f"    what        {what}, at term {one['term']}, tick {one['tick']}, slot {one['slot']}"
        f" ({one['packets']} packets in all)"
    )
    yield f"    at first    {_outcome(one, one['first'])}"
    yield f"    with        {one['variant']}"
    yield f"    it is       {_outcome(one, one['again'])}"
    if one["error"] is not None:
        yield f"    error       {one['error']}"
    yield f"    for         {_short(one['packet'])}"
    for suspect in one["suspects"]:
        yield f"    look at     {suspect['file']}:{suspect['line']}  {suspect['text']}"


def _outcome(one: dict[str, Any], side: Any) -> str:
    if one["kind"] == "outcome":
        return "applied" if side is None else str(side)
    return _short(side)


def _handler(handler: dict[str, Any] | None) -> str:
    if handler is None:
        return "no handler"
    place = "" if handler["file"] is None else f"{handler['file']}:{handler['line']}  "
    return f"{place}{handler['function']} ({handler['filter']})"


def _short(value: Any) -> str:
    text = _dumps(value)
    if len(text) <= _VALUE_CHARACTERS_MAX:
        return text
    return f"{text[:_VALUE_CHARACTERS_MAX]}…"
