"""Two cities' temperatures of a year through a factory that is killed in the middle."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.factory import ENVIRONMENT, Node, command, objects, run

DATA = Path(__file__).parent.parent / "data"
CITIES = {"seattle": DATA / "seattle-temps.csv", "sf": DATA / "sf-temps.csv"}
KILL_AFTER_PACKETS = 4000


def rows(path: Path) -> int:
    return len(path.read_text().splitlines()) - 1  # the first line names the columns


def send(node: Node, city: str, *more: object) -> list[str]:
    options = ["-c", node.address, "--producer", city, "--topic", f"{city}/temp"]
    options += ["--format", "csv", "--ttl", "1h", "-o", "summary"]
    return command("tools.rmf_send", *options, *more, CITIES[city])


@pytest.mark.slow
def test_both_cities_arrive_exactly_once_over_a_kill_in_the_middle(tmp_path: Path) -> None:
    """R2, R26, R27, R33, R34: acked is kept, resent not applied again, the replay identical."""
    expected = sum(map(rows, CITIES.values()))
    with Node(tmp_path / "data") as node:
        senders = [
            subprocess.Popen(
                send(node, city, "--rate", 4000, "--batch", 100),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=ENVIRONMENT,
            )
            for city in CITIES
        ]
        while node.status()["packets"]["latched"] < KILL_AFTER_PACKETS:
            assert all(sender.poll() is None for sender in senders)
        node.kill()
        node.start()
        outputs = [sender.communicate(timeout=60) for sender in senders]
        assert [sender.returncode for sender in senders] == [0, 0], outputs
        summaries = [json.loads(out) for out, _ in outputs]
        assert [s["applied"] for s in summaries] == [rows(path) for path in CITIES.values()]

        again = [run_resumed(node, city) for city in CITIES]
        assert [summary["sent"] for summary in again] == [0, 0]

        status = node.status()
        assert status["packets"]["latched"] == status["packets"]["applied"] == expected
        assert status["term"] == 2
        picture = objects(run("tools.rmf_cat", "-c", node.address, "--once", "#").stdout)[0]
        assert picture["digest"] == status["digest"]
        assert set(picture["cells"]) == {"seattle/temp", "sf/temp"}
        assert picture["cells"]["seattle/temp"]["value"] == {
            "date": "2010/12/31 23:00",
            "temp": 39.6,
        }

        live = replayed(node.data, "1")
        assert live["digest"] == status["digest"]
        code, _ = node.stop()
        assert code == 0
    first, second = replayed(tmp_path / "data", "1"), replayed(tmp_path / "data", "2")
    for report in (first, second):
        del report["packets_per_s"]
    assert first == second
    assert first["packets"] == expected


def run_resumed(node: Node, city: str) -> dict[str, int]:
    module, *arguments = send(node, city, "--resume")[2:]
    done = run(module, *arguments)
    assert done.returncode == 0, done.stderr
    summary: dict[str, int] = json.loads(done.stdout)
    return summary


def replayed(data: Path, hash_seed: str) -> dict[str, object]:
    done = run("tools.rmf_replay", data, "-o", "json", hash_seed=hash_seed)
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    assert report["identical"] is True
    assert report["divergence"] is None
    return report
