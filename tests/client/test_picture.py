"""The picture: deltas add up to the whole, and broken promises are found out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.client.picture import ClientPicture, HistoryChanged
from rmf.core.messages import DELTA, FULL, KEEPALIVE, Gap, Snapshot, WireCell
from rmf.errors import ProtocolFault

KEYS = st.sampled_from(["a", "b", "c/d", "c/e"])


def cell(key: str, value: int, tick: int) -> WireCell:
    return WireCell(key, bytes([value]), 1, tick, 0, "probe", 0, None)


def snapshot(
    kind: int,
    tick: int,
    cells: list[WireCell] | None = None,
    removed: list[list[str]] | None = None,
    *,
    more: bool = False,
    live: bool = True,
    skipped: int = 0,
) -> Snapshot:
    digest = tick.to_bytes(16, "big")
    return Snapshot(1, kind, more, 1, tick, tick, digest, live, skipped, cells or [], removed or [])


def started(tick: int = 5) -> ClientPicture:
    picture = ClientPicture()
    picture.take(snapshot(FULL, tick, [cell("a", 1, tick)]))
    return picture


def chunks_of(whole: Snapshot, size: int) -> list[Snapshot]:
    """The same Tick in chunks of `size` cells; what is removed comes with the last."""
    parts = [whole.cells[i : i + size] for i in range(0, len(whole.cells), size)] or [[]]
    chunks = [whole._replace(more=True, cells=part, removed=[]) for part in parts]
    chunks[-1] = chunks[-1]._replace(more=False, removed=whole.removed)
    return chunks


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.dictionaries(KEYS, st.none() | st.integers(0, 23)), min_size=1, max_size=8),
    st.integers(1, 3),
)
def test_deltas_add_up_to_the_full_picture(
    writes: list[dict[str, int | None]], chunk_cells: int
) -> None:
    picture = ClientPicture()
    world: dict[str, WireCell] = {}
    for tick, changes in enumerate(writes, 1):
        cells = [cell(key, value, tick) for key, value in changes.items() if value is not None]
        removed = [[key, "expired"] for key, value in changes.items() if value is None]
        world |= {c.key: c for c in cells}
        for key, _ in removed:
            world.pop(key, None)
        if tick == 1:
            whole = snapshot(FULL, tick, list(world.values()))
        else:
            whole = snapshot(DELTA, tick, cells, removed)
        *open_chunks, last = chunks_of(whole, chunk_cells)
        assert [picture.take(chunk) for chunk in open_chunks] == [None] * len(open_chunks)
        assert picture.take(last) == whole
        assert (picture.cells, picture.tick) == (world, tick)


def test_a_full_snapshot_replaces_the_picture() -> None:
    picture = started()
    picture.take(snapshot(FULL, 6, [cell("b", 2, 6)]))
    assert list(picture.cells) == ["b"]


def test_nothing_of_a_tick_shows_before_it_is_whole() -> None:
    picture = started()
    assert picture.take(snapshot(DELTA, 6, [cell("b", 2, 6)], more=True)) is None
    assert (list(picture.cells), picture.tick) == (["a"], 5)


def test_a_keepalive_dates_the_picture_and_leaves_it() -> None:
    picture = started()
    picture.take(snapshot(KEEPALIVE, 9, live=False))
    assert (list(picture.cells), picture.tick, picture.live) == (["a"], 9, False)


@pytest.mark.parametrize("kind", [FULL, DELTA])
@pytest.mark.parametrize("tick", [4, 5])
def test_ticks_only_rise(kind: int, tick: int) -> None:
    with pytest.raises(ProtocolFault, match="only rise"):
        started().take(snapshot(kind, tick))


def test_a_keepalive_of_the_past_is_a_fault() -> None:
    with pytest.raises(ProtocolFault, match="only rise"):
        started().take(snapshot(KEEPALIVE, 4))


@pytest.mark.parametrize(
    "chunk", [snapshot(DELTA, 7), snapshot(FULL, 6), snapshot(KEEPALIVE, 6)], ids=str
)
def test_a_tick_is_never_split_by_another(chunk: Snapshot) -> None:
    picture = started()
    picture.take(snapshot(DELTA, 6, [cell("b", 2, 6)], more=True))
    with pytest.raises(ProtocolFault, match="among those of tick 6"):
        picture.take(chunk)


def test_an_unknown_kind_is_a_fault() -> None:
    with pytest.raises(ProtocolFault, match="kind of 0 to 2"):
        ClientPicture().take(snapshot(3, 1))


def test_removed_holds_pairs() -> None:
    with pytest.raises(ProtocolFault, match="pairs"):
        ClientPicture().take(snapshot(FULL, 1, removed=[["key"]]))


def test_skipped_ticks_are_added_up_once_for_all_chunks() -> None:
    picture = started()
    for chunk in chunks_of(snapshot(DELTA, 9, [cell("b", 1, 9), cell("a", 1, 9)], skipped=3), 1):
        whole = picture.take(chunk)
    assert whole is not None
    assert (whole.skipped, picture.skipped_ticks) == (3, 3)


def test_a_picture_without_a_node_is_not_live() -> None:
    picture = started()
    picture.lost()
    assert (picture.live, list(picture.cells)) == (False, ["a"])


def test_a_resumed_picture_forgets_unfinished_chunks() -> None:
    picture = started()
    picture.take(snapshot(DELTA, 6, [cell("b", 2, 6)], more=True))
    picture.lost()
    picture.take(snapshot(DELTA, 6, [cell("c", 3, 6)]))
    assert list(picture.cells) == ["a", "c"]


def test_a_tick_that_was_shown_is_not_shown_again_after_resuming() -> None:
    picture = started()
    picture.lost()
    assert picture.take(snapshot(DELTA, 5, [cell("a", 7, 5)])) is None
    assert picture.cells["a"].value == b"\x01"


def test_a_full_snapshot_of_the_same_tick_is_taken_after_resuming() -> None:
    picture = started()
    picture.lost()
    assert picture.take(snapshot(FULL, 5, [cell("b", 2, 5)])) is not None
    assert list(picture.cells) == ["b"]


def test_an_older_full_snapshot_is_a_fault_even_after_resuming() -> None:
    picture = started()
    picture.lost()
    with pytest.raises(ProtocolFault, match="only rise"):
        picture.take(snapshot(FULL, 4))


def test_the_keepalive_of_a_lagging_node_never_turns_the_picture_back() -> None:
    picture = started()
    picture.lost()
    restated = picture.take(snapshot(KEEPALIVE, 3, live=False))
    assert restated is not None
    assert (restated.tick, restated.entry_index, restated.live) == (5, 5, False)
    assert (picture.tick, picture.live) == (5, False)


def test_once_resumed_the_rules_are_strict_again() -> None:
    picture = started()
    picture.lost()
    picture.take(snapshot(DELTA, 6))
    with pytest.raises(ProtocolFault, match="only rise"):
        picture.take(snapshot(DELTA, 6))


def test_a_gap_is_said_in_words_and_the_picture_incomplete_until_it_is_full_again() -> None:
    picture = started()
    assert "before 100 are no longer retained; shown up to tick 5" in picture.take_gap(Gap(1, 100))
    assert (picture.gaps, picture.complete) == (1, False)
    picture.take(snapshot(FULL, 100))
    assert picture.complete


def test_a_subscription_that_begins_with_deltas_is_not_complete() -> None:
    picture = ClientPicture()
    picture.take(snapshot(DELTA, 7, [cell("a", 1, 7)]))
    assert not picture.complete


# --- Another history ------------------------------------------------------------------------------


def stood(tick: int, index: int, digest: bytes, *, live: bool = True) -> Snapshot:
    """What a node says of where a display stood that resumes."""
    return Snapshot(1, KEEPALIVE, False, 1, tick, index, digest, live, 0, [], [])


def resumed(tick: int = 5) -> ClientPicture:
    picture = started(tick)
    picture.lost()
    return picture


def test_where_a_picture_stood_is_the_same_entry_in_the_same_history() -> None:
    picture = resumed()
    whole = picture.take(stood(5, 5, (5).to_bytes(16, "big")))
    assert whole is not None
    assert picture.take(snapshot(DELTA, 6, [cell("b", 2, 6)])) is not None
    assert list(picture.cells) == ["a", "b"]


@pytest.mark.parametrize(("index", "digest"), [(4, 5), (5, 6), (7, 5)])
def test_where_it_was_another_entry_the_history_is_another_one(index: int, digest: int) -> None:
    """P9: a factory was restored from an older copy, and went on."""
    with pytest.raises(HistoryChanged, match="another one"):
        resumed().take(stood(5, index, digest.to_bytes(16, "big")))


@pytest.mark.parametrize("kind", [FULL, DELTA, KEEPALIVE])
def test_entries_that_fall_while_ticks_rise_are_another_history(kind: int) -> None:
    for picture in (started(), resumed()):
        with pytest.raises(HistoryChanged, match="Entry 5 of tick 5 was shown"):
            picture.take(snapshot(kind, 9)._replace(entry_index=4))


def test_a_node_that_lags_says_so_and_the_picture_stays() -> None:
    picture = resumed()
    for _ in range(10):
        whole = picture.take(stood(5, 0, bytes(16), live=False))
        assert whole is not None
        assert (whole.tick, whole.entry_index, whole.live) == (5, 5, False)
    assert picture.index == 5


def test_a_node_that_is_live_and_never_had_what_was_shown_has_another_history() -> None:
    picture = resumed()
    for _ in range(limits.LACKING_KEEPALIVES_MAX - 1):
        picture.take(stood(5, 0, bytes(16)))
    picture.take(stood(5, 0, bytes(16), live=False))  # it lags after all
    for _ in range(limits.LACKING_KEEPALIVES_MAX - 1):
        picture.take(stood(5, 0, bytes(16)))
    with pytest.raises(HistoryChanged, match="has no tick 5"):
        picture.take(stood(5, 0, bytes(16)))


def test_the_keepalive_of_a_node_without_any_entry_is_no_bookmark() -> None:
    picture = ClientPicture()
    whole = picture.take(stood(0, 0, bytes(16), live=False))
    assert whole is not None
    assert picture.tick is None
    assert not picture.live
    full = picture.take(snapshot(FULL, 1, [cell("a", 1, 1)]))
    assert full is not None
    assert list(picture.cells) == ["a"]


def test_a_picture_knows_the_present_tick_as_the_node_said_it() -> None:
    picture = started()
    assert picture.now is None
    picture.take(snapshot(KEEPALIVE, 5)._replace(now=70_000))
    assert picture.now == 70_000
