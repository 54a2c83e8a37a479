"""The draft of a cluster: found again by the node that made it, and by nobody else."""

from pathlib import Path

import pytest

from rmf.core.entry import Member
from rmf.errors import DiskFailed, StorageError
from rmf.storage.genesis_draft import read_draft, write_draft

X, Y = b"x" * 16, b"y" * 16
MEMBERS = (Member("n1", b"1" * 16, "h:1", "h:2"), Member("n2", b"2" * 16, voter=False))


def test_a_draft_comes_back_for_its_cluster_alone(tmp_path: Path) -> None:
    assert read_draft(tmp_path, X) is None
    write_draft(tmp_path, X, MEMBERS)
    assert read_draft(tmp_path, X) == MEMBERS
    assert read_draft(tmp_path, Y) is None
    write_draft(tmp_path, Y, MEMBERS[:1])
    assert read_draft(tmp_path, Y) == MEMBERS[:1]


def test_a_draft_that_cannot_be_read_or_written_is_never_taken_for_none(tmp_path: Path) -> None:
    for text in ("", "[]", '{"cluster": "zz"}', '{"cluster": "' + X.hex() + '", "members": [{}]}'):
        (tmp_path / "genesis.json").write_text(text)
        with pytest.raises(StorageError, match="unreadable"):
            read_draft(tmp_path, X)
    with pytest.raises(DiskFailed):
        write_draft(tmp_path / "missing", X, MEMBERS)
