"""What `--restore` makes of a data directory, and what it leaves alone."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from rmf.config import Config, load
from rmf.errors import DirectoryCopied, StorageError, UsageError
from rmf.floor.restoring import leave, open_directory, take_over
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


# --- A directory that is a copy ------------------------------------------------------------------


def moved(tmp_path: Path, data: str) -> Config:
    return load({"data": str(tmp_path / data), "moved": "on"}, {"HOME": "/"})


@pytest.fixture
def member(tmp_path: Path) -> Path:
    """The directory `n1` of a member, and a copy of it."""
    with closing(open_directory(config(tmp_path, None, "n1"), has_peers=False)) as directory:
        take_over(directory, config(tmp_path, None, "n1"), members=3)
    shutil.copytree(tmp_path / "n1", tmp_path / "copy")
    return tmp_path


def put_back(tmp_path: Path) -> None:
    """The copy takes the place of what it was made of."""
    shutil.rmtree(tmp_path / "n1")
    (tmp_path / "copy").rename(tmp_path / "n1")


def test_a_members_directory_that_a_copy_was_put_over_is_refused_and_stays_so(
    member: Path,
) -> None:
    """R28: it would vote and ack as if it remembered what it promised."""
    put_back(member)
    for _ in range(2):
        with pytest.raises(DirectoryCopied, match=r"rmf-admin add n1 .* `rmf serve --moved`"):
            open_directory(config(member, None, "n1"), has_peers=True)


def test_a_member_that_names_no_peers_is_found_out_once_its_ledger_is_read(member: Path) -> None:
    here = config(member, None, "copy")
    for _ in range(2):
        directory = open_directory(here, has_peers=False)
        with closing(directory), pytest.raises(DirectoryCopied):
            take_over(directory, here, members=2)


def test_what_is_no_copy_starts_again_and_again_wherever_it_was_moved_to(member: Path) -> None:
    (member / "n1").rename(member / "moved")
    here = config(member, None, "moved")
    for _ in range(2):
        with closing(open_directory(here, has_peers=True)) as directory:
            take_over(directory, here, members=3)


def test_a_copy_of_a_lone_node_goes_on_and_is_its_own_from_then_on(member: Path) -> None:
    here = config(member, None, "copy")
    with closing(open_directory(here, has_peers=False)) as directory:
        before = directory.copied
        take_over(directory, here, members=1)
        assert (before, directory.copied) == (True, False)
    with closing(open_directory(here, has_peers=True)) as directory:
        assert not directory.copied


def test_who_says_that_nothing_newer_exists_is_believed_once(member: Path) -> None:
    put_back(member)
    here = moved(member, "n1")
    with closing(open_directory(here, has_peers=True)) as directory:
        take_over(directory, here, members=3)
    shutil.copytree(member / "n1", member / "copy")
    put_back(member)
    with pytest.raises(DirectoryCopied):
        open_directory(config(member, None, "n1"), has_peers=True)


async def test_what_was_copied_while_it_ran_and_is_written_over_it_is_found_out(
    member: Path,
) -> None:
    """File by file, into the very files that are there: their inodes are those of before."""
    here = config(member, None, "n1")
    with closing(open_directory(here, has_peers=True)) as directory:
        take_over(directory, here, members=3)
        content = (member / "n1" / "identity.json").read_bytes()
        await leave(directory)
    (member / "n1" / "identity.json").write_bytes(content)
    with pytest.raises(DirectoryCopied):
        open_directory(here, has_peers=True)
