"""What `rmf-cat` shows on a terminal."""

import os
import pty
import subprocess

import cbor2
import pytest

from rmf.core.messages import (
    DELTA,
    FULL,
)
from tests.scripted_node import ScriptedNode
from tests.tools.cat import FIRST, TEMP, command, saying, snapshot


def _on_terminal(node: ScriptedNode, *args: str) -> str:
    """Run the command on a terminal of its own; return what the terminal got."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "140", "LINES": "12", "NO_COLOR": "1"}
    with subprocess.Popen(command(node, *args), stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:  # a terminal that nobody writes to any more ends so on Linux
            pass
        assert process.wait(20) == 0
    os.close(ours)
    return shown.decode()


@pytest.mark.slow
def test_a_terminal_gets_a_table_once() -> None:
    with ScriptedNode(saying(FIRST)) as node:
        shown = _on_terminal(node, "--once")
    assert " live " in shown
    assert "room/3/temp" in shown
    assert "probe-4" in shown


@pytest.mark.slow
def test_a_terminal_gets_a_live_table_that_fits() -> None:
    many = [TEMP._replace(key=f"key/{i:02d}") for i in range(30)]
    with ScriptedNode(saying(snapshot(FULL, 41, many), snapshot(DELTA, 42, live=False))) as node:
        shown = _on_terminal(node, "-n", "2")
    assert "and 23 more" in shown
    assert "key/06" in shown
    assert "key/07" not in shown
    assert " NOT LIVE " in shown


@pytest.mark.slow
def test_json_on_a_terminal_is_indented_and_obeyed_by_none() -> None:
    nasty = TEMP._replace(value=cbor2.dumps("\x9b2J"))
    with ScriptedNode(saying(snapshot(FULL, 41, [nasty]))) as node:
        shown = _on_terminal(node, "--once", "-o", "json")
    assert shown.startswith("{\r\n  ")
    assert "\x9b" not in shown
