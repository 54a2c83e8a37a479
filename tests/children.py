"""What a child process says, one line of JSON at a time."""

import json
import subprocess
from typing import Any


def said_by(process: subprocess.Popen[Any]) -> dict[str, Any]:
    """Return the next line that a child writes to its standard output. Fails with what it wrote to
    its standard error if it ended instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    found: dict[str, Any] = json.loads(line)
    return found
