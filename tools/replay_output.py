"""What `rmf-replay` found, as JSON for scripts and as text (INTERFACES).

It decides what is said of a replay, and in which order; what a value looks like decides
replay_values, what a what-if found, what_if_output says.
"""

from collections.abc import Iterator
from typing import Any

import attrs

from rmf.core.entry import LineId
from rmf.core.world import World
from rmf.line.line import Line
from rmf.line.replay import Replay
from rmf.line.slots_compared import Divergence
from rmf.storage.restore import Restored
from tools.replay_values import dumps, readable, sides_of, value_of
from tools.text_table import printable
from tools.what_if_output import WhatIfResult, facts_of, lines_of

__all__ = ["Result", "json_of", "line_notices", "summary_of", "world_lines"]


@attrs.frozen
class Result:
    """What came of a replay that took `seconds`, and what it was made with."""

    replay: Replay
    divergence: Divergence | None
    line: Line | None
    restored: Restored
    seconds: float
    uncommitted: int = 0
    what_if: WhatIfResult | None = None

    @property
    def identical(self) -> bool:
        """Whether nothing at all is different."""
        return self.divergence is None and (self.what_if is None or self.what_if.identical)


def json_of(result: Result) -> str:
    """Return the result as one line of JSON."""
    return dumps(_facts(result))


def _facts(result: Result) -> dict[str, Any]:
    replay, found, restored = result.replay, result.divergence, result.restored
    lines = replay.lines
    return {
        "identical": result.identical,
        "entries": replay.entries,
        "packets": replay.packets,
        "bagged": replay.bagged,
        "first_tick": replay.first_tick,
        "last_tick": replay.last_tick,
        "digest": replay.state.digest().hex(),
        "divergence": None if found is None else _divergence(found),
        "packets_per_s": round(replay.packets / result.seconds),
        "line": None if result.line is None else _line(result.line.identity),
        "ledger_line": _line(lines[-1]) if lines else None,
        "start": {
            "checkpoint": restored.start.checkpoint and str(restored.start.checkpoint),
            "index": restored.state.index,
            "tick": restored.state.tick,
        },
        "uncommitted": result.uncommitted,
        **({} if result.what_if is None else {"what_if": facts_of(result.what_if)}),
    }


def _line(line: LineId) -> dict[str, Any]:
    return {"name": line.name, "version": line.version, "digest": line.digest.hex()}


def _divergence(found: Divergence) -> dict[str, Any]:
    ledger, replay = sides_of(found)
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


def world_lines(world: World) -> Iterator[str]:
    """Give each cell of a World as a line of JSON, in key order; what never expires says null."""
    for key, cell in world.scan():
        head = cell._asdict()
        del head["value"], head["mark"]
        head["expires"] = cell.expires or None
        yield dumps({"key": key, "value": value_of(cell.value), **head})


def summary_of(result: Result) -> str:
    """Return the result as human-readable text."""
    replay, found = result.replay, result.divergence
    if result.what_if is not None and (found is None or found.kind != "digest"):
        lines = list(lines_of(result.what_if))
    else:
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
        lines.append(f"  line     {_named(result.line.identity)}")
    lines.append(f"  digest   {replay.state.digest().hex()}")
    if result.uncommitted:
        lines.append(f"  tail     {result.uncommitted} Entries are not known to be committed here")
    lines.append(f"  speed    {replay.packets / result.seconds:,.0f} packets/s")
    return "\n".join(map(printable, lines))


def _difference_lines(found: Divergence) -> Iterator[str]:
    slot = "" if found.slot is None else f", slot {found.slot}"
    key = "" if found.key is None else f", key {found.key}"
    what = {"outcome": ": another outcome", "digest": ": another digest"}.get(found.kind, "")
    yield f"different at term {found.term}, tick {found.tick}{slot}{key}{what}"
    for name, side in zip(("ledger", "replay"), sides_of(found), strict=True):
        text = "applied" if found.kind == "outcome" and side is None else readable(side)
        yield f"  {name}   {text}"
    if found.error is not None:
        yield f"  error    {found.error.type} {found.error.message}".rstrip()
    if found.origin is not None:
        origin = found.origin
        yield f"  packet   seq {origin.seq} of {origin.producer}, topic {origin.topic}"


def line_notices(result: Result) -> Iterator[str]:
    """Say what follows from the ledger naming other lines than the one that was run."""
    if result.line is None:
        return
    mine = result.line.identity
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
