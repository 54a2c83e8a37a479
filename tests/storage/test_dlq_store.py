"""storage/dlq_store, dlq_reader: what was put there stays, once, and can be read anywhere."""

import os
import resource
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.bag import Evidence, Letter
from rmf.errors import DiskFailed, ForeignDirectory, StorageError
from rmf.storage.dlq_schema import DLQ_FILE
from tests.storage.dlq_letters import CLUSTER, NODE, TRACEBACK, edge_letter, letter, opened, reading


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / DLQ_FILE


def stored_in(path: Path) -> list[Letter]:
    with reading(path) as reader:
        return [found.letter for found in reader.letters()]


@contextmanager
def file_bytes_at_most(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse to grow any file of this process beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_letters_come_back_exactly_as_they_went_in(path: Path) -> None:
    letters = [letter(1), letter(2, topic=None, digest_before=None), edge_letter("n1:edge:1")]
    with opened(path) as store:
        assert store.put_line(letters, 7) == 3
    assert stored_in(path) == letters


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.builds(
            edge_letter,
            st.uuids().map(str),
            topic=st.none() | st.text(st.characters(), max_size=8),
            producer=st.none() | st.text(max_size=8),
            seq=st.none() | st.integers(),
            ttl_ms=st.none() | st.integers(0, 2**64 - 1),
            packet=st.binary(max_size=32),
            error=st.builds(Evidence, *[st.text(st.characters(), max_size=8)] * 3),
        ),
        max_size=4,
    )
)
def test_no_letter_is_too_strange_to_be_stored(letters: list[Letter]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, DLQ_FILE)
        with opened(path) as store:
            store.put_edge(letters)
        found = stored_in(path)
    assert [x.packet for x in found] == [x.packet for x in letters]
    for was, is_now in zip(letters, found, strict=True):
        fits = was.seq is not None and -(2**63) <= was.seq < 2**63
        assert is_now.seq == (was.seq if fits else None)


def test_letters_stored_again_change_nothing(path: Path) -> None:
    with opened(path) as store:
        store.put_line([letter(1), letter(2)], 5)
        before = store.stats()
        assert store.put_line([letter(1), letter(2, reason="expired")], 5) == 0
        assert store.put_line([letter(2), letter(3)], 6) == 1
        assert store.stats()._replace(letters=2, open=2) == before
    with reading(path) as reader:
        assert [group.letters for group in reader.groups()] == [3]


def test_the_same_letter_twice_in_one_call_is_one_letter(path: Path) -> None:
    with opened(path) as store:
        assert store.put_line([letter(1), letter(1)], 1) == 1
        assert store.stats().letters == 1


def test_the_cursor_never_goes_back(path: Path) -> None:
    with opened(path) as store:
        assert store.cursor == 0
        store.put_line([], 9)
        store.put_line([letter(1)], 4)
        assert store.cursor == 9
    with opened(path) as store:
        assert store.cursor == 9


def test_a_crash_leaves_letters_and_cursor_together_or_neither(path: Path, tmp_path: Path) -> None:
    """Raft-cases 43: what is applied and how far go together."""
    # What a power cut leaves is the file and a prefix of its log: try every prefix.
    with opened(path) as store:
        store.put_line([letter(1)], 1)
    with opened(path) as store:
        store.put_line([letter(n, packet=bytes(3000)) for n in range(2, 6)], 5)
        main, log = path.read_bytes(), path.with_name(DLQ_FILE + "-wal").read_bytes()
    seen = set()
    for cut in (*range(0, len(log), 1024), len(log)):
        copy = tmp_path / f"cut-{cut}" / DLQ_FILE
        copy.parent.mkdir()
        copy.write_bytes(main)
        copy.with_name(DLQ_FILE + "-wal").write_bytes(log[:cut])
        with opened(copy) as store:
            seen.add((store.cursor, store.stats().letters))
    assert seen == {(1, 1), (5, 5)}


def test_a_write_that_fails_is_named_and_leaves_nothing_of_itself(path: Path) -> None:
    with opened(path) as store:
        store.put_line([letter(1)], 1)
        big = letter(2, packet=bytes(limits.MIB))
        with file_bytes_at_most(256 * limits.KIB), pytest.raises(DiskFailed, match="make room"):
            store.put_line([big], 2)
        assert (store.cursor, store.stats().letters) == (1, 1)
    with opened(path) as store:
        assert (store.cursor, store.stats().letters) == (1, 1)


def test_edge_numbers_never_repeat_after_a_restart(path: Path) -> None:
    with opened(path) as store:
        assert store.reserve_edge_ids(2) == ["n1:edge:1", "n1:edge:2"]
    with opened(path) as store:
        assert store.next_edge_number == 3
        assert store.reserve_edge_ids(1) == ["n1:edge:3"]


def test_edge_numbers_never_repeat_after_a_crash(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / DLQ_FILE
    with opened(path) as store:
        store.reserve_edge_ids(64)
        shutil.copytree(path.parent, copy.parent, ignore=shutil.ignore_patterns("copy", "*-shm"))
    with opened(copy) as store:
        assert store.next_edge_number == 65


@pytest.mark.parametrize(
    ("cluster", "node", "word"), [(bytes(16), NODE, "cluster"), (CLUSTER, "n2", "node")]
)
def test_a_file_of_another_cluster_or_node_is_refused(
    path: Path, cluster: bytes, node: str, word: str
) -> None:
    with opened(path) as store:
        store.put_line([letter(1)], 1)
    with (
        pytest.raises(ForeignDirectory, match=f"letters of {word}"),
        opened(path, cluster=cluster, node=node),
    ):
        pass
    assert len(stored_in(path)) == 1


def test_a_file_that_is_no_dlq_is_named_and_left_alone(path: Path) -> None:
    path.write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(StorageError, match="file is not a database"), opened(path):
        pass
    with pytest.raises(StorageError, match="file is not a database"), reading(path):
        pass
    assert path.read_bytes().startswith(b"not a database")


def test_a_foreign_database_is_not_taken_for_a_dlq(path: Path) -> None:
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE recipes (name)")
    db.close()
    with pytest.raises(StorageError, match="no such table: meta"), opened(path):
        pass


def test_a_newer_schema_is_refused_with_its_version(path: Path) -> None:
    with opened(path):
        pass
    db = apsw.Connection(str(path))
    db.execute("UPDATE meta SET value = 3 WHERE name = 'schema_version'")
    db.close()
    with pytest.raises(StorageError, match="schema version 3"), opened(path):
        pass


def test_only_the_owner_may_read_the_files(path: Path) -> None:
    with opened(path) as store:
        store.put_line([letter(1)], 1)
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == {0o600}


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFailed, match="is the directory writable"),
        opened(tmp_path / "missing" / DLQ_FILE),
    ):
        pass


def test_people_find_each_traceback_once_and_groups_counted(path: Path) -> None:
    with opened(path) as store:
        store.put_line([letter(n) for n in range(1, 21)], 20)
        store.put_edge([edge_letter("n1:edge:1")])
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert db.execute("SELECT text FROM tracebacks").fetchall() == [(TRACEBACK,)]
    found = db.execute(
        "SELECT count, reason, error_type, first_seen, last_seen FROM groups ORDER BY count DESC"
    ).fetchall()
    first, last = letter(1).bagged_at, letter(20).bagged_at
    assert found[0] == (20, "handler_error", "ValueError", first, last)
    assert found[1][:3] == (1, "malformed", "")
    db.close()


def test_missing_letters_of_the_line_are_remembered(path: Path) -> None:
    with opened(path) as store:
        assert store.stats().complete is True
        store.set_complete(False)
    with opened(path) as store:
        assert store.stats().complete is False


def test_a_reader_sees_what_the_living_writer_commits_and_never_holds_it_up(path: Path) -> None:
    with opened(path) as store, reading(path) as reader:
        store.put_line([letter(1), letter(2)], 2)
        walk = reader.letters()
        assert next(walk).letter == letter(1)
        store.put_line([letter(3)], 3)
        assert [found.letter.id for found in walk] == ["3.2.0"]
        assert reader.stats().letters == 3


def test_a_reader_cannot_write_and_leaves_the_log_as_it_is(path: Path) -> None:
    with opened(path) as store:
        store.put_line([letter(1)], 1)
        log = path.with_name(DLQ_FILE + "-wal")
        before = (path.read_bytes(), log.read_bytes())
        with reading(path) as reader:
            assert reader.stats().letters == 1
        assert (path.read_bytes(), log.read_bytes()) == before


@pytest.fixture
def ordinary_user() -> Iterator[Path]:
    """A directory that can be closed to this process; root gives up its rights meanwhile."""
    directory = Path(mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(directory, 65534, 65534)
        os.seteuid(65534)
    try:
        yield directory
    finally:
        directory.chmod(0o700)
        if root:
            os.seteuid(0)
        shutil.rmtree(directory)


def test_a_copy_in_a_read_only_directory_can_be_read(ordinary_user: Path) -> None:
    path = ordinary_user / DLQ_FILE
    with opened(path) as store:
        store.put_line([letter(1)], 1)
    ordinary_user.chmod(0o500)
    assert stored_in(path) == [letter(1)]
    assert [file.name for file in ordinary_user.iterdir()] == [DLQ_FILE]


def test_letters_in_a_log_that_cannot_be_opened_are_not_left_out_in_silence(
    ordinary_user: Path,
) -> None:
    copy = ordinary_user / DLQ_FILE
    with opened(copy) as store:
        store.put_line([letter(1)], 1)
        files = {file.name: file.read_bytes() for file in ordinary_user.iterdir()}
    for name, data in files.items():
        if not name.endswith("-shm"):
            (ordinary_user / name).write_bytes(data)
    ordinary_user.chmod(0o500)
    with pytest.raises(StorageError, match="copy both files to a writable"), reading(copy):
        pass


def test_a_copied_directory_with_its_log_can_be_read(path: Path, tmp_path: Path) -> None:
    with opened(path) as store:
        store.put_line([letter(1)], 1)
        shutil.copytree(path.parent, tmp_path / "copy")
    assert stored_in(tmp_path / "copy" / DLQ_FILE) == [letter(1)]


def test_no_file_and_an_empty_file_are_distinguished_from_an_empty_dlq(path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"), reading(path):
        pass
    path.touch()
    with pytest.raises(StorageError, match="an empty file"), reading(path):
        pass
    with opened(path), reading(path) as reader:
        assert reader.stats()[:2] == (0, 0)


def test_a_thousand_letters_are_one_quick_transaction(path: Path) -> None:
    letters = [letter(n) for n in range(1000)]
    with opened(path) as store:
        assert store.put_line(letters, 1000) == 1000
        assert store.stats().letters == 1000


def test_threads_take_turns(path: Path) -> None:
    """The keeper stores while a core that is read again stores what its DLQ lacks (R15, R39)."""

    def work(first: int) -> None:
        for number in range(first, first + 100):
            store.put_line([letter(number)], number)
            store.stats()

    with opened(path) as store, ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(work, first) for first in (1, 1001)]:
            done.result()
        assert (store.stats().letters, store.cursor) == (200, 1100)
