"""The compiled piece is built where it can be, and what cannot be built is said."""

import os
import subprocess
import sys
import sysconfig
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from rmf.native import FOLDER, stamp
from tools import native_build
from tools.native_build import CannotCompile, build


def test_what_is_built_names_its_source_and_opens_a_frame(tmp_path: Path) -> None:
    target = tmp_path / native_build.FILE_NAME
    try:
        build(target)
    except CannotCompile as exc:
        pytest.skip(f"it cannot be built here: {exc}")
    loader = ExtensionFileLoader("_compiled", str(target))
    spec = spec_from_file_location("_compiled", target, loader=loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    assert stamp() == module.STAMP
    frame = bytes.fromhex("820381856161010203420102")
    assert module.rows(1, 1, 2, 3, frame) == [["a", 1, 2, 3, b"\x01\x02"]]
    assert module.rows(1, 1, 2, 2, frame) is None


@pytest.mark.parametrize(
    ("compiler", "why"),
    [("/nowhere/cc", "/nowhere/cc"), ("false --all", "false --all")],
    ids=["there is none", "it fails"],
)
def test_a_compiler_that_fails_is_named(tmp_path: Path, compiler: str, why: str) -> None:
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        why = "no Python.h"
    target = tmp_path / native_build.FILE_NAME
    with pytest.raises(CannotCompile, match=why):
        build(target, compiler)
    assert not target.exists()


@pytest.mark.parametrize("variable", [{"RMF_PURE": "1"}, {"CC": "/nowhere/cc"}], ids=["pure", "CC"])
def test_the_command_says_why_it_built_nothing(variable: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.native_build"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **variable},
        cwd=Path(FOLDER).parent.parent,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("not built: ")
