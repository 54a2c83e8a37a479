"""Lines of users for the tests of what users test with; the greenhouse is that of the README."""

from typing import Any

import attrs

from rmf import REMOVE, Keep, Line

__all__ = ["Impossible", "Temperature", "greenhouse", "workshop"]

greenhouse = Line("greenhouse", version="1")
workshop = Line("workshop", version="1")


@attrs.frozen
class Temperature:
    celsius: float


@attrs.frozen
class Impossible:
    """No payload is one."""

    celsius: float = attrs.field(validator=attrs.validators.in_([]))


@greenhouse.on("greenhouse/+/temp", Temperature)
def temperature(world: Any, packet: Any) -> Any:
    room = packet.topic.split("/")[1]
    celsius = packet.payload.celsius
    average = 0.9 * world.get(f"average/{room}", celsius) + 0.1 * celsius
    return {packet.topic: celsius, f"average/{room}": average}


@greenhouse.on_expired("greenhouse/+/temp")
def lost(world: Any, cell: Any) -> Any:
    return {f"alarm/{cell.key}": Keep("no reading")}


@workshop.on("raise/#")
def raises(world: Any, packet: Any) -> Any:
    try:
        world["nothing"]
    except KeyError as exc:
        raise RuntimeError("no luck") from exc


@workshop.on("nonsense")
def nonsense(world: Any, packet: Any) -> Any:
    return 42


@workshop.on("keep/#")
def keep(world: Any, packet: Any) -> Any:
    return {packet.topic: Keep(packet.payload)}


@workshop.on("remove/+")
def remove(world: Any, packet: Any) -> Any:
    return {f"keep/{packet.topic[-1]}": REMOVE}


@workshop.on("cell/+")
def cell(world: Any, packet: Any) -> Any:
    return {packet.topic: packet.payload}


@workshop.on_expired("cell/cursed")
def cursed(world: Any, cell: Any) -> Any:
    raise LookupError(cell.key)
