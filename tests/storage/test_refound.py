"""A directory comes to belong to a new cluster: whole or not at all, wherever a crash comes."""

import json
import shutil
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from rmf.core.record import ENTRY
from rmf.errors import StorageError
from rmf.storage import refound
from rmf.storage.archive import starts
from rmf.storage.directory import DataDirectory
from rmf.storage.recover import go_on_alone, look
from rmf.storage.refound import finish, source_of
from rmf.storage.restore import restore
from rmf.storage.scan import LedgerScan
from tests.storage.crashes import crash_states
from tests.storage.of_three import of_three
from tests.storage.written_node import CLUSTER

WHOLE = {"a", "b", "c", "d", "e"}


def world_of(path: Path) -> tuple[bytes, set[str]]:
    """Open a directory as a start does; return its cluster and the keys that are restored."""
    with closing(DataDirectory.open(path, node="n1", create=False, found=False)) as directory:
        assert directory.founded
        places = starts(directory.ledgers, directory.checkpoints, directory.cluster)
        found, faults = restore(reversed(places), directory.cluster)
        assert found is not None
        assert not faults
        scan = LedgerScan(directory.ledgers, directory.cluster, found.start.base)
        behind = [record.index for record in scan if record.kind == ENTRY]
        assert behind == ([] if found.state.index else [1, 2, 3, 4, 5, 6])
        return directory.cluster, set(found.state.world.cells)


@pytest.mark.slow
def test_after_a_crash_anywhere_it_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        act = partial(go_on_alone, node.directory, look(node.directory))
        states = crash_states(tmp_path / "n1", tmp_path / "states", act)
        new = node.directory.cluster
    clusters = []
    for state in states:
        cluster, keys = world_of(state)
        assert keys == (WHOLE if cluster == new else set()), state.name
        clusters.append(cluster)
        assert world_of(state) == (cluster, keys)  # and stays so
    turn = clusters.index(new)
    assert clusters == [CLUSTER] * turn + [new] * (len(clusters) - turn)
    assert 0 < turn < len(clusters) - 3, "most of it comes behind the point of no return"


@pytest.mark.slow
def test_each_step_of_finishing_can_be_taken_twice(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        act = partial(go_on_alone, node.directory, look(node.directory))
        states = crash_states(tmp_path / "n1", tmp_path / "states", act)
        new = node.directory.cluster
    binding = next(state for state in states if (state / "refound.json").exists())
    twice = crash_states(binding, tmp_path / "again", partial(finish, binding))
    assert twice
    for again in twice:
        assert world_of(again) == (new, WHOLE), again.name


def test_there_is_nothing_to_finish_where_nothing_was_begun(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1"):
        assert not finish(tmp_path / "n1")
        assert source_of(tmp_path / "n1") is None


def test_what_was_staged_and_is_not_binding_is_nothing(tmp_path: Path) -> None:
    """A DLQ that an earlier attempt left is not taken for that of a later one."""
    with of_three(tmp_path / "n1") as node:
        (tmp_path / "n1" / "refound.sqlite").write_bytes(b"left over")
        new = go_on_alone(node.directory, look(node.directory))
        assert not (tmp_path / "n1" / "refound.sqlite").exists()
    assert world_of(tmp_path / "n1") == (new.cluster, WHOLE)


def test_it_says_what_it_was_made_of(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        go_on_alone(node.directory, look(node.directory))
    assert source_of(tmp_path / "n1") == f"{CLUSTER.hex()} after the loss of its majority"


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"cluster": "xyz"})])
def test_a_word_that_cannot_be_read_stops_the_start(tmp_path: Path, text: str) -> None:
    with of_three(tmp_path / "n1"):
        pass
    (tmp_path / "n1" / "refound.json").write_text(text)
    with pytest.raises(StorageError, match=r"refound\.json is unreadable"):
        world_of(tmp_path / "n1")


def test_the_ledger_goes_on_where_the_checkpoint_stands(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        last = look(node.directory)
        go_on_alone(node.directory, last)
        (start,) = starts(
            node.directory.ledgers, node.directory.checkpoints, node.directory.cluster
        )
    assert start.base == last.base
    shutil.rmtree(tmp_path / "n1" / "before-refounding")  # it is for people alone
    assert world_of(tmp_path / "n1")[1] == WHOLE
    assert refound.source_of(tmp_path / "n1") is not None
