"""What an install gets: a wheel with the compiled piece where it can be built, else one without."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rmf.native import FOLDER

pytest.importorskip("hatchling", reason="wheels are built by hatchling, which is not here")

PIECE = "rmf/native/_compiled.abi3.so"
ROOT = Path(FOLDER).parent.parent


def built(tmp_path: Path, how: str = "build_wheel", **environment: str) -> Path:
    """Return what hatchling builds of this tree, by the function that pip calls."""
    code = f"import sys, hatchling.build as b; print(b.{how}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "RMF_PURE"} | environment,
        cwd=ROOT,
    )
    return tmp_path / done.stdout.splitlines()[-1]


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.slow
@pytest.mark.parametrize("variable", [{"RMF_PURE": "1"}, {"CC": "/nowhere/cc"}], ids=["pure", "CC"])
def test_without_a_compiler_the_wheel_is_for_every_machine(
    tmp_path: Path, variable: dict[str, str]
) -> None:
    wheel = built(tmp_path, **variable)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert PIECE not in names(wheel)
    assert {"rmf/native/__init__.py", "rmf/native/rows.c"} <= names(wheel)


@pytest.mark.slow
def test_with_a_compiler_the_wheel_is_for_this_kind_of_machine(tmp_path: Path) -> None:
    wheel = built(tmp_path)
    if wheel.name.endswith("-py3-none-any.whl"):
        pytest.skip("the compiled piece cannot be built here")
    assert "-cp311-abi3-linux_" in wheel.name
    assert names(wheel) >= {PIECE, "rmf/native/rows.c", "rmf/native/compiled.h"}


@pytest.mark.slow
def test_a_compiler_that_was_named_must_work(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        built(tmp_path, RMF_NATIVE_CC="/nowhere/cc", RMF_NATIVE_PLATFORM="linux_mips")
