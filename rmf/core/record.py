"""The records of the ledger (R23): one layout for Entries, terms and votes, and seals.

A record on disk is `u32 length | u32 CRC32C of the body | body`, all big-endian; the body is the
CBOR array of the fields below. Records know nothing of files (see storage/ledger) and nothing of
what an Entry says (see core/entry).

- `serial` counts the records of a ledger, whatever their kind, from 1. Votes have no index, and
  damage to one must be found like any other: so `durable_through` names a serial.
- `chain` = BLAKE2b-128 over the chain of the Entry before, then (cluster, index, term, body): a
  misplaced, stale or edited record is found out, not only a flipped bit. Records that are no
  Entries carry the chain of the last Entry and do not move it.
- `durable_through`, `boot_id`, `boot_ns` and `commit` are this node's own and are outside the chain
  (R6). `commit` is the highest index this node knew to be committed when it wrote the record: what
  a restart may apply at once (release 0.1 wrote no such field: alone, all of it was committed).
"""

import hashlib

import attrs
import cbor2

__all__ = ["ENTRY", "GENESIS_CHAIN", "HARD", "SEAL", "Record", "chain_of", "record_of"]

ENTRY, HARD, SEAL = range(3)
GENESIS_CHAIN = bytes(16)


@attrs.frozen
class Record:
    """One record. HARD: `body` is CBOR [term, voted_for or null], `index` that of the last Entry.
    SEAL: `body` is empty. `boot_ns` is CLOCK_BOOTTIME at writing, of the boot named `boot_id`."""

    cluster: bytes
    kind: int
    serial: int
    index: int
    term: int
    chain: bytes
    durable_through: int
    boot_id: bytes
    boot_ns: int
    body: bytes
    commit: int


def chain_of(before: bytes, cluster: bytes, index: int, term: int, body: bytes) -> bytes:
    """Return the chain of an Entry: 16 bytes."""
    h = hashlib.blake2b(before, digest_size=16)
    h.update(cbor2.dumps([cluster, index, term]))
    h.update(body)
    return h.digest()


def record_of(body: bytes) -> Record:
    """Return the record in a body whose CRC32C was right. Raises ValueError if it is none."""
    try:
        fields = cbor2.loads(body)
    except cbor2.CBORError as exc:
        raise ValueError("the body is not CBOR") from exc
    kinds = (bytes, int, int, int, int, bytes, int, bytes, int, bytes, int)
    if type(fields) is list and len(fields) == len(kinds) - 1:
        fields.append(fields[3] if type(fields[3]) is int else None)  # written by release 0.1
    if type(fields) is not list or tuple(map(type, fields)) != kinds:
        raise ValueError("the body is not an array of the eleven fields of a record")
    return Record(*fields)
