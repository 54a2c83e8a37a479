"""The DLQ as it is read: letters, groups and figures out of `dlq.sqlite` (R39).

It decides in which order and in which portions letters come, and changes nothing: it never takes
the writer's lock and never checkpoints. It knows the file, not who asks (see dlq_query).

Theory. A row's number rises with arrival and is never used again, so it is the cursor of every
walk: a caller that has seen row n asks for what comes after n (or before it, for the newest first),
and letters that arrive meanwhile neither shift nor repeat a page.
"""

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from rmf import limits
from rmf.core import topics
from rmf.core.bag import Evidence, Letter, Read
from rmf.core.triage import Act
from rmf.errors import LetterDamaged, StorageError
from rmf.storage.dlq_schema import LETTER_COLUMNS, failures, fetch, meta_of, open_reading
from rmf.storage.dlq_triage import ACT_COLUMNS, act_in

__all__ = ["DlqReader", "LetterGroup", "Stats", "StoredAct", "StoredLetter", "stats_of"]


class Stats(NamedTuple):
    """The size of a DLQ. `bytes` is what the file holds, its write-ahead log included; `complete`
    is False while letters of the line are known to be missing (R39). `open` are the letters that
    are not dealt with yet, `reopened` the groups that came back after they had been resolved."""

    letters: int
    groups: int
    bytes: int
    complete: bool
    open: int
    reopened: int


class LetterGroup(NamedTuple):
    """Letters that failed in the same way (R40); times in wall-clock ns, `message` is a sample."""

    group: str
    letters: int
    first_seen: int
    last_seen: int
    reason: str
    stage: str
    error_type: str
    message: str
    open: int
    resolved: int

    @property
    def state(self) -> str:
        """Open; resolved once people dealt with all of them; reopened since it came back."""
        if not self.open:
            return "resolved"
        return "reopened" if self.resolved else "open"


class StoredAct(NamedTuple):
    """What people decided about letters, with its place in this file and how many it met here."""

    row: int
    act: Act
    matched: int


class StoredLetter(NamedTuple):
    """A Letter with its place in this file: `row` rises with arrival and is never used again."""

    row: int
    group: str
    letter: Letter
    triage: str


def stats_of(db: apsw.Connection, path: Path) -> Stats:
    """Return the size of the DLQ behind a connection. Raises StorageError."""
    with failures(path):
        sums = "coalesce(sum(count), 0), count(*), coalesce(sum(open), 0)"
        sums += ", coalesce(sum(resolved AND open > 0), 0)"
        found = db.execute(f"SELECT {sums} FROM groups WHERE count").get  # noqa: S608 our own names
        letters, groups, are_open, reopened = found
        size = db.pragma("page_count") * db.pragma("page_size")
        complete = db.execute("SELECT value FROM meta WHERE name = 'complete'").get
    return Stats(letters, groups, size, bool(complete), are_open, reopened)


_SELECT = (
    f"SELECT letters.row, {', '.join('letters.' + name for name in LETTER_COLUMNS)},"  # noqa: S608
    " letters.triage, tracebacks.text"
    " FROM letters LEFT JOIN tracebacks ON tracebacks.id = letters.traceback"
)


class DlqReader:
    """The reading side, for the node's answers and for the tools: it changes nothing, never
    checkpoints, and works beside a living writer, alone, and on a copy."""

    def __init__(self, db: apsw.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        db.create_scalar_function("topic_matches", _topic_matches, 2, deterministic=True)

    @classmethod
    def open(cls, path: Path) -> "DlqReader":
        """Open the file at `path` for reading. Raises StorageError if it is no readable DLQ."""
        db = open_reading(path)
        try:
            _refuse_empty(path, meta_of(db, path))
        except BaseException:
            db.close()
            raise
        return cls(db, path)

    def stats(self) -> Stats:
        """Return the size of the DLQ."""
        return stats_of(self._db, self._path)

    def cursor(self) -> int:
        """Return the ledger index up to which letters of the line are stored here."""
        found: int = meta_of(self._db, self._path)["cursor"]
        return found

    def groups(self, *, after: str = "", limit: int = limits.DLQ_PAGE_LETTERS) -> list[LetterGroup]:
        """Return up to `limit` groups by their names, from the one that follows `after`."""
        with failures(self._path):
            found = fetch(
                self._db,
                "SELECT * FROM groups WHERE grp > ? AND count ORDER BY grp LIMIT ?",
                (after, limit),
            )
        return [LetterGroup(*row) for row in found]

    def letters(
        self,
        *,
        newest_first: bool = False,
        limit: int = limits.DLQ_PAGE_LETTERS,
        **filters: str | int | None,
    ) -> Iterator[StoredLetter]:
        """Give up to `limit` letters in order of their rows (see `_CONDITIONS` for the filters).

        Only the rows' numbers are read at once: letters may be big, so they are fetched one by one,
        and no read holds up the writer's log. Behind the last of them LetterDamaged is raised, if a
        row between them cannot be read.
        """
        where, values = _where(filters)
        order = "DESC" if newest_first else "ASC"
        with failures(self._path):
            rows = fetch(
                self._db,
                f"SELECT row FROM letters WHERE {where} ORDER BY row {order} LIMIT ?",  # noqa: S608
                (*values, limit),
            )
        return self._fetch(row for (row,) in rows)

    def count(self, **filters: str | int | None) -> int:
        """Return how many letters there are."""
        where, values = _where(filters)
        with failures(self._path):
            ((found,),) = fetch(
                self._db,
                f"SELECT count(*) FROM letters WHERE {where}",  # noqa: S608 our own conditions
                values,
            )
        letters: int = found
        return letters

    def acts(
        self,
        *,
        letter: str | None = None,
        job: str | None = None,
        entry: int | None = None,
        after: int = 0,
        limit: int = limits.DLQ_PAGE_ACTS,
    ) -> list[StoredAct]:
        """Return up to `limit` acts behind row `after`: those of a job, of an Entry, or those that
        name a letter or its group."""
        conditions: list[tuple[str, tuple[object, ...]]] = [("row > ?", (after,))]
        if job is not None:
            conditions.append(("job = ?", (job,)))
        if entry is not None:
            conditions.append(("entry = ?", (entry,)))
        if letter is not None:
            group = "grp = (SELECT grp FROM letters WHERE id = ?)"
            conditions.append((f"({group} OR instr(letters, ?))", (letter, json.dumps(letter))))
        where = " AND ".join(text for text, _ in conditions)
        values = tuple(value for _, some in conditions for value in some)
        with failures(self._path):
            found = fetch(
                self._db,
                f"SELECT row, matched, {ACT_COLUMNS} FROM acts"  # noqa: S608 our own names
                f" WHERE {where} ORDER BY row LIMIT ?",
                (*values, limit),
            )
        return [StoredAct(row, act_in(rest), matched) for row, matched, *rest in found]

    def show(self, letter_id: str) -> StoredLetter | None:
        """Return one letter by its id, or None."""
        return self._one("letters.id = ?", letter_id)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _fetch(self, rows: Iterable[int]) -> Iterator[StoredLetter]:
        damaged: LetterDamaged | None = None
        for row in rows:
            try:
                found = self._one("letters.row = ?", row)
            except LetterDamaged as exc:
                damaged = damaged or exc
                continue
            if found is not None:
                yield found
        if damaged is not None:
            raise damaged

    def _one(self, where: str, value: str | int) -> StoredLetter | None:
        try:
            with failures(self._path):
                found = fetch(self._db, f"{_SELECT} WHERE {where}", (value,))
            return _stored(found[0]) if found else None
        except (ValueError, TypeError, RecursionError) as exc:
            which = where.removeprefix("letters.").replace("?", str(value))
            raise LetterDamaged(
                f"{self._path}: the letter {which} cannot be read"
                f" ({type(exc).__name__}): its row was damaged, or changed by hand"
            ) from exc


def _refuse_empty(path: Path, meta: dict[str, Any]) -> None:
    if not meta:
        raise StorageError(f"{path}: an empty file; expected the DLQ of a node")


# Filter -> its condition. `topic` is a topic filter, or exactly a topic; `state` is what people
# made of a letter; `since` and `until` are ns of `bagged_at`; `after` and `before` are rows.
_CONDITIONS = {
    "reason": "reason = ?",
    "group": "grp = ?",
    "producer": "producer = ?",
    "topic": "topic = ?",
    "state": "triage = ?",
    "since": "bagged_at >= ?",
    "until": "bagged_at < ?",
    "after": "row > ?",
    "before": "row < ?",
}


def _where(filters: dict[str, str | int | None]) -> tuple[str, tuple[object, ...]]:
    """Return the condition that these filters make, and its values."""
    used = {name: value for name, value in filters.items() if value is not None}
    texts = [
        _topic_condition(value) if name == "topic" else _CONDITIONS[name]
        for name, value in used.items()
    ]
    return " AND ".join(texts) or "true", tuple(used.values())


_matcher = lru_cache(limits.PATTERNS_CACHED)(topics.matcher)


def _topic_condition(topic: str | int | None) -> str:
    # A letter may have a topic that is no topic: what is no filter is compared as it stands.
    if type(topic) is str and ("+" in topic or "#" in topic) and not topics.filter_fault(topic):
        return "topic_matches(?, topic)"
    return _CONDITIONS["topic"]


def _topic_matches(*arguments: Any) -> bool:
    pattern, topic = arguments
    return topic is not None and _matcher(pattern)(topic)


def _stored(fields: tuple[Any, ...]) -> StoredLetter:
    row, *columns, triage, traceback = fields
    named = dict(zip(LETTER_COLUMNS, columns, strict=True))
    group = named.pop("grp")
    del named["traceback"]  # a reference; the text came along
    reads = tuple(Read(*read) for read in json.loads(named.pop("reads") or "[]"))
    error = Evidence(named.pop("error_type"), named.pop("error_message"), traceback or "", reads)
    return StoredLetter(row, group, Letter(**named, error=error), triage)
