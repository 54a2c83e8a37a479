"""The README's promises that can be checked by reading: six files in order, commands that exist."""

import re
import tomllib
from pathlib import Path

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
