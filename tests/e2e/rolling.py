"""The lines of roll-outs and audits under test: one counter in versions that do the same.

`one` and `two` differ in their version alone, so whatever a mixed cluster counts can be compared.
`odd` is of one version and source, but each process of it writes something else: what no digest
says, an audit finds. It also kills whoever runs it, and leaves a trace of that.
"""

import os
from pathlib import Path
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


@odd.on("kill/+")
def kill(_world: WorldView, packet: Packet) -> None:
    """Note in the file of that name how nice the process is that runs it, and end it: a box that
    audits is nicer than one that serves."""
    with Path(packet.payload).open("a") as file:
        file.write(f"{os.nice(0)}\n")
    os._exit(3)
