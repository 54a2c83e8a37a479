"""Whose a data directory is: written whole, read exactly, and never guessed."""

import json
from pathlib import Path
from typing import Any

import pytest

from rmf.errors import StorageError
from rmf.storage.identity import DirectoryIdentity, read_identity, write_identity

N1 = DirectoryIdentity(b"c" * 16, b"i" * 16, "n1")


@pytest.mark.parametrize("identity", [N1, DirectoryIdentity(b"", b"i" * 16, "n1")])
def test_what_was_written_is_read(tmp_path: Path, identity: DirectoryIdentity) -> None:
    write_identity(tmp_path, identity)
    assert read_identity(tmp_path) == identity
    assert [path.name for path in tmp_path.iterdir()] == ["identity.json"]


def test_a_directory_that_does_not_say_belongs_to_no_node(tmp_path: Path) -> None:
    assert read_identity(tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"format": None}, {"cluster": "xyz"}, {"incarnation": None}, {"node": ...}],
)
def test_what_cannot_be_read_is_said_and_not_guessed(tmp_path: Path, change: Any) -> None:
    write_identity(tmp_path, N1)
    place = tmp_path / "identity.json"
    fields = json.loads(place.read_bytes()) | change
    place.write_text(json.dumps({k: v for k, v in fields.items() if v is not ...}))
    with pytest.raises(StorageError, match=r"identity\.json"):
        read_identity(tmp_path)
