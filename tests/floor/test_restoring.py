"""What `--restore` makes of a data directory, and what it leaves alone."""

from contextlib import closing
from pathlib import Path

import pytest

from rmf.config import Config, load
from rmf.errors import StorageError, UsageError
from rmf.floor.restoring import open_directory
from rmf.line import board
from tests.driven_node import node_in
from tests.storage.test_backup import packed


def config(tmp_path: Path, file: str | None = "plant.tar", data: str = "new") -> Config:
    flags: dict[str, str | None] = {"data": str(tmp_path / data)}
    if file is not None:
        flags["restore"] = str(tmp_path / file)
    return load(flags, {"HOME": "/"})


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    with node_in(tmp_path / "old", board) as node:
        node.send("probe", ("room/1", 20.5))
        node.checkpoint()
        node.store.put_line([], node.core.committed.index)
        packed(node, tmp_path / "plant.tar")
    return tmp_path


def test_an_empty_directory_becomes_a_new_cluster_and_a_start_again_goes_on(plant: Path) -> None:
    with closing(open_directory(config(plant), has_peers=False)) as first:
        cluster = first.cluster
        assert cluster
        assert not (plant / "new" / "restoring").exists()
    with closing(open_directory(config(plant), has_peers=False)) as again:
        assert again.cluster == cluster


def test_with_peers_it_is_of_this_node_alone_all_the_same(plant: Path) -> None:
    with closing(open_directory(config(plant), has_peers=True)) as directory:
        assert directory.founded


def test_a_factory_that_stands_there_is_left_alone(plant: Path) -> None:
    with closing(open_directory(config(plant, None), has_peers=False)) as other:
        cluster = other.cluster
    with pytest.raises(UsageError, match="holds a factory already"):
        open_directory(config(plant), has_peers=False)
    with closing(open_directory(config(plant, None), has_peers=False)) as other:
        assert other.cluster == cluster


def test_what_cannot_be_restored_leaves_the_directory_empty(plant: Path) -> None:
    file = plant / "plant.tar"
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(StorageError):
        open_directory(config(plant), has_peers=False)
    assert not (plant / "new" / "restoring").exists()
    with closing(open_directory(config(plant, None), has_peers=True)) as directory:
        assert not directory.founded


def test_a_file_that_is_not_there_is_named(plant: Path) -> None:
    with pytest.raises(StorageError, match=r"gone\.tar"):
        open_directory(config(plant, "gone.tar"), has_peers=False)
