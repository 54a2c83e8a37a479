"""What a handler returned becomes changes: all of it, or none (R20, R22).

Everything is checked and encoded before anything is applied, so that a slot that fails leaves no
trace; between the two, the runner of the slot drops what its handler left behind (R20).
`Changes` are those of one batch so far; they lie over the World that its handlers see.

They are also written down here, as the CBOR that the Entry keeps (R1): by hand, because their shape
is fixed and their parts are bytes already, which takes a third of the time that cbor2 needs for as
many small objects.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, Final

from sortedcontainers import SortedSet

from rmf import limits
from rmf.core.cbor_heads import head
from rmf.core.effects import FrameGroup
from rmf.core.outcome import INHERIT, Change, Span
from rmf.core.packet import PAYLOAD, TOPIC, Row
from rmf.line.cell_values import (
    Fresh,
    Keep,
    Remove,
    ResultInvalid,
    encode_key,
    encode_value,
    type_name,
)
from rmf.native import plain_bytes, stores_packet

__all__ = [
    "CHANGE_HEADS_BYTES_MAX",
    "KEEP",
    "SPANS_BYTES_MAX",
    "STORED",
    "Changes",
    "Checked",
    "KnownKeys",
]

KEEP = 0  # as a shelf: for ever; above: a shelf life in ms (see core/outcome)

# Beside key and value: the array's head, slot, the value's head, shelf.
CHANGE_HEADS_BYTES_MAX = 1 + 5 + 5 + 9
SPANS_BYTES_MAX = 5 + (limits.TICK_PACKETS_MAX // 2 + 1) * (1 + 5 + 5)

_first_slot_of = attrgetter("first_slot")
_WRAPPED = frozenset((Keep, Fresh, Remove))
_CHANGES_BYTES_MAX = limits.CHANGES_PER_PACKET_BYTES_MAX


Checked = tuple[int, Sequence[Change]]  # bytes in the Entry at the most, and the changes of a slot
STORED: Final[Checked] = (0, ())  # stands for a packet that is to be stored as it came


class KnownKeys(dict[str, bytes]):
    """Keys that were found valid, with their CBOR: up to HANDLER_CACHE_TOPICS of them; full, they
    are forgotten and checked again."""

    def check(self, key: Any) -> bytes:
        """Return the CBOR of a key. Raises ResultInvalid."""
        encoded = encode_key(key)
        if len(self) >= limits.HANDLER_CACHE_TOPICS:
            self.clear()
        self[key] = encoded
        return encoded


class Changes:
    """The changes of one batch so far: `listed` in order, and the slots whose packet, one of the
    `groups`, is `stored` as it came: who runs them appends, in order.

    Keys are put in order only once a handler scans.
    """

    __slots__ = ("_groups", "_keys", "_last", "_ordered", "_settled", "listed", "stored")

    def __init__(self, keys: KnownKeys, groups: Sequence[FrameGroup] = ()) -> None:
        self.listed: list[Change] = []
        self.stored: list[int] = []
        self._groups = groups
        self._last: dict[str, Change | int] = {}  # of each key; the slot of what is stored
        self._settled = 0  # how many of the stored ones are in it
        self._keys = keys
        self._ordered: SortedSet | None = None

    def take(self, slot: int, result: Any, plain_shelf: int) -> int:
        """Check and apply at once, for callers that need not drop anything in between."""
        return self.apply(self.check(slot, result, plain_shelf))

    def check(self, slot: int, result: Any, plain_shelf: int) -> "Checked":
        """Return what a handler's result would change, for `apply`: nothing is applied yet.

        A plain value gets `plain_shelf`. Raises ResultInvalid. It is on the hot path: no calls for
        what one expression can do.
        """
        if type(result) is not dict:
            raise ResultInvalid(f"expected a dict of changes or None, found {type_name(result)}")
        if len(result) == 1:
            # One plain value under a known key is what most handlers return: no list for it.
            ((key, value),) = result.items()
            if type(key) is str and type(value) not in _WRAPPED:
                key_bytes = self._keys.get(key)
                if key_bytes is not None:
                    try:
                        encoded = encode_value(value)
                    except ResultInvalid as exc:
                        raise ResultInvalid(f"{key}: {exc}") from None
                    size = len(key_bytes) + len(encoded) + CHANGE_HEADS_BYTES_MAX
                    return size, ((slot, key, encoded, plain_shelf),)
        return self._check_all(slot, result, plain_shelf)

    def check_packet(self, slot: int, result: Any, row: Row) -> "Checked":
        """As `check`, where spans may be said: STORED if all that it would change is that the
        packet's payload, as it came, stands under the packet's topic.

        What it is encoded as tells: a payload may have come in longer words than ours, and a
        handler may have changed it.
        """
        if stores_packet is not None and stores_packet(self._keys, row, result):
            return STORED
        checked = self.check(slot, result, INHERIT)
        _, mine = checked
        if len(mine) == 1:
            _, key, encoded, shelf = mine[0]
            if encoded == row[PAYLOAD] and key == row[TOPIC] and shelf == INHERIT:
                return STORED
        return checked

    def _check_all(self, slot: int, result: dict[Any, Any], plain_shelf: int) -> "Checked":
        mine: list[Change] = []
        keys = self._keys
        size = 0
        for key, value in result.items():
            key_bytes = keys.get(key) if type(key) is str else None
            if key_bytes is None:
                key_bytes = keys.check(key)
            kind = type(value)
            encoded: bytes | None
            try:
                if kind is Keep or kind is Fresh or kind is Remove:
                    encoded, shelf = _unwrapped(value)
                else:
                    encoded, shelf = encode_value(value), plain_shelf
            except ResultInvalid as exc:
                raise ResultInvalid(f"{key}: {exc}") from None
            mine.append((slot, key, encoded, shelf))
            size += len(key_bytes) + CHANGE_HEADS_BYTES_MAX
            if encoded is not None:
                size += len(encoded)
            if size > _CHANGES_BYTES_MAX:
                raise _too_many(len(mine), len(result))
        return size, mine

    def apply(self, checked: "Checked") -> int:
        """Apply what `check` returned; return an upper bound of its bytes in the Entry. No foreign
        code runs here, and nothing may interrupt it: a slot's changes are all there, or none."""
        size, mine = checked
        last = self._last
        if self._settled != len(self.stored):
            self._settle()
        for change in mine:
            last[change[1]] = change
        self.listed += mine
        if self._ordered is not None:
            self._ordered.update(change[1] for change in mine)
        return size

    def __bool__(self) -> bool:
        return bool(self.listed or self.stored)

    def of(self, key: str) -> Change | None:
        """Return the last change of a key, None if there is none yet."""
        self._settle()
        change = self._last.get(key)
        return self._change_of(change) if isinstance(change, int) else change

    def last(self) -> list[Change]:
        """Return the last change of each key, in slot order."""
        self._settle()
        return sorted(self._change_of(x) if isinstance(x, int) else x for x in self._last.values())

    def spans(self) -> list[Span]:
        """Return the slots whose packet is stored as it came."""
        spans: list[Span] = []
        end = -1
        for slot in self.stored:
            if slot == end:
                spans[-1][1] += 1
            else:
                spans.append([slot, 1])
            end = slot + 1
        return spans

    def _settle(self) -> None:
        """Note which keys the packets stored so far are the last change of: not before somebody
        wants to know, for most lines read nothing."""
        stored = self.stored
        if self._settled == len(stored):
            return
        for slot in stored[self._settled :]:
            _, topic, _, _ = self._change_of(slot)
            self._last[topic] = slot
            if self._ordered is not None:
                self._ordered.add(topic)
        self._settled = len(stored)

    def _change_of(self, slot: int) -> Change:
        group = self._groups[bisect_right(self._groups, slot, key=_first_slot_of) - 1]
        row = group.rows[slot - group.first_slot]
        return slot, row[TOPIC], row[PAYLOAD], INHERIT

    def keys_from(self, prefix: str) -> Iterator[str]:
        """Give the changed keys that start with `prefix`, in key order."""
        self._settle()
        if self._ordered is None:
            self._ordered = SortedSet(self._last)
        for key in self._ordered.irange(prefix):
            if not key.startswith(prefix):
                return
            yield key

    def encode(self) -> bytes:
        """Return the CBOR of what is listed: the very bytes that cbor2.dumps would give."""
        plain = plain_bytes(self.listed)
        if plain is not None:
            return plain
        known, slot_heads, value_heads = self._keys.get, _SLOT_HEADS, _VALUE_HEADS
        parts = [head(4, len(self.listed))]
        for slot, key, value, shelf in self.listed:
            size = -1 if value is None else len(value)
            parts += (
                slot_heads[slot] if slot < len(slot_heads) else b"\x84" + head(0, slot),
                known(key) or encode_key(key),
                value_heads[size] if size < 256 else head(2, size),
                value or b"",
                b"\x20" if shelf == INHERIT else b"\x00" if shelf == KEEP else head(0, shelf),
            )
        return b"".join(parts)


def _unwrapped(value: Keep | Fresh | Remove) -> tuple[bytes | None, int]:
    """Return the encoded value, None to remove, and the shelf."""
    if isinstance(value, Remove):
        return None, KEEP
    if isinstance(value, Keep):
        return encode_value(value.value), KEEP
    return encode_value(value.value), _shelf_of(value.ttl_ms)


def _shelf_of(ttl_ms: Any) -> int:
    if type(ttl_ms) is not int:
        raise ResultInvalid(f"ttl_ms of Fresh: expected an integer, found {type_name(ttl_ms)}")
    if not 1 <= ttl_ms <= limits.TTL_MS_MAX:
        raise ResultInvalid(
            f"ttl_ms of Fresh: expected 1 to {limits.TTL_MS_MAX}; what stays for ever is Keep"
        )
    return ttl_ms


def _too_many(taken: int, keys: int) -> ResultInvalid:
    return ResultInvalid(f"more than {_CHANGES_BYTES_MAX} bytes of changes (key {taken} of {keys})")


_SLOT_HEADS = [b"\x84" + head(0, slot) for slot in range(limits.TICK_PACKETS_MAX)]
# By size; the last one, found at -1, is null: no value.
_VALUE_HEADS = [*(head(2, size) for size in range(256)), b"\xf6"]
