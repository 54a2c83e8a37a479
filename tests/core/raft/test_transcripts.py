"""Conversations between cores, as text: what each hears, does and becomes.

A script is a list of commands (see `teller`); below each group stands what came of it. After a
change that is meant, `pytest --rewrite tests/core/raft/test_transcripts.py` writes them anew, and
the difference is read like code.
"""

from pathlib import Path

import pytest

from tests.core.raft.teller import retold, scripts


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.stem)
def test_the_cores_say_what_the_transcript_says(path: Path, pytestconfig: pytest.Config) -> None:
    script = path.read_text()
    told = retold(script)
    if pytestconfig.getoption("--rewrite"):
        path.write_text(told)
    assert told == path.read_text(), "read the difference; if it is meant: pytest --rewrite"


def test_there_are_enough_of_them_and_each_says_what_it_shows() -> None:
    assert len(scripts()) >= 18
    for path in scripts():
        assert path.read_text().startswith("# "), path.name
