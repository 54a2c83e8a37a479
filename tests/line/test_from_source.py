"""What a line runs is what its files hold, whatever bytecode lies beside them."""

import contextlib
import importlib.util
import os
import py_compile
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf.line import load_line
from rmf.line.from_source import FromSource
from tests.line.bench import row, run, values

LINE = """
from rmf.line import Line
{imports}
line = Line("mine", version="{version}")

@line.on("a/+")
def store(world, packet):
    return {{packet.topic: {value}}}
"""


@pytest.fixture(autouse=True)
def _imports_as_before() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("rmf_line_", "stale")):
            del sys.modules[name]


def rewrite_unseen(path: Path, text: str) -> None:
    """Leave bytecode of what the file holds, then write another text of the same size and time."""
    py_compile.compile(str(path), doraise=True)
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def stored(spec: str) -> object:
    return values(run(load_line(spec), row("a/b", 0)))["a/b"]


def test_a_file_of_the_same_size_and_time_runs_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "greenhouse.py"
    path.write_text(LINE.format(imports="", version=1, value=1))
    rewrite_unseen(path, LINE.format(imports="", version=2, value=2))
    assert load_line(f"{path}:line").version == 2
    assert stored(f"{path}:line") == 2


def test_the_digest_is_that_of_what_runs(tmp_path: Path) -> None:
    path = tmp_path / "greenhouse.py"
    path.write_text(LINE.format(imports="", version=1, value=1))
    old = load_line(f"{path}:line").digest
    rewrite_unseen(path, LINE.format(imports="", version=1, value=2))
    new = load_line(f"{path}:line").digest
    (tmp_path / "anew").mkdir()
    anew = tmp_path / "anew" / "greenhouse.py"
    anew.write_text(path.read_text())
    assert new == load_line(f"{anew}:line").digest
    assert new != old


def test_what_lies_beside_the_file_runs_as_it_is_now(tmp_path: Path) -> None:
    imports = "import stale_beside\nfrom stale_package import inner"
    path = tmp_path / "greenhouse.py"
    path.write_text(LINE.format(imports=imports, version=1, value="[stale_beside.X, inner.X]"))
    (tmp_path / "stale_package").mkdir()
    (tmp_path / "stale_package" / "__init__.py").write_text("")
    for module in (tmp_path / "stale_beside.py", tmp_path / "stale_package" / "inner.py"):
        module.write_text("X = 1\n")
        rewrite_unseen(module, "X = 2\n")
    assert stored(f"{path}:line") == [2, 2]


def test_a_line_that_is_named_as_a_module_runs_as_it_is_now(tmp_path: Path) -> None:
    (tmp_path / "stale_line").mkdir()
    path = tmp_path / "stale_line" / "inner.py"
    path.write_text(LINE.format(imports="", version=1, value=1))
    rewrite_unseen(path, LINE.format(imports="", version=2, value=2))
    with contextlib.chdir(tmp_path):
        assert stored("stale_line.inner:line") == 2


def test_a_line_of_an_installed_package_runs_as_it_is_now(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    path = tmp_path / "site" / "stale_installed.py"
    path.write_text(LINE.format(imports="", version=1, value=1))
    rewrite_unseen(path, LINE.format(imports="", version=2, value=2))
    sys.path.append(str(path.parent))
    assert stored("stale_installed:line") == 2


def test_nothing_is_written_beside_a_line(tmp_path: Path) -> None:
    (tmp_path / "stale_beside.py").write_text("X = 1\n")
    text = LINE.format(imports="import stale_beside", version=1, value="stale_beside.X")
    (tmp_path / "greenhouse.py").write_text(text)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    code = "from rmf.line import load_line; load_line('greenhouse.py:line')"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
    )
    assert {path.name for path in tmp_path.iterdir()} == {"greenhouse.py", "stale_beside.py"}


def test_packages_installed_below_the_directory_of_a_line_are_found_as_ever(
    tmp_path: Path,
) -> None:
    path = tmp_path / "greenhouse.py"
    path.write_text(LINE.format(imports="", version=1, value=1))
    (tmp_path / "venv").mkdir()
    for module in (tmp_path / "stale_beside.py", tmp_path / "venv" / "stale_elsewhere.py"):
        module.write_text("X = 1\n")
    load_line(f"{path}:line")
    sys.path.append(str(tmp_path / "venv"))

    def is_from_source(name: str) -> bool:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        return isinstance(spec.loader, FromSource)

    assert is_from_source("stale_beside")
    assert not is_from_source("stale_elsewhere")


def test_a_line_beside_a_checkout_of_rmf_leaves_its_bytecode_to_rmf() -> None:
    root = Path(__file__).parents[2]
    with contextlib.chdir(root):
        load_line("tests.testing.lines:greenhouse")
    spec = importlib.util.find_spec("rmf.testing.bounds")
    assert spec is not None
    assert not isinstance(spec.loader, FromSource)
