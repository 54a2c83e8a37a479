"""Foreign values as JSON: every value that CBOR can say, and more, has a rendering here.

It decides how the tools show what JSON has no word for, and knows nothing of messages, letters or
cells. No trio and no attrs: `rmf-cat` and `rmf-dlq` import it at their start (DESIGN §16).

Theory. Whatever JSON lacks becomes an object with one key that starts with `$`:

    {"$bytes": "base64"}      a byte string (INTERFACES)
    {"$float": "nan"}         nan, inf or -inf
    {"$map": [[key, value]]}  a map with a key that is no text, or one that looks like an object
                              of this list; so no two different values look the same
    {"$text": "base64"}       text that is not Unicode (lone surrogates), as WTF-8
    {"$int": "0x…"}           an integer of more digits than Python turns into decimals
    {"$deep": true}           nested deeper than anything that RMF decodes
    {"$other": "type"}        a Python object that stands for no value of RMF: a tag, a simple value

Integers beyond 2^53 stay integers: JSON has no bound, and a silent float would lie. Rendering is
total (it never raises) and never calls str, repr or eq on a foreign object.
"""

import base64
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from rmf import limits

__all__ = ["json_block", "json_line", "to_json"]

# Nothing that RMF decodes is deeper than FRAME_DEPTH_MAX; twice that leaves room for what wraps it
# and keeps the recursion of this file and of the JSON encoder far from Python's own bound.
_DEPTH_MAX = 2 * limits.FRAME_DEPTH_MAX


def to_json(value: Any) -> Any:
    """Return `value` in terms of JSON (dict with text keys, list, str, int, float, bool, None)."""
    return _render(value, _DEPTH_MAX)


def json_line(value: Any) -> str:
    """Return `value` as one line of JSON, without the line's end; non-ASCII text stays readable."""
    return _safe(json.dumps(to_json(value), separators=(",", ":"), **_JSON))


def json_block(value: Any) -> str:
    """Return `value` as human-readable JSON over several lines."""
    return _safe(json.dumps(to_json(value), indent=2, **_JSON))


_JSON: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False}
# What JSON lets stand, but terminals obey (C1 controls), or some readers take for a line's end, or
# turns the direction of what follows. Such characters stand in strings only: escapes say the same.
_UNSAFE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def _safe(text: str) -> str:
    return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _render(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return value if _is_unicode(value) else {"$text": _wtf8(value)}
    if kind is int:
        return value if value.bit_length() <= limits.JSON_INTEGER_BITS_MAX else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if value is None or kind is bool:
        return value
    if kind is bytes or kind is bytearray:
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if depth == 0:
        return {"$deep": True}
    if kind is list or kind is tuple:
        return [_render(item, depth - 1) for item in value]
    if kind is dict or issubclass(kind, Mapping):
        return _map(value, depth - 1)
    return {"$other": kind.__name__}


def _map(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    if _reads_as_object(value):
        return {key: _render(item, depth) for key, item in value.items()}
    return {"$map": [[_render(key, depth), _render(item, depth)] for key, item in value.items()]}


def _reads_as_object(value: Mapping[Any, Any]) -> bool:
    if not all(type(key) is str and _is_unicode(key) for key in value):
        return False
    return len(value) != 1 or not next(iter(value)).startswith("$")


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wtf8(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")
