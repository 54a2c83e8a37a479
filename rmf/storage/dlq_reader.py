"""The DLQ as it is read: letters, groups and figures out of `dlq.sqlite` (R39).

It decides in which order and in which portions letters come, and changes nothing: it never takes
the writer's lock and never checkpoints. It knows the file, not who asks (see dlq_query).

Theory. A row's number rises with arrival and is never used again, so it is the cursor of every
walk: whoever has seen row n asks for what comes after n (or before it, for the newest first), and
letters that arrive meanwhile neither shift nor repeat a page.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from rmf import limits
from rmf.core import topics
from rmf.core.bag import Evidence, Letter
from rmf.errors import StorageError
from rmf.storage.dlq_schema import LETTER_COLUMNS, failures, fetch, meta_of, open_reading

__all__ = ["DlqReader", "Group", "Stats", "StoredLetter", "stats_of"]


class Stats(NamedTuple):
    """The size of a DLQ. `bytes` is what the file holds, its write-ahead log included; `complete`
    is False while letters of the line are known to be missing (R39)."""

    letters: int
    groups: int
    bytes: int
    complete: bool


class Group(NamedTuple):
    """Letters that failed in the same way (R40); times in wall-clock ns, `message` is a sample."""

    group: str
    letters: int
    first_seen: int
    last_seen: int
    reason: str
    stage: str
    error_type: str
    message: str


class StoredLetter(NamedTuple):
    """A Letter with its place in this file: `row` rises with arrival and is never used again."""

    row: int
    group: str
    letter: Letter


def stats_of(db: apsw.Connection, path: Path) -> Stats:
    """Return the size of the DLQ behind a connection. Raises StorageError."""
    with failures(path):
        letters, groups = db.execute("SELECT coalesce(sum(count), 0), count(*) FROM groups").get
        size = db.pragma("page_count") * db.pragma("page_size")
        complete = db.execute("SELECT value FROM meta WHERE name = 'complete'").get
    return Stats(letters, groups, size, bool(complete))


_SELECT = (
    f"SELECT letters.row, {', '.join('letters.' + name for name in LETTER_COLUMNS)},"  # noqa: S608
    " tracebacks.text FROM letters LEFT JOIN tracebacks ON tracebacks.id = letters.traceback"
)


class DlqReader:
    """The reading side, for the node's answers and for people's tools: it changes nothing, never
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

    def groups(self, *, after: str = "", limit: int = limits.DLQ_PAGE_LETTERS) -> list[Group]:
        """Return up to `limit` groups by their names, from the one that follows `after`."""
        with failures(self._path):
            found = fetch(
                self._db, "SELECT * FROM groups WHERE grp > ? ORDER BY grp LIMIT ?", (after, limit)
            )
        return [Group(*row) for row in found]

    def letters(
        self,
        *,
        reason: str | None = None,
        group: str | None = None,
        producer: str | None = None,
        topic: str | None = None,
        after: int | None = None,
        before: int | None = None,
        newest_first: bool = False,
        limit: int = limits.DLQ_PAGE_LETTERS,
    ) -> Iterator[StoredLetter]:
        """Give up to `limit` letters in order of their rows, those between `after` and `before`.

        `topic` is a topic filter, or exactly a topic. Only the rows' numbers are read at once:
        letters may be big, so they are fetched one by one, and no read holds up the writer's log.
        """
        conditions: list[tuple[str, object]] = [
            ("reason = ?", reason),
            ("grp = ?", group),
            ("producer = ?", producer),
            (_topic_condition(topic), topic),
            ("row > ?", after),
            ("row < ?", before),
        ]
        used = [(text, value) for text, value in conditions if value is not None]
        where = " AND ".join(text for text, _ in used) or "true"
        order = "DESC" if newest_first else "ASC"
        with failures(self._path):
            rows = fetch(
                self._db,
                f"SELECT row FROM letters WHERE {where} ORDER BY row {order} LIMIT ?",  # noqa: S608
                (*(value for _, value in used), limit),
            )
        return self._fetch(row for (row,) in rows)

    def show(self, letter_id: str) -> StoredLetter | None:
        """Return one letter by its id, or None."""
        return self._one("letters.id = ?", letter_id)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _fetch(self, rows: Iterable[int]) -> Iterator[StoredLetter]:
        for row in rows:
            found = self._one("letters.row = ?", row)
            if found is not None:
                yield found

    def _one(self, where: str, value: str | int) -> StoredLetter | None:
        with failures(self._path):
            found = fetch(self._db, f"{_SELECT} WHERE {where}", (value,))
        return _stored(found[0]) if found else None


def _refuse_empty(path: Path, meta: dict[str, Any]) -> None:
    if not meta:
        raise StorageError(f"{path}: an empty file; expected the DLQ of a node")


_matcher = lru_cache(limits.PATTERNS_CACHED)(topics.matcher)


def _topic_condition(topic: str | None) -> str:
    wild = topic is not None and ("+" in topic or "#" in topic)
    # A letter may have a topic that is no topic: what is no filter is compared as it stands.
    if wild and topics.filter_fault(topic or "") is None:
        return "topic_matches(?, topic)"
    return "topic = ?"


def _topic_matches(*arguments: Any) -> bool:
    pattern, topic = arguments
    return topic is not None and _matcher(pattern)(topic)


def _stored(fields: tuple[Any, ...]) -> StoredLetter:
    row, *columns, traceback = fields
    named = dict(zip(LETTER_COLUMNS, columns, strict=True))
    group = named.pop("grp")
    del named["traceback"]  # a reference; the text came along
    error = Evidence(named.pop("error_type"), named.pop("error_message"), traceback or "")
    return StoredLetter(row, group, Letter(**named, error=error))
