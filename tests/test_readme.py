"""The README's promises that can be checked by reading: six files in order, commands that exist."""

import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from rmf.core.bag import group_of
from rmf.line import load_line
from rmf.testing import Bench
from tools import rmf_sim

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
STEPS = re.findall(r"\| (\d) \| \[(rmf/[a-z_/]+\.py)\]", README)


def header(path: str) -> tuple[str, str, str]:
    """The step, the file before and the file after, as the file's first line says."""
    first = (ROOT / path).read_text().splitlines()[0]
    found = re.fullmatch(r'"""Step (\d) of 6 · before: (.*?) \(.*?\) · next: (.*?) \(.*\)\.', first)
    assert found is not None, f"{path} opens with {first!r}"
    return found[1], found[2], found[3]


def short(path: str) -> str:
    return path.removeprefix("rmf/").removesuffix(".py")


def test_one_packets_way_is_six_files_in_order() -> None:
    assert [number for number, _ in STEPS] == list("123456")


def test_each_of_the_six_names_its_step_and_its_neighbours() -> None:
    files = [path for _, path in STEPS]
    for i, path in enumerate(files):
        number, before, after = header(path)
        assert number == str(i + 1)
        if i > 0:
            assert before == short(files[i - 1])
        if i < 5:
            assert after == short(files[i + 1])


def test_every_command_in_the_table_is_installed() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    named = set(re.findall(r"^\| `(rmf[a-z-]*)", README, re.MULTILINE))
    assert named == set(scripts)


def test_the_files_that_the_readme_points_to_are_there() -> None:
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (ROOT / target).exists(), target


def block_behind(mark: str) -> str:
    """The first indented block behind these words, as a file."""
    behind = README[README.index(mark) :]
    found = re.search(r"\n\n((?:    .*\n|\n)+)", behind)
    assert found is not None
    return textwrap.dedent(found[1]).strip() + "\n"


def line_of_the_readme() -> str:
    return block_behind("`greenhouse.py`:").split("\nrmf serve")[0]


@pytest.mark.slow
def test_the_tests_of_the_readme_pass_with_the_line_of_the_readme(tmp_path: Path) -> None:
    (tmp_path / "greenhouse.py").write_text(line_of_the_readme())
    (tmp_path / "test_greenhouse.py").write_text(block_behind("`test_greenhouse.py`;"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_no_two_sections_start_a_node_in_the_same_directory() -> None:
    """Whoever follows them in order would meet the node, or the members, of the one before."""
    calls = [
        shlex.split(call, comments=True)
        for call in re.findall(r"^    (?:.* && )?(rmf serve .*)$", README, re.MULTILINE)
    ]
    default = "(default)"
    owned = [argv[argv.index("--data") + 1] if "--data" in argv else default for argv in calls]
    assert len(owned) >= 5
    assert len(set(owned)) == len(owned), owned


def test_what_a_section_starts_and_sets_it_ends() -> None:
    """RMF_CONNECT would have the next section's tools speak to this one's nodes."""
    begun = README.index("export RMF_CONNECT")
    ended = README.index("unset RMF_CONNECT")
    assert begun < ended < README.index("--line greenhouse.py:line &")


def test_the_group_that_the_readme_names_is_that_of_the_packet_it_sends(tmp_path: Path) -> None:
    (tmp_path / "greenhouse.py").write_text(line_of_the_readme())
    bench = Bench(load_line(f"{tmp_path / 'greenhouse.py'}:line"))
    receipt = bench.send("greenhouse/3/temp", {"celsius": "warm"}, ttl_ms=5000)
    named = set(re.findall(r"--group (2-[0-9a-f]+)", README))
    letter = bench.letter(receipt)
    assert named == {group_of(letter.reason, letter.stage, letter.error)}


def test_the_readmes_calls_of_rmf_sim_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    calls = re.findall(r"^    (rmf-sim .*)$", README, re.MULTILINE)
    assert calls
    for call in calls:
        # A file that is not there: beyond the arguments, this is all that can be wrong.
        assert rmf_sim.main([*shlex.split(call)[1:], "--check", "seeds"]) in {1, 2}
        said = capsys.readouterr().err
        assert "there is no file" in said or "No such file" in said
