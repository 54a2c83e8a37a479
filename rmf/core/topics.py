"""Topics, keys and filters: MQTT's rules (MQTT 5 §4.7), for packets, handlers and subscriptions.

A topic is 1 to 1,024 bytes of UTF-8 in levels parted by `/`, without `+`, `#` and control
characters. In a filter `+` stands for one whole level, and `#`, only as the last level, for all
that follows, the level before it included (`a/#` matches `a`). Pure functions over text.
"""

import re
from collections.abc import Callable, Sequence

from rmf import limits

__all__ = ["all_plainly_valid", "filter_fault", "matcher", "overlap", "topic_fault"]

_FORBIDDEN = re.compile(r"[+#\x00-\x1f\x7f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def topic_fault(topic: str) -> str | None:
    """Return what is wrong with a topic, or None. Lone surrogates cannot come from the wire."""
    if not topic:
        return "topic: expected at least one character, found none"
    size = len(topic.encode("utf-8", "surrogatepass"))
    if size > limits.TOPIC_BYTES_MAX:
        return f"topic: {size} bytes, at most {limits.TOPIC_BYTES_MAX} are taken"
    found = _FORBIDDEN.search(topic)
    if found is not None:
        return f"topic: {found.group()!r} at character {found.start()} is not allowed in a topic"
    return None


def all_plainly_valid(names: Sequence[str]) -> bool:
    """Return True if all these topics are valid; False means only: look at each of them."""
    sizes = set(map(len, names))
    if min(sizes) == 0 or max(sizes) > limits.TOPIC_BYTES_MAX // 4:
        return False
    return _FORBIDDEN.search("".join(names)) is None


def filter_fault(pattern: str) -> str | None:
    """Return what is wrong with a topic filter, or None."""
    if not pattern or len(pattern.encode("utf-8", "surrogatepass")) > limits.TOPIC_BYTES_MAX:
        return f"filter: expected 1 to {limits.TOPIC_BYTES_MAX} bytes"
    if _CONTROL.search(pattern):
        return "filter: control characters are not allowed"
    levels = pattern.split("/")
    for i, level in enumerate(levels):
        if "+" in level and level != "+":
            return f"filter {pattern!r}: '+' must stand alone in its level"
        if "#" in level and (level != "#" or i != len(levels) - 1):
            return f"filter {pattern!r}: '#' must stand alone in the last level"
    return None


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that says whether a topic or key matches the filter."""
    if pattern == "#":
        return lambda _: True
    if "+" not in pattern and "#" not in pattern:
        return pattern.__eq__
    levels = pattern.split("/")
    tail = ""
    if levels[-1] == "#":
        levels.pop()
        tail = r"(?:/.*)?"
    body = "/".join("[^/]*" if level == "+" else re.escape(level) for level in levels)
    compiled = re.compile(body + tail, re.DOTALL)
    return lambda topic: compiled.fullmatch(topic) is not None


def overlap(left: str, right: str) -> bool:
    """Return True if some topic matches both filters (R22 refuses that in one line)."""
    return _overlap(left.split("/"), right.split("/"))


def _overlap(left: list[str], right: list[str]) -> bool:
    for a, b in zip(left, right, strict=False):
        if "#" in {a, b}:
            return True
        if a != b and "+" not in {a, b}:
            return False
    if len(left) == len(right):
        return True
    longer = left if len(left) > len(right) else right
    rest = longer[min(len(left), len(right)) :]
    return rest == ["#"]
