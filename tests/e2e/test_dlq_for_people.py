"""People deal with what was bagged: on one node, on three, while leaders are killed (R38-R40)."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.children import said_by
from tests.e2e.cluster import Cluster
from tests.e2e.factory import ENVIRONMENT, Node, command, objects, run
from tests.e2e.history import BIG

LINE = "tests.e2e.mended_line:line"


def send(where: str, producer: str, *packets: tuple[str, Any]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps({"topic": t, "payload": p}) + "\n" for t, p in packets)
    more = ["--producer", producer, "--ttl", "1h", "-o", "jsonl"]
    done = run("tools.rmf_send", "-c", where, *more, text=lines)
    assert done.returncode in {0, 3}, done.stderr
    return objects(done.stdout)


def dlq(where: str, *arguments: object, code: int = 0) -> list[dict[str, Any]]:
    done = run("tools.rmf_dlq", *arguments, "-c", where)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return objects(done.stdout)


def triage(where: str) -> dict[str, str]:
    found = dlq(where, "list", "--limit", 9999, "--oldest-first")
    return {x["topic"]: x["triage"] for x in found}


@pytest.mark.slow
def test_a_failure_is_seen_redriven_resolved_and_purged(tmp_path: Path) -> None:
    options = ["--line", LINE, "--glovebox", "inline"]
    with Node(tmp_path / "n1", *options) as node:
        where = node.address
        send(where, "probe", *[(f"room/{n}", "bad") for n in range(12)], ("room/3", 21.5))
        (group,) = dlq(where, "groups")
        assert (group["count"], group["state"], group["open"]) == (12, "open", 12)

        # Nothing is sent before it is confirmed, and nothing over what is newer.
        chosen = ["redrive", "--group", group["group"]]
        *letters, dry = dlq(where, *chosen)
        assert (dry["send"], dry["newer_exists"]) == (11, 1)
        assert node.status()["packets"]["latched"] == 13
        *ends, sums = dlq(where, *chosen, "--job", "night", "--rate", 1000, "--yes", code=3)
        assert (sums["applied"], sums["newer_exists"], sums["bagged"]) == (11, 1, 0)
        assert [x["letter"] for x in ends if x["outcome"] == "newer_exists"] == [
            x["letter"] for x in letters if x["would"] == "newer_exists"
        ]
        states = triage(where)
        assert [topic for topic, state in states.items() if state != "redriven"] == ["room/3"]

        # Once more: the job knows what it did.
        *_, again = dlq(where, "redrive", "--job", "night", "--yes", code=3)
        assert again == sums
        assert node.status()["packets"]["latched"] == 24
        dlq(where, *chosen, "--job", "night", "--yes", code=2)  # its selection is frozen

        # What is left is resolved, and comes back loudly.
        (left,) = [x["letter"] for x in ends if x["outcome"] == "newer_exists"]
        dlq(where, "resolve", left, "--why", "21.5 is right")
        assert dlq(where, "groups")[0]["state"] == "resolved"
        send(where, "other", ("room/20", "bad"))
        assert dlq(where, "groups", "--state", "reopened")[0]["count"] == 13

        # A restart, even a hard one, changes nothing of that.
        before = dlq(where, "list", "--oldest-first")
        node.kill()
        node.start()
        assert dlq(where, "list", "--oldest-first") == before
        assert (shown := dlq(where, "show", left)[0])["acts"][-1]["why"] == "21.5 is right"
        assert shown["reads"][0]["now"]["value"] == 1

        purge = ["purge", "--before", "1ms", "--why", "done with"]
        (would,) = dlq(where, *purge)
        assert (would["dry_run"], would["letters"]) == (True, 13)
        (done,) = dlq(where, *purge, "--yes")
        assert done["matched"] == 13
        assert dlq(where, "list") == []
        acts = [x["act"] for x in dlq(where, "audit")]
        assert acts.count("purge") == 2  # for the line, and for this node's edge
        node.stop()
    offline = run("tools.rmf_dlq", "audit", "--data", tmp_path / "n1")
    assert [x["act"] for x in objects(offline.stdout)] == acts
    assert run("tools.rmf_replay", tmp_path / "n1", "--line", LINE).returncode == 0


@pytest.mark.slow
def test_a_redrive_goes_on_when_the_leader_is_killed_and_sends_each_packet_once(
    tmp_path: Path,
) -> None:
    options = ["--glovebox", "inline"]
    with Cluster(tmp_path, line=LINE, options=options) as cluster:
        where = ",".join(f"{host}:{port}" for host, port in cluster.addresses.values())
        send(where, "probe", *[(f"room/{n}", "bad") for n in range(150)])
        job = ["redrive", "--reason", "handler_error", "--job", "night", "--rate", 40, "--yes"]
        with _start("tools.rmf_dlq", *job, "-c", where) as redriving:
            _ends(redriving, 30)
            leader = cluster.leader()
            cluster.kill(leader)
            _ends(redriving, 30)
            cluster.restart(leader)
            redriving.send_signal(signal.SIGINT)  # an interrupted job is gone on with
            redriving.communicate(timeout=60)
            assert redriving.returncode == 130
        *_, sums = dlq(where, "redrive", "--job", "night", "--rate", 1000, "--yes")
        assert (sums["letters"], sums["applied"], sums["bagged"]) == (150, 150, 0)
        cluster.wait_equal()
        for name, (host, port) in cluster.addresses.items():
            here = f"{host}:{port}"
            cluster.wait_until(
                lambda: set(triage(here).values()) == {"redriven"} or None,  # noqa: B023
                f"{name} does not know that all were redriven",
            )
            assert len(triage(here)) == 150
            packets = cluster.ask(name)["packets"]
            assert (packets["applied"], packets["bagged"]) == (150, 150)
        trails = [
            [(x["entry"], x["act"], x["letters"]) for x in dlq(f"{host}:{port}", "audit")]
            for host, port in cluster.addresses.values()
        ]
        assert trails == [trails[0]] * 3


def _start(module: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(module, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
    )


def _ends(process: "subprocess.Popen[str]", count: int) -> None:
    """Wait until so many more letters have met their end."""
    for _ in range(count):
        assert said_by(process)["outcome"] == "applied"


@pytest.mark.long
def test_triage_reaches_a_node_that_gets_a_checkpoint_instead_of_entries(tmp_path: Path) -> None:
    """R39: nothing that was purged comes back, and what was resolved stays so."""
    with Cluster(tmp_path, line=LINE, options=["--glovebox", "inline"]) as cluster:
        where = ",".join(f"{host}:{port}" for host, port in cluster.addresses.values())
        receipts = send(where, "probe", *[(f"room/{n}", "bad") for n in range(9)])
        ids = [x["letter"] for x in receipts]
        away = cluster.followers()[0]
        here = ":".join(map(str, cluster.addresses[away]))
        cluster.wait_until(lambda: len(triage(here)) == 9 or None, "its letters are late")
        cluster.kill(away)
        dlq(where, "purge", *ids[:3], "--why", "secrets", "--yes")
        dlq(where, "resolve", *ids[3:6], "--why", "mended")
        send(where, "other", *[(f"room/{n}", BIG.decode()) for n in range(50, 66)])
        others = [name for name in cluster.nodes if name != away]
        for name in others:
            cluster.forget_history(name)
        for name in others:
            cluster.kill(name)
        cluster.begin(*others)
        cluster.restart(away)
        cluster.wait_caught_up(away)
        expected = {f"room/{n}": "resolved" if n < 6 else "open" for n in range(3, 9)}
        cluster.wait_until(lambda: triage(here) == expected or None, "its triage differs")
        assert "installed" in cluster.log(away)
