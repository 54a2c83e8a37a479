"""The same seed gives the same history: twice in a process, and where texts hash otherwise."""

import os
import subprocess
import sys

import pytest

from rmf.testing.options import derived, options_of
from rmf.testing.run import run

SCRIPT = """
from rmf.testing.options import derived
from rmf.testing.run import run
for seed in (3, 9):
    print(run(derived(seed, seconds=40.0)).digest)
"""


def digests(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.slow
def test_a_seed_gives_one_history_whatever_texts_hash_to() -> None:
    first = digests("0")
    assert len(first.split()) == 2
    assert digests("1") == first
    assert digests("random") == first


@pytest.mark.slow
def test_the_options_that_a_run_prints_give_the_same_history() -> None:
    report = run(derived(5, seconds=20.0))
    assert run(options_of(report.options.text())).digest == report.digest
