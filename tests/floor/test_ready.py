"""What a node says once it listens: one line for scripts, or a command to paste for people."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

from rmf.floor.ready import say_ready


class Terminal(io.StringIO):
    """An output that people look at."""

    def isatty(self) -> bool:
        return True


def said(out: io.StringIO) -> str:
    with redirect_stdout(out):
        say_ready("n1", "127.0.0.1:7410", None, "127.0.0.1:7480", Path("/data/n1"))
    return out.getvalue()


def test_scripts_read_one_json_line_with_every_address() -> None:
    (line,) = said(io.StringIO()).splitlines()
    assert json.loads(line) == {
        "event": "ready",
        "node": "n1",
        "listen": "127.0.0.1:7410",
        "peer_listen": None,
        "http": "127.0.0.1:7480",
        "data": "/data/n1",
    }


def test_people_read_where_it_is_and_what_to_type() -> None:
    text = said(Terminal())
    assert "RMF node n1 serves on 127.0.0.1:7410, data in /data/n1\n" in text
    assert text.endswith("rmf-cat -c 127.0.0.1:7410\n")
