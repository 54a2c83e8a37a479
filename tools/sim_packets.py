"""Packets for `rmf-sim` that are not made up: of a file as rmf-send takes it, or of a ledger.

A file holds JSON lines, each an envelope with topic and payload (and ttl_ms, harvested_at), or a
payload alone where the topic is given. A data directory, its archive or a copy gives what its
ledger latched, in order. It reads, and changes nothing.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cbor2

from rmf import limits
from rmf.client.client_values import encode_payload
from rmf.core.entry import TickBooks, decode_entry
from rmf.core.packet import check_rows
from rmf.errors import StorageError, UsageError
from rmf.storage.archive import starts
from rmf.storage.directory import inspect
from rmf.storage.ledger_extent import holding, survey
from rmf.storage.scan import LedgerScan
from rmf.testing import bounds
from rmf.testing.line_workload import Given
from tools.send_lines import BadLine, LineReader, Wanted

__all__ = ["read_packets", "write_packets"]


def read_packets(path: Path, *, topic: str | None, ttl_ms: int) -> list[Given]:
    """Return the packets of a file or a ledger: PACKETS_MAX of them at most. Raises
    UsageError for what is none, and StorageError."""
    try:
        found = _of_ledger(path) if path.is_dir() else _of_file(path, topic, ttl_ms)
        given = list(islice(found, bounds.PACKETS_MAX))
    except OSError as exc:
        raise UsageError(f"--packets {path}: {exc.strerror}") from exc
    if not given:
        raise UsageError(f"--packets {path}: it holds no packet")
    return given


def _of_file(path: Path, topic: str | None, ttl_ms: int) -> Iterator[Given]:
    reader = LineReader("jsonl", Wanted(topic, ttl_ms, None))
    with path.open("rb") as file:
        try:
            while data := file.read(limits.FILE_READ_BYTES):
                for packet in reader.feed(data):
                    yield _checked(Given(*_fields(packet.parcel)), f"{path}, line {packet.line}")
            for packet in reader.end():
                yield _checked(Given(*_fields(packet.parcel)), f"{path}, line {packet.line}")
        except BadLine as exc:
            raise UsageError(f"--packets {path}: {exc}") from exc


def _fields(parcel: tuple[object, ...]) -> tuple[str, bytes, int, int | None]:
    topic, payload, ttl_ms, harvested_at, _ = parcel
    return topic, encode_payload(payload), ttl_ms, harvested_at  # type: ignore[return-value]


def _checked(given: Given, where: str) -> Given:
    row = [given.topic, 1, given.harvested_at or 0, given.ttl_ms, given.payload]
    for verdict in check_rows([row]).values():
        raise UsageError(f"--packets {where}: {verdict.text}")
    return given


def _of_ledger(path: Path) -> Iterator[Given]:
    view = inspect(path)
    places = starts(view.ledgers, view.checkpoints, view.cluster)
    if not places:
        raise StorageError(f"{path}: there is nothing to begin at: no ledger, no Checkpoint")
    base = places[0].base
    seen = survey(LedgerScan(view.ledgers, view.cluster, base))
    for record in holding(LedgerScan(view.ledgers, view.cluster, base), seen):
        books = decode_entry(record.body).books
        if isinstance(books, TickBooks):
            for frame in books.frames:
                for row in frame.rows:
                    if not check_rows([row]):
                        yield Given(row[0], row[4], row[3], row[2])


def write_packets(given: list[Given], path: Path) -> None:
    """Write packets for the child processes."""
    path.write_bytes(cbor2.dumps([list(x) for x in given]))
