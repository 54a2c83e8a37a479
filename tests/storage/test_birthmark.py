"""storage/birthmark: a file keeps its mark whatever is done to it, and no copy has it (R28)."""

import os
import shutil
from pathlib import Path

import pytest

from rmf.storage.birthmark import Birthmark, birthmark_of


def mark_of(path: Path) -> Birthmark:
    with path.open("rb") as file:
        return birthmark_of(file.fileno())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "one"
    path.write_text("content")
    return path


def test_no_act_on_a_file_changes_its_mark(file: Path) -> None:
    before = mark_of(file)
    file.chmod(0o600)
    os.chown(file, -1, -1)
    os.utime(file, ns=(1, 1))
    file.write_text("other content")
    moved = file.rename(file.with_name("two"))
    assert mark_of(moved) == before
    assert before.is_of(mark_of(moved))


def test_a_copy_has_another_also_in_the_place_of_what_it_was_made_of(file: Path) -> None:
    before = mark_of(file)
    copy = Path(shutil.copy2(file, file.with_name("copy")))
    assert not before.is_of(mark_of(copy))
    file.unlink()
    assert not before.is_of(mark_of(copy.rename(file)))


def test_a_number_that_was_given_out_again_is_known_by_when_it_was_born() -> None:
    assert not Birthmark(7, 1_000).is_of(Birthmark(7, 2_000))
    assert Birthmark(7, None).is_of(Birthmark(7, 2_000))  # where nobody knows, the number decides
    assert Birthmark(7, 1_000).is_of(Birthmark(7, None))
    assert not Birthmark(7, None).is_of(Birthmark(8, None))
