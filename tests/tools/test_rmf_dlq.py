"""rmf-dlq: what it prints and how it exits, from a directory and from a node."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmf import limits
from rmf.core.messages import End, Item, Query
from rmf.errors import ProtocolFault
from rmf.storage.dlq_query import answer
from rmf.storage.dlq_reader import DlqReader
from rmf.storage.dlq_schema import DLQ_FILE
from rmf.storage.dlq_store import DlqStore
from tests.scripted_node import Peer, Script, ScriptedNode
from tests.storage.dlq_letters import CLUSTER, NODE, TRACEBACK, edge_letter, letter, opened
from tests.tools.again import Run
from tools.rmf_dlq import main

KEYS = ["letter", "reason", "stage", "group", "producer", "topic", "seq", "term", "tick", "slot"]
KEYS += ["node", "error", "packet", "payload", "bagged_at", "line", "reads", "triage"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DlqStore]:
    with opened(tmp_path / DLQ_FILE) as store:
        late = letter(2, reason="expired", stage="latch", topic="room/2/temp")
        store.put_line([letter(1), late, letter(3, producer="other")], 3)
        store.put_edge([edge_letter("n1:edge:1")])
        yield store


@pytest.fixture
def offline(store: DlqStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*argv: str) -> Run:
        code = main([*argv, "--data", str(tmp_path)])
        return Run(code, *capsys.readouterr())

    return run


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*argv: str) -> Run:
        return Run(main([*argv]), *capsys.readouterr())

    return run


def answering(path: Path, queries: int, *, node: str = NODE) -> Script:
    """A script that answers so many queries from a file, and then closes the connection."""

    def script(peer: Peer) -> None:
        peer.welcome(node=node)
        reader = DlqReader.open(path)
        for _ in range(queries):
            query = peer.receive()
            if query is None:
                break
            assert isinstance(query, Query)
            try:
                for body in answer(reader, query.subject, query.args):
                    peer.send(Item(query.request, body))
                peer.send(End(query.request, None, None))
            except ProtocolFault as exc:
                peer.send(End(query.request, exc.code, exc.text))
        reader.close()

    return script


def test_stats_are_one_object(offline: Any) -> None:
    found = offline("stats")
    (stats,) = found.objects
    assert found.code == 0
    assert (stats["letters"], stats["groups"], stats["complete"]) == (4, 3, True)
    assert stats["bytes"] > 0


def test_groups_come_with_their_counts_the_latest_first(offline: Any) -> None:
    groups = offline("groups").objects
    assert [(x["reason"], x["count"]) for x in groups] == [
        ("malformed", 1),
        ("handler_error", 2),
        ("expired", 1),
    ]
    assert offline("groups", "--limit", "1").objects == groups[:1]


def test_list_is_newest_first_with_the_keys_of_the_contract(offline: Any) -> None:
    letters = offline("list").objects
    assert [x["letter"] for x in letters] == ["n1:edge:1", "3.3.0", "3.2.0", "3.1.0"]
    assert all(list(x) == KEYS for x in letters)
    assert letters[1]["payload"] == {"celsius": 400}
    assert letters[0]["packet"] == {"$bytes": "/wBwb2lzb24="}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--reason", "expired"], ["3.2.0"]),
        (["--producer", "other"], ["3.3.0"]),
        (["--topic", "room/+/temp", "--oldest-first"], ["3.1.0", "3.2.0", "3.3.0"]),
        (["--limit", "1"], ["n1:edge:1"]),
        (["--limit", "0"], []),
        (["--group", "2-unknown"], []),
    ],
)
def test_filters_select_letters(offline: Any, filters: list[str], expected: list[str]) -> None:
    assert [x["letter"] for x in offline("list", *filters).objects] == expected


def test_a_list_that_stops_at_its_limit_says_so_on_stderr(offline: Any) -> None:
    assert "there may be more" in offline("list", "--limit", "2").err
    assert offline("list", "--limit", "100").err == ""


def test_json_is_one_document(offline: Any) -> None:
    assert len(json.loads(offline("list", "-o", "json").out)) == 4
    assert json.loads(offline("show", "3.1.0", "-o", "json").out)["letter"] == "3.1.0"
    assert json.loads(offline("stats", "-o", "json").out)["letters"] == 4


def test_tables_name_their_columns(offline: Any) -> None:
    for verb, heading in (("stats", "complete"), ("groups", "last seen"), ("list", "bagged")):
        found = offline(verb, "-o", "table")
        assert found.code == 0
        assert heading in found.out.splitlines()[0]
    assert "ValueError: too hot" in offline("list", "-o", "table").out


def test_a_shown_letter_has_its_traceback_and_payload(offline: Any) -> None:
    text = offline("show", "3.1.0", "-o", "table").out
    assert TRACEBACK in text
    assert '"celsius": 400' in text


def test_a_letter_that_does_not_exist_is_a_named_failure(offline: Any) -> None:
    found = offline("show", "9.9.9")
    assert (found.code, found.out) == (1, "")
    assert "unknown_letter" in found.err


def test_export_holds_every_letter_once_oldest_first(store: DlqStore, offline: Any) -> None:
    many = limits.DLQ_PAGE_LETTERS + 3
    store.put_line([letter(n) for n in range(4, 4 + many)], 999)
    ids = [x["letter"] for x in offline("export").objects]
    expected = ["3.1.0", "3.2.0", "3.3.0", "n1:edge:1"] + [f"3.{4 + n}.0" for n in range(many)]
    assert ids == expected
    backwards = offline("list", "--limit", "9999").objects
    assert [x["letter"] for x in backwards] == expected[::-1]


def test_tail_begins_with_what_was_there(offline: Any) -> None:
    found = offline("tail", "-n", "2", "--limit", "2")
    assert [x["letter"] for x in found.objects] == ["3.3.0", "n1:edge:1"]
    assert "malformed" in offline("tail", "-n", "1", "--limit", "1", "-o", "table").out


def test_no_dlq_is_named(tmp_path: Path, run: Any) -> None:
    found = run("stats", "--data", str(tmp_path))
    assert (found.code, found.out) == (1, "")
    assert DLQ_FILE in found.err
    assert "no such directory" in run("--data", str(tmp_path / "x"), "stats").err


@pytest.mark.parametrize(
    "argv",
    [[], ["burn"], ["list", "--reason", "x"], ["list", "--limit", "-1"], ["stats", "-W", "5"]],
)
def test_wrong_usage_is_exit_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2


def test_a_node_gives_what_its_directory_gives(
    store: DlqStore, tmp_path: Path, offline: Any, run: Any
) -> None:
    for argv, queries in (
        (["stats"], 1),
        (["groups"], 2),
        (["list"], 2),
        (["show", "3.1.0"], 2),
        (["export", "--topic", "room/#"], 2),
    ):
        with ScriptedNode(answering(tmp_path / DLQ_FILE, queries)) as node:
            found = run("-c", node.text, *argv)
        assert found.code == 0
        assert found.out == offline(*argv).out


def test_options_may_stand_on_either_side_of_the_verb(
    store: DlqStore, tmp_path: Path, run: Any
) -> None:
    path = tmp_path / DLQ_FILE
    with ScriptedNode(answering(path, 1)) as node:
        before = run("-c", node.text, "-o", "json", "stats")
    with ScriptedNode(answering(path, 1)) as node:
        after = run("stats", "-o", "json", "-c", node.text)
    assert before.out == after.out
    assert before.out.startswith("{\n")


@pytest.mark.slow
def test_tail_follows_new_letters_and_outlives_a_lost_node(
    store: DlqStore, tmp_path: Path, run: Any
) -> None:
    path = tmp_path / DLQ_FILE

    def later(peer: Peer) -> None:
        store.put_line([letter(7)], 7)
        answering(path, 3)(peer)

    with ScriptedNode(answering(path, 4), later) as node:
        found = run("tail", "--limit", "1", "-n", "2", "-c", node.text)
    assert [x["letter"] for x in found.objects] == ["n1:edge:1", "3.7.0"]
    assert found.code == 0
    assert "connecting again" in found.err


@pytest.mark.slow
def test_tail_says_when_another_node_answers(store: DlqStore, tmp_path: Path, run: Any) -> None:
    path = tmp_path / "n2" / DLQ_FILE
    path.parent.mkdir()
    other = DlqStore.open(path, cluster=CLUSTER, node="n2")
    other.put_line([letter(n) for n in range(11, 21)], 20)

    def second(peer: Peer) -> None:
        answering(path, 2, node="n2")(peer)
        other.put_line([letter(21)], 21)

    with ScriptedNode(
        answering(tmp_path / DLQ_FILE, 2), second, answering(path, 2, node="n2")
    ) as node:
        found = run("tail", "--limit", "0", "-n", "1", "-c", node.text)
    other.close()
    assert [x["letter"] for x in found.objects] == ["3.21.0"]
    assert "n2 answers in place of n1" in found.err


def test_no_node_there_is_exit_4(run: Any) -> None:
    found = run("stats", "-c", "127.0.0.1:1")
    assert (found.code, found.out) == (4, "")
    assert "127.0.0.1:1" in found.err


def test_a_refusal_is_exit_5(run: Any) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        query = peer.expect(Query)
        peer.send(End(query.request, "unknown_query", "no DLQ here"))

    with ScriptedNode(script) as node:
        found = run("stats", "-c", node.text)
    assert found.code == 5
    assert "no DLQ here" in found.err


def test_a_node_that_does_not_answer_is_exit_6(run: Any) -> None:
    def script(peer: Peer) -> None:
        peer.welcome()
        peer.wait_for_the_end()

    with ScriptedNode(script) as node:
        found = run("stats", "-c", node.text, "-W", "20ms")
    assert found.code == 6
    assert "time-out" in found.err


def test_a_reader_that_goes_away_ends_it_in_silence(store: DlqStore, tmp_path: Path) -> None:
    store.put_line([letter(n, packet=bytes(2000)) for n in range(10, 200)], 200)
    store.close()
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.rmf_dlq", "export", "--data", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(20) in {128 + signal.SIGPIPE, -signal.SIGPIPE}
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_neither_trio_nor_attrs_is_loaded_to_answer(store: DlqStore, tmp_path: Path) -> None:
    program = (
        "import sys; from tools.rmf_dlq import main; main(['list', '--data', sys.argv[1]]);"
        "print([x for x in ('trio', 'attr', 'attrs', 'rich') if x in sys.modules], file=sys.stderr)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert found.stderr == b"[]\n"
    assert found.stdout.count(b"\n") == 4
