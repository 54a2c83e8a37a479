"""What `rmf-replay` found, as JSON for scripts and as text for people (INTERFACES).

It decides how a difference looks. Foreign values and texts pass client/render, so that JSON can say
them and a terminal survives them. What is no value has a form that no value has:

    {"$unchanged": true}     the slot did not change the key
    {"$removed": true}       it removed the key
    {"$shelf": …}            the values are equal, their shelves are not: "inherited", "kept" or ms
    {"$on_expired": …}       whether the line listens to the expiry of the key
"""

import json
from collections.abc import Iterator
from typing import Any

import attrs

from rmf.client.render import to_json
from rmf.core import profile
from rmf.core.entry import LineId
from rmf.core.events import Change
from rmf.core.world import World
from rmf.errors import ProtocolFault
from rmf.line.line import Line
from rmf.line.replay import Replay
from rmf.line.rerun import Divergence
from rmf.storage.restore import Restored
from tools.text_table import printable

__all__ = ["Result", "json_of", "line_notices", "summary_of", "world_lines"]


@attrs.frozen
class Result:
    """What came of a replay that took `seconds`, and what it was made with."""

    replay: Replay
    divergence: Divergence | None
    line: Line | None
    restored: Restored
    seconds: float


def json_of(result: Result) -> str:
    """Return the result as one line of JSON."""
    return _dumps(_facts(result))


def _facts(result: Result) -> dict[str, Any]:
    replay, found, restored = result.replay, result.divergence, result.restored
    lines = replay.lines
    return {
        "identical": found is None,
        "entries": replay.entries,
        "packets": replay.packets,
        "bagged": replay.bagged,
        "first_tick": replay.first_tick,
        "last_tick": replay.last_tick,
        "digest": replay.state.digest().hex(),
        "divergence": None if found is None else _divergence(found),
        "packets_per_s": round(replay.packets / result.seconds),
        "line": None if result.line is None else _line(_id_of(result.line)),
        "ledger_line": _line(lines[-1]) if lines else None,
        "start": {
            "checkpoint": restored.start.checkpoint and str(restored.start.checkpoint),
            "index": restored.state.index,
            "tick": restored.state.tick,
        },
    }


def _id_of(line: Line) -> LineId:
    return LineId(line.name, line.version, line.digest)


def _line(line: LineId) -> dict[str, Any]:
    return {"name": line.name, "version": line.version, "digest": line.digest.hex()}


def _divergence(found: Divergence) -> dict[str, Any]:
    ledger, replay = _sides(found)
    return {
        "term": found.term,
        "tick": found.tick,
        "slot": found.slot,
        "key": found.key,
        "ledger": ledger,
        "replay": replay,
        "kind": found.kind,
        "packet": None if found.origin is None else attrs.asdict(found.origin),
        "error": None if found.error is None else found.error._asdict(),
    }


def _sides(found: Divergence) -> tuple[Any, Any]:
    """Return what the ledger has, and what the replay."""
    ledger, replay = found.ledger, found.replay
    if found.kind == "change":
        if ledger is not None and replay is not None and ledger[2] == replay[2]:
            return {"$shelf": _shelf(ledger)}, {"$shelf": _shelf(replay)}
        return _written(ledger), _written(replay)
    if found.kind == "expiry":
        return {"$on_expired": ledger}, {"$on_expired": replay}
    if found.kind == "digest":
        return ledger.hex(), replay.hex()
    return ledger, replay


def _written(change: Change | None) -> Any:
    if change is None:
        return {"$unchanged": True}
    value = change[2]
    return {"$removed": True} if value is None else _value(value)


def _shelf(change: Change) -> str | int:
    return {-1: "inherited", 0: "kept"}.get(change[3], change[3])


def _value(encoded: bytes) -> Any:
    try:
        return to_json(profile.decode(encoded))
    except ProtocolFault:  # no line of RMF writes such a value
        return {"$undecodable": to_json(encoded)["$bytes"]}


def world_lines(world: World) -> Iterator[str]:
    """Give each cell of a World as a line of JSON, in key order; what never expires says null."""
    for key, cell in world.scan():
        head = cell._asdict()
        del head["value"], head["mark"]
        head["expires"] = cell.expires or None
        yield _dumps({"key": key, "value": _value(cell.value), **head})


# Of what is rendered already; ASCII, so that nothing in it is a terminal's command.
_dumps = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def summary_of(result: Result) -> str:
    """Return the result as text for people."""
    replay, found = result.replay, result.divergence
    lines = ["identical"] if found is None else list(_difference_lines(found))
    ticks = f", ticks {replay.first_tick} to {replay.last_tick}" if replay.entries else ""
    lines.append(
        f"  read     {replay.entries} Entries, {replay.packets} packets"
        f" ({replay.bagged} bagged){ticks}"
    )
    state, checkpoint = result.restored.state, result.restored.start.checkpoint
    begun = "genesis" if checkpoint is None else f"{checkpoint}, tick {state.tick}"
    lines.append(f"  from     {begun}")
    if result.line is not None:
        lines.append(f"  line     {_named(_id_of(result.line))}")
    lines.append(f"  digest   {replay.state.digest().hex()}")
    lines.append(f"  speed    {replay.packets / result.seconds:,.0f} packets/s")
    return "\n".join(map(printable, lines))


def _difference_lines(found: Divergence) -> Iterator[str]:
    slot = "" if found.slot is None else f", slot {found.slot}"
    key = "" if found.key is None else f", key {found.key}"
    what = {"outcome": ": another outcome", "digest": ": another digest"}.get(found.kind, "")
    yield f"different at term {found.term}, tick {found.tick}{slot}{key}{what}"
    for name, side in zip(("ledger", "replay"), _sides(found), strict=True):
        text = "applied" if found.kind == "outcome" and side is None else _readable(side)
        yield f"  {name}   {text}"
    if found.error is not None:
        yield f"  error    {found.error.type} {found.error.message}".rstrip()
    if found.origin is not None:
        origin = found.origin
        yield f"  packet   seq {origin.seq} of {origin.producer}, topic {origin.topic}"


def _readable(side: Any) -> str:
    return json.dumps(side, ensure_ascii=False)


def line_notices(result: Result) -> Iterator[str]:
    """Say what follows from the ledger naming other lines than the one that was run."""
    if result.line is None:
        return
    mine = _id_of(result.line)
    for line in result.replay.lines:
        if line[:2] != mine[:2]:
            yield (
                f"the ledger was written by line {_named(line)}, this replays it with line"
                f" {_named(mine)}: what is compared is what that one would have done. Name the"
                f" ledger's own with --line FILE.py:NAME or package.module:NAME"
            )
        elif line != mine:
            yield (
                f"the ledger was written by line {_named(line)} with the digest"
                f" {line.digest.hex()}; this one has another source, {mine.digest.hex()}, under the"
                f" same version"
            )


def _named(line: LineId) -> str:
    return f"{line.name!r} version {line.version}"
