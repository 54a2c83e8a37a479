"""A line that fails for what producers sent, and takes the same from a redrive.

As one would that was mended meanwhile, but no node has to start anew for it.
"""

from typing import Any

from rmf import Keep, Line
from rmf.line.view import Packet, WorldView

line = Line("mended", version=1)


@line.on("room/+")
def room(world: WorldView, packet: Packet) -> dict[str, Any]:
    """Count the packets of a room, unless there is something wrong with one."""
    count = world.get(packet.topic, 0)
    if packet.payload == "bad" and not packet.producer.startswith("redrive:"):
        raise ValueError(f"{packet.topic}: {packet.payload}")
    return {packet.topic: Keep(count + 1)}
