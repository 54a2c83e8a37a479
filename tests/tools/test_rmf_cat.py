"""`rmf-cat` against scripted nodes: its options, its exit codes, its manners."""

import signal
import subprocess
import sys

import pytest

from rmf.core.messages import (
    DELTA,
    FULL,
    Error,
    Gap,
    Pong,
    Subscribe,
)
from tests.scripted_node import Peer, ScriptedNode
from tests.tools.cat import FIRST, TEMP, Cat, command, saying, snapshot
from tools.rmf_cat import main


def test_the_options_of_the_subscription(cat: Cat) -> None:
    asked: list[Subscribe] = []

    def script(peer: Peer) -> None:
        asked.append(peer.subscribed())
        peer.send(snapshot(DELTA, 600))
        peer.wait_for_the_end()

    with ScriptedNode(script, script, script) as node:
        cat(node, "-n", "1")
        cat(node, "a/+", "b/#", "-n", "1", "--every-tick", "--from", "500")
        cat(node, "-n", "1", "--full", "--rate", "2.5")
    assert asked == [
        Subscribe(1, ["#"], {"mode": "delta"}),
        Subscribe(1, ["a/+", "b/#"], {"mode": "delta", "every_tick": True, "from_tick": 500}),
        Subscribe(1, ["#"], {"mode": "full", "rate_hz": 2.5}),
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["a/#/b"], "'a/#/b'"),
        (["room", "-x", "a+"], "'a+'"),
        ([""], "''"),
        (["--rate", "0"], "'0'"),
        (["--rate", "inf"], "'inf'"),
        (["-n", "0"], "'0'"),
        (["--from", "-1"], "-1"),
        (["-W", "5"], "'5'"),
        (["-c", "nowhere:port"], "nowhere:port"),
        (["--once", "-n", "2"], "-n"),
        (["-o", "xml"], "xml"),
    ],
)
def test_a_wrong_argument_is_named(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("args", [["--once", "--from", "3"], ["k"] * 65])
def test_arguments_that_do_not_go_together_are_a_usage_error(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    assert capsys.readouterr().err


def test_no_node_is_exit_4(cat: Cat) -> None:
    with ScriptedNode() as node:
        pass
    assert cat(node) == 4
    assert node.text in cat.err


def test_a_refusal_is_exit_5(cat: Cat) -> None:
    with ScriptedNode(saying(Error("bad_filter", "no such thing", None))) as node:
        assert cat(node) == 5
    assert "no such thing" in cat.err


def test_quiet_says_nothing_and_verbose_says_more(cat: Cat) -> None:
    script = saying(Gap(1, 40), FIRST)
    with ScriptedNode(script, script) as node:
        cat(node, "-n", "1", "-q")
        assert cat.err == ""
        cat(node, "-n", "1", "-v")
        assert "connected to n1 at" in cat.err


def test_a_pong_and_other_messages_are_no_data(cat: Cat) -> None:
    def script(peer: Peer) -> None:
        peer.subscribed()
        peer.send(Pong(0, 3, 44), FIRST)
        peer.wait_for_the_end()

    with ScriptedNode(script) as node:
        assert cat(node, "--once") == 0


@pytest.mark.slow
def test_neither_trio_nor_attrs_nor_rich_is_imported() -> None:
    names = ("trio", "attr", "attrs", "rich", "cattrs", "asyncio", "logging")
    script = f"import tools.rmf_cat, sys; print([m for m in {names} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


@pytest.mark.slow
def test_an_interrupt_is_exit_130() -> None:
    with ScriptedNode(saying(FIRST)) as node:
        process = subprocess.Popen(command(node), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_it_silently() -> None:
    def endless(peer: Peer) -> None:
        peer.subscribed()
        tick = 41
        try:
            while True:
                peer.send(snapshot(FULL, tick, [TEMP]))
                tick += 1
        except OSError:
            return

    with ScriptedNode(endless) as node:
        process = subprocess.Popen(command(node), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(20) == 128 + signal.SIGPIPE
