import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf.errors import LineError
from rmf.line import board, load_line
from tests.line.bench import row, run, values

LINE = """
from __future__ import annotations
import attrs
from rmf.line import Line
{imports}

line = Line("mine", version="3")
other = Line("other")
number = 5

@attrs.frozen
class Reading:
    celsius: float
    inner: Reading | None = None

@line.on("a/+", Reading)
def store(world, packet):
    return {{packet.topic: packet.payload.celsius + {offset}}}
"""


@pytest.fixture(autouse=True)
def _imports_as_before() -> Iterator[None]:
    """Whatever a test loads is forgotten."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("rmf_line_", "loadable", "beside")):
            del sys.modules[name]


def written(
    directory: Path, name: str = "greenhouse.py", *, offset: str = "0", imports: str = ""
) -> Path:
    path = directory / name
    path.write_text(LINE.format(offset=offset, imports=imports))
    return path


def test_nothing_names_the_board() -> None:
    assert board is load_line(None)


def test_a_line_is_loaded_from_a_file_with_its_attrs_classes(tmp_path: Path) -> None:
    line = load_line(f"{written(tmp_path)}:line")
    assert (line.name, line.version) == ("mine", 3)
    payload = {"celsius": 1.5, "inner": {"celsius": 2}}
    assert values(run(line, row("a/b", payload))) == {"a/b": 1.5}


def test_the_file_may_have_the_name_of_a_module_of_python(tmp_path: Path) -> None:
    import queue

    load_line(f"{written(tmp_path, 'queue.py')}:line")
    assert queue is sys.modules["queue"]


def test_what_lies_beside_the_file_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "beside_it.py").write_text("OFFSET = 100\n")
    path = written(tmp_path, imports="import beside_it", offset="beside_it.OFFSET")
    assert values(run(load_line(f"{path}:line"), row("a/b", {"celsius": 1.5}))) == {"a/b": 101.5}


def test_two_versions_of_one_file_can_be_loaded_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old = load_line(f"{written(tmp_path / 'old')}:line")
    new = load_line(f"{written(tmp_path / 'new', offset='1')}:line")
    packet = row("a/b", {"celsius": 1.0})
    assert [values(run(line, packet)) for line in (old, new)] == [{"a/b": 1.0}, {"a/b": 2.0}]
    assert old.digest != new.digest


def test_the_digest_is_the_same_wherever_the_file_lies(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    digests = {
        load_line(f"{written(directory)}:line").digest
        for directory in (tmp_path, tmp_path / "elsewhere")
    }
    assert len(digests) == 1


def test_a_line_is_loaded_from_a_module_of_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "loadable").mkdir()
    written(tmp_path / "loadable", "inner.py")
    with contextlib.chdir(tmp_path):
        assert load_line("loadable.inner:line").name == "mine"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("greenhouse.py", "expected FILE.py:NAME or package.module:NAME"),
        (":line", "expected FILE.py:NAME"),
        ("greenhouse.py:", "where NAME is the variable"),
        ("nowhere.py:line", "there is no file"),
        ("loadable_nowhere:line", "there is no module 'loadable_nowhere'"),
        ("loadable_nowhere.inner:line", "there is no module 'loadable_nowhere'"),
        ("rmf.line.board:lin", "has no 'lin'; its Lines are board"),
        ("rmf.line.board:store", "'store' is no Line but of type function; its Lines are board"),
        ("rmf.limits:line", "has no 'line'; it has no Line: write line = Line"),
    ],
)
def test_what_is_not_found_is_named_with_what_to_do(spec: str, said: str, tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path), pytest.raises(LineError) as caught:
        load_line(spec)
    assert said in str(caught.value)
    assert f"--line {spec}" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def (", "SyntaxError"),
        ("1 / 0", "loading it raised ZeroDivisionError: division by zero (line 1 of "),
        ("import loadable_missing", "ModuleNotFoundError: No module named 'loadable_missing'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("from rmf.line import Line\nline = Line('x')", "has no handlers"),
        ("from rmf.line import Line\nline = Line('x', version='one')", "a whole number from 1"),
    ],
)
def test_a_file_that_cannot_be_loaded_says_why(source: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(source)
    with pytest.raises(LineError) as caught:
        load_line(f"{path}:line")
    assert said in str(caught.value)
    assert "rmf_line_broken" not in sys.modules or "x" in source


def test_a_failed_load_leaves_the_line_that_was_there(tmp_path: Path) -> None:
    path = written(tmp_path)
    load_line(f"{path}:line")
    before = sys.modules["rmf_line_greenhouse"]
    path.write_text("1 / 0")
    with pytest.raises(LineError):
        load_line(f"{path}:line")
    assert before is sys.modules["rmf_line_greenhouse"]
