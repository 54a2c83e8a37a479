"""The built-in line `board`: each payload is stored under its topic, with its shelf life.

It is what `serve` runs when no line is given, and the smallest example of one.
"""

from typing import Any

from rmf.line.line import Line
from rmf.line.view import Packet, WorldView

__all__ = ["board"]

board = Line("board", version=1)


@board.on("#")
def store(_world: WorldView, packet: Packet) -> dict[str, Any]:
    """Store the payload under its topic."""
    return {packet.topic: packet.payload}
