"""A status in words: what the rows of `rmf-status` say.

Status in, text out. A status is foreign data, possibly of a newer node: what is missing or of
another kind is shown as `-`, never a failure.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tools.text_table import printable

__all__ = ["member_rows", "node_rows", "remarks"]

_COLUMNS: tuple[tuple[str, Callable[[dict[str, Any]], object]], ...] = (
    ("NODE", lambda s: s.get("node")),
    ("ROLE", lambda s: s.get("role")),
    ("STRIKE", lambda s: _strike(s.get("strike"))),
    ("TERM", lambda s: s.get("term")),
    ("TICK", lambda s: s.get("tick")),
    ("COMMIT", lambda s: s.get("commit")),
    ("LEADER", lambda s: s.get("leader")),
    ("QUEUE", lambda s: f"{_of(s, 'ingest', 'depth')}/{_of(s, 'ingest', 'capacity')}"),
    ("APPLIED", lambda s: _of(s, "packets", "applied")),
    ("BAGGED", lambda s: _of(s, "packets", "bagged")),
    ("LETTERS", lambda s: _of(s, "dlq", "letters")),
    ("CELLS", lambda s: _of(s, "world", "cells")),
    ("LINE", lambda s: f"{_of(s, 'line', 'name')} {_of(s, 'line', 'version')}{_standing(s)}"),
    ("UP", lambda s: _age(s.get("uptime_s"))),
)


_MEMBER_HEADINGS = ["MEMBER", "ADDRESS", "ROLE", "VOTER", "MATCH", "BEHIND"]
_STRIKES = {
    "no_reign": "no reigning Arbiter is known: it takes nothing in, and goes on by itself",
    "disk": "its disk failed: it neither votes nor takes anything in until it is repaired",
    "state": "its state cannot be trusted: it is fetching another from its peers",
    "admin": "an operator told it to: `rmf-admin strike --end` ends it",
}
_LINES = {
    "line_behind": "(line_behind): it stands for election last; start it with the newer line",
    "line_mismatch": "(line_mismatch): another line, or the same version with another source:"
    " nothing it runs is compared",
}


def node_rows(nodes: Iterable[tuple[str, dict[str, Any] | None]]) -> list[list[str]]:
    """Return headings and a row for each (address, status); without a status it is named by its
    address."""
    rows = [[heading for heading, _ in _COLUMNS]]
    for address, status in nodes:
        if status is None:
            rows.append([address, "no answer", *[""] * (len(_COLUMNS) - 2)])
        else:
            rows.append([_text(field(status)) for _, field in _COLUMNS])
    return rows


def member_rows(statuses: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return headings and a row per member, as the leader sees them, or the node of the newest
    term; nothing for a factory of one."""
    best = max(
        statuses, key=lambda s: (_number(s.get("term")), s.get("role") == "leader"), default={}
    )
    members = best.get("members")
    if type(members) is not list or len(members) < 2:
        return []
    last = _number(best.get("index"))
    return [_MEMBER_HEADINGS, *(_member(row, last) for row in members if type(row) is dict)]


def _member(member: dict[str, Any], last: int) -> list[str]:
    match = member.get("match")
    behind = max(last - match, 0) if type(match) is int else None
    voter = member.get("voter")
    votes = ("yes" if voter else "no") if type(voter) is bool else None
    shown = (member.get("node"), member.get("address"), member.get("role"), votes, match, behind)
    return [_text(value) for value in shown]


def remarks(status: dict[str, Any]) -> list[str]:
    """Return what a person must know of a node beside its row: why it is on strike, and that its
    line is not the reign's."""
    return _of_strike(status) + _of_line(status)


def _of_strike(status: dict[str, Any]) -> list[str]:
    strike = status.get("strike")
    if type(strike) is not dict:
        return []
    kind, why = strike.get("kind"), strike.get("why")
    words = _STRIKES.get(kind, "") if type(kind) is str else ""
    parts = [f"{_text(status.get('node'))} is on strike ({_text(kind)})", words, _text(why)]
    return [": ".join(part for part in parts if part not in {"", "-"})]


def _of_line(status: dict[str, Any]) -> list[str]:
    node, line = _text(status.get("node")), status.get("line")
    words = next((text for key, text in _LINES.items() if status.get(key) is True), None)
    if words is None or type(line) is not dict:
        return []
    mine, ledger = _version(line), _version(line.get("ledger"))
    return [f"{node} runs the line {mine}, the ledger names {ledger} {words}"]


def _version(line: object) -> str:
    if type(line) is not dict:
        return "-"
    digest = f" ({str(line['digest'])[:8]})" if line.get("digest") else ""
    return _text(f"{line.get('name')} {line.get('version')}{digest}")


def _number(value: object) -> int:
    return value if type(value) is int else 0


def _text(value: object) -> str:
    return "-" if value is None else printable(str(value))


def _of(status: dict[str, Any], group: str, key: str) -> object:
    found = status.get(group)
    return found.get(key) if type(found) is dict else None


def _standing(status: dict[str, Any]) -> str:
    """Return how a line stands to the reign's, if that is worth a word."""
    if status.get("line_behind") is True:
        return " behind"
    return " mismatch" if status.get("line_mismatch") is True else ""


def _strike(strike: object) -> object:
    return strike.get("kind") if type(strike) is dict else strike


def _age(seconds: object) -> str | None:
    """Return an uptime in two units that people read at a glance, or None if there is none."""
    if not isinstance(seconds, int | float):
        return None
    minutes, s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {s}s" if minutes else f"{s}s"
