"""rmf-send against scripted nodes."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rmf import limits
from rmf.core import messages as m
from tests.scripted_node import Peer, Script, ScriptedNode
from tools.rmf_send import main

CITY = Path(__file__).parent.parent / "data" / "seattle-temps.csv"


def taking(last_seq: int = 0, *, sent: list[list[Any]] | None = None, epoch: int = 1) -> Script:
    """A node that applies whatever comes, in tick 5, and notes it in `sent`."""

    def script(peer: Peer) -> None:
        peer.welcome(epoch=epoch, last_seq=last_seq)
        while isinstance(message := peer.receive(), m.Send | m.Ping):
            if isinstance(message, m.Send):
                if sent is not None:
                    sent.extend(message.packets)
                peer.send(applied(message))

    return script


def applied(send: m.Send) -> m.Ack:
    first = send.packets[0][1]
    return m.Ack([m.Run(first, len(send.packets), m.APPLIED, False, 1, 5, first, None, None)])


@contextmanager
def stdin(data: bytes) -> Iterator[None]:
    """Let a test speak on stdin, as a pipe would."""
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(data))
    try:
        yield
    finally:
        sys.stdin = before


def summary(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    [line] = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_lines_of_a_pipe_are_sent_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[list[Any]] = []
    with ScriptedNode(taking(sent=sent)) as node, stdin(b'{"a": 1}\n{"a": 2}\n'):
        assert main(["-c", node.text, "--topic", "t", "--ttl", "2s"]) == 0
    assert [(row[0], row[1], row[4]) for row in sent] == [
        ("t", 1, b"\xa1aa\x01"),
        ("t", 2, b"\xa1aa\x02"),
    ]
    assert all(1900 < row[3] <= 2000 for row in sent)
    found = summary(capsys)
    assert found.pop("seconds") >= 0
    assert found == {
        "sent": 2,
        "applied": 2,
        "bagged": 0,
        "duplicate": 0,
        "unknown": 0,
        "skipped": 0,
    }


def test_one_line_a_packet_in_the_order_of_seqs(capsys: pytest.CaptureFixture[str]) -> None:
    def script(peer: Peer) -> None:
        peer.welcome(epoch=1, last_seq=16)
        peer.expect(m.Send)
        bag = m.Run(18, 1, m.BAGGED, True, 3, 1841, 1, "expired", "3.1841.1")
        peer.send(m.Ack([bag, m.Run(17, 1, m.APPLIED, False, 3, 1841, 0, None, None)]))
        peer.expect(m.Bye)

    with ScriptedNode(script) as node, stdin(b"1\n2\n"):
        assert main(["-c", node.text, "--topic", "t", "--producer", "p", "-o", "jsonl"]) == 3
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first) == {
        "seq": 17,
        "outcome": "applied",
        "duplicate": False,
        "term": 3,
        "tick": 1841,
        "slot": 0,
        "reason": None,
        "letter": None,
    }
    assert json.loads(second) == {
        "seq": 18,
        "outcome": "bagged",
        "duplicate": True,
        "term": 3,
        "tick": 1841,
        "slot": 1,
        "reason": "expired",
        "letter": "3.1841.1",
    }


def test_a_csv_file_is_sent_row_by_row(capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[list[Any]] = []
    with ScriptedNode(taking(sent=sent)) as node:
        assert main([str(CITY), "-c", node.text, "--topic", "city/seattle"]) == 0
    assert summary(capsys)["applied"] == len(sent) == 8759
    assert [row[1] for row in sent] == list(range(1, 8760))


def test_resume_sends_only_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[list[Any]] = []
    argv = ["--topic", "t", "--producer", "p", "--resume"]
    with ScriptedNode(taking(2, sent=sent)) as node, stdin(b"1\n2\n\n3\n4\n"):
        assert main(["-c", node.text, *argv]) == 0
    assert [(row[1], row[4]) for row in sent] == [(3, b"\x03"), (4, b"\x04")]
    assert summary(capsys)["skipped"] == 2


def test_a_named_producer_goes_on_after_its_last_seq_without_resume() -> None:
    sent: list[list[Any]] = []
    with ScriptedNode(taking(2, sent=sent)) as node, stdin(b"1\n"):
        assert main(["-c", node.text, "--topic", "t", "--producer", "p"]) == 0
    assert sent[0][1] == 3


def test_without_a_name_an_ephemeral_one_is_used() -> None:
    hellos: list[m.Hello] = []

    def script(peer: Peer) -> None:
        hellos.append(peer.welcome(epoch=1, last_seq=0))
        peer.send(applied(peer.expect(m.Send)))
        peer.expect(m.Bye)

    with ScriptedNode(script) as node, stdin(b"1\n"):
        assert main(["-c", node.text, "--topic", "t"]) == 0
    assert hellos[0].options["ephemeral"] is True
    assert hellos[0].options["producer"].startswith("rmf-send-")


def test_a_lost_node_is_found_again_and_nothing_is_missed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def losing(peer: Peer) -> None:
        peer.welcome(epoch=1, last_seq=0)
        peer.expect(m.Send)

    sent: list[list[Any]] = []
    with ScriptedNode(losing, taking(sent=sent, epoch=2)) as node, stdin(b"1\n2\n"):
        assert main(["-c", node.text, "--topic", "t"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["applied"] == 2
    assert "connecting again" in captured.err
    assert [row[1] for row in sent] == [1, 2]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"1\n2\nnope\n4\n", "line 3: not JSON"),
        (b'1\n2\n{"topic":"a/#","payload":1}\n4\n', "line 3: topic"),
        (b'1\n2\n{"topic":"a","payload":1,"ttl_ms":0}\n', "line 3: ttl_ms"),
        (b'1\n2\n"' + b"x" * limits.PAYLOAD_BYTES_MAX + b'"\n', "at most 917504 are taken"),
        (b'1\n2\n"\\ud800"\n', "line 3: a payload"),
    ],
)
def test_a_bad_line_ends_it_after_what_stands_before(
    data: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[list[Any]] = []
    with ScriptedNode(taking(sent=sent)) as node, stdin(data):
        assert main(["-c", node.text, "--topic", "t"]) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert json.loads(captured.out)["applied"] == len(sent) == 2


def test_a_fence_travels_with_each_packet() -> None:
    sent: list[list[Any]] = []
    with ScriptedNode(taking(sent=sent)) as node, stdin(b"1\n"):
        assert main(["-c", node.text, "--topic", "t", "--fence", "7"]) == 0
    assert sent[0][5] == 7


def test_raw_lines_travel_as_they_stand() -> None:
    sent: list[list[Any]] = []
    with ScriptedNode(taking(sent=sent)) as node, stdin(b"\xff\n\x01\n"):
        assert main(["-c", node.text, "--topic", "t", "--format", "raw"]) == 0
    assert [row[4] for row in sent] == [b"\xff", b"\x01"]


def test_batches_and_rates_change_the_pace_not_the_packets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["--topic", "t", "--batch", "2", "--rate", "100"]
    with ScriptedNode(taking()) as node, stdin(b"1\n" * 10):
        assert main(["-c", node.text, *argv]) == 0
    found = summary(capsys)
    assert found["applied"] == 10
    assert found["seconds"] >= 0.09


def test_no_node_there_is_exit_4(capsys: pytest.CaptureFixture[str]) -> None:
    with stdin(b"1\n"):
        assert main(["-c", "127.0.0.1:1", "--topic", "t", "-W", "50ms", "-q"]) == 4
    assert "127.0.0.1:1: Connection refused" in capsys.readouterr().err


def test_a_refused_identity_is_exit_5(capsys: pytest.CaptureFixture[str]) -> None:
    def script(peer: Peer) -> None:
        peer.welcome(epoch=1, last_seq=0)
        peer.expect(m.Send)
        peer.send(m.Error("superseded", "a newer one", None))

    with ScriptedNode(script) as node, stdin(b"1\n"):
        assert main(["-c", node.text, "--topic", "t", "--producer", "p"]) == 5
    captured = capsys.readouterr()
    assert captured.err == "rmf-send: superseded: a newer one\n"
    assert json.loads(captured.out)["sent"] == 0


def test_a_producer_that_was_forgotten_is_exit_5_and_its_outcomes_are_unknown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """R32: nothing is sent a second time."""

    def losing(peer: Peer) -> None:
        peer.welcome(epoch=7, last_seq=0)
        peer.send(applied(peer.expect(m.Send)))
        peer.expect(m.Send)

    def forgetful(peer: Peer) -> None:
        assert peer.greet().options["epoch"] == 7
        peer.send(m.Error("forgotten", "who is that?", None))
        assert peer.receive() is None

    with ScriptedNode(losing, forgetful) as node, stdin(b"1\n2\n3\n"):
        argv = ["-c", node.text, "--topic", "t", "--producer", "p", "--batch", "1"]
        assert main([*argv, "--rate", "100", "-q"]) == 5
    captured = capsys.readouterr()
    assert captured.err == "rmf-send: forgotten: who is that?\n"
    found = json.loads(captured.out)
    assert found["applied"] == 1
    assert found["unknown"] >= 1
    assert found["sent"] == found["applied"] + found["unknown"] <= 3


def test_one_that_waits_for_its_input_hears_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    """P9: all was acked, and the factory has lost some of it."""

    def losing(peer: Peer) -> None:
        peer.welcome(epoch=7, last_seq=0)
        peer.send(applied(peer.expect(m.Send)))

    with ScriptedNode(losing, taking(epoch=8)) as node, stdin(b"1\n2\n"):
        argv = ["-c", node.text, "--topic", "t", "--producer", "p", "--batch", "1"]
        assert main([*argv, "--rate", "5", "-q"]) == 5
    captured = capsys.readouterr()
    assert "forgotten: the node knows this producer up to seq 0" in captured.err
    assert json.loads(captured.out)["applied"] == 1


def test_a_node_that_says_nothing_is_exit_6(capsys: pytest.CaptureFixture[str]) -> None:
    def script(peer: Peer) -> None:
        peer.welcome(epoch=1, last_seq=0)
        peer.expect(m.Send)
        peer.expect(m.Bye)

    with ScriptedNode(script) as node, stdin(b"1\n"):
        assert main(["-c", node.text, "--topic", "t", "-W", "50ms"]) == 6
    assert "no outcome of seq 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--resume", "--topic", "t"], "--producer"),
        (["--format", "raw"], "--topic"),
        (["x.csv"], "--topic"),
        (["/no/such/file", "--topic", "t"], "No such file"),
    ],
)
def test_options_that_do_not_fit_are_exit_2(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert words in captured.err


@pytest.mark.parametrize(
    "argv",
    [
        ["--topic", "a/#"],
        ["--ttl", "5"],
        ["--ttl", "0s"],
        ["--rate", "0"],
        ["--rate", "nan"],
        ["--batch", "0"],
        ["--batch", "5000"],
        ["--fence", "-1"],
        ["--format", "xml"],
    ],
)
def test_an_argument_that_cannot_be_is_a_usage_message(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
