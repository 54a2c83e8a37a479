"""storage/directory: one process, one node, one cluster a directory."""

import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf.errors import DirectoryInUse, ForeignDirectory, StorageError
from rmf.storage.directory import DataDirectory, inspect
from tests.storage.ledger_kit import SEGMENT_BYTES, Ledger, ledger_in

HOLD = """
import sys
from pathlib import Path
from rmf.storage.directory import DataDirectory
directory = DataDirectory.open(Path(sys.argv[1]), node="n1", create=False)
print("held", flush=True)
sys.stdin.read()
"""


def opened(path: Path, node: str = "n1", *, create: bool = True) -> DataDirectory:
    return DataDirectory.open(path, node=node, create=create, first_segment_bytes=SEGMENT_BYTES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A data directory of n1, closed."""
    opened(tmp_path / "n1").close()
    return tmp_path / "n1"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has it open."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_new_directory_is_private_and_says_that_it_is_new(tmp_path: Path) -> None:
    directory = opened(tmp_path / "deep" / "n1")
    assert directory.fresh
    assert len(directory.cluster) == len(directory.incarnation) == 16
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory.path / "identity.json").stat().st_mode) == 0o600
    directory.close()


def test_a_directory_keeps_its_identity(path: Path) -> None:
    first, second = opened(path), None
    first.close()
    second = opened(path, create=False)
    assert not second.fresh
    assert (first.cluster, first.incarnation) == (second.cluster, second.incarnation)
    found = json.loads((path / "identity.json").read_text())
    assert found == {
        "format": 1,
        "cluster": first.cluster.hex(),
        "node": "n1",
        "incarnation": first.incarnation.hex(),
    }
    second.close()


@pytest.mark.slow
def test_a_directory_in_use_names_the_process(path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(DirectoryInUse, match=rf"{path} is in use by the process {holder.pid}\."):
        opened(path)
    holder.kill()
    holder.wait()
    opened(path).close()


def test_the_same_process_cannot_open_it_twice(path: Path) -> None:
    first = opened(path)
    with pytest.raises(DirectoryInUse):
        opened(path)
    first.close()
    first.close()
    opened(path).close()


def test_the_directory_of_another_node_is_refused(path: Path) -> None:
    with pytest.raises(ForeignDirectory, match=r"belongs to node 'n1'.*this is node 'n2'"):
        opened(path, "n2")
    opened(path).close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"format": 1, "cluster": 5, "incarnation": "00", "node": "n1"}',
        b'{"format": 1, "cluster": "xx", "incarnation": "00", "node": "n1"}',
        b'{"format": 2, "cluster": "00", "incarnation": "00", "node": "n1"}',
        b"\xff",
    ],
)
def test_an_unreadable_identity_is_never_replaced(path: Path, content: bytes) -> None:
    (path / "identity.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"identity\.json"):
        opened(path)
    assert (path / "identity.json").read_bytes() == content


def test_nothing_is_made_where_nothing_should_be(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not a directory"):
        opened(tmp_path / "n1", create=False)
    with pytest.raises(StorageError, match=r"no identity\.json"):
        opened(tmp_path, create=False)
    assert not (tmp_path / "ledger").exists()


def test_a_path_that_cannot_be_a_directory_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot be used"):
        opened(tmp_path / "file" / "n1")


def test_a_genesis_that_was_interrupted_is_held_again(path: Path) -> None:
    (path / "identity.json").unlink()
    (path / "ledger" / "first.tmp").write_bytes(b"half")
    with ledger_in(path) as ledger:
        assert ledger.directory.fresh
        ledger.entries(b"x")
        assert len(ledger.records()) == 1


def test_a_ledger_without_its_identity_is_not_overwritten(path: Path) -> None:
    with ledger_in(path) as ledger:
        ledger.entries(b"x")
        content = ledger.segments[0].read_bytes()
    (path / "identity.json").unlink()
    with pytest.raises(StorageError, match=r"no identity\.json"):
        opened(path)
    assert ledger.segments[0].read_bytes() == content


def test_unfinished_checkpoints_go_when_a_node_starts(path: Path) -> None:
    (path / "checkpoints" / f"{7:020d}.ckpt.tmp").write_bytes(b"half")
    opened(path).close()
    assert list((path / "checkpoints").iterdir()) == []


def test_a_tool_reads_a_directory_while_a_node_has_it(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        view = inspect(tmp_path / "n1")
        assert (view.node, view.cluster) == ("n1", ledger.cluster)
        assert view.dlq_path == ledger.directory.dlq_path


def test_an_archive_and_a_copy_can_be_inspected(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        ledger.entries(b"x")
        copied(ledger, tmp_path / "copy", tmp_path / "archive")
        assert inspect(tmp_path / "copy").node == "n1"
        view = inspect(tmp_path / "archive")
        assert (view.node, view.cluster) == (None, ledger.cluster)


def copied(ledger: Ledger, copy: Path, archive: Path) -> None:
    shutil.copytree(ledger.path, copy)
    shutil.copytree(ledger.directory.ledger_path, archive)


def test_what_is_no_data_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="neither an identity"):
        inspect(tmp_path)
