"""A line's history, and the same history run again elsewhere: what comes out otherwise, slot by
slot (R1, R22, R27).

History is made on a bench: real Entries, with what the line did the first time. Run again, each
Entry is taken by itself, and the ledger's changes stand; so every difference is one of its own and
no consequence of an earlier one. It knows neither processes nor clocks: where it is run, others
decide.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import cbor2

from rmf.client.client_values import Parcel, Raw
from rmf.client.render import to_json
from rmf.core.entry import TickBooks, decode_entry
from rmf.core.packet import PAYLOAD, SEQ
from rmf.core.record import Record
from rmf.core.shelf import Shelf
from rmf.core.state import genesis_state
from rmf.line.line import Handler, Line
from rmf.line.replay import Replay
from rmf.line.slots_compared import Divergence
from rmf.testing.bench import Bench
from rmf.testing.dice import Dice
from rmf.testing.line_workload import Given, LineWorkload

__all__ = ["differences", "handler_in_words", "history"]

_FRAME_PACKETS = (1, 1, 1, 2, 4)
_WAITS_MS = (0, 0, 1, 5, 50, 700, 6_000)
_PRODUCERS = ("producer-1", "producer-2", "producer-3")
_REIGN, _POWER_CUT = 0.003, 0.001
_WHERE = re.compile(r'File "(.*)", line ([0-9]+), in (.*)', re.DOTALL)


def history(line: Line, given: Sequence[Given], packets: int, seed: int) -> tuple[Bench, set[str]]:
    """Have so many packets latched on a bench, by several producers, with time passing and reigns
    changing; return it, and the filters for whose class no payload could be made up."""
    dice = Dice(seed).stream("history")
    workload = LineWorkload(line, given)
    bench = Bench(line)
    left = packets
    while left > 0:
        count = min(left, dice.choice(_FRAME_PACKETS))
        left -= count
        some = [workload.next_given(dice) for _ in range(count)]
        bench.send_many(
            [Parcel(x.topic, Raw(x.payload), x.ttl_ms, x.harvested_at) for x in some],
            producer=dice.choice(_PRODUCERS),
        )
        bench.advance(ms=dice.choice(_WAITS_MS))
        if dice.chance(_REIGN):
            bench.new_reign(power_cut=dice.chance(_POWER_CUT / _REIGN))
    return bench, workload.unfit


def differences(
    line: Line, records: Sequence[Record], begin: int = 0, end: int | None = None
) -> Iterator[dict[str, Any]]:
    """Run the Entries from position `begin` to `end` through the line, on the World that the ones
    before them left; give what differs from the ledger, the first difference of each Tick."""
    if not records:
        return
    shelf = Shelf()
    before = Replay(genesis_state(records[0].cluster), shelf, None)
    before.run(records[:begin])
    replay = Replay(before.state, shelf, line)
    waiting = iter(records[begin:end])
    by_tick = {(x.term, decode_entry(x.body).tick): x for x in records[begin:end]}
    while (found := replay.run(waiting)) is not None:
        yield _in_words(line, found, by_tick[found.term, found.tick])


def _in_words(line: Line, found: Divergence, record: Record) -> dict[str, Any]:
    """Return a difference in terms of JSON: where, whose, and both sides."""
    books = decode_entry(record.body).books
    assert isinstance(books, TickBooks)
    handler: Handler | None = None
    packet: dict[str, Any] | None = None
    if found.origin is not None:
        handler = line.handler_of(found.origin.topic)
        packet = attrs.asdict(found.origin)
        packet["payload"] = _payload(books, found.origin.producer, found.origin.seq)
    else:
        for expiry in books.expiries:
            if expiry.slot == found.slot:
                handler = line.expired_handler_of(expiry.key)
                packet = {"expired": expiry.key}
    return {
        "kind": found.kind,
        "term": found.term,
        "tick": found.tick,
        "slot": found.slot,
        "key": found.key,
        "first": _side(found, found.ledger),
        "again": _side(found, found.replay),
        "error": None if found.error is None else f"{found.error.type}: {found.error.message}",
        "packet": packet,
        "handler": None if handler is None else handler_in_words(handler),
    }


def _payload(books: TickBooks, producer: str, seq: int) -> Any:
    for frame in books.frames:
        for row in frame.rows:
            if frame.producer == producer and row[SEQ] == seq:
                try:
                    return to_json(cbor2.loads(row[PAYLOAD]))
                except (cbor2.CBORError, ValueError):
                    return to_json(row[PAYLOAD])
    return None


def _side(found: Divergence, side: Any) -> Any:
    """Return one side of a difference: a value, with its shelf where only that differs."""
    if found.kind != "change":
        return side.hex() if isinstance(side, bytes) else side
    if side is None:
        return {"$unchanged": True}
    value = {"$removed": True} if side[2] is None else to_json(cbor2.loads(side[2]))
    both = found.ledger is not None and found.replay is not None
    if both and found.ledger[2] == found.replay[2]:
        return {"$shelf": {-1: "inherited", 0: "kept"}.get(side[3], side[3]), "value": value}
    return value


def handler_in_words(handler: Handler) -> dict[str, Any]:
    """Return who a handler is: its filter, its function, and where that stands."""
    found = _WHERE.fullmatch(handler.where)
    if found is None:
        name = handler.where.removeprefix("in ")
        return {"filter": handler.filter, "function": name, "file": None, "line": None}
    file, line, name = found.groups()
    return {"filter": handler.filter, "function": name, "file": file, "line": int(line)}
