"""The generator of `protocol/`: it writes what is missing and says what is out of date."""

import shutil
from pathlib import Path

import pytest

from tools import rmf_vectors

FILES = {"bad.json", "good.json", "peers.json", "sessions.json", "streams.json"}


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    for page in ("README.md", "PEERS.md"):
        shutil.copy(rmf_vectors.PROTOCOL / page, tmp_path)
    return tmp_path


def test_what_is_missing_is_written_and_then_up_to_date(
    protocol: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rmf_vectors.main(["--directory", str(protocol)]) == 0
    assert {path.name for path in (protocol / "vectors").iterdir()} == FILES
    assert rmf_vectors.main(["--directory", str(protocol), "--check"]) == 0
    assert capsys.readouterr().err == ""


def test_a_check_names_what_is_out_of_date_and_writes_nothing(
    protocol: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rmf_vectors.main(["--directory", str(protocol)])
    good, readme = protocol / "vectors" / "good.json", protocol / "README.md"
    good.write_text("[]", "utf-8")
    edited = readme.read_text("utf-8").replace(
        "| `frame_bytes` | 1048576 |", "| `frame_bytes` | 7 |"
    )
    readme.write_text(edited, "utf-8")
    assert rmf_vectors.main(["--directory", str(protocol), "--check"]) == 1
    said = capsys.readouterr().err
    assert [name in said for name in ("good.json", "README.md", "bad.json")] == [True, True, False]
    assert "python -m tools.rmf_vectors" in said
    assert (good.read_text("utf-8"), readme.read_text("utf-8")) == ("[]", edited)


def test_what_stands_between_the_marks_is_replaced_and_the_rest_is_kept(protocol: Path) -> None:
    readme = protocol / "README.md"
    before = readme.read_text("utf-8")
    readme.write_text(
        before.replace("| `frame_bytes` | 1048576 |", "| `frame_bytes` | 7 |"), "utf-8"
    )
    rmf_vectors.main(["--directory", str(protocol)])
    assert readme.read_text("utf-8") == before
