"""A delta may be large: it is found, put in order and encoded in steps (M2, R45)."""

from collections.abc import Iterator
from typing import Any

import cbor2

from rmf import limits
from rmf.core.delta import Delta
from rmf.core.effects import Publish
from rmf.core.feed import Feed
from rmf.core.world import Cell, World

COUNT = 5 * limits.FEED_SORT_KEYS


def behind(count: int = COUNT) -> Delta:
    """A display that is so many keys behind, some of which went."""
    cell = Cell(b"\0" * 100, 1, 1, 0, "p", 0, 0, 1)
    keys = [f"plant/{i % 97}/{i:06}" for i in range(count)]
    world = World.of(dict.fromkeys(keys[::2], cell))
    gone = dict.fromkeys(keys[1::2], "expired")
    feed = Feed()
    feed.publish(Publish(1, 1, 1, b"", True, world, frozenset(), {}))
    feed.publish(Publish(1, 2, 2, b"", True, world, frozenset(keys[::2]), gone))
    delta = feed.delta(feed.selector(("plant/#",)), 1)
    assert delta is not None
    return delta


def steps(work: Iterator[Any]) -> list[Any]:
    return list(work)


def test_it_is_put_in_order_in_steps() -> None:
    delta = behind()
    taken = steps(delta.gather())
    assert len(taken) > 2 * COUNT / limits.FEED_SORT_KEYS
    assert delta.keys == sorted(delta.keys)
    assert len(delta.keys) == COUNT


def test_it_is_encoded_in_steps_page_by_page() -> None:
    delta = behind()
    steps(delta.gather())
    told, found, pages = 0, [], 0
    while told < COUNT:
        work = steps(delta.piece(told))
        assert work[:-1] == [None] * (len(work) - 1)
        piece = work[-1]
        assert (piece.told - told) / len(work) <= limits.FEED_STEP_KEYS
        cells, removed = cbor2.loads(b"\x82" + piece.body)
        assert len(piece.body) <= limits.SNAPSHOT_CHUNK_BYTES + limits.FEED_STEP_BYTES
        found += [cell[0] for cell in cells] + [key for key, _ in removed]
        told, pages = piece.told, pages + 1
    assert sorted(found) == delta.keys
    assert pages > 1


def test_any_page_may_be_made_again() -> None:
    delta = behind()
    steps(delta.gather())
    first = steps(delta.piece(0))[-1]
    assert steps(delta.piece(0))[-1] == first
    assert steps(delta.piece(first.told))[-1] == steps(delta.piece(first.told))[-1]


def test_nothing_is_done_before_a_reader_asks_for_it() -> None:
    delta = behind()
    assert (delta.keys, delta.ticks) == ([], 0)
