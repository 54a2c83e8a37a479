"""CBOR diagnostic notation (RFC 8949 §8, RFC 8610 appendix G) of decoded values.

It decides how a value looks, on one line, and never fails: embedded CBOR is shown as `<<…>>` where
it can be read and as bytes where it can't. It knows CBOR and nothing of RMF's messages.
"""

import json
import math
from functools import partial
from typing import Any, NamedTuple

from rmf.core import profile
from rmf.errors import ProtocolFault

__all__ = ["Embedded", "diagnostic"]


class Embedded(NamedTuple):
    """Bytes that are to be shown as the CBOR item they hold."""

    data: bytes


def diagnostic(value: Any, *, ascii_only: bool = True) -> str:
    """Return the diagnostic notation of a value; what is no CBOR value appears by its type."""
    show = partial(diagnostic, ascii_only=ascii_only)
    kind = type(value)
    if kind is Embedded:
        return _embedded(value.data)
    if value is None or kind is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if kind is int:
        return hex(value) if value.bit_length() > 2048 else str(value)
    if kind is float:
        return _float(value)
    if kind is str:
        return json.dumps(value, ensure_ascii=ascii_only)
    if kind is bytes:
        return f"h'{value.hex()}'"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(show, value))}]"
    if kind is dict:
        pairs = (f"{show(key)}: {show(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return f"/{kind.__name__}/"


def _embedded(data: bytes) -> str:
    try:
        return f"<<{diagnostic(profile.decode_value(data))}>>"
    except ProtocolFault:
        return diagnostic(data)


def _float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)
