"""A job of redrive against a node: what is sent, and what a bag that comes back looks like.

Jobs that are interrupted, and clusters, are tried in tests/e2e/test_dlq_for_people.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.factory import Node, objects
from tests.e2e.factory import run as run_command
from tools.rmf_dlq import main


@pytest.mark.slow
def test_what_fails_again_is_bagged_again_under_its_parent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--line", "tests.e2e.mended_line:line", "--glovebox", "inline"]
    with Node(tmp_path, *options) as node:
        at = ["-c", node.address]

        def run(*argv: str) -> tuple[int, list[Any]]:
            code = main([*argv, *at])
            return code, [json.loads(x) for x in capsys.readouterr().out.splitlines()]

        text = json.dumps({"topic": "nobody/wants", "payload": 1}) + "\n"
        sent = ["--producer", "probe", "--ttl", "1h", "-o", "jsonl"]
        done = run_command("tools.rmf_send", *at, *sent, text=text)
        (first,) = objects(done.stdout)

        assert run("redrive")[0] == 2  # everything, just like that? It has to be said
        assert run("redrive", "9.9.9")[0] == 1
        assert run("redrive", "--topic", "never/seen")[0] == 1
        code, (would, sums) = run("redrive", "--state", "open")
        assert (code, would["would"], sums["send"]) == (0, "send", 1)

        code, (ended, sums) = run("redrive", first["letter"], "--yes", "--ttl", "2s", "--job", "a")
        assert (code, sums["bagged"], ended["outcome"]) == (3, 1, "bagged")
        (again,) = run("show", ended["bagged_as"])[1]
        assert (again["producer"], again["seq"]) == ("redrive:a", 1)
        assert (again["parent"], again["attempt"]) == (first["letter"], 2)
        (parent,) = run("show", first["letter"])[1]
        acts = [x["act"] for x in parent["acts"]]
        assert (parent["triage"], acts) == ("redriven", ["redrive", "redriven"])
        assert again["triage"] == "open"
        node.stop()
