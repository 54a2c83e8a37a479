"""A line with every kind of poison, beside the counting that honest producers want done."""

import os
import random
import sys
from typing import Any

from rmf import Keep, Line
from rmf.line.view import Packet, WorldView

line = Line("poison", version=1)


@line.on("count/+")
def count(world: WorldView, packet: Packet) -> dict[str, Keep]:
    """Add one to the cell of this topic, for good."""
    return {packet.topic: Keep(world.get(packet.topic, 0) + 1)}


@line.on("poison/raise")
def raises(_world: WorldView, packet: Packet) -> None:
    """Raise."""
    raise ValueError(packet.payload)


@line.on("poison/exit")
def exits(_world: WorldView, _packet: Packet) -> None:
    """Ask the interpreter to end."""
    sys.exit(3)


@line.on("poison/_exit")
def exits_at_once(_world: WorldView, _packet: Packet) -> None:
    """End the process."""
    os._exit(3)


@line.on("poison/abort")
def aborts(_world: WorldView, _packet: Packet) -> None:
    """Have the process killed."""
    os.abort()


@line.on("poison/recurse")
def recurses(world: WorldView, packet: Packet) -> None:
    """Recurse for ever."""
    recurses(world, packet)


@line.on("poison/loop")
def loops(_world: WorldView, _packet: Packet) -> None:
    """Loop for ever, in Python."""
    while True:
        pass


@line.on("poison/c_loop")
def loops_in_c(_world: WorldView, _packet: Packet) -> None:
    """Stay within one C call for minutes."""
    7 ** (10**9)


@line.on("poison/memory")
def allocates(_world: WorldView, _packet: Packet) -> None:
    """Allocate without end."""
    hoard = []
    while True:
        hoard.append(bytes(64 * 2**20))


@line.on("poison/nonsense")
def returns_nonsense(_world: WorldView, packet: Packet) -> Any:
    """Return what is no change."""
    return {packet.topic: object()}


@line.on("poison/differ")
def differs(_world: WorldView, packet: Packet) -> dict[str, Keep]:
    """Answer differently in every process."""
    return {packet.topic: Keep(random.SystemRandom().random() + os.getpid())}
