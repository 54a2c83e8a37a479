"""The line of the clusters under test: it counts packets, and stores them.

What is lost or applied twice is seen in the World; a topic that is neither makes a Letter.
"""

from typing import Any

from rmf import Keep, Line
from rmf.line.view import Packet, WorldView

line = Line("tally", version=1)


@line.on("count/+")
def count(world: WorldView, packet: Packet) -> dict[str, Keep]:
    """Add one to the cell of this topic, for good."""
    return {packet.topic: Keep(world.get(packet.topic, 0) + 1)}


@line.on("store/+")
def store(_world: WorldView, packet: Packet) -> dict[str, Any]:
    """Store the payload, with its shelf life."""
    return {packet.topic: packet.payload}
