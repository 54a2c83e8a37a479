"""The DLQ at rest: letters into `dlq.sqlite` (R38, R39); dlq_reader has the way out again.

It decides what is durable when, and which letters are the same. It knows letters and SQLite, not
where letters come from. Its calls block: they belong into a keeper's thread, one at a
time, never into trio's.

Theory. Letters of the line are in the ledger as well, so the store may lag, but it must know how
far it got: letters and the cursor (a ledger index) commit in one transaction, and a letter whose
id is already there is left alone. After a crash the keeper feeds the ledger again from `cursor`
on, and nothing is lost or doubled. Letters of an edge exist nowhere else: they are on the disk when
`put_edge` returns, and their numbers come from a counter in the file, so that none is used twice.

A Letter may hold whatever a stranger sent, and no Letter may stop the keeper: numbers that SQLite
cannot hold become NULL and lone surrogates are escaped; the packet's bytes keep the truth.
"""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from rmf.core.bag import Evidence, Letter, Read, group_of
from rmf.core.triage import Act, Triage, act_of
from rmf.errors import DiskFailed, ForeignDirectory
from rmf.storage import dlq_triage, drive
from rmf.storage.dlq_reader import Stats, stats_of
from rmf.storage.dlq_schema import (
    DLQ_FILE,
    LETTER_COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    failures,
    meta_of,
    migrate,
    open_writing,
    writing,
)

__all__ = ["DLQ_FILE", "DlqStore", "Stats"]


_INSERT = (
    f"INSERT INTO letters ({', '.join(LETTER_COLUMNS)})"  # noqa: S608 names of our own columns
    f" VALUES ({', '.join('?' * len(LETTER_COLUMNS))}) ON CONFLICT (id) DO NOTHING"
)
_COUNT_IN_GROUPS = """
INSERT INTO groups
SELECT grp, count(*), min(bagged_at), max(bagged_at), reason, stage, error_type, error_message,
  count(*), 0
FROM letters WHERE row > ? GROUP BY grp
ON CONFLICT (grp) DO UPDATE SET
  count = count + excluded.count,
  open = open + excluded.open,
  first_seen = min(first_seen, excluded.first_seen),
  last_seen = max(last_seen, excluded.last_seen)
"""


class DlqStore:
    """The writing side, one per node. Open it with `open`. Threads take turns at it: the DLQ
    keeper's, and the one that reads the disk again for a core and stores what it finds."""

    def __init__(self, db: apsw.Connection, path: Path, meta: dict[str, Any]) -> None:
        self._db = db
        self._path = path
        self._cursor: int = meta["cursor"]
        self._next_edge_number: int = meta["next_edge_number"]
        self._node: str = meta["node"]
        self._reopened: list[str] = []
        self._turn = threading.Lock()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._turn, writing(self._db, self._path):
            yield

    @classmethod
    def open(cls, path: Path, *, cluster: bytes, node: str) -> "DlqStore":
        """Open the file at `path`, or make it: readable for its owner only, entry fsynced.

        Raises ForeignDirectory if it belongs to another cluster or node, StorageError if it is no
        DLQ, DiskFailed if it cannot be written.
        """
        _make_private(path)
        db = open_writing(path)
        try:
            migrate(db, path)
            meta = meta_of(db, path)
            if not meta:
                meta = _first_meta(cluster, node)
                with writing(db, path):
                    db.execute(SCHEMA)
                    db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            _refuse_foreign(path, meta, cluster, node)
        except BaseException:
            db.close()
            raise
        return cls(db, path, meta)

    @property
    def cursor(self) -> int:
        """Letters of the line are stored up to this ledger index; 0 at first."""
        return self._cursor

    @property
    def next_edge_number(self) -> int:
        """The number that `reserve_edge_ids` gives out next."""
        return self._next_edge_number

    def put_line(self, letters: list[Letter], index: int, acts: Sequence[Act] = ()) -> int:
        """Store letters of the line, do what was decided about older ones, and move the cursor to
        `index`, all durably or nothing.

        Return how many letters were new. A cursor that is further on already stays where it is.
        What is older than an act that is here already is met by it too: nothing comes back that
        was purged, in whichever order letters and acts come.
        """
        with self._writing():
            cursor = max(self._cursor, index)
            new, reopened = self._insert(letters)
            for act in acts:
                dlq_triage.take(self._db, act)
            reopened = dlq_triage.still_open(self._db, reopened)
            self._set("cursor", cursor)
        self._cursor = max(self._cursor, cursor)
        self._reopened += reopened
        return new

    def put_edge(self, letters: list[Letter]) -> None:
        """Store letters of an edge; they are on the disk when this returns."""
        with self._writing():
            _, reopened = self._insert(letters)
        self._reopened += reopened

    def put_acts(self, acts: Sequence[Act]) -> None:
        """Store acts that were fetched from a peer: they may be older than others here, so all are
        done again, in their order."""
        with self._writing():
            dlq_triage.take_late(self._db, acts)

    def act_on_edge(self, triage: Triage, wall_ns: int) -> int:
        """Do what was decided about letters of this node's edge; return how many it met."""
        with self._writing():
            return dlq_triage.take(self._db, act_of(triage, 0, 0, wall_ns))

    def take_reopened(self) -> list[str]:
        """Return the groups that were resolved and have got a new letter since this was asked."""
        reopened, self._reopened = self._reopened, []
        return reopened

    def reserve_edge_ids(self, count: int) -> list[str]:
        """Return `count` ids for letters of this node's edges; never the same again, whatever
        becomes of them. Each call costs an fsync: reserve many, use them up."""
        with self._writing():
            first = self._next_edge_number
            self._set("next_edge_number", first + count)
        self._next_edge_number = first + count
        return [f"{self._node}:edge:{number}" for number in range(first, first + count)]

    def set_complete(self, complete: bool) -> None:
        """Note whether letters of the line are known to be missing (R39)."""
        with self._writing():
            self._set("complete", int(complete))

    def stats(self) -> Stats:
        """Return the size of the DLQ as stored."""
        with self._turn:
            return stats_of(self._db, self._path)

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it."""
        with failures(self._path):
            self._db.close()

    def _set(self, name: str, value: int) -> None:
        self._db.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))

    def _insert(self, letters: list[Letter]) -> tuple[int, list[str]]:
        """Return how many were new, and the resolved groups that they belong to."""
        if not letters:
            return 0, []
        causes = {key: _Cause.of(*key) for key in set(map(_cause_key, letters))}
        self._db.executemany(
            "INSERT INTO tracebacks VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
            [(x.traceback_id, x.error.traceback) for x in causes.values() if x.traceback_id],
        )
        last_row = self._db.execute("SELECT max(row) FROM letters").get or 0
        before = self._db.total_changes()
        self._db.executemany(_INSERT, (_row(x, causes[_cause_key(x)]) for x in letters))
        new: int = self._db.total_changes() - before
        if not new:
            return 0, []
        quiet = dlq_triage.quiet_groups(self._db, last_row)
        self._db.execute(_COUNT_IN_GROUPS, (last_row,))
        dlq_triage.meet_new(self._db, last_row)
        return new, dlq_triage.still_open(self._db, quiet)


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            drive.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        return
    except OSError as exc:
        raise DiskFailed(f"{path}: cannot be made ({exc}); is the directory writable?") from exc


def _first_meta(cluster: bytes, node: str) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "cluster": cluster.hex(),
        "node": node,
        "cursor": 0,
        "next_edge_number": 1,
        "complete": 1,
    }


def _refuse_foreign(path: Path, meta: dict[str, Any], cluster: bytes, node: str) -> None:
    for what, found, expected in (
        ("cluster", meta["cluster"], cluster.hex()),
        ("node", meta["node"], node),
    ):
        if found != expected:
            raise ForeignDirectory(
                f"{path}: holds letters of {what} {found}, expected {expected}; use that {what}'s"
                " data directory, or an empty one"
            )


_CauseKey = tuple[str, str, Evidence]


def _cause_key(letter: Letter) -> _CauseKey:
    return (letter.reason, letter.stage, letter.error._replace(reads=()))


class _Cause(NamedTuple):
    """What letters of one failure share, made once for all of them: failures repeat, and their
    fingerprints are dear."""

    error: Evidence
    traceback_id: str | None
    group: str

    @classmethod
    def of(cls, reason: str, stage: str, error: Evidence) -> "_Cause":
        clean = Evidence(_unicode(error.type), _unicode(error.message), _unicode(error.traceback))
        raw = clean.traceback.encode()
        traceback_id = hashlib.blake2b(raw, digest_size=16).hexdigest() if raw else None
        return cls(clean, traceback_id, group_of(reason, stage, clean))


def _row(letter: Letter, cause: _Cause) -> tuple[Any, ...]:
    """Return the values of LETTER_COLUMNS."""
    return (
        letter.id,
        letter.reason,
        letter.stage,
        letter.node,
        _unicode_or_none(letter.producer),
        _int64(letter.epoch),
        _unicode_or_none(letter.topic),
        _int64(letter.seq),
        letter.term,
        letter.tick,
        letter.slot,
        _int64(letter.harvested_at),
        _int64(letter.ttl_ms),
        _unicode_or_none(letter.line),
        letter.digest_before,
        cause.error.type,
        cause.error.message,
        cause.traceback_id,
        letter.packet,
        letter.bagged_at,
        cause.group,
        _reads(letter.error.reads),
    )


def _reads(reads: tuple[Read, ...]) -> str | None:
    return json.dumps(reads, ensure_ascii=True) if reads else None


def _unicode(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _unicode_or_none(text: str | None) -> str | None:
    return None if text is None else _unicode(text)


def _int64(number: int | None) -> int | None:
    return number if number is not None and -(2**63) <= number < 2**63 else None
