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
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS
from rmf.storage.swap_directories import READY, announce, make_directory
from tests.storage.crashes import crash_states
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
    assert len(found.pop("birthmark")) == 2
    assert found == {
        "format": 1,
        "cluster": first.cluster.hex(),
        "node": "n1",
        "incarnation": first.incarnation.hex(),
    }
    second.close()


def test_a_copy_knows_that_it_is_one_until_it_is_taken_for_its_own(path: Path) -> None:
    """R28: it has forgotten what was promised since it was made."""
    first = opened(path)
    first.close()
    assert not first.copied
    copy = path.with_name("copy")
    shutil.copytree(path, copy)
    found = []
    for act in (lambda _: None, DataDirectory.own, lambda _: None):
        again = opened(copy)
        found.append(again.copied)
        act(again)
        again.close()
    assert found == [True, True, False]


def test_what_an_older_release_wrote_is_no_copy(path: Path) -> None:
    opened(path).close()
    place = path / "identity.json"
    fields = json.loads(place.read_text())
    del fields["birthmark"]
    place.write_text(json.dumps(fields))
    again = opened(path)
    again.close()
    assert not again.copied


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


# --- Without a cluster --------------------------------------------------------------------------


def waiting(path: Path) -> DataDirectory:
    return DataDirectory.open(path, node="n1", found=False, first_segment_bytes=SEGMENT_BYTES)


def test_a_node_that_waits_for_its_cluster_has_an_identity_and_no_ledger(tmp_path: Path) -> None:
    first = waiting(tmp_path / "n1")
    assert (first.fresh, first.founded, first.cluster) == (True, False, b"")
    assert not first.ledger_path.exists()
    assert json.loads((first.path / "identity.json").read_text())["cluster"] is None
    with pytest.raises(DirectoryInUse):
        waiting(first.path)
    first.close()
    second = waiting(first.path)
    assert (second.fresh, second.founded) == (False, False)
    assert second.incarnation == first.incarnation
    second.close()


def test_once_it_is_founded_it_is_a_directory_like_any_other(tmp_path: Path) -> None:
    first = waiting(tmp_path / "n1")
    first.found(b"the cluster")
    assert (first.founded, first.cluster) == (True, b"the cluster")
    first.close()
    again = opened(first.path)
    assert (again.cluster, again.incarnation) == (b"the cluster", first.incarnation)
    again.close()
    with ledger_in(first.path) as ledger:
        ledger.entries(b"x")
        assert [record.cluster for record in ledger.records()] == [b"the cluster"]


def test_a_node_alone_founds_what_was_waiting(tmp_path: Path) -> None:
    first = waiting(tmp_path / "n1")
    first.close()
    alone = opened(first.path)
    assert alone.founded
    assert len(alone.cluster) == 16
    assert alone.incarnation == first.incarnation
    alone.close()


def test_a_founding_that_was_interrupted_may_become_another(tmp_path: Path) -> None:
    first = waiting(tmp_path / "n1")
    states = crash_states(first.path, tmp_path / "states", lambda: first.found(b"the cluster"))
    first.close()
    assert len(states) > 3
    for state in states:
        directory = waiting(state)
        before = directory.cluster
        if not directory.founded:
            directory.found(b"another one")
        scan = LedgerScan(directory.ledgers, directory.cluster, GENESIS)
        assert (directory.cluster, list(scan)) == (before or b"another one", [])
        directory.close()


def test_the_vote_of_an_incarnation_before_is_not_that_of_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "vote").write_bytes(b"of another")
    waiting(tmp_path).close()
    assert not (tmp_path / "vote").exists()


def test_a_ledger_without_a_cluster_is_not_overwritten(path: Path) -> None:
    with ledger_in(path) as ledger:
        ledger.entries(b"x")
    place = path / "identity.json"
    found = json.loads(place.read_text())
    place.write_text(json.dumps(found | {"cluster": None}))
    with pytest.raises(StorageError, match=r"no identity\.json that names its cluster"):
        opened(path)


def test_a_tool_says_that_there_is_no_cluster_yet(tmp_path: Path) -> None:
    waiting(tmp_path / "n1").close()
    with pytest.raises(StorageError, match=r"no cluster yet.*node 'n1' waits"):
        inspect(tmp_path / "n1")


def test_the_directory_of_another_node_is_refused_without_a_cluster_too(tmp_path: Path) -> None:
    waiting(tmp_path).close()
    with pytest.raises(ForeignDirectory, match=r"belongs to node 'n1' \(no cluster yet\)"):
        opened(tmp_path, "n2")


def test_an_exchange_that_was_interrupted_is_finished_and_said_meanwhile(path: Path) -> None:
    staged = path / "staged" / "ledger"
    staged.mkdir(parents=True)
    (staged / "of").write_text("the new one")
    (path / "before").mkdir()
    (path / "exchange").write_text('{"staged": "staged", "into": "before"}')
    with pytest.raises(StorageError, match="being exchanged"):
        inspect(path)
    opened(path).close()
    assert [p.name for p in (path / "ledger").iterdir()] == ["of"]


def test_a_checkpoint_that_stands_ready_takes_its_place(path: Path) -> None:
    for part in ("ledger", "checkpoints", "archive"):
        make_directory(path / READY / part)
    announce(path, 7, b"chain")
    opened(path).close()
    assert list((path / "ledger").iterdir()) == []
    assert len(list((path / "before-install" / "ledger").iterdir())) == 1


# --- For tools ------------------------------------------------------------------------------------


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
