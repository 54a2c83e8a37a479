"""The tables of `dlq.sqlite` as schema version 1 had them, and a file of that kind."""

from pathlib import Path

import apsw

from tests.storage.dlq_letters import CLUSTER, NODE

SCHEMA_1 = """
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
  grp TEXT NOT NULL              -- fingerprint of the failure: see groups
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
  message TEXT NOT NULL          -- of one of the letters, as a sample
) STRICT, WITHOUT ROWID;
"""

_META = {
    "schema_version": 1,
    "cluster": CLUSTER.hex(),
    "node": NODE,
    "cursor": 7,
    "next_edge_number": 5,
    "complete": 1,
}
_LETTER = """
INSERT INTO letters (id, reason, stage, node, term, tick, slot, error_type, error_message,
  packet, bagged_at, grp) VALUES (?, 'handler_error', 'line', 'n1', 3, ?, 0, 'ValueError', 'old',
  x'80', 50, '1-old')
"""
_GROUP = """
INSERT INTO groups VALUES ('1-old', 2, 50, 50, 'handler_error', 'line', 'ValueError', 'old')
"""


def make_file(path: Path) -> None:
    """Write a file as the release before wrote it: two letters of one group, cursor 7."""
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    with db:
        db.execute(SCHEMA_1)
        db.executemany("INSERT INTO meta VALUES (?, ?)", _META.items())
        db.executemany(_LETTER, [("3.1.0", 1), ("3.2.0", 2)])
        db.execute(_GROUP)
    db.close()
