"""A user's line as a workload: packets for the topics that its filters name, or packets of a file.

Most packets are what the line was written for, on few topics, so that they meet; some are the edges
of their types, some are wrong: no CBOR, another class, no topic, a topic without handler, an old
fence, next to no shelf life. Of what comes of a packet all is known that the label and the declared
class decide; what a handler does with it is the line's own.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rmf.core import topics
from rmf.core.packet import FENCE, PAYLOAD, TOPIC, check_rows
from rmf.line.line import Handler, Line
from rmf.line.payload import PayloadInvalid, decode_alone
from rmf.testing.dice import Stream
from rmf.testing.payloads import fitting, wrong

__all__ = ["Given", "LineWorkload", "topic_for"]

_TTL_MS = (400, 1_500, 5_000, 20_000, 120_000)
_LEVELS = ("1", "2", "3")
_ODD_LEVELS = ("", "0", "ä😀", "x" * 60, " ")
_ODD_LEVEL, _WRONG, _FENCED, _SHORT, _NOBODY, _NO_TOPIC = 0.03, 0.04, 0.04, 0.04, 0.01, 0.01


class Given(NamedTuple):
    """A packet to be sent: its payload in bytes, its label as far as it is known."""

    topic: str
    payload: bytes
    ttl_ms: int
    harvested_at: int | None = None


class LineWorkload:
    """`given` are sent in order, and again from the first when they are used up; without any they
    are made up. `unfit` names the filters whose class takes no payload that is made up for it."""

    counters: tuple[str, ...] = ()
    filters: tuple[str, ...] = ("#",)

    def __init__(self, line: Line, given: Sequence[Given] = ()) -> None:
        self.unfit: set[str] = set()
        self._line = line
        self._given = given
        self._next = 0

    def line(self) -> Line:
        """Return the line."""
        return self._line

    # --- Packets --------------------------------------------------------------------------------

    def packet(self, dice: Stream, wall_ns: int, term: int, number: int) -> list[Any]:
        """Return a packet, its seq still to be written in."""
        del number
        given = self.next_given(dice)
        harvested_at = wall_ns if given.harvested_at is None else given.harvested_at
        row = [given.topic, 0, harvested_at, given.ttl_ms, given.payload]
        if not self._given and dice.chance(_NO_TOPIC):
            row[TOPIC] = "no/+/topic"
        elif dice.chance(_FENCED):
            row.append(term if dice.chance(0.5) else max(0, term - 1))
        return row

    def next_given(self, dice: Stream) -> Given:
        """Return the next of the given packets, or one that is made up."""
        if not self._given:
            return self._made_up(dice)
        given = self._given[self._next % len(self._given)]
        self._next += 1
        return given

    def _made_up(self, dice: Stream) -> Given:
        handlers = self._line.handlers
        ttl_ms = dice.randint(1, 5) if dice.chance(_SHORT) else dice.choice(_TTL_MS)
        if not handlers or dice.chance(_NOBODY):
            return Given(_unhandled_topic(self._line), b"\x00", ttl_ms)
        handler = dice.choice(handlers)
        topic = topic_for(handler.filter, dice)
        if handler.declared is not None and dice.chance(_WRONG):
            return Given(topic, wrong(handler.declared, dice), ttl_ms)
        payload, fits = fitting(handler.declared, handler.structure, dice)
        if not fits:
            self.unfit.add(handler.filter)
        return Given(topic, payload, ttl_ms)

    # --- What may come of them ------------------------------------------------------------------

    def expected(self, row: list[Any], term: int, reason: str | None) -> bool:
        """Return whether this outcome (None: applied) may be that of a packet latched in `term`."""
        preset = check_rows([row]).get(0)
        if preset is not None:
            return reason == preset.reason
        if reason == "expired":
            return True  # whether it was, the clocks say
        if len(row) > FENCE and row[FENCE] != term:
            return reason == "stale_term"
        handler = self._line.handler_of(row[TOPIC])
        if handler is None:
            return reason == "no_handler"
        if not _is_valid(handler, row[PAYLOAD]):
            return reason == "payload_invalid"
        return reason in {None, "handler_error", "handler_memory", "result_invalid"}


def _is_valid(handler: Handler, payload: bytes) -> bool:
    try:
        decoded = decode_alone(payload)
        if handler.structure is not None:
            handler.structure(decoded)
    except PayloadInvalid:
        return False
    return True


def topic_for(pattern: str, dice: Stream) -> str:
    """Return a topic that matches a filter: its wildcards filled in, mostly with few names."""
    levels: list[str] = []
    for level in pattern.split("/"):
        if level == "+":
            levels.append(_level(dice))
        elif level == "#":
            levels += [_level(dice) for _ in range(dice.randint(0 if levels else 1, 2))]
        else:
            levels.append(level)
    topic = "/".join(levels)
    return topic if topics.topic_fault(topic) is None else topic_for(pattern, dice)


def _level(dice: Stream) -> str:
    return dice.choice(_ODD_LEVELS) if dice.chance(_ODD_LEVEL) else dice.choice(_LEVELS)


def _unhandled_topic(line: Line) -> str:
    """Return a topic that no handler wants, or one that any handler gets: `#` leaves none."""
    topic = "nobody/wants/this"
    while line.handler_of(topic) is not None and len(topic) < 60:
        topic += "/0"
    return topic
