"""What `rmf-status` shows on a terminal."""

import os
import pty
import subprocess
import sys

import pytest

from tests.scripted_node import ScriptedNode
from tests.tools.test_rmf_status import answering


def _on_terminal(*args: str) -> tuple[int, str]:
    """Run the command on a terminal of its own; return its exit code and what the terminal got."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "tools.rmf_status", *args]
    code = subprocess.run(command, stdout=theirs, env=environment, check=False).returncode
    shown = os.read(ours, 65536).decode()
    os.close(theirs)
    os.close(ours)
    return code, shown


@pytest.mark.slow
def test_a_terminal_gets_a_table_with_all_nodes() -> None:
    with ScriptedNode() as gone:
        pass
    with ScriptedNode(answering(node="[red]")) as node:
        code, shown = _on_terminal("-c", f"{node.text},{gone.text}")
    assert code == 0
    assert "ROLE" in shown
    assert "[red]" in shown  # other people's text is no markup
    assert "no answer" in shown
    assert gone.text in shown.splitlines()[-1]  # and why
