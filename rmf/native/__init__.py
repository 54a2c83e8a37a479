"""The one compiled piece, and what stands in for it: which of them runs is chosen here, at import.

It does what is plain, for what nearly all packets and values are:

    plain_rows     a SEND frame (without its length), all packets well: the lists of `core/packet`
    plain_bytes    a value of None, numbers, text, bytes, lists and dicts, however deep a cell may
                   hold them: its CBOR
    plain_values   a list of such items in CBOR, each with shortest heads: their values
    plain_frame    the same for a list of one frame, which may have so many items

What it gives is what Python would have given; where it says None, Python looks, judges, and has the
words. So the twin of the compiled piece is that code, and its stand-in always says None. Some of it
does all there is to do, and has a twin in core/cell_writes or line/changes; None: there is only the
twin.

    stores_packet  whether a handler's result is that the packet stands as it came under its topic
    last_stored    of packets that are stored as they came, the last one of each topic
    write_cells    the changes of a frame into a draft of the World

It is taken only if it was made from the very sources that lie beside it: an installation that was
built without a compiler, an interpreter that cannot load it, and a source that was changed since
(`python -m tools.native_build` builds it again) all run in Python. RMF_PURE=1 asks for that.
"""

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any
from zlib import crc32

from rmf import limits

__all__ = [
    "COMPILED",
    "FOLDER",
    "last_stored",
    "plain_bytes",
    "plain_frame",
    "plain_rows",
    "plain_values",
    "pure_is_asked_for",
    "sources",
    "stamp",
    "stores_packet",
    "write_cells",
]

FOLDER = os.path.dirname(__file__)  # noqa: PTH120 every client imports this; pathlib is slow to


def pure_is_asked_for() -> bool:
    """Whether the environment wants Python alone."""
    return os.environ.get("RMF_PURE", "0") not in {"", "0"}


def sources() -> list[str]:
    """Return the paths of the sources, in C, in order. Raises OSError."""
    names = sorted(name for name in os.listdir(FOLDER) if name.endswith((".c", ".h")))  # noqa: PTH208
    return [f"{FOLDER}/{name}" for name in names]


def stamp() -> str:
    """Return what names the sources, within what was built from them. Raises OSError."""
    crc = size = 0
    for path in sources():
        with open(path, "rb") as source:  # noqa: PTH123
            data = source.read()
        crc, size = crc32(data, crc), size + len(data)
    return f"{size}-{crc:08x}"


def _compiled() -> Any | None:
    if pure_is_asked_for():
        return None
    try:
        found = import_module("rmf.native._compiled")
        return found if stamp() == found.STAMP else None
    except (ImportError, OSError):
        return None


_FOUND = _compiled()

COMPILED = _FOUND is not None  # whether the compiled piece is what runs

plain_rows: Callable[[bytes], list[list[Any]] | None] = lambda _: None  # noqa: E731 stand-ins
plain_bytes: Callable[[Any], bytes | None] = lambda _: None  # noqa: E731
plain_values: Callable[[list[bytes]], list[Any] | None] = lambda _: None  # noqa: E731
plain_frame: Callable[[int, list[bytes]], list[Any] | None] = lambda *_: None  # noqa: E731
stores_packet: Callable[[dict[str, bytes], list[Any], Any], bool] | None = None
last_stored: Callable[[list[Any], int, list[list[int]]], list[Any]] | None = None
write_cells: Callable[..., tuple[int, int]] | None = None

if _FOUND is not None:
    # What has rows is within the profile, its limit of items included: seven a packet.
    plain_rows = partial(
        _FOUND.rows,
        limits.FRAME_PACKETS_MAX,
        limits.TOPIC_BYTES_MAX,
        limits.PAYLOAD_BYTES_MAX,
        limits.TTL_MS_MAX,
    )
    plain_bytes = partial(_FOUND.dump, limits.VALUE_DEPTH_MAX, limits.VALUE_BYTES_MAX)
    plain_values = partial(_FOUND.load, limits.VALUE_DEPTH_MAX, 2**63)
    plain_frame = partial(_FOUND.load, limits.FRAME_DEPTH_MAX)
    stores_packet = partial(_FOUND.stored, limits.VALUE_DEPTH_MAX, limits.VALUE_BYTES_MAX)
    last_stored = _FOUND.last
    write_cells = _FOUND.cells
