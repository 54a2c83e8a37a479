"""A line whose topics say what its handlers do, for nodes under test."""

from typing import Any

import attrs

from rmf.line import Fresh, Keep, Line

shop = Line("shop", version=1)


@attrs.frozen
class Reading:
    celsius: float


@shop.on("cell/#")
def cell(_world: Any, packet: Any) -> Any:
    return {packet.topic: packet.payload}


@shop.on("keep/#")
def keep(_world: Any, packet: Any) -> Any:
    return {packet.topic: Keep(packet.payload)}


@shop.on("count")
def count(world: Any, packet: Any) -> Any:
    return {"count": Keep(world.get("count", 0) + 1)}


@shop.on("loud/#")
def loud(_world: Any, packet: Any) -> Any:
    return {packet.topic: Fresh(packet.payload, ttl_ms=1)}


@shop.on_expired("loud/#")
def lost(_world: Any, gone: Any) -> Any:
    return {f"lost/{gone.key}": Keep(gone.value)}


@shop.on("reading", Reading)
def reading(_world: Any, packet: Any) -> Any:
    return {"reading": packet.payload.celsius}


@shop.on("raises")
def raises(_world: Any, packet: Any) -> Any:
    raise RuntimeError(f"no way with {packet.payload}")


@shop.on("exits")
def exits(_world: Any, _packet: Any) -> Any:
    raise SystemExit(3)


@shop.on("recurses")
def recurses(world: Any, packet: Any) -> Any:
    return recurses(world, packet)


@shop.on("object")
def returns_an_object(_world: Any, _packet: Any) -> Any:
    return {"object": object()}


@shop.on("nan")
def returns_nan(_world: Any, _packet: Any) -> Any:
    return {"nan": float("nan")}


@shop.on("huge")
def returns_a_huge_integer(_world: Any, _packet: Any) -> Any:
    return {"huge": 2**64}


@shop.on("list")
def returns_a_list(_world: Any, _packet: Any) -> Any:
    return ["list"]
