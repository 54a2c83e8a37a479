"""The Packet, its Label and its Stamp (Codex 1), and the column check of a whole frame of them.

On the hot path a packet stays the list that the codec decoded, a *row*:

    [topic, seq, harvested_at, ttl_ms, payload]          and, with a fence,
    [topic, seq, harvested_at, ttl_ms, payload, fence]

Rows of one frame are checked column by column, in C, because a frame may hold thousands. Only a
frame that fails somewhere is looked at packet by packet, to find out whose fault it is and why:
a faulty packet with a readable seq is latched with a *preset verdict* (R33), it is not an error.
"""

from typing import Any, NamedTuple

from rmf import limits
from rmf.core import topics

__all__ = [
    "FENCE",
    "PAYLOAD",
    "PresetVerdict",
    "Row",
    "Stamp",
    "all_well",
    "check_rows",
    "letter_id",
    "seq_of",
]

Row = list[Any]

TOPIC, SEQ, HARVESTED_AT, TTL_MS, PAYLOAD, FENCE = range(6)


class Stamp(NamedTuple):
    """Official birthday of a packet: the slot is its position within the Tick."""

    term: int
    tick: int
    slot: int


class PresetVerdict(NamedTuple):
    """What is wrong with a packet before any handler saw it: a reason of the DLQ and a sentence."""

    reason: str
    text: str


def letter_id(term: int, tick: int, slot: int) -> str:
    """Return the name of a line letter: the same on every node and in every replay."""
    return f"{term}.{tick}.{slot}"


def seq_of(row: object) -> int | None:
    """Return the seq of what claims to be a packet, or None if there is none to read."""
    if type(row) is not list or len(row) <= SEQ:
        return None
    seq = row[SEQ]
    if type(seq) is not int or not 1 <= seq <= limits.SEQ_MAX:
        return None
    return seq


def check_rows(rows: list[Row]) -> dict[int, PresetVerdict]:
    """Return the preset verdicts of packets, by their position; empty when all are well.

    Every row must have a readable seq (see `seq_of`).
    """
    verdicts = ((i, _verdict(row)) for i, row in enumerate(rows))
    return {i: verdict for i, verdict in verdicts if verdict is not None}


def all_well(rows: list[Row]) -> bool:
    """Return True if these are packets without a fault, a fence or a hole in their seqs; False
    means only: look at each of them. At least one row must be there."""
    if set(map(type, rows)) != {list} or set(map(len, rows)) != {5}:
        return False
    names, seqs, harvested, ttls, payloads = zip(*rows, strict=True)
    if (
        set(map(type, names)) != {str}
        or set(map(type, seqs)) != {int}
        or set(map(type, harvested)) != {int}
        or set(map(type, ttls)) != {int}
        or set(map(type, payloads)) != {bytes}
    ):
        return False
    first = seqs[0]
    return (
        1 <= first <= limits.SEQ_MAX - len(seqs)
        and seqs == tuple(range(first, first + len(seqs)))
        and min(ttls) > 0
        and max(ttls) <= limits.TTL_MS_MAX
        and min(harvested) >= 0
        and max(harvested) <= limits.HARVESTED_AT_MAX
        and max(map(len, payloads)) <= limits.PAYLOAD_BYTES_MAX
        and topics.all_plainly_valid(names)
    )


def _verdict(row: Row) -> PresetVerdict | None:
    """Return why this one packet is bad, or None."""
    if not 5 <= len(row) <= 6:
        return PresetVerdict(
            "label_invalid",
            f"expected 5 fields [topic, seq, harvested_at, ttl_ms, payload] and an optional fence,"
            f" found {len(row)}",
        )
    topic, _, harvested_at, ttl_ms, payload = row[:5]
    fault = _int_fault("harvested_at", harvested_at, 0, limits.HARVESTED_AT_MAX)
    fault = fault or _int_fault("ttl_ms", ttl_ms, 1, limits.TTL_MS_MAX)
    if len(row) > FENCE:
        fault = fault or _int_fault("fence", row[FENCE], 0, limits.SEQ_MAX)
    if fault is None:
        if type(topic) is not str:
            fault = f"topic: expected text, found {kind_of(topic)}"
        else:
            fault = topics.topic_fault(topic)
    if fault is not None:
        return PresetVerdict("label_invalid", fault)
    if type(payload) is not bytes:
        return PresetVerdict("label_invalid", f"payload: expected bytes, found {kind_of(payload)}")
    if len(payload) > limits.PAYLOAD_BYTES_MAX:
        found = f"{len(payload)} bytes, at most {limits.PAYLOAD_BYTES_MAX} are taken"
        return PresetVerdict("payload_invalid", f"payload: {found}")
    return None


def _int_fault(name: str, value: object, low: int, high: int) -> str | None:
    if type(value) is not int:
        return f"{name}: expected an integer, found {kind_of(value)}"
    if not low <= value <= high:
        return f"{name}: expected {low} to {high}, found {value}"
    return None


_KINDS = {
    str: "text",
    bytes: "bytes",
    int: "an integer",
    float: "a float",
    bool: "a boolean",
    list: "an array",
    dict: "a map",
    type(None): "null",
}


def kind_of(value: object) -> str:
    """Name the CBOR kind of a decoded value without looking into it."""
    return _KINDS.get(type(value), "something else")
