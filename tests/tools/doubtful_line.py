"""A line that is deterministic nowhere but in its last handlers: one way a handler."""

import os
import random
import time
import uuid
from datetime import datetime
from typing import Any

import attrs

from rmf import Keep, Line

line = Line("doubtful", version="1")

seen: dict[str, int] = {}


@attrs.frozen
class Reading:
    value: float


@line.on("hash/+")
def of_the_hash(world: Any, packet: Any) -> Any:
    return {packet.topic: Keep(list({"red", "green", "blue", packet.topic}))}


@line.on("clock/+")
def of_the_clock(world: Any, packet: Any) -> Any:
    return {packet.topic: Keep(time.time())}


@line.on("date/+")
def of_the_date(world: Any, packet: Any) -> Any:
    return {packet.topic: Keep(datetime.now().isoformat())}  # noqa: DTZ005 that is the point


@line.on("zone/+")
def of_the_zone(world: Any, packet: Any) -> Any:
    return {packet.topic: Keep(time.localtime(0).tm_hour)}


@line.on("chance/+")
def of_chance(world: Any, packet: Any) -> Any:
    if random.random() < 0.5:
        raise ValueError("heads")
    return {packet.topic: Keep("tails")}


@line.on("address/+")
def of_addresses(world: Any, packet: Any) -> Any:
    return {packet.topic: Keep(id(packet))}


@line.on("process/+")
def of_the_process(world: Any, packet: Any) -> Any:
    return {packet.topic: Keep(os.getpid())}


@line.on("entropy/+")
def of_entropy(world: Any, packet: Any) -> Any:
    return {packet.topic: Keep(uuid.uuid4().hex)}


@line.on("state/+")
def of_state(world: Any, packet: Any) -> Any:
    seen[packet.topic] = seen.get(packet.topic, 0) + 1
    return {packet.topic: Keep(seen[packet.topic])}


@line.on("good/+/cell", Reading)
def good(world: Any, packet: Any) -> Any:
    count = world.get(f"count/{packet.topic}", 0) + 1
    chosen = [packet.random.random(), sorted({"red", "green", packet.topic}), packet.payload.value]
    return {packet.topic: chosen, f"count/{packet.topic}": Keep(count)}


@line.on_expired("good/+/cell")
def gone(world: Any, cell: Any) -> Any:
    return {f"gone/{cell.key}": Keep(time.monotonic())}
