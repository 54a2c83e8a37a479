"""Human-readable text on a pipe: aligned columns, and foreign text made harmless.

Text in, text out; it knows nothing of what the rows mean.
"""

from collections.abc import Sequence

__all__ = ["aligned", "clipped", "printable"]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return each row as one line, its fields in columns; the first row may be the headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def clipped(text: str, width_max: int) -> str:
    """Return text of at most so many characters, with a sign where something is missing."""
    return text if len(text) <= width_max else text[: width_max - 1] + "…"


def printable(text: str) -> str:
    """Return text without what a terminal would obey: keys and values come from any producer."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
