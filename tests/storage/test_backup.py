"""A backup in one file: what was written is restored; what was touched is refused."""

import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from rmf.errors import StorageError
from rmf.line import board
from rmf.storage.archive import starts
from rmf.storage.backup import FACTS, Backup, name_of, pack, restore_into, unpack
from rmf.storage.backup_source import BackupSource
from rmf.storage.directory import DataDirectory
from rmf.storage.refound import source_of
from rmf.storage.restore import restore
from tests.driven_node import DrivenNode, node_in
from tests.storage.dlq_letters import letter
from tests.storage.of_three import letters_in


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DrivenNode]:
    with node_in(tmp_path / "n1", board) as made:
        made.send("probe", ("room/1", 20.5), ("room/2", 7))
        made.checkpoint()
        made.store.put_line([letter(2)], made.core.committed.index)
        yield made


def packed(node: DrivenNode, out: Path) -> Backup:
    parts = out.with_name("parts")
    parts.mkdir()
    with closing(BackupSource(node.directory, 1)) as source:
        facts, *bodies = source.bodies()
        for body in bodies:
            with (parts / body["part"]).open("ab") as file:
                file.write(body["data"])
    told = {"cluster": facts["cluster"].hex(), "index": facts["index"]}
    return pack(parts, out, told)


def restored(file: Path, data: Path, node: str = "n9") -> DataDirectory:
    directory = DataDirectory.open(data, node=node, found=False)
    parts = data / "parts"
    parts.mkdir()
    restore_into(directory, unpack(file, parts), peer_address="here:1", client_address="here:2")
    return directory


def test_a_new_cluster_goes_on_from_it(node: DrivenNode, tmp_path: Path) -> None:
    made = packed(node, tmp_path / "plant.tar")
    state = node.core.committed
    with closing(restored(tmp_path / "plant.tar", tmp_path / "n9")) as directory:
        assert directory.cluster not in {state.cluster, b""}
        places = starts(directory.ledgers, directory.checkpoints, directory.cluster)
        found, _ = restore(places, directory.cluster)
        assert found is not None
        assert found.state.digest() == state.digest()
        assert (found.state.index, found.state.tick, found.state.term) == (
            state.index,
            state.tick,
            state.term,
        )
        (member,) = found.state.members
        assert member == ("n9", directory.incarnation, "here:1", "here:2", True)
        assert found.state.producers.rows == state.producers.rows
        assert letters_in(directory.dlq_path, directory.cluster, "n9") == ["3.2.0"]
    assert source_of(tmp_path / "n9") == made.name == name_of(tmp_path / "plant.tar")


def test_it_is_a_plain_tar_file_that_only_its_owner_reads(node: DrivenNode, tmp_path: Path) -> None:
    packed(node, tmp_path / "plant.tar")
    with tarfile.open(tmp_path / "plant.tar") as archive:
        index = node.core.committed.index
        assert archive.getnames() == [FACTS, f"{index:020d}.ckpt", "dlq.sqlite"]
    assert (tmp_path / "plant.tar").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.tmp"))


# --- What was touched -----------------------------------------------------------------------------

Members = dict[str, bytes]


def rewritten(file: Path, change: Callable[[Members], object]) -> None:
    """Write the file again with other members."""
    with tarfile.open(file) as archive:
        members: Members = {}
        for member in archive:
            found = archive.extractfile(member)
            assert found is not None
            members[member.name] = found.read()
    change(members)
    with tarfile.open(file, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, BytesIO(data))


def flipped(name: str, at: int) -> Callable[[Members], object]:
    def flip(members: Members) -> None:
        found = next(x for x in members if x.endswith(name))
        data = bytearray(members[found])
        data[at] ^= 1
        members[found] = bytes(data)

    return flip


def facts_with(**more: Any) -> Callable[[Members], object]:
    def put(members: Members) -> None:
        members[FACTS] = json.dumps({**json.loads(members[FACTS]), **more}).encode()

    return put


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flipped(".ckpt", 200), "not what was written"),
        (flipped("dlq.sqlite", 5000), "not what was written"),
        (lambda x: x.pop("dlq.sqlite"), "missing"),
        (lambda x: x.pop(FACTS), "expected a backup"),
        (facts_with(format=2), "format 2"),
        (facts_with(index=99), "missing"),
        (facts_with(cluster="00" * 16), "cluster"),
        (facts_with(parts=None), "unreadable"),
        (facts_with(more="x" * 100_000), "more than"),
    ],
    ids=["cell", "letter", "no letters", "no facts", "format", "index", "owner", "parts", "long"],
)
def test_nothing_of_it_is_used(
    node: DrivenNode, tmp_path: Path, change: Callable[[Members], object], words: str
) -> None:
    packed(node, tmp_path / "plant.tar")
    rewritten(tmp_path / "plant.tar", change)
    (tmp_path / "out").mkdir()
    with pytest.raises(StorageError, match=words):
        unpack(tmp_path / "plant.tar", tmp_path / "out")


def test_what_else_a_stranger_put_there_is_not_looked_at(node: DrivenNode, tmp_path: Path) -> None:
    packed(node, tmp_path / "plant.tar")
    with tarfile.open(tmp_path / "plant.tar", "a") as archive:
        for name in ("../outside", "/tmp/absolute", "x.ckpt", "sub/dlq.sqlite"):
            archive.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("00000000000000000099.ckpt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (tmp_path / "out").mkdir()
    found = unpack(tmp_path / "plant.tar", tmp_path / "out")
    there = {path.name for path in (tmp_path / "out").iterdir()}
    of_sqlite = {"dlq.sqlite-wal", "dlq.sqlite-shm"}
    assert there - of_sqlite == {FACTS, found.checkpoint.name, "dlq.sqlite"}


@pytest.mark.parametrize("text", [b"", b"not a tar file at all", bytes(10_240)])
def test_a_file_that_is_no_backup_is_said_to_be_none(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "plant.tar"
    file.write_bytes(text)
    (tmp_path / "out").mkdir()
    with pytest.raises(StorageError):
        unpack(file, tmp_path / "out")
    with pytest.raises(StorageError):
        name_of(file)


def test_it_is_cut_short(node: DrivenNode, tmp_path: Path) -> None:
    packed(node, tmp_path / "plant.tar")
    whole = (tmp_path / "plant.tar").read_bytes()
    for number, size in enumerate((600, 3000, len(whole) // 2)):
        (tmp_path / "plant.tar").write_bytes(whole[:size])
        out = tmp_path / f"out{number}"
        out.mkdir()
        with pytest.raises(StorageError):
            unpack(tmp_path / "plant.tar", out)
