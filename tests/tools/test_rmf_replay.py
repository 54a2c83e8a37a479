"""rmf-replay: what it reads, what it prints, how it exits (INTERFACES)."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.line import Line, board, load_line
from tests.driven_node import WALL_NS, DrivenNode, node_in
from tests.tools.again import Run
from tools.rmf_replay import main

KEYS = ["identical", "entries", "packets", "first_tick", "last_tick", "digest", "divergence"]
KEYS += ["packets_per_s"]

COUNTER = """
from rmf.line import Keep, Line

line = Line("counter", version={version})

@line.on("count/#")
def count(world, packet):
    {body}
    return {{packet.topic: world.get(packet.topic, {zero}) + packet.payload}}

@line.on("scan")
def scan(world, packet):
    return {{"seen": Keep(dict(world.scan(""))), "dice": packet.random.random()}}
"""

SHEDDING = """
import shutil
from rmf.line import Line

line = Line("board", version=1)

@line.on("#")
def store(world, packet):
    shutil.rmtree({archive!r}, ignore_errors=True)
    return {{packet.topic: packet.payload}}
"""

Write = Callable[..., str]


@pytest.fixture
def replay(capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def run(*argv: object) -> Run:
        return Run(main([str(arg) for arg in argv]), *capsys.readouterr())

    return run


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DrivenNode]:
    """A board with two packets, one of them bagged, a restart, and one packet more."""
    with node_in(tmp_path / "n1", board) as made:
        made.send("probe", ("room/1", 20.5), ("room/2", b"\xff"))
        made.restart()
        made.send("probe", ("room/1", {"celsius": 21}))
        yield made


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a counter into a file and returns what stands behind --line for it."""

    def written(name: str = "counter", body: str = "", zero: int = 0, version: int = 1) -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(COUNTER.format(body=body, zero=zero, version=version))
        return f"{path}:line"

    return written


@pytest.fixture
def counting(tmp_path: Path, write: Write) -> Iterator[DrivenNode]:
    """The counter, which counted to 3 in the ticks 4 and 5 and was asked for its World in 6."""
    with node_in(tmp_path / "n1", load_line(write())) as made:
        made.send("probe", ("count/a", 1), ("count/b", 1))
        made.send("probe", ("count/a", 2))
        made.send("probe", ("scan", None))
        assert made.tick == 6
        yield made


# --- What it says ---------------------------------------------------------------------------------


def test_an_identical_replay_says_what_it_read(
    node: DrivenNode, replay: Callable[..., Run]
) -> None:
    ran = replay(node.path)
    committed = node.core.committed
    assert (ran.code, ran.err) == (0, "")
    found = {key: ran.object[key] for key in KEYS}
    assert found.pop("packets_per_s") > 0
    assert found == {
        "identical": True,
        "entries": committed.index,
        "packets": 3,
        "first_tick": 1,
        "last_tick": committed.tick,
        "digest": committed.digest().hex(),
        "divergence": None,
    }
    assert ran.object["bagged"] == 1
    assert ran.object["line"] == ran.object["ledger_line"]
    assert ran.object["start"] == {"checkpoint": None, "index": 0, "tick": 0}


def test_a_difference_is_named_at_its_place_and_exits_3(
    counting: DrivenNode, replay: Callable[..., Run], write: Write
) -> None:
    ran = replay(counting.path, "--line", write("other", zero=7))
    assert ran.code == 3
    assert not ran.object["identical"]
    found = ran.object["divergence"]
    assert {key: found[key] for key in ["term", "tick", "slot", "key", "ledger", "replay"]} == {
        "term": 1,
        "tick": 4,
        "slot": 0,
        "key": "count/a",
        "ledger": 1,
        "replay": 8,
    }
    assert found["packet"] == {"producer": "probe", "seq": 1, "topic": "count/a"}
    assert (ran.object["entries"], ran.object["last_tick"]) == (4, 4)


def test_another_outcome_has_reasons_as_values_and_the_evidence(
    counting: DrivenNode, replay: Callable[..., Run], write: Write
) -> None:
    body = "if packet.topic == 'count/b': raise KeyError('b')"
    ran = replay(counting.path, "--line", write("other", body=body))
    found = ran.object["divergence"]
    assert ran.code == 3
    assert (found["tick"], found["slot"], found["key"]) == (4, 1, None)
    assert (found["ledger"], found["replay"]) == (None, "handler_error")
    assert found["error"]["type"] == "KeyError"
    assert "raise KeyError" in found["error"]["traceback"]


@pytest.mark.parametrize(
    ("returned", "ledger", "replayed"),
    [
        ("return None", 1, {"$unchanged": True}),
        ("from rmf.line import REMOVE; return {packet.topic: REMOVE}", 1, {"$removed": True}),
        ("return {packet.topic: Keep(1)}", {"$shelf": "inherited"}, {"$shelf": "kept"}),
        ("return {packet.topic: b'1'}", 1, {"$bytes": "MQ=="}),
        ("return {packet.topic: {'$removed': True}}", 1, {"$map": [["$removed", True]]}),
    ],
)
def test_what_is_no_value_looks_like_none(
    counting: DrivenNode,
    replay: Callable[..., Run],
    write: Write,
    returned: str,
    ledger: Any,
    replayed: Any,
) -> None:
    found = replay(counting.path, "--line", write("other", body=returned)).object["divergence"]
    assert (found["ledger"], found["replay"]) == (ledger, replayed)


def test_a_shelf_life_of_its_own_is_said_in_ms(
    counting: DrivenNode, replay: Callable[..., Run], write: Write
) -> None:
    body = "from rmf.line import Fresh; return {packet.topic: Fresh(1, ttl_ms=250)}"
    found = replay(counting.path, "--line", write("other", body=body)).object["divergence"]
    assert found["replay"] == {"$shelf": 250}


def test_a_line_that_does_not_listen_any_more_is_a_difference(
    tmp_path: Path, replay: Callable[..., Run]
) -> None:
    line = Line("board", version=1)
    line.on("#")(lambda _world, packet: {packet.topic: packet.payload})
    line.on_expired("#")(lambda _world, _cell: None)
    with node_in(tmp_path / "n1", line) as node:
        node.send("probe", ("room/1", 20.5), ttl_ms=10)
        node.wait(100)
        ran = replay(node.path)
    found = ran.object["divergence"]
    assert (found["key"], found["slot"]) == ("room/1", 0)
    assert (found["ledger"], found["replay"]) == ({"$on_expired": True}, {"$on_expired": False})


def test_a_summary_is_for_people(
    counting: DrivenNode, replay: Callable[..., Run], write: Write
) -> None:
    ran = replay(counting.path, "--line", write(), "-o", "summary")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == "identical"
    assert lines[1] == "  read     6 Entries, 4 packets (0 bagged), ticks 1 to 6"
    assert lines[2:4] == ["  from     genesis", "  line     'counter' version 1"]


def test_a_summary_shows_both_sides_and_moves_no_cursor(
    counting: DrivenNode, replay: Callable[..., Run], write: Write
) -> None:
    body = r"raise ValueError('\x1b[2J')"
    ran = replay(counting.path, "--line", write("other", body=body), "-o", "summary")
    assert ran.out.splitlines()[:5] == [
        "different at term 1, tick 4, slot 0: another outcome",
        "  ledger   applied",
        '  replay   "handler_error"',
        r"  error    ValueError \u001b[2J",
        "  packet   seq 1 of probe, topic count/a",
    ]


# --- Lines ----------------------------------------------------------------------------------------


def test_another_line_than_the_ledgers_is_said_with_the_way_to_name_it(
    counting: DrivenNode, replay: Callable[..., Run]
) -> None:
    ran = replay(counting.path)
    assert ran.code == 3
    assert "written by line 'counter' version 1" in ran.err
    assert "with line 'board' version 1" in ran.err
    assert "--line FILE.py:NAME" in ran.err
    assert (ran.object["ledger_line"]["name"], ran.object["line"]["name"]) == ("counter", "board")


def test_the_same_version_with_another_source_is_said(
    counting: DrivenNode, replay: Callable[..., Run], write: Write
) -> None:
    ran = replay(counting.path, "--line", write("other", body="pass"))
    assert ran.code == 0
    assert "another source" in ran.err


def test_what_a_line_prints_is_no_data(
    counting: DrivenNode, replay: Callable[..., Run], write: Write
) -> None:
    ran = replay(counting.path, "--line", write("other", body="print('counting')"))
    assert ran.object["identical"]
    assert "counting" in ran.err


# --- What it reads --------------------------------------------------------------------------------


@pytest.fixture
def archived(node: DrivenNode) -> DrivenNode:
    """Two Checkpoints, the first of them and what lies before the second in the archive."""
    for n in range(3):
        for _ in range(3):
            node.send("probe", *[(f"bulk/{n}/{i}", bytes(30_000)) for i in range(3)])
        node.checkpoint()
    node.send("probe", ("room/1", n))
    names = sorted(path.suffix for path in node.directory.archive_path.iterdir())
    assert names.count(".ckpt") == 2
    assert names.count(".seg") > 2
    return node


def test_history_is_replayed_from_its_oldest_start(
    archived: DrivenNode, replay: Callable[..., Run]
) -> None:
    ran = replay(archived.path)
    assert ran.code == 0
    assert ran.object["start"]["checkpoint"] is None
    assert ran.object["digest"] == archived.core.committed.digest().hex()


def test_an_archive_alone_is_replayed(archived: DrivenNode, replay: Callable[..., Run]) -> None:
    ran = replay(archived.directory.archive_path)
    assert ran.code == 0
    assert 0 < ran.object["entries"] < archived.core.committed.index


def test_a_copy_without_the_archive_begins_at_its_checkpoint(
    archived: DrivenNode, replay: Callable[..., Run], tmp_path: Path
) -> None:
    shutil.copytree(archived.path, tmp_path / "copy", ignore=shutil.ignore_patterns("archive"))
    ran = replay(tmp_path / "copy")
    assert ran.code == 0
    assert ran.object["start"]["checkpoint"].startswith(str(tmp_path / "copy" / "checkpoints"))
    assert ran.object["start"]["index"] > 0
    assert ran.object["packets"] == 1
    assert ran.object["digest"] == archived.core.committed.digest().hex()


def test_a_start_that_does_not_verify_is_said_and_the_next_one_taken(
    archived: DrivenNode, replay: Callable[..., Run], tmp_path: Path
) -> None:
    archive = archived.directory.archive_path
    first = min(archive.glob("*.ckpt"))
    min(archive.glob("*.seg")).unlink()
    first.write_bytes(first.read_bytes()[:-1])
    ran = replay(archived.path)
    assert ran.code == 0
    assert str(first) in ran.err
    assert ran.object["start"]["checkpoint"] == str(max(archive.glob("*.ckpt")))


def test_history_that_the_node_sheds_meanwhile_is_no_damage(
    archived: DrivenNode, replay: Callable[..., Run], tmp_path: Path
) -> None:
    """The line stands in for the node at work: it sheds the archive while that is replayed."""
    source = tmp_path / "shedding.py"
    source.write_text(SHEDDING.format(archive=str(archived.directory.archive_path)))
    ran = replay(archived.path, "--line", f"{source}:line")
    assert ran.code == 1
    assert "shed the history that was being replayed" in ran.err


def test_without_any_start_it_says_what_it_expected(
    node: DrivenNode, replay: Callable[..., Run]
) -> None:
    node.checkpoint()
    for path in node.directory.checkpoints_path.iterdir():
        path.unlink()
    (segment,) = node.directory.ledger_path.glob("*.seg")
    segment.rename(segment.with_name(f"{5:020d}.seg"))
    ran = replay(node.path)
    assert (ran.code, ran.out) == (1, "")


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_a_place_without_a_ledger_is_a_failure(
    tmp_path: Path, replay: Callable[..., Run], path: str
) -> None:
    ran = replay(tmp_path / path)
    assert (ran.code, ran.out) == (1, "")
    assert "expected a data directory" in ran.err


def test_a_torn_tail_is_said_and_no_error(node: DrivenNode, replay: Callable[..., Run]) -> None:
    segment, end = _tail(node)
    with segment.open("r+b") as file:
        file.seek(end)
        file.write(b"\0\0\0\x09torn")
    ran = replay(node.path)
    assert ran.code == 0
    assert f"{segment}, byte {end}: the ledger ends in a torn record" in ran.err
    assert ran.object["digest"] == node.core.committed.digest().hex()


def _tail(node: DrivenNode) -> tuple[Path, int]:
    """The segment, and where what is written in it ends."""
    (segment,) = node.directory.ledger_path.glob("*.seg")
    return segment, len(segment.read_bytes().rstrip(b"\0"))


@pytest.fixture
def damaged(node: DrivenNode) -> DrivenNode:
    """The same with a flipped byte in the last Entry, which a seal says was durable."""
    node.writer.seal()
    segment, _ = _tail(node)
    place = segment.read_bytes().index(cbor2.dumps({"celsius": 21}))
    with segment.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff")
    return node


def test_damage_is_a_failure_after_saying_how_far_history_goes(
    damaged: DrivenNode, replay: Callable[..., Run]
) -> None:
    ran = replay(damaged.path)
    index, tick = damaged.core.committed.index - 1, damaged.tick - 1
    assert (ran.code, ran.out) == (1, "")
    assert f"{index} Entries could be read, up to tick {tick}, and are identical" in ran.err
    assert "checksum" in ran.err


def test_damage_behind_the_tick_that_was_named_is_no_failure(
    damaged: DrivenNode, replay: Callable[..., Run]
) -> None:
    ran = replay(damaged.path, "--until", 4)
    assert (ran.code, ran.err) == (0, "")


def test_a_difference_before_damage_is_still_the_answer(
    damaged: DrivenNode, replay: Callable[..., Run], write: Write
) -> None:
    ran = replay(damaged.path, "--line", write())
    assert ran.code == 3
    assert "checksum" in ran.err


# --- Time travel ----------------------------------------------------------------------------------


def test_until_ends_behind_that_tick(
    counting: DrivenNode, replay: Callable[..., Run], write: Write
) -> None:
    ran = replay(counting.path, "--line", write(), "--until", 5)
    assert (ran.code, ran.err) == (0, "")
    assert (ran.object["last_tick"], ran.object["packets"]) == (5, 3)
    assert ran.object["digest"] == counting.entries()[4].digest.hex()


def test_a_tick_behind_the_end_is_said(
    counting: DrivenNode, replay: Callable[..., Run], write: Write
) -> None:
    ran = replay(counting.path, "--line", write(), "--until", 99)
    assert ran.code == 0
    assert "the ledger ends at tick 6, before 99" in ran.err


def test_a_tick_before_what_is_left_of_history_is_a_usage_error(
    archived: DrivenNode, replay: Callable[..., Run]
) -> None:
    shutil.rmtree(archived.directory.archive_path)
    ran = replay(archived.path, "--until", 4)
    assert ran.code == 2
    assert "begins after tick" in ran.err


def test_the_world_of_a_tick_is_shown_without_running_a_line(
    counting: DrivenNode, replay: Callable[..., Run]
) -> None:
    ran = replay(counting.path, "--until", 5, "--world")
    assert ran.code == 0
    cells = [json.loads(line) for line in ran.out.splitlines()]
    expires = 5 + 60_000 * limits.MS // limits.TICK_PERIOD_NS
    assert [cell["key"] for cell in cells] == ["count/a", "count/b"]
    assert cells[0] == {
        "key": "count/a",
        "value": 3,
        "term": 1,
        "tick": 5,
        "slot": 0,
        "producer": "probe",
        "harvested_at": WALL_NS + 3,
        "expires": cells[0]["expires"],
    }
    assert abs(cells[0]["expires"] - expires) < 10
    assert ran.err.startswith("identical\n")


def test_the_result_beside_a_world_can_be_json_too(
    counting: DrivenNode, replay: Callable[..., Run]
) -> None:
    ran = replay(counting.path, "--world", "-o", "json")
    seen = json.loads(ran.out.splitlines()[-1])
    assert (seen["key"], seen["expires"]) == ("seen", None)
    assert seen["value"] == {"count/a": 3, "count/b": 1}
    result = json.loads(ran.err)
    assert (result["identical"], result["line"]) == (True, None)


# --- Usage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv", [["--line", "nowhere.py:line"], ["--line", "x"], ["--world", "--line", "x.py:line"]]
)
def test_what_cannot_be_asked_is_a_usage_error(
    node: DrivenNode, replay: Callable[..., Run], argv: list[str]
) -> None:
    ran = replay(node.path, *argv)
    assert (ran.code, ran.out) == (2, "")


@pytest.mark.parametrize("argv", [[], ["x", "--until", "-1"], ["x", "--until", "1e3"]])
def test_arguments_that_are_none_exit_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(argv)
    assert exited.value.code == 2


# --- As a process ---------------------------------------------------------------------------------


def command(*argv: object) -> list[str]:
    return [sys.executable, "-m", "tools.rmf_replay", *map(str, argv)]


@pytest.mark.slow
@pytest.mark.parametrize("zero", [0, 7])
def test_the_seed_of_hashes_changes_nothing(counting: DrivenNode, write: Write, zero: int) -> None:
    results = []
    for seed in ("1", "2"):
        ran = subprocess.run(
            command(counting.path, "--line", write("seeded", zero=zero)),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=False,
        )
        result = json.loads(ran.stdout)
        del result["packets_per_s"]
        results.append((ran.returncode, ran.stderr, result))
    assert results[0] == results[1]
    assert results[0][0] == (3 if zero else 0)


@pytest.mark.slow
def test_an_interrupt_ends_it_and_is_no_difference(counting: DrivenNode, write: Write) -> None:
    body = "import sys; print('stuck', flush=True)\n    while True: pass"
    with subprocess.Popen(
        command(counting.path, "--line", write("stuck", body=body)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"stuck\n"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    assert (process.returncode, out) == (-signal.SIGINT, b"")
