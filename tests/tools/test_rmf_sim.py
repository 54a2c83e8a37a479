"""rmf-sim: what it is asked, what it finds, and what it says of it."""

import json
import shlex
from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf.testing.line_workload import Given
from tests.driven_node import node_in
from tests.testing.lines import workshop
from tools import rmf_sim
from tools.sim_output import json_of, table_of
from tools.sim_packets import read_packets, write_packets

HERE = Path(__file__).parent
DOUBTFUL = f"{HERE}/doubtful_line.py:line"
GOOD = f"{HERE.parent}/testing/lines.py:greenhouse"
WORKSHOP = f"{HERE.parent}/testing/lines.py:workshop"


def sim(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    code = rmf_sim.main([*words, "-o", "json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else {}, captured.err


def line_file(path: Path, body: str) -> str:
    """A line with one good handler, and one that does this."""
    path.write_text(
        "import os\nfrom rmf import Line\nline = Line('bad')\n"
        "@line.on('good/+')\ndef good(world, packet):\n    return {packet.topic: packet.payload}\n"
        f"@line.on('bad/+')\ndef bad(world, packet):\n    {body}\n"
    )
    return f"{path}:line"


# --- Determinism --------------------------------------------------------------------------------

# Each handler of the doubtful line, and what its answers depend on.
CAUSES = {
    "of_the_hash": ["hash"],
    "of_the_clock": ["clock"],
    "of_the_date": ["clock", "zone"],
    "of_the_zone": ["zone"],
    "of_chance": ["chance"],
    "of_addresses": ["process"],
    "of_the_process": ["process"],
    "of_entropy": ["process"],
    "of_state": ["state"],
    "gone": ["clock"],
}


@pytest.mark.slow
def test_each_way_to_be_nondeterministic_is_found_and_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, result, _ = sim(capsys, DOUBTFUL, "--check", "determinism", "-n", "400")
    assert (code, result["verdict"]) == (3, "found")
    found = result["determinism"]
    assert not found["deterministic"]
    assert {x["handler"]["function"]: x["causes"] for x in found["findings"]} == CAUSES
    for one in found["findings"]:
        handler, packet = one["handler"], one["packet"]
        assert one["first"] != one["again"]
        assert handler["file"] == f"{HERE}/doubtful_line.py"
        topic = packet.get("topic") or packet["expired"]
        assert topic.startswith(handler["filter"].split("/")[0])
        assert one["key"] in {topic, f"gone/{topic}", None}
        assert one["suspects"], handler
        assert {x["cause"] for x in one["suspects"]} <= set(one["causes"])
    table = table_of(result)
    assert table.splitlines()[0] == "found"
    assert "doubtful_line.py:" in table
    assert "look at" in table
    assert "good" not in {x["handler"]["function"] for x in found["findings"]}


@pytest.mark.slow
@pytest.mark.parametrize("line", [pytest.param(GOOD, marks=pytest.mark.long), WORKSHOP])
def test_a_good_line_is_deterministic(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, result, _ = sim(capsys, line, "--check", "determinism", "-n", "300")
    found = result["determinism"]
    assert (code, result["verdict"], found["deterministic"]) == (0, "passed", True)
    assert len(found["runs"]) == 10
    assert "300 packets came out the same in 10 runs more" in table_of(result)


# --- Seeds --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_good_line_passes_its_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    words = (GOOD, "--seeds", "2-4", "--seconds", "8", "--check", "seeds", "--processes", "2")
    code, result, _ = sim(capsys, *words)
    seeds = result["seeds"]
    assert (code, seeds["passed"], seeds["failures"]) == (0, 3, [])
    assert seeds["packets"] > 200
    assert seeds["faults"] > 0
    assert "2 to 4: 3 passed" in table_of(result)


@pytest.mark.slow
def test_a_failing_seed_prints_the_command_that_shows_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (DOUBTFUL, "--seeds", "2-3", "--seconds", "6s", "--faults", "none", "--check", "seeds")
    code, result, said = sim(capsys, *words)
    assert code == 3
    failures = result["seeds"]["failures"]
    assert [(x["seed"], x["verdict"], x["rule"]) for x in failures] == [
        (2, "failed", "replay"),
        (3, "failed", "replay"),
    ]
    assert "seed 2: failed: replay" in said
    again = shlex.split(failures[0]["command"])
    assert again[:4] == ["rmf-sim", DOUBTFUL, "--seeds", "2-2"]
    code, result, _ = sim(capsys, *again[1:])
    assert code == 3
    assert [x["seed"] for x in result["seeds"]["failures"]] == [2]
    assert failures[0]["command"] in table_of(result)


@pytest.mark.slow
def test_a_run_without_a_fault_is_void(capsys: pytest.CaptureFixture[str]) -> None:
    words = (GOOD, "--seeds", "25-25", "--seconds", "5", "--faults", "members", "--check", "seeds")
    code, result, said = sim(capsys, *words)
    assert (code, result["verdict"], result["seeds"]["void"]) == (1, "void", 1)
    assert "seed 25: void: no fault was met" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "verdict", "why"),
    [
        ("os._exit(7)", "died", "exited with 7"),
        pytest.param(
            *("os.kill(os.getpid(), 9)", "died", "killed by SIGKILL"), marks=pytest.mark.long
        ),
        ("while True: pass", "hung", "more than 0.6 s"),
    ],
)
def test_a_handler_that_hangs_or_kills_is_named(
    body: str, verdict: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = line_file(tmp_path / "bad.py", body)
    words = (spec, "--seeds", "2", "--seconds", "5", "-n", "50", "--call-timeout", "600ms")
    code, result, _ = sim(capsys, *words)
    assert (code, result["seeds"][verdict], result["seeds"]["passed"]) == (3, 2, 0)
    for one in [*result["seeds"]["failures"], *result["determinism"]["fates"]]:
        assert why in one["why"]
        assert one["handler"]["function"] == "bad"
        assert one["packet"]["topic"].startswith("bad/")
    assert result["determinism"]["deterministic"] is None
    assert "there is no history to run again" in table_of(result)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "import os; print('last words', flush=True); os._exit(5)",
            ["exited with 5", "last words"],
        ),
        ("1 / 0", ["loading it raised ZeroDivisionError"]),
        ("import os; os.abort()", ["killed by SIGABRT"]),
    ],
)
def test_a_line_that_ends_its_own_import_is_said(
    body: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ends.py").write_text(body)
    spec = f"{tmp_path}/ends.py:line"
    code, _, said = sim(capsys, spec, "--check", "seeds", "--seeds", "1")
    assert code == 2
    assert all(word in said for word in words)


# --- Usage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "x"], "expected a number of them, or FIRST-LAST"),
        (["--seeds", "0"], "expected 1 to"),
        (["--seeds", "9-3"], "expected 1 to"),
        (["--faults", "disk,foo"], "'foo': expected all, none"),
        (["--nodes", "8"], "expected 1 to 7"),
        (["--seconds", "2"], "expected 5 at least"),
        (["-o", "yaml"], "invalid choice"),
    ],
)
def test_what_makes_no_sense_is_usage(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        rmf_sim.main([GOOD, *words])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        rmf_sim.main(["--help"])
    assert "examples:\n  rmf-sim greenhouse.py:line" in capsys.readouterr().out


# --- Packets ------------------------------------------------------------------------------------


def test_packets_of_a_file_are_those_of_rmf_send(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    path.write_text(
        '{"topic":"a/1","payload":{"x":{"$bytes":"AA=="}},"ttl_ms":5,"harvested_at":9}\n\n'
        '{"topic":"a/2","payload":1}\n{"celsius":3}\n'
    )
    given = read_packets(path, topic="t", ttl_ms=7)
    assert given == [
        Given("a/1", cbor2.dumps({"x": b"\0"}), 5, 9),
        Given("a/2", b"\x01", 7, None),
        Given("t", cbor2.dumps({"celsius": 3}), 7, None),
    ]
    write_packets(given, tmp_path / "cbor")
    assert [Given(*x) for x in cbor2.loads((tmp_path / "cbor").read_bytes())] == given


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no packet"),
        ("{", "line 1: not JSON"),
        ("5", "line 1: a payload without a topic"),
        ('{"topic":"a/+","payload":1}', "line 1: topic: '+'"),
        ('{"topic":"a","payload":1,"ttl_ms":0}', "line 1: ttl_ms: expected 1"),
    ],
)
def test_a_file_that_holds_no_packets_is_usage(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "day.jsonl"
    path.write_text(text)
    assert rmf_sim.main([GOOD, "--packets", str(path)]) == 2
    assert said in capsys.readouterr().err
    assert rmf_sim.main([GOOD, "--packets", str(tmp_path / "nothing")]) == 2


@pytest.mark.slow
def test_packets_of_a_ledger_are_those_that_it_latched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with node_in(tmp_path / "n1", workshop) as node:
        node.send("probe", ("keep/a", 1), ("raise/a", 2))
        node.send("probe", ("keep/b", 3))
        node.checkpoint()
        node.send("probe", ("keep/a", 4))
    given = read_packets(tmp_path / "n1", topic=None, ttl_ms=1)
    assert [(x.topic, x.payload) for x in given] == [
        ("keep/a", b"\x01"),
        ("raise/a", b"\x02"),
        ("keep/b", b"\x03"),
        ("keep/a", b"\x04"),
    ]
    words = ("--packets", str(tmp_path / "n1"), "--check", "determinism", "-n", "8")
    code, result, said = sim(capsys, WORKSHOP, *words)
    assert code == 0
    assert result["determinism"]["bagged"] == {"handler_error": 2}
    assert "4 packets of" in said


def test_json_and_table_say_the_same_of_nothing() -> None:
    result = {"verdict": "passed", "seeds": None, "determinism": None}
    assert json.loads(json_of(result)) == result
    assert table_of(result) == "passed"
