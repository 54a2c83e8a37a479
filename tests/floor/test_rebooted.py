"""A node that is told of another boot believes in it (R6); for benchmarks of power cuts."""

import subprocess
import sys


def test_it_is_the_command_in_another_boot() -> None:
    command = [sys.executable, "-m", "rmf.floor.rebooted", "ab" * 16, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout[:3]) == (0, "rmf")
