"""The values of single settings: from text to what the node takes, or "expected …" (ValueError).

One function a setting whose values are not just an address, a name or a count (these stand in
notation). It knows neither files nor the environment, and no setting's name.
"""

from collections.abc import Callable
from pathlib import Path

from rmf import limits, notation

__all__ = [
    "data",
    "depth",
    "handler_memory",
    "handler_time",
    "http",
    "line",
    "one_of",
    "tick",
]


def data(text: str) -> Path:
    """Return the path of a directory."""
    if not text or "\0" in text:
        raise ValueError("the path of a directory")
    try:
        return Path(text).expanduser()
    except RuntimeError as exc:
        raise ValueError(f"a path: {exc}") from exc


def http(text: str) -> notation.Address | None:
    """Return an address, or None for off."""
    if text == "off":
        return None
    try:
        return notation.parse_listen_address(text)
    except ValueError as exc:
        raise ValueError(f"off or {exc}") from None


def line(text: str) -> str | None:
    """Return where a line is found, None for the built-in one."""
    if text == "board":
        return None
    where, colon, name = text.rpartition(":")
    if not colon or not where or "\0" in where or not name.isidentifier():
        raise ValueError("board, FILE.py:NAME or package.module:NAME")
    return text


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that takes one of these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{', '.join(words[:-1])} or {words[-1]}")
        return text

    return parse


def tick(text: str) -> int:
    """Return the period of a tick in ns."""
    return _duration_ns(text, limits.TICK_PERIOD_NS_MIN, limits.TICK_PERIOD_NS_MAX)


def handler_time(text: str) -> int:
    """Return the budget of a packet in ns."""
    return _duration_ns(text, limits.HANDLER_NS_MIN, limits.HANDLER_NS_MAX)


def _duration_ns(text: str, low_ns: int, high_ns: int) -> int:
    value_ns = notation.parse_duration_ns(text)
    if not low_ns <= value_ns <= high_ns:
        low, high = notation.duration_text(low_ns), notation.duration_text(high_ns)
        raise ValueError(f"a duration from {low} to {high}")
    return value_ns


def handler_memory(text: str) -> int:
    """Return a number of bytes."""
    low, high = limits.BOX_MEMORY_BYTES_MIN, limits.BOX_MEMORY_BYTES_MAX
    size = notation.parse_size(text)
    if not low <= size <= high:
        raise ValueError(f"a size from {notation.size_text(low)} to {notation.size_text(high)}")
    return size


def depth(text: str) -> int:
    """Return a number of packets."""
    depth = notation.parse_count(text)
    if depth > limits.INGEST_DEPTH_PACKETS_MAX:
        raise ValueError(f"a number of packets from 1 to {limits.INGEST_DEPTH_PACKETS_MAX}")
    return depth
