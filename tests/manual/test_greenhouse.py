"""The line of the README with what the manuals say of it: tests, letters, a program for Python."""

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rmf import manual
from rmf.core.bag import group_of
from rmf.line import load_line
from rmf.testing import Bench

README = (Path(__file__).parents[2] / "README.md").read_text()


def block_behind(text: str, mark: str) -> str:
    """The first indented block behind these words, as a file."""
    found = re.search(r"\n\n((?:    .*\n|\n)+)", text[text.index(mark) :])
    assert found is not None
    return textwrap.dedent(found[1]).strip() + "\n"


def written_line(directory: Path) -> Path:
    path = directory / "greenhouse.py"
    path.write_text(block_behind(README, "`greenhouse.py`:"))
    return path


@pytest.mark.slow
def test_the_tests_of_the_manual_pass_with_the_line_of_the_readme(tmp_path: Path) -> None:
    written_line(tmp_path)
    tests = block_behind(manual.text_of("testing"), "The file:")
    (tmp_path / "test_greenhouse.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_the_group_that_the_manual_names_is_that_of_the_packet_that_the_readme_sends(
    tmp_path: Path,
) -> None:
    assert '{"celsius": "warm"}' in README
    bench = Bench(load_line(f"{written_line(tmp_path)}:line"))
    letter = bench.letter(bench.send("greenhouse/3/temp", {"celsius": "warm"}, ttl_ms=5000))
    named = set(re.findall(r"--group (2-[0-9a-f]+)", manual.text_of("dlq")))
    assert named == {group_of(letter.reason, letter.stage, letter.error)}


def test_the_program_for_python_is_whole() -> None:
    program = ast.parse(block_behind(manual.text_of("python"), "send and watch"))
    assert isinstance(program.body[0], ast.Import)
    assert ast.unparse(program.body[-1]) == "trio.run(main)"
