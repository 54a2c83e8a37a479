"""The ready line: JSON for scripts, words for people."""

import json
from pathlib import Path

import pytest

from rmf.floor.ready import say_ready


def test_scripts_get_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """INTERFACES: what is not there is null."""
    say_ready("n1", "127.0.0.1:7410", None, "127.0.0.1:7480", Path("/data/n1"))
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert json.loads(said) == {
        "event": "ready",
        "node": "n1",
        "listen": "127.0.0.1:7410",
        "peer_listen": None,
        "http": "127.0.0.1:7480",
        "data": "/data/n1",
    }


def test_people_get_a_line_to_paste(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    say_ready("n1", "127.0.0.1:7410", "127.0.0.1:7510", None, Path("/data/n1"))
    said = capsys.readouterr().out
    assert "rmf-cat -c 127.0.0.1:7410" in said
    assert "/data/n1" in said
