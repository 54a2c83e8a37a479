"""core/history: Entries out of records, and states one after another."""

from pathlib import Path

import attrs
import pytest

from rmf.core.entry_walk import entry_of, follow
from rmf.core.shelf import Shelf
from rmf.core.state import genesis_state
from rmf.errors import StorageError
from rmf.line import board
from tests.driven_node import node_in


def test_followed_to_the_end_it_is_the_state_of_the_node(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", board) as node:
        node.send("probe", ("room/1", 1), ("room/2", 2), ttl_ms=20)
        node.wait(50)
        node.send("probe", ("room/3", 3))
        state, shelf = genesis_state(node.directory.cluster), Shelf()
        for record in node.records():
            state = follow(state, entry_of(record), record.term, record.index, shelf)
            assert state.digest() == entry_of(record).digest
        assert state.digest() == node.core.committed.digest()
    assert list(state.world.index.walk()) == ["room/3"], "keys that are gone are forgotten"


def test_an_entry_that_cannot_be_read_names_what_to_do(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", board) as node:
        record = attrs.evolve(node.records()[-1], body=b"\x85\x09\x02\x01\x00\x40")
    with pytest.raises(StorageError, match="replay it with the version of RMF that wrote it"):
        entry_of(record)
