"""What a node says on stdout once it listens: a line for scripts, or two for a terminal.

A node serves all the same where stdout is closed, full, or has lost its reader: its log says so.
"""

import json
import sys
from pathlib import Path

from rmf.floor import log

__all__ = ["say_ready"]


def say_ready(
    node: str, listen: str, peer_listen: str | None, http: str | None, data: Path
) -> None:
    """Say it, if there is a reader: as JSON unless stdout is a terminal."""
    if sys.stdout is not None and sys.stdout.isatty():
        text = f"RMF node {node} serves on {listen}, data in {data}\n"
        text += f"Watch it:  rmf-cat -c {listen}"
    else:
        facts = {
            "event": "ready",
            "node": node,
            "listen": listen,
            "peer_listen": peer_listen,
            "http": http,
            "data": str(data),
        }
        text = json.dumps(facts)
    if sys.stdout is None or not log.LineWriter(sys.stdout).write(text):
        log.note("warning", "stdout_lost", text=text)
