"""The one compiled piece, and what stands in for it: which of them runs is chosen here, at import.

`plain_rows` opens the frames that nearly all are: SEND, every packet well. What it gives is what
Python would have found; where it says None, Python looks (`core/codec`, `core/intake`), judges, and
has the words. So the twin of the compiled piece is that code, and its stand-in always says None.

It is taken only if it was made from the very source that lies beside it: an installation that was
built without a compiler, an interpreter that cannot load it, and a source that was changed since
(`python -m tools.native_build` builds it again) all run in Python. RMF_PURE=1 asks for that.
"""

import os
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any

from rmf import limits

__all__ = ["COMPILED", "SOURCE", "plain_rows", "stamp_of"]

SOURCE = Path(__file__).with_name("rows.c")


def stamp_of(source: bytes) -> str:
    """Return what names a source within what was built from it."""
    return blake2b(source, digest_size=16).hexdigest()


def _compiled() -> Any | None:
    if os.environ.get("RMF_PURE", "0") not in {"", "0"}:
        return None
    try:
        found = import_module("rmf.native._rows")
        return found if stamp_of(SOURCE.read_bytes()) == found.STAMP else None
    except (ImportError, OSError):
        return None


_ROWS = _compiled()

COMPILED = _ROWS is not None  # whether the compiled piece is what runs


def _no_rows(_frame: bytes) -> None:
    return None


# Called with a SEND frame, without its length: the packets as the lists that `core/packet` calls
# rows, or None. What has rows is within the profile, its limit of items included: seven a packet.
plain_rows: Callable[[bytes], list[list[Any]] | None] = (
    _no_rows
    if _ROWS is None
    else partial(
        _ROWS.send_rows,
        limits.FRAME_PACKETS_MAX,
        limits.TOPIC_BYTES_MAX,
        limits.PAYLOAD_BYTES_MAX,
        limits.TTL_MS_MAX,
    )
)
