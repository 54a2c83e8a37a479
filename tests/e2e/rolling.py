"""The lines of roll-outs and audits under test: one counter in versions that do the same.

`one` and `two` differ in their version alone, so whatever a mixed cluster counts can be compared.
`odd` has the version and the source of the others, but each process of it counts differently: what
no digest says, an audit finds.
"""

import os
from typing import Any

from rmf import Keep, Line
from rmf.line.view import Packet, WorldView


def tally(version: int) -> Line:
    """A counter, which also says which version of it wrote last."""
    line = Line("tally", version=version)

    @line.on("count/+")
    def count(world: WorldView, packet: Packet) -> dict[str, Any]:
        return {packet.topic: Keep(world.get(packet.topic, 0) + 1), "version": Keep(version)}

    return line


one, two = tally(1), tally(2)

odd = Line("odd", version=1)


@odd.on("count/+")
def sound(world: WorldView, packet: Packet) -> dict[str, Any]:
    """Add one to the cell of this topic."""
    return {packet.topic: Keep(world.get(packet.topic, 0) + 1)}


@odd.on("odd/+")
def unsound(_world: WorldView, packet: Packet) -> dict[str, Any]:
    """Write what is another number in each process."""
    return {packet.topic: Keep(os.getpid())}
