"""One node goes on alone after the loss of the majority: a new cluster, from all that it has."""

from contextlib import closing
from pathlib import Path

import pytest

from rmf.errors import StorageError
from rmf.line import board
from rmf.storage.archive import starts
from rmf.storage.directory import DataDirectory
from rmf.storage.identity import read_identity
from rmf.storage.recover import go_on_alone, look
from rmf.storage.restore import restore
from tests.driven_node import node_in
from tests.storage.of_three import letters_in, letters_of, of_three


def test_the_new_cluster_has_all_that_the_disk_held(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        old = node.directory.cluster
        before = node.directory.incarnation
        last = look(node.directory)
        new = go_on_alone(node.directory, last)
        directory = node.directory
        assert new.cluster == directory.cluster != old
        assert directory.incarnation not in {before, b""}
        identity = read_identity(tmp_path / "n1")
        assert identity is not None
        assert (identity.cluster, identity.incarnation) == (new.cluster, directory.incarnation)
        places = starts(directory.ledgers, directory.checkpoints, directory.cluster)
        found, faults = restore(places, directory.cluster)
        assert found is not None
        assert not faults
        assert found.state.digest() == node.author.state.digest()
        assert (found.state.index, found.state.tick) == (6, node.author.state.tick)
        assert found.state.members == (new.member,)
        assert new.member[:4] == ("n1", directory.incarnation, "n1:7510", "n1:7410")
        assert found.state.membership == 6
        assert len(letters_of(node)) == 2


def test_what_stood_there_is_kept(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        names = [path.name for path in node.segments]
        go_on_alone(node.directory, look(node.directory))
    kept = tmp_path / "n1" / "before-refounding" / "ledger"
    assert sorted(path.name for path in kept.iterdir()) == names


def test_the_vote_of_the_old_cluster_is_none_of_the_new_one(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        node.write(node.author.hard("n2"))
        assert (tmp_path / "n1" / "vote").exists()
        go_on_alone(node.directory, look(node.directory))
        assert not (tmp_path / "n1" / "vote").exists()


def test_looking_changes_nothing_but_the_letters_that_were_owed(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        look(node.directory)
        look(node.directory)
        assert len(letters_of(node)) == 2
        assert node.directory.cluster == node.author.cluster
        assert [record.index for record in node.entries()] == [1, 2, 3, 4, 5, 6]


def test_a_lone_node_has_lost_no_peer(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", board) as node:
        node.send("probe", ("a", 1))
        node.store.close()
        with pytest.raises(StorageError, match="only voter"):
            look(node.directory)


def test_a_node_without_a_cluster_has_nothing_to_recover(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path / "n1", node="n1", found=False)
    with closing(directory), pytest.raises(StorageError, match="no cluster"):
        look(directory)


def test_the_directory_opens_as_the_new_cluster(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        new = go_on_alone(node.directory, look(node.directory))
        node.reopen()
        assert node.directory.cluster == new.cluster
    assert letters_in(tmp_path / "n1" / "dlq.sqlite", new.cluster, "n1")
