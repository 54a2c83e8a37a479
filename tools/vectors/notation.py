"""Human-readable CBOR: diagnostic notation (RFC 8949 §8) and annotated hex, of well-formed items.

It decides how frames look in `protocol/`, and knows CBOR, not messages.
"""

from typing import Any

from rmf.core.cbor_heads import head_at
from tools.diagnostic import diagnostic

__all__ = ["annotated", "diag"]

_LINE_BYTES = 16  # of hex on a line


def diag(value: Any) -> str:
    """Return a decoded value in diagnostic notation, on one line, as people read it: text in its
    own letters."""
    return diagnostic(value, ascii_only=False)


def annotated(data: bytes) -> list[str]:
    """Return one line for each head of an item, indented by depth: bytes, then what they say."""
    lines, end = _item(data, 0, "")
    assert end == len(data)
    return lines


def _item(data: bytes, at: int, indent: str) -> tuple[list[str], int]:
    """Return the lines of the item at `at`, and the offset behind it."""
    major, argument, behind = head_at(data, at)
    if major in {2, 3}:
        end = behind + argument
        return _string(data[at:behind], data[behind:end], indent, is_text=major == 3), end
    if major not in _WORDS:
        return [_line(indent, data[at:behind], _scalar(major, argument))], behind
    lines = [_line(indent, data[at:behind], _WORDS[major].format(argument))]
    for _ in range(argument * (major - 3)):
        inner, behind = _item(data, behind, indent + "  ")
        lines += inner
    return lines, behind


def _string(head: bytes, body: bytes, indent: str, *, is_text: bool) -> list[str]:
    """Return the lines of a string: one where it is short, else the head's and the body's."""
    said = diag(body.decode()) if is_text else diag(body)
    if len(head + body) <= _LINE_BYTES:
        return [_line(indent, head + body, said)]
    parts = [body[i : i + _LINE_BYTES] for i in range(0, len(body), _LINE_BYTES)]
    return [_line(indent, head, said), *[_line(indent + "  ", part, "") for part in parts]]


_WORDS = {4: "array of {}", 5: "map of {}"}


def _line(indent: str, data: bytes, said: str) -> str:
    return f"{indent + data.hex(' '):<58}{'# ' if said else ''}{said}".rstrip()


def _scalar(major: int, argument: int) -> str:
    if major == 7:
        return {20: "false", 21: "true", 22: "null"}.get(argument, "float")
    return str(argument if major == 0 else -1 - argument)
