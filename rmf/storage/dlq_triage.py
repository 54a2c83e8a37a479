"""What people decided about letters, done to the tables of a DLQ (R40).

Decides which letters an act meets and what becomes of them and of their groups. It runs inside the
transactions of dlq_store, and knows SQL, not who decided or how an act came here.

Theory. An act meets letters that are older than it, by tick; so what a letter has become follows
from all acts in the order of their Entries, and it makes no difference in which order letters and
acts reach this file: a new letter meets the acts that are here, a new act the letters that are
here. Only acts that come after younger ones need more: then all are done again. Letters of this
node's edge are met by this node's own acts alone, and these meet no others.

A group is resolved once an act has left none of its letters open. A letter that comes after that
opens it again: that it had been resolved is kept, and makes the difference between open and
reopened. Counts go up and down with the letters that an act meets; no group is counted again.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from rmf.core.triage import Act
from rmf.storage.dlq_schema import fetch

__all__ = [
    "ACT_COLUMNS",
    "act_in",
    "do_anew",
    "meet_new",
    "quiet_groups",
    "still_open",
    "take",
    "take_late",
]

ACT_COLUMNS = "entry, tick, at, act, by, why, letters, grp, before, job"
_BECOMES = {"resolve": "resolved", "reopen": "open", "redriven": "redriven"}


def take(db: apsw.Connection, act: Act) -> int:
    """Keep an act and do it, unless it is here already; return how many letters it met."""
    values = (act.entry or None, *act[1:6], json.dumps(act.letters), *act[7:])
    before = db.total_changes()
    db.execute(
        f"INSERT INTO acts ({ACT_COLUMNS}, matched)"  # noqa: S608 names of our own columns
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (entry) DO NOTHING",
        values,
    )
    if db.total_changes() == before:
        return 0
    row = db.last_insert_rowid()
    met = _do(db, act, after_row=0)
    db.execute("UPDATE acts SET matched = ? WHERE row = ?", (met, row))
    return met


def take_late(db: apsw.Connection, acts: Sequence[Act]) -> None:
    """Keep acts that may be older than others here; do all again if any of them is new."""
    before = fetch(db, "SELECT count(*) FROM acts")
    for act in acts:
        take(db, act)
    if fetch(db, "SELECT count(*) FROM acts") != before:
        do_anew(db)


def do_anew(db: apsw.Connection) -> None:
    """Do all acts that are here again, in their order, to letters that are not dealt with yet."""
    db.execute("UPDATE letters SET triage = 'open' WHERE triage <> 'open'")
    db.execute(
        "UPDATE groups SET resolved = 0,"
        " open = (SELECT count(*) FROM letters WHERE letters.grp = groups.grp)"
    )
    for act in _kept(db, 0):
        _do(db, act, after_row=0)


def meet_new(db: apsw.Connection, last_row: int) -> None:
    """Have letters behind a row meet the acts that are here and are younger than they."""
    ((oldest,),) = fetch(db, "SELECT min(tick) FROM letters WHERE row > ?", (last_row,))
    if oldest is not None:
        for act in _kept(db, oldest):
            if act.entry:
                _do(db, act, after_row=last_row)


def quiet_groups(db: apsw.Connection, last_row: int) -> list[str]:
    """Return the resolved groups among those of the letters behind a row."""
    found = fetch(
        db,
        "SELECT grp FROM groups WHERE resolved AND NOT open"
        " AND grp IN (SELECT grp FROM letters WHERE row > ?)",
        (last_row,),
    )
    return [group for (group,) in found]


def still_open(db: apsw.Connection, groups: Iterable[str]) -> list[str]:
    """Return those of the groups that have open letters."""
    sql = "SELECT grp FROM groups WHERE grp = ? AND open"
    return [group for group in groups if fetch(db, sql, (group,))]


def _kept(db: apsw.Connection, after_tick: int) -> list[Act]:
    """Return the acts above a tick in the order of their Entries, this node's own first."""
    found = fetch(
        db,
        f"SELECT {ACT_COLUMNS} FROM acts WHERE tick >= ? ORDER BY entry, row",  # noqa: S608 as above
        (after_tick,),
    )
    return [act_in(row) for row in found]


def act_in(row: Sequence[Any]) -> Act:
    """Return the act in a row of ACT_COLUMNS."""
    entry, tick, at, act, by, why, letters, group, before, job = row
    ids = tuple(json.loads(letters))
    return Act(entry or 0, tick, at, act, by, why, ids, group, before, job)


def _do(db: apsw.Connection, act: Act, *, after_row: int) -> int:
    """Do an act to letters behind a row; return how many it met."""
    where, values = _meant(act, after_row)
    met = fetch(
        db,
        "SELECT grp, count(*), sum(triage = 'open') FROM letters"  # noqa: S608 our own conditions
        f" WHERE {where} GROUP BY grp",
        values,
    )
    if act.act == "purge":
        _delete(db, where, values)
        db.executemany(
            "UPDATE groups SET count = count - ?, open = open - ? WHERE grp = ?",
            [(letters, were_open, group) for group, letters, were_open in met],
        )
        db.execute("DELETE FROM groups WHERE count = 0 AND NOT resolved")
    elif act.act in _BECOMES:
        state = _BECOMES[act.act]
        db.execute(f"UPDATE letters SET triage = ? WHERE {where}", (state, *values))  # noqa: S608
        for group, letters, were_open in met:
            are_open = letters if state == "open" else 0
            db.execute(
                "UPDATE groups SET open = open + ? WHERE grp = ?", (are_open - were_open, group)
            )
            _mark_resolved(db, group, act)
    return sum(letters for _, letters, _ in met)


def _meant(act: Act, after_row: int) -> tuple[str, tuple[Any, ...]]:
    """Return the condition for the letters that an act meets, and its values."""
    # An edge's ids hold its node's name and colons, those of the line none.
    parts, values = ["instr(id, ':') > 0"], list[Any]()
    if act.entry:
        parts, values = ["instr(id, ':') = 0", "tick < ?"], [act.tick]
    if after_row:
        parts.append("row > ?")
        values.append(after_row)
    if act.group is not None:
        parts.append("grp = ?")
        values.append(act.group)
    elif act.before is not None:
        parts.append("bagged_at < ?")
        values.append(act.before)
    else:
        parts.append("id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(act.letters))
    return " AND ".join(parts), tuple(values)


def _mark_resolved(db: apsw.Connection, group: str, act: Act) -> None:
    """Note whether an act has left no letter of a group open that is older than it."""
    if act.act == "reopen":
        db.execute("UPDATE groups SET resolved = 0 WHERE grp = ?", (group,))
        return
    # Most acts leave nothing open; only if something is, it has to be looked at.
    older = "(tick IS NULL OR tick < ?2)" if act.entry else "?2 = 0"
    is_left = f"SELECT 1 FROM letters WHERE grp = ?1 AND triage = 'open' AND {older}"  # noqa: S608
    db.execute(
        f"UPDATE groups SET resolved = 1 WHERE grp = ?1 AND (NOT open OR NOT EXISTS ({is_left}))",  # noqa: S608
        (group, act.tick),
    )


def _delete(db: apsw.Connection, where: str, values: tuple[Any, ...]) -> None:
    """Delete letters, and the tracebacks that no other letter has."""
    texts = fetch(
        db,
        f"SELECT DISTINCT traceback FROM letters WHERE {where} AND traceback IS NOT NULL",  # noqa: S608
        values,
    )
    db.execute(f"DELETE FROM letters WHERE {where}", values)  # noqa: S608 our own conditions
    if texts:
        # All letters are looked through: a purge is rare, and an index would cost each letter.
        db.execute(
            "DELETE FROM tracebacks WHERE id IN (SELECT value FROM json_each(?)) AND id NOT IN"
            " (SELECT traceback FROM letters WHERE traceback IS NOT NULL)",
            (json.dumps([text for (text,) in texts]),),
        )
