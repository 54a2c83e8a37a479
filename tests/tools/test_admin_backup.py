"""`rmf-admin backup` and `recover`, against a node and against directories."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.factory import Node, objects
from tests.e2e.factory import run as run_command
from tests.storage.of_three import of_three
from tools.rmf_admin import main

LINES = "".join(
    json.dumps({"topic": f"k/{i}", "payload": i, "ttl_ms": 3_600_000}) + "\n" for i in range(50)
)


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (found,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert isinstance(found, dict)
    return found


def world(address: str) -> dict[str, Any]:
    (snapshot,) = objects(run_command("tools.rmf_cat", "-c", address, "--once").stdout)
    return {key: cell["value"] for key, cell in snapshot["cells"].items()}


@pytest.mark.slow
def test_a_backup_of_a_running_node_is_another_factory_with_the_same_world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plant.tar"
    with Node(tmp_path / "n1") as node:
        run_command("tools.rmf_send", "-c", node.address, "--producer", "p", text=LINES)
        bad = ["--topic", "bad", "--ttl", "1h", "--format", "raw"]
        run_command("tools.rmf_send", "-c", node.address, *bad, text="\n")
        assert main(["backup", str(out), "-c", node.address]) == 0
        facts = told(capsys)
        before = world(node.address)
        assert (facts["verified"], facts["bytes"]) == (True, out.stat().st_size)
        assert main(["backup", str(out), "-c", node.address]) == 0, "it may be written over"
        capsys.readouterr()
        node.stop()
    assert not list(tmp_path.glob("*.part"))
    with Node(tmp_path / "new", "--restore", str(out)) as other:
        assert world(other.address) == before
        (status,) = objects(run_command("tools.rmf_status", "-c", other.address).stdout)
        assert status["cluster"] != facts["cluster"]
        assert status["dlq"]["letters"] == 1
        # Exactly once goes on, too: what was sent is known there.
        resumed = ["--producer", "p", "--resume"]
        done = run_command("tools.rmf_send", "-c", other.address, *resumed, text=LINES)
        assert objects(done.stdout)[0]["skipped"] == 50
        other.stop()


@pytest.mark.slow
def test_a_backup_that_is_under_way_or_has_no_place_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plant.tar.part").mkdir()
    assert main(["backup", str(tmp_path / "plant.tar"), "-c", "127.0.0.1:1"]) == 2
    assert "broken off" in capsys.readouterr().err
    assert main(["backup", str(tmp_path / "no" / "plant.tar"), "-c", "127.0.0.1:1"]) == 1
    assert main(["backup", str(tmp_path / "b.tar"), "-c", "127.0.0.1:1"]) == 4
    assert not (tmp_path / "b.tar").exists()
    assert not (tmp_path / "b.tar.part").exists()


def test_recover_says_what_is_lost_and_does_nothing_without_being_told_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with of_three(tmp_path / "n1") as node:
        cluster = node.directory.cluster.hex()
    assert main(["recover", str(tmp_path / "n1")]) == 2
    said = capsys.readouterr().err
    for words in ("LOST", "n2, n3", "ends at Entry 6", "IN DOUBT: the last 1", "NEW cluster"):
        assert words in said, words
    assert "add --i-accept-loss" in said

    assert main(["recover", str(tmp_path / "n1"), "--i-accept-loss"]) == 0
    found = told(capsys)
    assert (found["old_cluster"], found["index"], found["cells"]) == (cluster, 6, 5)
    assert found["cluster"] != cluster
    assert main(["recover", str(tmp_path / "n1"), "--i-accept-loss"]) == 1, "it is alone now"
    assert "only voter" in capsys.readouterr().err


def test_recover_leaves_a_node_that_runs_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with of_three(tmp_path / "n1"):
        assert main(["recover", str(tmp_path / "n1"), "--i-accept-loss"]) == 1
    assert "in use" in capsys.readouterr().err


def test_recover_wants_the_directory_of_a_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recover", str(tmp_path)]) == 1
    assert "expected a data directory" in capsys.readouterr().err
