"""rmf-admin against scripted nodes: who gets which order, what is asked first, how it ends."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

from rmf.core.messages import End, Item, Query
from tests.scripted_node import Peer, Script, ScriptedNode
from tools.rmf_admin import main

N1 = {"node": "n1", "address": "a:1", "role": "leader", "match": 9, "voter": True}
N4 = {"node": "n4", "address": "d:4", "role": "learner", "match": 3, "voter": False}

Answer = dict[str, Any] | str  # a body, or the code of an END


def answering(
    *answers: Answer, asked: list[tuple[str, dict[str, Any]]] | None = None, **facts: Any
) -> Script:
    """Answer one connection's queries, one after the other."""

    def script(peer: Peer) -> None:
        peer.welcome(**facts)
        for answer in answers:
            query = peer.expect(Query)
            if asked is not None:
                asked.append((query.subject, query.args))
            if isinstance(answer, str):
                peer.send(End(query.request, answer, "because"))
            else:
                peer.send(Item(query.request, answer), End(query.request, None, None))
        peer.wait_for_the_end()

    return script


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    [line] = capsys.readouterr().out.splitlines()
    answer: dict[str, Any] = json.loads(line)
    return answer


def test_a_member_is_added_and_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    voter = {**N4, "voter": True}
    with ScriptedNode(
        answering({"members": [N1, N4]}, asked=asked),
        answering({"index": 9, "members": [N1, N4]}),
        answering({"index": 9, "members": [N1, voter]}),
    ) as node:
        order = ["add", "n4", "d:7510", "--client-address", "d:4"]
        assert main([*order, "-c", node.text]) == 0
    wanted = {"node": "n4", "peer_address": "d:7510", "client_address": "d:4"}
    assert asked == [("admin.add", wanted)]
    out, err = capsys.readouterr()
    assert json.loads(out) == {"order": "add", "node": "n4", "members": [N1, voter]}
    assert "n4 learns: 3 of 9" in err


def test_a_member_that_does_not_vote_in_time_is_exit_6(capsys: pytest.CaptureFixture[str]) -> None:
    body = {"index": 9, "members": [N1, N4]}
    with ScriptedNode(answering(body), answering(body)) as node:
        assert main(["add", "n4", "d:7510", "-c", node.text, "-W", "200ms"]) == 6
    assert "n4 does not vote yet" in capsys.readouterr().err


def test_no_wait_is_done_when_the_order_is(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    with ScriptedNode(answering({"members": [N1, N4]}, asked=asked)) as node:
        assert main(["add", "n4", "[::1]:7510", "--no-wait", "-c", node.text]) == 0
    assert asked[0][1] == {"node": "n4", "peer_address": "[::1]:7510"}
    assert found(capsys)["members"] == [N1, N4]


def test_a_peers_address_needs_its_port(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["add", "n4", "d"])
    assert caught.value.code == 2
    assert "add :PORT" in capsys.readouterr().err


def test_off_a_terminal_what_stops_a_node_needs_yes(capsys: pytest.CaptureFixture[str]) -> None:
    assert not sys.stdin.isatty(), "pytest puts something else in its place"
    assert main(["remove", "n4", "-c", "127.0.0.1:1"]) == 2
    assert main(["strike", "-c", "127.0.0.1:1"]) == 2
    assert "--yes" in capsys.readouterr().err
    asked: list[tuple[str, dict[str, Any]]] = []
    with ScriptedNode(answering({"members": [N1]}, asked=asked)) as node:
        assert main(["remove", "n4", "--yes", "-c", node.text]) == 0
    assert asked == [("admin.remove", {"node": "n4"})]


@pytest.mark.slow
@pytest.mark.parametrize(("said", "code"), [(b"y\n", 0), (b"\n", 2)])
def test_on_a_terminal_one_is_asked(said: bytes, code: int) -> None:
    ours, theirs = pty.openpty()
    scripts = [answering({"members": [N1, {**N1, "node": "n2"}]})] if code == 0 else []
    with ScriptedNode(*scripts) as node:
        command = [sys.executable, "-m", "tools.rmf_admin", "remove", "n4", "-c", node.text]
        os.write(ours, said)
        done = subprocess.run(
            [*command, "-o", "text"], stdin=theirs, capture_output=True, check=False, text=True
        )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == code
    assert "remove n4? [y/N]" in done.stderr
    assert ("MEMBER" in done.stdout) == (code == 0)


def test_leadership_goes_to_whom_it_is_said_or_to_the_fittest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    with ScriptedNode(
        answering({"leader": "n2"}, asked=asked), answering({"leader": "n3"}, asked=asked)
    ) as node:
        assert main(["transfer", "n2", "-c", node.text]) == 0
        assert found(capsys)["leader"] == "n2"
        assert main(["transfer", "-c", node.text]) == 0
    assert asked == [("admin.transfer", {"node": "n2"}), ("admin.transfer", {})]


def test_election_time_outs_are_set_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    with ScriptedNode(answering({"index": 42}, asked=asked)) as node:
        assert main(["set", "election", "500ms-1s", "-c", node.text]) == 0
    assert asked == [("admin.set", {"election_min_ms": 500, "election_max_ms": 1_000})]
    assert found(capsys)["index"] == 42
    with pytest.raises(SystemExit) as ended:
        main(["set", "election", "500ms"])
    assert ended.value.code == 2


def test_a_node_is_struck_and_works_again(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    strike = {"kind": "admin", "why": "new disk"}
    with ScriptedNode(
        answering({"strike": strike}, asked=asked), answering({"strike": None}, asked=asked)
    ) as node:
        assert main(["strike", "--why", "new disk", "--yes", "-c", node.text]) == 0
        assert found(capsys)["strike"] == strike
        assert main(["strike", "--end", "-c", node.text]) == 0
    assert asked == [
        ("admin.strike", {"end": False, "why": "new disk"}),
        ("admin.strike", {"end": True, "why": ""}),
    ]


def test_a_dry_run_says_what_would_be_ordered_and_orders_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    status = {"node": "n1", "leader": "n1", "members": [N1, N4]}
    with ScriptedNode(answering(status, asked=asked), answering(status, asked=asked)) as node:
        assert main(["remove", "n4", "--dry-run", "-c", node.text]) == 0
        shown = found(capsys)
        assert main(["checkpoint", "--dry-run", "-c", node.text]) == 0
    assert [subject for subject, _ in asked] == ["status", "status"]
    assert shown == {
        "dry_run": True,
        "order": "remove",
        "to": "n1",
        "subject": "admin.remove",
        "args": {"node": "n4"},
        "members": [N1, N4],
    }


@pytest.mark.parametrize(
    ("code", "expected"),
    [("no_such_member", 1), ("not_possible", 1), ("unknown_query", 5), ("wrong_shape", 5)],
)
def test_a_final_no_has_its_exit_code(
    code: str, expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with ScriptedNode(answering(code)) as node:
        assert main(["transfer", "n9", "-c", node.text]) == expected
    assert f"{code}: because" in capsys.readouterr().err


def test_a_table_of_members_and_a_strike_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    strike = {"kind": "admin", "why": "fan"}
    body = {"strike": strike, "members": [N1, N4]}
    with ScriptedNode(answering(body)) as node:
        assert main(["strike", "--yes", "-c", node.text, "-o", "text"]) == 0
    out = capsys.readouterr().out
    assert "on strike (admin): an operator told it to" in out
    assert ["n4", "d:4", "learner", "no", "3"] in [line.split()[:5] for line in out.splitlines()]


@pytest.mark.slow
def test_neither_trio_nor_attrs_is_imported() -> None:
    names = ("trio", "attr", "attrs", "rich", "asyncio")
    script = f"import tools.rmf_admin, sys; print([m for m in {names} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"[]\n"
