"""A line whose topics say what its handlers do, and packets of all kinds for it.

What must come of a packet is known from its topic alone (`expected`), whatever the core makes of
it: so the line is a model of itself. A counter that is only ever raised by one shows an effect that
came twice, or never.
"""

from typing import Any, Protocol

import cbor2

from rmf.line import REMOVE, Fresh, Keep, Line
from rmf.testing.dice import Stream

__all__ = [
    "COUNTERS",
    "SIMULATED",
    "Workload",
    "datum_of",
    "expected",
    "packet",
    "simulated_line",
]

COUNTERS = tuple(f"count/{letter}" for letter in "abc")
_TTL_MS = (400, 1_500, 5_000, 20_000, 120_000, 3_600_000)

# How often each kind of packet comes.
_KINDS = {
    "count": 40,
    "cell": 22,
    "cell/loud": 4,
    "cell/cursed": 2,
    "keep": 8,
    "fresh": 5,
    "remove": 4,
    "poison": 6,
    "nobody": 2,
    "wrong": 2,
    "fenced": 4,
    "short": 3,
    "passing": 8,
}
_NAMES, _WEIGHTS = list(_KINDS), list(_KINDS.values())


def datum_of(row: list[Any]) -> str:
    """Return what makes a packet the datum that it is, under whatever seq."""
    return repr((row[0], row[2], row[4]))


def simulated_line() -> Line:
    """Return the line."""
    line = Line("simulated", version=3)

    @line.on("count/+")
    def count(world: Any, packet: Any) -> Any:
        return {packet.topic: Keep(world.get(packet.topic, 0) + 1)}

    @line.on("cell/#")
    def cell(_world: Any, packet: Any) -> Any:
        return {packet.topic: packet.payload}

    @line.on("keep/#")
    def keep(_world: Any, packet: Any) -> Any:
        return {packet.topic: Keep(packet.payload)}

    @line.on("fresh/#")
    def fresh(_world: Any, packet: Any) -> Any:
        return {packet.topic: Fresh(packet.payload, ttl_ms=700)}

    @line.on("remove/+")
    def remove(_world: Any, packet: Any) -> Any:
        return {f"keep/{packet.topic[-1]}": REMOVE, f"cell/{packet.topic[-1]}": REMOVE}

    @line.on("poison")
    def poison(_world: Any, packet: Any) -> Any:
        raise ValueError(packet.seq)

    @line.on_expired("cell/loud/+")
    def lost(_world: Any, cell: Any) -> Any:
        return {f"keep/{cell.key[-1]}": [cell.value, cell.reason]}

    @line.on_expired("cell/cursed/+")
    def cursed(_world: Any, cell: Any) -> Any:
        raise LookupError(cell.key)

    @line.on("crowd/#")
    def crowd(_world: Any, packet: Any) -> Any:
        return {packet.topic: packet.payload}

    @line.on("freight/+")
    def freight(_world: Any, packet: Any) -> Any:
        return {packet.topic: packet.payload}

    @line.on_expired("crowd/cursed/+")
    def gone(_world: Any, cell: Any) -> Any:
        raise LookupError(cell.key)

    return line


def packet(dice: Stream, wall_ns: int, term: int, number: int) -> list[Any]:
    """Return a packet of some kind, its seq still to be written in. `term` is the newest one that
    its producer knows, `number` makes its payload its own."""
    kind = dice.choices(_NAMES, _WEIGHTS)[0]
    letter = dice.choice("abc")
    topic, ttl_ms = f"{kind}/{letter}", dice.choice(_TTL_MS)
    row = [topic, 0, wall_ns, ttl_ms, cbor2.dumps(number)]
    match kind:
        case "poison" | "nobody":
            row[0] = kind
        case "wrong":
            row[0] = "wrong/+"  # no topic: a preset verdict
        case "fenced":
            row[0] = f"count/{letter}"
            row.append(term if dice.chance(0.5) else max(0, term - 1))
        case "short":
            row[0], row[3] = f"cell/{letter}", dice.randint(1, 5)
        case "passing":
            # A key of its own, which comes and goes.
            row[0], row[3] = f"cell/{letter}/{number}", dice.choice(_TTL_MS[:2])
        case _:
            pass
    return row


def expected(row: list[Any], term: int, reason: str | None) -> bool:
    """Return whether this outcome (None: applied) may be that of a packet latched in `term`."""
    topic = row[0]
    if topic == "wrong/+":
        return reason == "label_invalid"
    if reason == "expired":
        return True  # whether it was, the clocks say
    if len(row) > 5 and row[5] != term:
        return reason == "stale_term"
    if topic == "poison":
        return reason == "handler_error"
    if topic == "nobody":
        return reason == "no_handler"
    return reason is None


class Workload(Protocol):
    """What a cluster is used for: a line, packets for it, and what can be said of them beforehand.

    `counters` are keys that only ever go up by one, with each packet of that topic that is applied;
    `filters` what displays show. Where nothing can be said, nothing is checked: all that holds of
    any line is judged in any case.
    """

    counters: tuple[str, ...]
    filters: tuple[str, ...]

    def line(self) -> Line:
        """Return the line."""

    def packet(self, dice: Stream, wall_ns: int, term: int, number: int) -> list[Any]:
        """Return a packet, its seq still to be written in."""

    def expected(self, row: list[Any], term: int, reason: str | None) -> bool:
        """Return whether this outcome may be that of this packet."""


class _Simulated:
    """The simulator's own line, whose counters tell on effects that come twice."""

    counters: tuple[str, ...] = COUNTERS
    filters: tuple[str, ...] = ("count/#", "cell/#", "crowd/#")
    line = staticmethod(simulated_line)
    packet = staticmethod(packet)
    expected = staticmethod(expected)


SIMULATED: Workload = _Simulated()
