"""The README's promises that can be checked by reading: six files in order, commands that exist."""

import re
import sys
import tomllib
from pathlib import Path
from types import FrameType
from typing import Self

import pytest

from tests.commands import assert_understood, commands_in
from tests.floor.factory import factory

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = commands_in(README)
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


class Way:
    """Notes which files of the six are entered, in order, while the block runs."""

    def __init__(self) -> None:
        self._files = {str(ROOT / path): path for _, path in STEPS}
        self.entered: list[str] = []

    def _called(self, frame: FrameType, event: str, _argument: object) -> None:
        path = self._files.get(frame.f_code.co_filename)
        if event == "call" and path is not None:
            self.entered.append(path)

    def __enter__(self) -> Self:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_raised: object) -> None:
        sys.setprofile(None)


async def test_a_packet_goes_this_way(tmp_path: Path) -> None:
    async with factory(tmp_path) as node:
        probe, display = await node.producer("probe"), await node.display("#")
        await display.hear()
        with Way() as way:
            await probe.produce("cell/a")
            await display.hear()
    entered = iter(way.entered)
    # In this order, whatever else happens between: a Beat enters some of them at any time.
    assert [path for _, path in STEPS if path in entered] == [path for _, path in STEPS]


def test_every_command_in_the_table_is_installed() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    named = set(re.findall(r"^\| `(rmf[a-z-]*)", README, re.MULTILINE))
    assert named == set(scripts)


def test_the_files_that_the_readme_points_to_are_there() -> None:
    targets = re.findall(r"\]\(((?!http)[^)]+)\)", README)
    assert len(targets) > 5
    for target in targets:
        assert (ROOT / target).exists(), target


def test_no_two_sections_start_a_node_in_the_same_directory() -> None:
    """Whoever follows them in order would meet the node, or the members, of the one before."""
    calls = [command for command in COMMANDS if command[:2] == ["rmf", "serve"]]
    default = "(default)"
    owned = [argv[argv.index("--data") + 1] if "--data" in argv else default for argv in calls]
    assert len(owned) >= 5
    assert len(set(owned)) == len(owned), owned


def test_what_a_section_sets_it_ends() -> None:
    """RMF_CONNECT would have the next section's tools speak to this one's nodes."""
    begun = README.index("export RMF_CONNECT")
    ended = README.index("unset RMF_CONNECT")
    assert begun < ended < README.index("--line greenhouse.py:line &")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_the_readme_is_understood(command: list[str]) -> None:
    assert_understood(command)
