"""How the two sides of a difference look, in JSON and to people (INTERFACES).

Foreign values and texts pass client/render, so that JSON can say
them and a terminal survives them. What is no value has a form that no value has:

    {"$unchanged": true}     the slot did not change the key
    {"$removed": true}       it removed the key
    {"$shelf": …}            the values are equal, their shelves are not: "inherited", "kept" or ms
    {"$on_expired": …}       whether the line listens to the expiry of the key
"""

import json
from typing import Any

from rmf.client.render import to_json
from rmf.core import profile
from rmf.core.outcome import Change
from rmf.errors import ProtocolFault
from rmf.line.slots_compared import Divergence

__all__ = ["both_written", "dumps", "readable", "sides_of", "value_of"]

# Of what is rendered already; ASCII, so that nothing in it is a terminal's command.
dumps = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def sides_of(found: Divergence) -> tuple[Any, Any]:
    """Return what the ledger has, and what the replay."""
    ledger, replay = found.ledger, found.replay
    if found.kind == "change":
        return both_written(ledger, replay)
    if found.kind == "expiry":
        return {"$on_expired": ledger}, {"$on_expired": replay}
    if found.kind == "digest":
        return ledger.hex(), replay.hex()
    return ledger, replay


def both_written(ledger: Change | None, replay: Change | None) -> tuple[Any, Any]:
    """Return what two changes of one key are; of equal values the shelves, which differ then."""
    if ledger is not None and replay is not None and ledger[2] == replay[2]:
        return {"$shelf": _shelf(ledger)}, {"$shelf": _shelf(replay)}
    return _written(ledger), _written(replay)


def _written(change: Change | None) -> Any:
    if change is None:
        return {"$unchanged": True}
    value = change[2]
    return {"$removed": True} if value is None else value_of(value)


def _shelf(change: Change) -> str | int:
    return {-1: "inherited", 0: "kept"}.get(change[3], change[3])


def value_of(encoded: bytes) -> Any:
    """Return an encoded value in terms of JSON."""
    try:
        return to_json(profile.decode_value(encoded))
    except ProtocolFault:  # no line of RMF writes such a value
        return {"$undecodable": to_json(encoded)["$bytes"]}


def readable(side: Any) -> str:
    """Return one side as human-readable text."""
    return json.dumps(side, ensure_ascii=False)
