"""The line of `rmf-bench failover`: it counts what it is given.

So a packet that was lost, or applied twice, is seen in the World.
"""

from rmf import Keep, Line
from rmf.line.view import Packet, WorldView

__all__ = ["line"]

line = Line("bench-counter", version=1)


@line.on("count/+")
def count(world: WorldView, packet: Packet) -> dict[str, Keep]:
    """Add one to the cell of this topic, for good."""
    return {packet.topic: Keep(world.get(packet.topic, 0) + 1)}
