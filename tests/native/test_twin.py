"""Where the compiled piece runs, its twin hardly does: here it takes the same tests, alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rmf import native

FILES = [
    *("tests/core/test_codec.py", "tests/core/test_intake.py", "tests/core/test_send_frames.py"),
    *("tests/line/test_cell_values.py", "tests/line/test_changes.py", "tests/line/test_payload.py"),
]


@pytest.mark.slow
@pytest.mark.skipif(not native.COMPILED, reason="the twin is what runs all tests here")
def test_python_alone_passes_the_tests_of_what_is_compiled() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *FILES]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "RMF_PURE": "1"},
        cwd=Path(native.FOLDER).parent.parent,
    )
    assert done.returncode == 0, done.stdout
