"""The child process of rmf-sim: jobs in, facts out, whatever the line prints or does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
JOB = {
    "line": f"{HERE}/lines.py:greenhouse",
    "wall_ns": 1_764_000_000 * 10**9,
    "chance": 1,
    "ballast": 0,
    "call_s": 5.0,
    "whole_s": 60.0,
    "packets": None,
}


def child(job: dict[str, Any], code: int = 0) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "rmf.testing.trial_process"],
        input=json.dumps(JOB | job),
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return [json.loads(text) for text in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_seed_gives_the_same_first_or_last() -> None:
    job = {"do": "seeds", "nodes": 3, "seconds": 6.0, "faults": "all"}
    both = child({**job, "seeds": [2, 3]})
    (alone,) = child({**job, "seeds": [3]})
    assert [x["seed"] for x in both] == [2, 3]
    assert both[1]["verdict"] == "passed"
    assert both[1]["digest"] == alone["digest"] != both[0]["digest"]


@pytest.mark.slow
def test_a_history_runs_again(tmp_path: Path) -> None:
    records = str(tmp_path / "records")
    (made,) = child({"do": "history", "records": records, "count": 50, "seed": 1})
    assert made["packets"] == 50
    facts = child({"do": "rerun", "records": records, "pieces": True})
    assert [x["differences"] for x in facts] == [[]] * 8
    assert facts[-1]["end"] == made["entries"]


@pytest.mark.slow
def test_a_line_that_cannot_be_loaded_is_an_error_and_no_fact() -> None:
    (fact,) = child({"do": "seeds", "line": f"{HERE}/lines.py:nothing"}, code=1)
    assert "no 'nothing'" in fact["error"]


@pytest.mark.slow
def test_what_a_line_prints_is_no_fact(tmp_path: Path) -> None:
    loud = tmp_path / "loud.py"
    loud.write_text(
        "import os\nfrom rmf import Line\nline = Line('loud')\nprint('{}')\nos.system('echo 5')\n"
        "@line.on('#')\ndef say(world, packet):\n    print('{}')\n"
    )
    job = {"do": "history", "records": str(tmp_path / "r"), "count": 5, "seed": 1}
    (made,) = child({**job, "line": f"{loud}:line"})
    assert made["packets"] == 5
