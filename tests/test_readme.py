"""The README's promises that can be checked: one packet's way, commands and files that exist."""

import re
import sys
import threading
import tomllib
from pathlib import Path
from types import FrameType
from typing import Self

import pytest
import trio

from rmf.core import messages as m
from rmf.core.events import Beat, DiskMark, LettersStored
from rmf.floor.items import Knock
from tests.commands import assert_understood, commands_in
from tests.floor.factory import factory

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = commands_in(README)
STATIONS = re.findall(
    r"^\| \d+ \| \[(rmf/[a-z_/]+\.py)\]\(\1\) \| `(\w+)` \|", README, re.MULTILINE
)

# --- One packet's way ---------------------------------------------------------------------------

NOT_PASSED = {  # in the node's own process, by where the line runs
    "inline": ("rmf/floor/boxes/box_keeper.py", "rmf/floor/boxes/glove_box.py"),
    "process": ("rmf/line/inline.py",),
}
ACK = "rmf/floor/edge/outbox.py"
SNAPSHOT = ("rmf/floor/displays/publisher.py", "rmf/floor/displays/snapshot_writer.py")

CHANNELS = trio.MemorySendChannel.statistics.__code__.co_filename
# Doors themselves: they join what waits with what comes.
DOOR_ITSELF = ("rmf/floor/latest.py", "rmf/floor/displays/news.py")
CLOCKWORK = (Knock, Beat, DiskMark, LettersStored, int, type(None))  # crosses without any packet


class Way:
    """Notes between `begin` and `end`, in this thread and in those that began inside of the block:
    functions of rmf in order of entry, and which files handed what through a channel."""

    def __init__(self) -> None:
        self.entered: list[tuple[str, str]] = []
        self.at_doors: dict[str, list[str]] = {}  # by file: the types of what it sent or took
        self._notes = False

    def begin(self) -> None:
        """Note from now on."""
        self._notes = True

    def end(self) -> None:
        """Note no more."""
        self._notes = False

    def _called(self, frame: FrameType, event: str, argument: object) -> None:
        if not self._notes or event not in ("call", "return"):
            return
        code = frame.f_code
        if event == "call" and (path := _path_of(frame)) is not None:
            self.entered.append((path, code.co_name))
        elif code.co_filename == CHANNELS:
            if event == "call" and code.co_name in ("send", "send_nowait"):
                self._crossed(frame, frame.f_locals["value"])
            elif event == "return" and code.co_name in ("receive", "receive_nowait"):
                self._crossed(frame, argument)

    def _crossed(self, frame: FrameType, item: object) -> None:
        """Something went through a channel. A receiver that waits returns too, with a trio trap."""
        if isinstance(item, CLOCKWORK) or type(item).__module__.startswith("trio."):
            return
        caller: FrameType | None = frame
        while caller is not None:
            path = _path_of(caller)
            if path is not None and path not in DOOR_ITSELF:
                self.at_doors.setdefault(path, []).append(type(item).__name__)
                return
            caller = caller.f_back

    def __enter__(self) -> Self:
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_raised: object) -> None:
        self.end()
        sys.setprofile(None)
        threading.setprofile(None)


def _path_of(frame: FrameType) -> str | None:
    """The file of a frame as the README names it, if it is one of rmf."""
    path = frame.f_code.co_filename.removeprefix(f"{ROOT}/")
    return path if path.startswith("rmf/") else None


def test_the_stations_are_numbered_and_each_is_a_file_of_its_own() -> None:
    section = README[README.index("## One packet's way\n") :].split("\n\n")[1]
    assert re.findall(r"^\| (\d+) ", section, re.MULTILINE) == [
        str(number + 1) for number in range(len(STATIONS))
    ]
    assert len({path for path, _ in STATIONS}) == len(STATIONS) >= 12


async def way_of_a_packet(data: Path, glovebox: str) -> Way:
    """Send one to a node that one display watches, until both have heard of it."""
    with Way() as way:
        async with factory(data, glovebox=glovebox) as node:
            probe, display = await node.producer("probe"), await node.display("#")
            await display.hear()
            way.begin()
            assert (await probe.produce("cell/a"))[0].outcome == m.APPLIED
            await display.expect_where(m.Snapshot, lambda snapshot: snapshot.cells)
            way.end()
    return way


@pytest.mark.parametrize("glovebox", ["inline", "process"])
async def test_a_packet_passes_the_stations_in_this_order(tmp_path: Path, glovebox: str) -> None:
    way = await way_of_a_packet(tmp_path, glovebox)
    passed = [station for station in STATIONS if station[0] not in NOT_PASSED[glovebox]]
    # Ack and Snapshot leave by tasks of their own, and either may be the first.
    for other in ((ACK,), SNAPSHOT):
        branch = [station for station in passed if station[0] not in other]
        entered = iter(way.entered)
        assert [station for station in branch if station in entered] == branch


@pytest.mark.parametrize("glovebox", ["inline", "process"])
async def test_each_task_that_hands_the_packet_on_is_a_station(
    tmp_path: Path, glovebox: str
) -> None:
    way = await way_of_a_packet(tmp_path, glovebox)
    crossed = {kind for kinds in way.at_doors.values() for kind in kinds}
    assert {"Offered", "Persist", "Persisted", "list", "News", "bytes"} <= crossed
    unnamed = way.at_doors.keys() - {path for path, _ in STATIONS}
    assert not unnamed, {path: way.at_doors[path] for path in unnamed}


# --- Commands and files -------------------------------------------------------------------------


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
