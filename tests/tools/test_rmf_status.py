"""rmf-status against scripted nodes."""

import json
import subprocess
import sys
from typing import Any

import pytest

from rmf.core.messages import End, Error, Hello, Item, Query
from tests.children import said_by
from tests.scripted_node import Peer, Script, ScriptedNode
from tools.rmf_status import main

STATUS: dict[str, Any] = {
    "node": "n1",
    "role": "leader",
    "strike": None,
    "term": 3,
    "tick": 1841,
    "index": 977,
    "commit": 977,
    "leader": "n1",
    "members": [],
    "ingest": {"depth": 0, "capacity": 65536},
    "packets": {"latched": 9, "applied": 8, "bagged": 1, "duplicate": 0},
    "dlq": {"letters": 1, "groups": 1, "bytes": 512, "complete": True},
    "world": {"cells": 4},
    "digest": bytes(range(16)),
    "line": {"name": "board", "version": "1"},
    "glovebox": {"restarts": 0},
    "uptime_s": 3725.5,
}


def answering(**changes: Any) -> Script:
    def script(peer: Peer) -> None:
        peer.welcome()
        query = peer.expect(Query)
        assert (query.subject, query.args) == ("status", {})
        peer.send(Item(query.request, {**STATUS, **changes}), End(query.request, None, None))

    return script


def test_json_is_the_status_with_the_digest_in_hex(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedNode(answering()) as node:
        assert main(["-c", node.text]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {**STATUS, "digest": bytes(range(16)).hex()}


def test_each_node_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedNode(answering()) as one, ScriptedNode(answering(node="n2")) as two:
        assert main(["-c", f"{one.text},{two.text}", "-o", "json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["node"] for line in lines] == ["n1", "n2"]


def test_a_node_that_is_away_is_said_and_the_others_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ScriptedNode() as gone:
        pass
    with ScriptedNode(answering()) as node:
        assert main(["-c", f"{gone.text},{node.text}"]) == 0
    out, err = capsys.readouterr()
    away, found = map(json.loads, out.splitlines())
    assert (away["node"], away["address"]) == (None, gone.text)
    assert gone.text in away["error"]
    assert found["node"] == "n1"
    assert gone.text in err


def test_where_no_node_answers_it_is_exit_4(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedNode() as one, ScriptedNode() as two:
        pass
    assert main(["-c", f"{one.text},{two.text}"]) == 4
    assert [json.loads(line)["node"] for line in capsys.readouterr().out.splitlines()] == [None] * 2


def test_a_refusal_is_exit_5(capsys: pytest.CaptureFixture[str]) -> None:
    def script(peer: Peer) -> None:
        peer.expect(Hello)
        peer.sock.sendall(b"RMF\x01")
        peer.send(Error("too_many_connections", "full", None))

    with ScriptedNode(script) as node:
        assert main(["-c", node.text]) == 5
    assert "full" in capsys.readouterr().err


def test_no_answer_in_time_is_exit_6(capsys: pytest.CaptureFixture[str]) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.wait_for_the_end()

    with ScriptedNode(script) as node:
        assert main(["-c", node.text, "-W", "100ms"]) == 6
    assert node.text in capsys.readouterr().err


@pytest.mark.parametrize("items", [0, 2])
def test_a_status_is_exactly_one_item(items: int, capsys: pytest.CaptureFixture[str]) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        request = peer.expect(Query).request
        peer.send(*[Item(request, STATUS)] * items, End(request, None, None))

    with ScriptedNode(script) as node:
        assert main(["-c", node.text]) == 4
    assert f"found {items}" in capsys.readouterr().err


def test_a_table_on_a_pipe_is_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    struck = {"kind": "disk", "why": "fsync failed"}
    with ScriptedNode() as gone:
        pass
    with ScriptedNode(answering(), answering(node="n\x1b2", strike=struck, uptime_s=90)) as node:
        addresses = f"{node.text},{gone.text}"
        assert main(["-c", addresses, "-o", "table"]) == 0
        assert main(["-c", node.text, "-o", "table"]) == 0
    out, err = capsys.readouterr()
    headings, first, away, _, second = out.splitlines()
    assert " ".join(first.split()) == ("n1 leader - 3 1841 977 n1 0/65536 8 1 1 4 board 1 1h 2m")
    assert first.index("leader") == headings.index("ROLE")
    assert away.split() == [gone.text, "no", "answer"]
    assert second.split()[:3] == ["n\\u001b2", "leader", "disk"]
    assert second.endswith("1m 30s")
    assert gone.text in err
    assert err.splitlines()[-1].startswith("n\\u001b2 is on strike (disk): its disk failed")
    assert err.splitlines()[-1].endswith(": fsync failed")


MEMBERS: list[dict[str, Any]] = [
    {"node": "n1", "address": "a:1", "role": "leader", "match": 977, "voter": True},
    {"node": "n2", "address": "b:2", "role": "follower", "match": 970, "voter": True},
    {"node": "n3", "address": None, "role": "learner", "match": None, "voter": False},
]


def test_members_are_a_table_of_their_own_as_the_leader_sees_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stale = [{**MEMBERS[0], "match": 1}, MEMBERS[1]]
    with (
        ScriptedNode(answering(role="follower", members=stale)) as one,
        ScriptedNode(answering(node="n2", members=MEMBERS)) as two,
    ):
        assert main(["-c", f"{one.text},{two.text}", "-o", "table"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[3:] == [
        [],
        ["MEMBER", "ADDRESS", "ROLE", "VOTER", "MATCH", "BEHIND"],
        ["n1", "a:1", "leader", "yes", "977", "0"],
        ["n2", "b:2", "follower", "yes", "970", "7"],
        ["n3", "-", "learner", "no", "-", "-"],
    ]


def test_a_status_of_a_newer_node_is_shown_as_far_as_it_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        request = peer.expect(Query).request
        peer.send(Item(request, {"node": "n9", "dlq": 7}), End(request, None, None))

    with ScriptedNode(script) as node:
        assert main(["-c", node.text, "-o", "table"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("n9")


@pytest.mark.slow
def test_watch_asks_again_until_interrupted() -> None:
    with ScriptedNode(answering(tick=1), answering(tick=2)) as node:
        command = [sys.executable, "-m", "tools.rmf_status", "-c", node.text, "--watch"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ticks = [said_by(process)["tick"] for _ in range(2)]
        process.send_signal(2)
        _, err = process.communicate(timeout=20)
    assert (ticks, process.returncode, err) == ([1, 2], 130, b"")


@pytest.mark.slow
def test_neither_trio_nor_attrs_nor_rich_is_imported() -> None:
    names = ("trio", "attr", "attrs", "rich", "asyncio")
    script = f"import tools.rmf_status, sys; print([m for m in {names} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"[]\n"
