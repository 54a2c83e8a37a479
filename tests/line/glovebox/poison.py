"""A line whose topics say what its handlers do to the process they run in."""

import ctypes
import itertools
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from rmf.line import Line

poison = Line("poison", version=3)


@poison.on("store/#")
def store(_world: Any, packet: Any) -> Any:
    return {packet.topic: packet.payload}


@poison.on("prints")
def prints(_world: Any, packet: Any) -> Any:
    print("printed", packet.payload, flush=True)
    os.write(1, b"written\n")
    return {"printed": True}


@poison.on("raises")
def raises(_world: Any, _packet: Any) -> Any:
    raise RuntimeError("no way")


@poison.on("leaves")
def leaves(_world: Any, _packet: Any) -> Any:
    sys.exit(5)


@poison.on("loops")
def loops(_world: Any, _packet: Any) -> Any:
    while True:
        pass


@poison.on("waits")
def waits(_world: Any, packet: Any) -> Any:
    """Wait for a file."""
    while not os.path.exists(packet.payload):  # noqa: PTH110 it is not about paths
        pass
    return {"waited": True}


@poison.on("swallows")
def swallows(_world: Any, packet: Any) -> Any:
    """Go on when it is interrupted, and return once there is a file."""
    while True:
        try:
            return waits(_world, packet)
        except BaseException:  # noqa: BLE001, ASYNC103 that is what it is to do
            continue  # noqa: ASYNC104 no cancellation comes here


@poison.on("reads/ever")
def reads_for_ever(world: Any, _packet: Any) -> Any:
    while True:
        for _ in world.scan("c/"):
            pass


@poison.on("copy/#")
def copies(world: Any, packet: Any) -> Any:
    return {packet.topic: world.get(packet.payload)}


@poison.on("scan")
def scans(world: Any, packet: Any) -> Any:
    return {"found": [key for key, _ in world.scan(packet.payload)]}


@poison.on("counts")
def counts(_world: Any, _packet: Any) -> Any:
    """Loop within one call of C, which nothing interrupts."""
    return {"sum": sum(itertools.repeat(1))}


class Slow(Exception):
    def __str__(self) -> str:
        return str(loops(None, None))


@poison.on("slow/words")
def slow_words(_world: Any, _packet: Any) -> Any:
    raise Slow


@attrs.frozen
class Hangs:
    x: int

    def __attrs_post_init__(self) -> None:
        while True:
            pass


@poison.on("hangs", Hangs)
def hangs(_world: Any, _packet: Any) -> Any:
    raise AssertionError("never")


@poison.on("allocates")
def allocates(_world: Any, packet: Any) -> Any:
    kept = []
    while True:
        kept.append(bytearray(packet.payload))


@poison.on("exits")
def exits(_world: Any, packet: Any) -> Any:
    os._exit(packet.payload)


@poison.on("aborts")
def aborts(_world: Any, _packet: Any) -> Any:
    os.abort()


@poison.on("crashes")
def crashes(_world: Any, _packet: Any) -> Any:
    ctypes.string_at(8)


@poison.on("forks")
def forks(_world: Any, _packet: Any) -> Any:
    return {"child": os.fork()}


@poison.on("breeds")
def breeds(_world: Any, _packet: Any) -> Any:
    """Leave a child behind that never ends, and holds all that the box holds."""
    child = os.fork()
    while not child:
        pass
    return {"child": child}


@poison.on("babbles")
def babbles(_world: Any, _packet: Any) -> Any:
    """Write into the box's own pipe."""
    os.write(_pipe(), b"\xff" * 100)


@poison.on("hangs/up")
def hangs_up(_world: Any, _packet: Any) -> Any:
    """Close the box's own pipe, and go on."""
    os.close(_pipe())
    while True:
        pass


def _pipe() -> int:
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            if str(fd.readlink()).startswith("socket:"):
                return int(fd.name)
    raise AssertionError("no pipe")


@poison.on_expired("store/#")
def expired(_world: Any, cell: Any) -> Any:
    return {f"gone/{cell.key}": cell.value}


class SlowEnd:
    """Takes its time when it goes."""

    def __del__(self) -> None:
        select.select([], [], [], 100)


@poison.on("slow/end")
def slow_end(_world: Any, _packet: Any) -> Any:
    error = ValueError("it holds something")
    vars(error)["held"] = SlowEnd()
    raise error


@poison.on("circles")
def circles(_world: Any, packet: Any) -> Any:
    """Leave garbage that only a collection finds, with as many slow ends in it as are wanted."""
    for ends in range(20_000):
        circle: list[Any] = [SlowEnd()] if ends < packet.payload else []
        circle.append(circle)
    return {"circles": True}


@poison.on("odd/keys")
def odd_keys(world: Any, _packet: Any) -> Any:
    """Look for what can be the key of no cell."""
    found: list[Any] = []
    key: Any
    for key in (1, None, b"x", ("a", "b"), 1.5, 2**70, frozenset(), [], "k\ud800", "x" * 5000):
        found += [world.get(key, "none"), key in world, world.cell(key)]
        try:
            found.append(world[key])
        except KeyError:
            found.append("KeyError")
    return {"found": [str(one) for one in found]}
