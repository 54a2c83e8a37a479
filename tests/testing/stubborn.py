"""A line that counts in a dict of its own instead of the World."""

from typing import Any

from rmf import Keep, Line

__all__ = ["stubborn"]


def stubborn() -> Line:
    line = Line("stubborn")
    counts: dict[str, int] = {}

    @line.on("thing/+")
    def count(world: Any, packet: Any) -> Any:
        counts[packet.topic] = counts.get(packet.topic, 0) + 1
        return {packet.topic: Keep(counts[packet.topic])}

    return line
