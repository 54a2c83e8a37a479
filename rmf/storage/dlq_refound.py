"""A DLQ that comes to belong to a new cluster (see refound): the same letters, another owner.

Decides which letters go: those of Entries behind the one that the new cluster begins at. The new
ledger does not hold them, so to the factory they never were, and their ids may come again. Letters
of an edge are the file's alone, and stay.
"""

from pathlib import Path

from rmf.storage import dlq_triage
from rmf.storage.dlq_schema import fetch, meta_of, migrate, open_writing, writing

__all__ = ["refound_dlq"]

_BEHIND = "instr(id, ':') = 0 AND tick > ?"
_COUNT_ANEW = """
DELETE FROM groups WHERE grp NOT IN (SELECT grp FROM letters);
UPDATE groups SET
  count = (SELECT count(*) FROM letters WHERE letters.grp = groups.grp),
  first_seen = (SELECT min(bagged_at) FROM letters WHERE letters.grp = groups.grp),
  last_seen = (SELECT max(bagged_at) FROM letters WHERE letters.grp = groups.grp);
"""


def refound_dlq(path: Path, *, cluster: bytes, node: str, index: int, tick: int) -> None:
    """Make the DLQ at `path` that of `node` in the new `cluster`, which begins behind the Entry
    `index` of this `tick`. May be done again. Raises DiskFailed, StorageError."""
    db = open_writing(path)
    try:
        migrate(db, path)
        meta = meta_of(db, path)
        with writing(db, path):
            before = db.total_changes()
            db.execute(f"DELETE FROM letters WHERE {_BEHIND}", (tick,))  # noqa: S608 our own words
            db.execute("DELETE FROM acts WHERE entry > ?", (index,))
            if db.total_changes() != before:
                db.execute(_COUNT_ANEW)
                dlq_triage.do_anew(db)
            complete = meta["complete"] and meta["cursor"] >= index
            facts = {"cluster": cluster.hex(), "node": node, "cursor": index}
            for name, value in {**facts, "complete": int(complete)}.items():
                db.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))
        fetch(db, "PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()
