"""The line of `rmf-bench compare --job`: what job_values says the job is."""

from rmf import Keep, Line
from rmf.line.view import Packet, WorldView
from tools.job_values import counted

__all__ = ["line"]

line = Line("bench-job", version=1)


@line.on("job/+")
def count(world: WorldView, packet: Packet) -> dict[str, Keep]:
    """Count the packet, for good."""
    return {packet.topic: Keep(counted(world.get(packet.topic), packet.payload))}
