"""A DLQ with a World beside it, for tests of what people do with letters.

A store's own answers, and cells as a node would say them.
"""

from collections.abc import Iterator
from pathlib import Path

import cbor2

from rmf.client.dlq import Body, Source
from rmf.core.messages import WireCell
from rmf.storage.dlq_query import answer
from rmf.storage.dlq_reader import DlqReader


class Stored(Source):
    """Answers out of a file; `cells` is the World, None where no node reigns to tell. The line
    would write the cell of a packet's topic, and `writes` beside it; None: unknown."""

    def __init__(self, path: Path, cells: dict[str, WireCell] | None = None) -> None:
        self.name = "n1"
        self.cells = cells
        self.writes: list[str] | None = []
        self._reader = DlqReader.open(path)

    def ask(self, subject: str, query: Body) -> Iterator[Body]:
        return answer(self._reader, subject, query)

    def cell(self, key: str) -> WireCell | None:
        if self.cells is None:
            raise LookupError("no_reign: the election is not over yet")
        return self.cells.get(key)

    def would(self, packet: bytes, producer: str) -> Body:
        assert producer.startswith("redrive:")
        if self.writes is None:
            raise LookupError("not_possible: no glove box")
        keys = [cbor2.loads(packet)[0], *self.writes]
        there = [(self.cells or {}).get(key) for key in keys]
        cells = [
            [key, cell.term, cell.tick, cell.slot, cell.producer] if cell else [key, 0, 0, 0, ""]
            for key, cell in zip(keys, there, strict=True)
        ]
        return {"reason": None, "message": "", "cells": cells, "more": False}

    def close(self) -> None:
        self._reader.close()


def cell(key: str, tick: int, *, producer: str = "probe", value: object = 1) -> WireCell:
    """A cell that this Tick of term 3 wrote."""
    return WireCell(key, cbor2.dumps(value), 3, tick, 0, producer, 7, None)
