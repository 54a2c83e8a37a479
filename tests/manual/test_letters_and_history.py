"""The manuals' commands for letters and history, run as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rmf import manual
from rmf.line import load_line
from tests import shop
from tests.driven_node import node_in

FAILING = """
from rmf import Line
line = Line("greenhouse", version=1)

@line.on("greenhouse/+/temp")
def temperature(world, packet):
    return {packet.topic: packet.payload / world["calibration"]}

@line.on("calibration")
def calibrate(world, packet):
    return {packet.topic: packet.payload}
"""
MENDED = FAILING.replace("version=1", "version=2").replace(
    'world["calibration"]', 'world.get("calibration", 1)'
)
MODULES = {"rmf-dlq": "tools.rmf_dlq", "rmf-replay": "tools.rmf_replay"}


def commands(topic: str) -> list[list[str]]:
    """The commands of a manual, without what stands beside them for people."""
    lines = re.findall(r"^    (.*)$", manual.text_of(topic), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def run(command: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    program = MODULES.get(command[0])
    argv = ["-m", program, *command[1:]] if program else command[1:]
    return subprocess.run(
        [sys.executable, *argv],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        input="q\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """A directory with both lines and a copy of a node's data; its letter is 1.4.0."""
    (tmp_path / "greenhouse.py").write_text(FAILING)
    (tmp_path / "mended.py").write_text(MENDED)
    line = load_line(f"{tmp_path}/greenhouse.py:line")
    with node_in(tmp_path / "n1-copy", line, shop.Boxed(line)) as node:
        node.send("probe-3", ("greenhouse/3/temp", 21.5), ("calibration", 2))
        assert node.tick == 4
    return tmp_path


@pytest.mark.slow
def test_a_letter_is_debugged_as_the_manual_says(laptop: Path) -> None:
    copy, *told = commands("debug")
    assert copy[0] == "cp"
    codes = []
    for command in told:
        ran = run(["1.4.0" if word == "3.1841.0" else word for word in command], laptop)
        codes.append(ran.returncode)
        assert "usage:" not in ran.stderr, ran.stderr
    assert codes == [0, 0, 0, 1, 3]
    assert (laptop / "test_letter.py").exists()


@pytest.mark.slow
def test_a_line_is_tried_against_history_as_the_manual_says(laptop: Path) -> None:
    codes = [run(command, laptop).returncode for command in commands("history")]
    assert codes == [3, 3, 0]
