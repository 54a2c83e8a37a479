"""CBOR that RMF wrote itself: Entries, pages, Checkpoints, frames that are sent.

By the compiled piece where the value is plain, as nearly all are; else by cbor2. The bytes and the
values are the same. What comes from others is read by `profile` and `line/payload`, which judge.
"""

from typing import Any

import cbor2

from rmf.native import plain_bytes, plain_values

__all__ = ["decoded", "encoded"]


def encoded(value: Any) -> bytes:
    """Return the CBOR of a value. Raises what cbor2 does for what it cannot say."""
    plain = plain_bytes(value)
    return cbor2.dumps(value) if plain is None else plain


def decoded(data: bytes) -> Any:
    """Return the value that was encoded. Raises what cbor2 does for what is none."""
    plain = plain_values([data])
    return cbor2.loads(data) if plain is None else plain[0]
