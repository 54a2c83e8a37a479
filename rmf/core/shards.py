"""A dict in many small parts, so that it never grows in one piece (R45).

A dict that has to grow copies all of itself: with a million keys that is a step of 90 ms. Here a
part grows, by and by each of them.
"""

from collections.abc import Iterator

__all__ = ["Shards"]

_PARTS = 256


class Shards:
    """Numbers by key."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[dict[str, int]] = [{} for _ in range(_PARTS)]

    def part_of(self, key: str) -> dict[str, int]:
        """Return the part that has this key, or would have it."""
        return self._parts[hash(key) % _PARTS]

    def get(self, key: str) -> int | None:
        """Return the number of a key, or None."""
        return self._parts[hash(key) % _PARTS].get(key)

    def pop(self, key: str) -> int | None:
        """Take a key out; return its number, or None."""
        return self._parts[hash(key) % _PARTS].pop(key, None)

    def __getitem__(self, key: str) -> int:
        return self._parts[hash(key) % _PARTS][key]

    def __setitem__(self, key: str, number: int) -> None:
        self._parts[hash(key) % _PARTS][key] = number

    def __delitem__(self, key: str) -> None:
        del self._parts[hash(key) % _PARTS][key]

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __bool__(self) -> bool:
        return any(self._parts)

    def __iter__(self) -> Iterator[str]:
        for part in self._parts:
            yield from part
