"""What an audit found, as Letters (R21): tick, slot, key, and what the two sides have for it.

Decides the words and the fields of a `diverged` letter; it knows a Divergence, the Entry and the
state before it, nothing of where letters go. The letter holds the packet's bytes verbatim, as any
other; it has no id yet, for it belongs to the node that ran the audit. The text names values, so
letters are grouped by the place of the handler (`where`), or by where this node's run failed.
"""

import json
from typing import Any

import attrs
import cbor2

from rmf import limits
from rmf.core.bag import Evidence, Letter, clip
from rmf.core.entry import Entry, TickBooks
from rmf.core.letters import letters_of
from rmf.core.outcome import Change, Outcome
from rmf.core.state import State
from rmf.line.slots_compared import Divergence

__all__ = ["finding_of", "text_of"]


def finding_of(
    found: Divergence, entry: Entry, before: State, *, node: str, where: str, wall_ns: int
) -> Letter:
    """Return the letter of a difference. `where` is that of the handler ("" if unknown)."""
    assert isinstance(entry.books, TickBooks)
    traceback = found.error.traceback if found.error is not None else ""
    if not traceback and where:
        traceback = f"  {where}\n"
    evidence = Evidence("Diverged", clip(text_of(found), limits.EVIDENCE_TEXT_BYTES_MAX), traceback)
    expiries, slot = entry.books.expiries, found.slot
    if slot is None:  # an expiry that only this node's line hears of
        slot = 0
        expiries = [x._replace(slot=0 if x.key == found.key else None) for x in expiries]
    bags = [Outcome(slot, "diverged", "task", evidence)]
    books = attrs.evolve(entry.books, expiries=expiries, bags=bags)
    (letter,) = letters_of(attrs.evolve(entry, books=books), before, found.term, node)
    return letter._replace(id="", slot=found.slot, bagged_at=wall_ns)


def text_of(found: Divergence) -> str:
    """Return a difference in words."""
    place = f"tick {found.tick}, slot {'-' if found.slot is None else found.slot}"
    if found.key is not None:
        place += f", key {json.dumps(found.key, ensure_ascii=False)}"
    ledger, here = _sides(found)
    return f"{place}: the ledger has {ledger}, run again here it is {here} (term {found.term})"


def _sides(found: Divergence) -> tuple[str, str]:
    ledger, here = found.ledger, found.replay
    if found.kind == "change":
        return _changed(ledger, here), _changed(here, ledger)
    if found.kind == "expiry":
        words = {True: "an expiry that the line hears of", False: "one that it does not hear of"}
        return words[ledger], words[here]
    error = f" ({found.error.type}: {found.error.message})" if found.error is not None else ""
    return ledger or "applied", (here or "applied") + error


def _changed(change: Change | None, other: Change | None) -> str:
    """Return what a slot did to a key; its shelf life, too, where only that is another."""
    if change is None:
        return "no change"
    if change[2] is None:
        return "its removal"
    text = _shown(change[2])
    if other is not None and other[2] == change[2]:
        shelf = {-1: "inherited", 0: "kept for ever"}.get(change[3], f"{change[3]} ms")
        text += f" (shelf life: {shelf})"
    return text


def _shown(encoded: bytes) -> str:
    try:
        text = json.dumps(cbor2.loads(encoded), ensure_ascii=False, default=_bytes)
    except (ValueError, TypeError, cbor2.CBORError):  # no line of RMF writes such a value
        text = f"the bytes {encoded.hex()}"
    return clip(text, limits.AUDIT_VALUE_BYTES_MAX)


def _bytes(value: Any) -> str:
    return f"h'{value.hex()}'" if type(value) is bytes else "?"
