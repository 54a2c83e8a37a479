"""What a node says on stdout once it listens: a line for scripts, or two for people."""

import json
import sys
from pathlib import Path

__all__ = ["say_ready"]


def say_ready(
    node: str, listen: str, peer_listen: str | None, http: str | None, data: Path
) -> None:
    """Say it: as JSON unless stdout is a terminal."""
    if sys.stdout.isatty():
        sys.stdout.write(
            f"RMF node {node} serves on {listen}, data in {data}\nWatch it:  rmf-cat -c {listen}\n"
        )
    else:
        facts = {
            "event": "ready",
            "node": node,
            "listen": listen,
            "peer_listen": peer_listen,
            "http": http,
            "data": str(data),
        }
        sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
