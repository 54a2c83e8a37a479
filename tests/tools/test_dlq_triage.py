"""`rmf-dlq resolve`, `reopen`, `purge`, `audit`: who is told what, and what has to be confirmed."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rmf.client import blocking
from rmf.client.command import parse_address
from rmf.core.messages import Send
from rmf.core.triage import Act
from rmf.storage.dlq_schema import DLQ_FILE
from rmf.storage.dlq_store import DlqStore
from tests.e2e.factory import Node, objects
from tests.e2e.factory import run as run_command
from tests.storage.dlq_letters import letter, opened
from tests.tools.dlq_source import Stored
from tools.dlq_triage import wait_for_entry
from tools.rmf_dlq import main

pytestmark = pytest.mark.slow
WHY = ["--why", "mended"]
NUMBERS = count(1)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    options = ["--line", "tests.e2e.mended_line:line", "--glovebox", "inline"]
    with Node(tmp_path_factory.mktemp("node"), *options) as node:
        yield node
        code, _ = node.stop()
        assert code == 0


@pytest.fixture
def run(node: Node, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the tool; return its exit code and what it printed."""

    def run(*argv: str) -> tuple[int, list[Any]]:
        code = main([*argv, "-c", node.address])
        return code, [json.loads(x) for x in capsys.readouterr().out.splitlines()]

    return run


@pytest.fixture
def letters(node: Node) -> list[str]:
    """Two new letters of the line."""
    producer = f"probe-{next(NUMBERS)}"
    text = "".join(json.dumps({"topic": f"room/{n}", "payload": "bad"}) + "\n" for n in range(2))
    options = ["--producer", producer, "--ttl", "1h", "-o", "jsonl"]
    done = run_command("tools.rmf_send", "-c", node.address, *options, text=text)
    return [x["letter"] for x in objects(done.stdout)]


def an_edge_letter(node: Node) -> str:
    with blocking.connect(
        [parse_address(node.address)], agent="test", timeout_s=5, options={"producer": "odd"}
    ) as connection:
        connection.send(Send([["no", "seq"]]))
        found: Any = connection.receive(5)
        letter_id: str = found.letter
        return letter_id


def audited(run: Any) -> list[tuple[bool, str, list[str]]]:
    """What was decided so far: by an Entry or not, what, about which letters."""
    return [(x["entry"] > 0, x["act"], x["letters"]) for x in run("audit")[1]]


def test_letters_of_line_and_edge_go_to_who_has_them(
    run: Any, node: Node, letters: list[str]
) -> None:
    edge = an_edge_letter(node)
    before = audited(run)
    code, (found,) = run("resolve", letters[0], edge, letters[1], *WHY)
    assert code == 0
    assert (found["act"], found["matched"]) == ("resolve", 3)
    assert audited(run)[len(before) :] == [(True, "resolve", letters), (False, "resolve", [edge])]
    assert [run("show", x)[1][0]["triage"] for x in (*letters, edge)] == ["resolved"] * 3
    assert run("show", edge)[1][0]["acts"][0]["why"] == "mended"


def test_a_group_is_resolved_and_reopened_as_a_whole(run: Any, letters: list[str]) -> None:
    group = run("show", letters[0])[1][0]["group"]
    assert run("resolve", "--group", group, *WHY)[0] == 0
    assert run("list", "--group", group, "--state", "open")[1] == []
    code, (found,) = run("reopen", "--group", group, *WHY)
    assert (code, found["group"]) == (0, group)
    assert len(run("list", "--group", group, "--state", "open")[1]) == found["matched"] >= 2


def test_a_purge_shows_first_what_would_go_and_deletes_nothing(
    run: Any, letters: list[str]
) -> None:
    before = audited(run)
    code, (found,) = run("purge", *letters, *WHY)
    assert code == 0
    assert found == {"dry_run": True, "act": "purge", "letters": 2, "some": letters}
    assert audited(run) == before
    code, (found,) = run("purge", *letters, "--yes", *WHY)
    assert (code, found["matched"]) == (0, 2)
    assert run("show", letters[0])[0] == 1


def test_what_is_not_there_is_no_success(run: Any) -> None:
    for what in (["9.9.9"], ["--group", "2-none"]):
        assert run("resolve", *what, *WHY)[0] == 1
    assert run("purge", "--before", "99h", *WHY)[0] == 1


@pytest.mark.parametrize(
    "argv",
    [["resolve"], ["resolve", "3.1.0", "--group", "x"], ["purge", "3.1.0", "--before", "1h"]],
)
def test_a_selection_is_one(run: Any, argv: list[str]) -> None:
    assert run(*argv, *WHY)[0] == 2


def test_without_a_reason_nothing_is_decided(run: Any) -> None:
    with pytest.raises(SystemExit) as end:
        run("resolve", "3.1.0")
    assert end.value.code == 2


# --- Without a node -------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DlqStore]:
    with opened(tmp_path / DLQ_FILE) as store:
        store.put_line([letter(1), letter(2)], 3)
        yield store


def test_a_directory_is_read_only_but_tells_what_was_decided(
    store: DlqStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group = letter(1).group
    decided = ("alice\x1b", "all good")
    store.put_line([], 9, [Act(9, 9, 0, "resolve", *decided, (), group, None, None)])
    store.put_line([], 10, [Act(10, 10, 0, "redrive", *decided, ("3.1.0",), None, None, "night")])
    store.put_line([], 11, [Act(11, 11, 0, "purge", *decided, (), None, 10**18, None)])
    assert main(["resolve", "3.1.0", *WHY, "--data", str(tmp_path)]) == 2
    assert "running node" in capsys.readouterr().err
    assert main(["audit", "--data", str(tmp_path)]) == 0
    found = [json.loads(x) for x in capsys.readouterr().out.splitlines()]
    assert [(x["entry"], x["act"], x["matched"]) for x in found] == [
        (9, "resolve", 2),
        (10, "redrive", 1),
        (11, "purge", 0),
    ]
    assert main(["audit", "--job", "night", "-o", "table", "--data", str(tmp_path)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("redrive  job night  1 letters (1 here)  all good  by alice\\x1b")


def test_a_dlq_that_has_not_done_it_yet_is_waited_for_but_not_for_ever(
    store: DlqStore, tmp_path: Path
) -> None:
    source = Stored(tmp_path / DLQ_FILE)
    with pytest.raises(TimeoutError, match="Entry 9 is committed"):
        wait_for_entry(source, 9, 0.1)
    store.put_line([], 9, [Act(9, 9, 0, "purge", "a", "b", ("3.1.0",), None, None, None)])
    assert wait_for_entry(source, 9, 0.1)["matched"] == 1
    source.close()
