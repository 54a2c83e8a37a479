"""The file `dlq.sqlite`: its tables, how it is opened, and what its failures are called (R39).

It decides what people see who open the file by hand, and knows SQLite and nothing of tasks, ticks
or messages. dlq_store reads and writes letters by what stands here.

Theory. SQLite keeps the text of every CREATE, comments included, so `.schema` in the sqlite3 shell
is the manual of the file: each column says its unit there. Tables are STRICT: a value of a wrong
kind is an error at once, not a surprise to a reader of the file a year later. By hand, too:
one writing connection only (the node's), everybody else opens it read-only (`sqlite3 -readonly`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from rmf import limits
from rmf.errors import DiskFailed, StorageError

__all__ = [
    "DLQ_FILE",
    "LETTER_COLUMNS",
    "SCHEMA",
    "SCHEMA_VERSION",
    "failures",
    "fetch",
    "meta_of",
    "migrate",
    "open_reading",
    "open_writing",
    "writing",
]

DLQ_FILE = "dlq.sqlite"  # its name in a data directory
SCHEMA_VERSION = 2

# The columns of `letters` that follow `row`, in the order in which dlq_store writes them.
LETTER_COLUMNS = (
    "id",
    "reason",
    "stage",
    "node",
    "producer",
    "epoch",
    "topic",
    "seq",
    "term",
    "tick",
    "slot",
    "harvested_at",
    "ttl_ms",
    "line",
    "digest_before",
    "error_type",
    "error_message",
    "traceback",
    "packet",
    "bagged_at",
    "grp",
    "reads",
)

SCHEMA = """
CREATE TABLE meta (              -- facts of this file, by name
  name TEXT PRIMARY KEY,         -- cursor: letters of the line are stored up to this ledger index;
  value ANY                      -- complete: 0 while some of them are known to be missing
) STRICT, WITHOUT ROWID;

CREATE TABLE tracebacks (        -- each text once, however many letters have it
  id TEXT PRIMARY KEY,           -- BLAKE2b-128 of the text, hex
  text TEXT NOT NULL
) STRICT;

CREATE TABLE letters (
  row INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of arrival in this file; never used again
  id TEXT NOT NULL UNIQUE,       -- term.tick.slot of a letter of the line, node:edge:n of an edge
  reason TEXT NOT NULL,          -- why it was bagged: the closed set of protocol/README.md
  stage TEXT NOT NULL,           -- where: edge, latch, line, task
  node TEXT NOT NULL,
  producer TEXT,                 -- what could not be known is NULL, here and below
  epoch INTEGER,
  topic TEXT,
  seq INTEGER,
  term INTEGER,                  -- term, tick, slot: the Stamp
  tick INTEGER,
  slot INTEGER,
  harvested_at INTEGER,          -- ns since 1970, by the producer's clock
  ttl_ms INTEGER,
  line TEXT,                     -- version of the line that failed
  digest_before BLOB,            -- of the World before the Tick
  error_type TEXT NOT NULL,      -- class of the exception, '' if there was none
  error_message TEXT NOT NULL,
  traceback TEXT REFERENCES tracebacks (id),
  packet BLOB NOT NULL,          -- the bytes as they came (CBOR)
  bagged_at INTEGER NOT NULL,    -- ns since 1970, by the node's clock: a reference, no order
  grp TEXT NOT NULL,             -- fingerprint of the failure: see groups
  reads TEXT,                    -- JSON: the cells that the handler read, [key, term, tick, slot]
  triage TEXT NOT NULL DEFAULT 'open'     -- or resolved, redriven: what people made of it
) STRICT;

CREATE INDEX letters_by_reason ON letters (reason);
CREATE INDEX letters_by_group ON letters (grp);
CREATE INDEX letters_by_producer ON letters (producer);
CREATE INDEX letters_by_topic ON letters (topic);

CREATE TABLE groups (            -- letters that failed in the same way
  grp TEXT PRIMARY KEY,
  count INTEGER NOT NULL,
  first_seen INTEGER NOT NULL,   -- bagged_at of the earliest and the latest letter
  last_seen INTEGER NOT NULL,
  reason TEXT NOT NULL,
  stage TEXT NOT NULL,
  error_type TEXT NOT NULL,
  message TEXT NOT NULL,         -- of one of the letters, as a sample
  open INTEGER NOT NULL DEFAULT 0,        -- letters that are not dealt with yet
  resolved INTEGER NOT NULL DEFAULT 0     -- 1 once all were; with open ones: it came back
) STRICT, WITHOUT ROWID;
"""

# What version 2 added beyond columns; `migrate` adds both to a file of version 1.
_TRIAGE = """
CREATE TABLE acts (              -- what people decided about letters: the audit trail
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  entry INTEGER UNIQUE,          -- of the ledger; NULL: this node's own, about its edge letters
  tick INTEGER NOT NULL,         -- of that Entry: older letters are meant
  at INTEGER NOT NULL,           -- ns since 1970
  act TEXT NOT NULL,             -- resolve, reopen, purge, redrive, skip, redriven
  by TEXT NOT NULL,              -- who, as the connection said of itself
  why TEXT NOT NULL,
  letters TEXT NOT NULL,         -- JSON: ids, in the order of a redrive; [] where it is a group ...
  grp TEXT,
  before INTEGER,                -- ... or all letters bagged before, ns since 1970
  job TEXT,                      -- of a redrive: the producer of its packets is redrive:<job>
  matched INTEGER NOT NULL       -- how many letters that were in this file
) STRICT;

CREATE INDEX acts_by_job ON acts (job) WHERE job IS NOT NULL;
CREATE INDEX acts_by_tick ON acts (tick);
"""
SCHEMA += _TRIAGE

_TO_VERSION_2 = """
ALTER TABLE letters ADD COLUMN reads TEXT;
ALTER TABLE letters ADD COLUMN triage TEXT NOT NULL DEFAULT 'open';
ALTER TABLE groups ADD COLUMN open INTEGER NOT NULL DEFAULT 0;
ALTER TABLE groups ADD COLUMN resolved INTEGER NOT NULL DEFAULT 0;
UPDATE groups SET open = count;
UPDATE meta SET value = 2 WHERE name = 'schema_version';
"""

_NO_SPACE_OR_DEVICE = (apsw.FullError, apsw.IOError)


@contextmanager
def failures(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into RMF's: DiskFailed for the disk's, StorageError for the others."""
    try:
        yield
    except _NO_SPACE_OR_DEVICE as exc:
        raise DiskFailed(
            f"{path}: the disk refused ({exc}). Nothing of this transaction is stored: make room"
            " or replace the disk, then start the node again"
        ) from exc
    except apsw.Error as exc:
        raise StorageError(
            f"{path}: cannot be used as a DLQ ({exc}). Expected a {DLQ_FILE} written by RMF that"
            " no other process has locked"
        ) from exc


@contextmanager
def writing(db: apsw.Connection, path: Path) -> Iterator[None]:
    """Run the block as one durable transaction: all of it is on the disk afterwards, or nothing.

    Raises DiskFailed or StorageError."""
    with failures(path):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            # SQLite may have rolled back already, and a dead disk refuses this too: the first
            # error is the one that counts.
            with suppress(apsw.Error):
                if not db.get_autocommit():
                    db.execute("ROLLBACK")
            raise


def open_writing(path: Path) -> apsw.Connection:
    """Return the one writing connection to an existing file: WAL, every commit fsynced."""
    with failures(path):
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        db.set_busy_timeout(int(limits.DLQ_LOCK_WAIT_S_MAX * 1000))
        mode = db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")
        if mode != "wal":
            db.close()
            raise StorageError(
                f"{path}: the file system gives no write-ahead log (journal mode {mode!r});"
                " put the data directory on a local disk"
            )
        return db


def open_reading(path: Path) -> apsw.Connection:
    """Return a connection that only reads and never checkpoints, beside a writer or alone.

    Raises StorageError if there is no such file, or if it cannot be read where it lies.
    """
    if not path.is_file():
        raise StorageError(f"{path}: no such file. Expected the DLQ of a node's data directory")
    try:
        return _probed(path, "?mode=ro")
    except (apsw.CantOpenError, apsw.ReadOnlyError) as exc:
        return _open_frozen(path, exc)
    except apsw.Error:
        with failures(path):
            raise


def _open_frozen(path: Path, why: apsw.Error) -> apsw.Connection:
    """Open a file in a directory where SQLite can't make its shared memory."""
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size > 0:
        raise StorageError(
            f"{path}: {log.name} holds letters that can't be read in a read-only directory;"
            " copy both files to a writable one"
        ) from why
    with failures(path):
        return _probed(path, "?mode=ro&immutable=1")


def _probed(path: Path, options: str) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    db = apsw.Connection(path.absolute().as_uri() + options, flags=flags)
    try:
        db.set_busy_timeout(int(limits.DLQ_LOCK_WAIT_S_MAX * 1000))
        db.execute("SELECT 1 FROM sqlite_schema").fetchall()  # opening alone touches nothing
    except apsw.Error:
        db.close()
        raise
    return db


def fetch(db: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return all rows of a query: no read stays open, so none holds up the writer's log."""
    rows: list[Any] = db.execute(sql, values).fetchall()
    return rows


def migrate(db: apsw.Connection, path: Path) -> None:
    """Bring a file of version 1 up to date, whole or not at all; leave any other as it is."""
    with failures(path):
        has_meta = fetch(db, "SELECT 1 FROM sqlite_schema WHERE name = 'meta'")
        found = (
            fetch(db, "SELECT value FROM meta WHERE name = 'schema_version'") if has_meta else []
        )
    if found == [(1,)]:
        with writing(db, path):
            db.execute(_TO_VERSION_2 + _TRIAGE)


def meta_of(db: apsw.Connection, path: Path) -> dict[str, Any]:
    """Return the facts in `meta`; empty if the file holds no table at all.

    Raises StorageError if the file is something else, or of a newer schema.
    """
    with failures(path):
        if not fetch(db, "SELECT 1 FROM sqlite_schema"):
            return {}
        meta: dict[str, Any] = dict(fetch(db, "SELECT name, value FROM meta"))
    found = meta.get("schema_version")
    if found != SCHEMA_VERSION:
        hint = "use the RMF that wrote it, or a newer one"
        if found == 1:
            hint = "start the node once with this RMF: that brings the file up to date"
        raise StorageError(
            f"{path}: schema version {found!r}, this RMF reads {SCHEMA_VERSION}; {hint}"
        )
    return meta
