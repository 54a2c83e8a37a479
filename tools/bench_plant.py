"""The line of `rmf-bench steps` and `reboot`: it keeps what it receives, and removes on demand.

A packet `remove` names the keys that are to go.
"""

from rmf import REMOVE, Line
from rmf.line.view import Packet, WorldView

__all__ = ["line"]

line = Line("bench-plant", version=1)


@line.on("plant/#")
def keep(_world: WorldView, packet: Packet) -> dict[str, object]:
    """Keep the value for its shelf life."""
    return {packet.topic: packet.payload}


@line.on("remove")
def remove(_world: WorldView, packet: Packet) -> dict[str, object]:
    """Remove these cells."""
    return dict.fromkeys(packet.payload, REMOVE)
