"""Letters to fill a DLQ with, for the tests of the store, its answers and its tool."""

from contextlib import closing
from pathlib import Path
from typing import Any

import cbor2

from rmf.core.bag import Evidence, Letter
from rmf.storage.dlq_reader import DlqReader
from rmf.storage.dlq_store import DlqStore

CLUSTER = bytes(range(16))
NODE = "n1"

TRACEBACK = """Traceback (most recent call last):
  File "line.py", line 7, in temperature
    raise ValueError(packet.payload)
ValueError: too hot
"""


def opened(path: Path, *, cluster: bytes = CLUSTER, node: str = NODE) -> "closing[DlqStore]":
    """Return the store in a file, for as long as a `with` lasts."""
    return closing(DlqStore.open(path, cluster=cluster, node=node))


def reading(path: Path) -> "closing[DlqReader]":
    """Return a reader of the file, likewise."""
    return closing(DlqReader.open(path))


def packet_of(seq: int = 1, payload: object = None, topic: str = "room/1/temp") -> bytes:
    """Return one packet as it would have come, with its payload embedded."""
    return cbor2.dumps([topic, seq, 1_700_000_000_000_000_000, 2000, cbor2.dumps(payload)])


def letter(number: int, **fields: Any) -> Letter:
    """Return a letter of the line for the tick `number`; any field may be given."""
    known: dict[str, Any] = {
        "id": f"3.{number}.0",
        "reason": "handler_error",
        "stage": "line",
        "node": NODE,
        "producer": "probe",
        "epoch": 1,
        "topic": "room/1/temp",
        "seq": number,
        "term": 3,
        "tick": number,
        "slot": 0,
        "harvested_at": 1_700_000_000_000_000_000,
        "ttl_ms": 2000,
        "line": "greenhouse 1",
        "digest_before": bytes(16),
        "error": Evidence("ValueError", "too hot", TRACEBACK),
        "packet": packet_of(number, {"celsius": 400}),
        "bagged_at": 1_700_000_000_500_000_000 + number,
    }
    return Letter(**{**known, **fields})


def edge_letter(letter_id: str, **fields: Any) -> Letter:
    """Return a letter of an edge: bytes in which no packet could be read."""
    known: dict[str, Any] = {
        "id": letter_id,
        "reason": "malformed",
        "stage": "edge",
        "node": NODE,
        "error": Evidence("", "no_seq: a packet without a readable seq", ""),
        "packet": b"\xff\x00poison",
        "bagged_at": 1_700_000_001_000_000_000,
    }
    empty = dict.fromkeys(set(Letter._fields) - set(known))
    return Letter(**{**empty, **known, **fields})
