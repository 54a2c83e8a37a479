"""Which of the two runs: what was built from another source is never taken."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rmf import limits, native

PACKAGE = Path(limits.__file__).parent
FILE = "_compiled.abi3.so"
built = pytest.mark.skipif(not native.COMPILED, reason="the compiled piece is not built here")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return a copy of the package of the compiled piece, below what it needs of RMF."""
    package = tmp_path / "rmf"
    package.mkdir()
    for name in ("__init__.py", "limits.py"):
        shutil.copy(PACKAGE / name, package)
    shutil.copytree(PACKAGE / "native", package / "native")
    return package / "native"


def is_compiled(copied: Path, **environment: str) -> bool:
    """Say whether a new process runs the compiled piece of this copy."""
    code = "import rmf.native as n; print(n.COMPILED, n.plain_rows(b'') is None)"
    variables = {k: v for k, v in os.environ.items() if k != "RMF_PURE"} | environment
    variables["PYTHONPATH"] = str(copied.parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=variables,
        cwd=copied,
    )
    compiled, none = done.stdout.split()
    assert none == "True"
    return compiled == "True"


@built
@pytest.mark.parametrize(
    ("pure", "compiled"), [("1", False), ("yes", False), ("0", True), ("", True)]
)
def test_python_alone_runs_where_it_is_asked_for(copied: Path, pure: str, compiled: bool) -> None:
    assert is_compiled(copied)
    assert is_compiled(copied, RMF_PURE=pure) == compiled


@built
@pytest.mark.parametrize("name", ["rows.c", "compiled.h"])
def test_what_was_built_from_another_source_is_not_taken(copied: Path, name: str) -> None:
    source = copied / name
    before = source.read_bytes()
    source.write_bytes(before + b"\n")
    assert not is_compiled(copied)
    source.unlink()
    assert not is_compiled(copied)
    source.write_bytes(before)
    assert is_compiled(copied)


@pytest.mark.parametrize("data", [None, b"", b"\x7fELF, of another machine"])
def test_without_a_piece_that_can_be_loaded_python_runs(copied: Path, data: bytes | None) -> None:
    (copied / FILE).unlink(missing_ok=True)
    if data is not None:
        (copied / FILE).write_bytes(data)
    assert not is_compiled(copied)
