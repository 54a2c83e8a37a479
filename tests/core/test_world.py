"""The World: versions that never change, one order of keys, a digest that is kept incrementally."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.world import Cell, KeyIndex, World, mark_of
from tests import strategies as own

STEPS = st.lists(
    st.tuples(st.sampled_from("abcdé\U0001f600"), st.none() | st.integers(0, 9)), max_size=12
)


def cell_of(key: str, value: int, *, expires: int = 0) -> Cell:
    raw = bytes([value])
    return Cell(raw, 1, 2, 0, "p", 3, expires, mark_of(key, raw, 1, 2, 0, "p", 3, expires))


def write(world: World, key: str, value: int | None) -> World:
    """The next version, written as core/state does."""
    draft = world.draft()
    if value is None:
        draft.remove(key)
    else:
        old, cell = draft.get(key), cell_of(key, value)
        if old is None:
            draft.note_new(key)
        draft.total += cell.mark - (old.mark if old is not None else 0)
        draft.cells[key] = cell
    return draft.done()


@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_every_version_stays_what_it_was(steps: list[tuple[str, int | None]]) -> None:
    """R3: worlds are values; what runs ahead can be dropped."""
    world, model = World.empty(), dict[str, int]()
    history: list[tuple[World, dict[str, int]]] = []
    for key, value in steps:
        world = write(world, key, value)
        model = {k: v for k, v in model.items() if k != key}
        if value is not None:
            model[key] = value
        history.append((world, model))
    for version, expected in history:
        assert [(k, c.value[0]) for k, c in version.scan()] == sorted(expected.items())
        assert len(version) == len(expected)


@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_the_digest_kept_incrementally_is_that_of_the_cells(
    steps: list[tuple[str, int | None]],
) -> None:
    """R26."""
    world = World.empty()
    for key, value in steps:
        world = write(world, key, value)
    assert world.total == World.of(dict(world.cells.items())).total


@settings(deadline=None, max_examples=40)
@given(own.worlds(), st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_writing(
    cells: dict[str, Cell], random: Any
) -> None:
    items = list(cells.items())
    random.shuffle(items)
    assert World.of(dict(items)).total == World.of(cells).total


def test_the_digest_tells_apart_whatever_a_cell_says() -> None:
    """R26: key, value, Stamp, maker, harvest and expiry are all in it."""
    base: list[Any] = ["key", b"v", 1, 2, 3, "p", 4, 5]
    others: list[Any] = ["kez", b"w", 2, 3, 4, "q", 5, 6]
    marks = {mark_of(*base)}
    for i, other in enumerate(others):
        marks.add(mark_of(*[*base[:i], other, *base[i + 1 :]]))
    assert len(marks) == 9


def test_the_digest_knows_where_a_key_ends_and_a_name_begins() -> None:
    def mark(key: str, value: bytes, producer: str) -> int:
        return mark_of(key, value, 1, 2, 3, producer, 0, 0)

    assert mark("ab", b"v", "c") != mark("a", b"v", "bc")
    assert mark("a", b"v", "c") != mark("a", b"", "cv")


def test_removing_what_is_not_there_says_so() -> None:
    draft = write(World.empty(), "a", 1).draft()
    assert draft.remove("b") is False
    assert draft.remove("a") is True
    assert draft.done().total == 0


@settings(deadline=None, max_examples=40)
@given(own.worlds(), st.sampled_from(["", "a", "a/", "b", "é"]))
def test_a_scan_gives_what_starts_with_the_prefix_in_key_order(
    cells: dict[str, Cell], prefix: str
) -> None:
    """R22: never in hash order. Code points sort as their UTF-8 does."""
    found = [key for key, _ in World.of(cells).scan(prefix)]
    assert found == sorted((k for k in cells if k.startswith(prefix)), key=str.encode)


@settings(deadline=None, max_examples=40)
@given(own.worlds(), st.sampled_from(["", "a", "a/", "b"]), st.text("ab/é", max_size=3))
def test_a_scan_goes_on_behind_a_key(cells: dict[str, Cell], prefix: str, after: str) -> None:
    """Whether that key is there or not, and wherever it stands."""
    found = [key for key, _ in World.of(cells).scan(prefix, after)]
    keys = [key for key in cells if key.startswith(prefix) and key > after]
    assert found == sorted(keys, key=str.encode)


def test_the_index_forgets_a_key_only_when_nothing_is_pinned() -> None:
    """A Checkpoint that walks must find every key of its version."""
    index = KeyIndex()
    index.add_all(["a", "b", "c"])
    one, two = index.pin(), index.pin()
    index.discard("b")
    index.unpin(two)
    assert list(index.walk()) == ["a", "b", "c"]
    index.unpin(one)
    assert list(index.walk()) == ["a", "c"]
    index.discard("a")
    assert len(index) == 1


def test_a_key_that_comes_back_while_pinned_stays() -> None:
    index = KeyIndex()
    index.add("a")
    pin = index.pin()
    index.discard("a")
    index.add("a")
    index.unpin(pin)
    assert list(index.walk()) == ["a"]


def test_what_the_index_never_had_leaves_no_trace_when_it_is_discarded() -> None:
    """A Tick wrote and removed it; a later one writes it, and what is noted then is there."""
    index = KeyIndex()
    index.add("other")
    pin = index.pin()
    index.discard("k")
    index.add("k")
    index.unpin(pin)
    while index.tidy(1):
        pass
    assert list(index.walk()) == ["k", "other"]


def test_a_pin_does_not_hold_what_was_discarded_before_it() -> None:
    """Audits overlap for hours on a busy node: what they hold must not grow with that."""
    index = KeyIndex()
    index.add_all(["a", "b", "c", "d"])
    one = index.pin()
    index.discard("a")
    index.discard("b")
    two = index.pin()
    index.discard("c")
    index.discard("b")  # once more: from now on the newer pin holds it, too
    index.unpin(one)
    assert list(index.walk()) == ["b", "c", "d"]
    index.unpin(two)
    assert list(index.walk()) == ["d"]


def test_keys_that_are_put_off_are_in_order_afterwards() -> None:
    """What a ledger brings back is put in order at its end."""
    index = KeyIndex()
    index.add_all(["b", "d", "g"])
    index.put_off()
    for key in ("c", "a", "d", "f"):
        index.add(key)
    for key in ("c", "d", "g"):
        index.discard(key)
    index.add("d")
    index.put_in_order()
    assert list(index.walk()) == ["a", "b", "d", "f"]


def test_what_went_while_the_index_was_pinned_is_taken_out_in_slices() -> None:
    """H1, R45: the end of a Checkpoint must not cost what went during it, all in one piece."""
    count = 20 * limits.INDEX_SLICE_KEYS
    index = KeyIndex()
    index.add_all([f"{i:05}" for i in range(2 * count)])
    pin = index.pin()
    for i in range(count):
        index.discard(f"{i:05}")
    index.unpin(pin)
    assert len(index) == 2 * count - limits.INDEX_SLICE_KEYS
    index.add("00700")  # it is back, and is not taken out any more
    assert index.tidy(100)
    assert len(index) == 2 * count - limits.INDEX_SLICE_KEYS - 100
    for i in range(count, 2 * count):  # whatever goes now takes one of the others with it
        index.discard(f"{i:05}")
    assert list(index.walk()) == ["00700"]


def test_an_index_says_whether_there_is_more_that_can_be_taken_out() -> None:
    """Whoever tidies it goes on until then, and no longer: what is held has to wait."""
    index = KeyIndex()
    index.add_all(["a", "b", "c", "d"])
    one = index.pin()
    index.discard("a")
    index.discard("b")
    two = index.pin()
    index.discard("c")
    assert not index.tidy(9)
    index.share(two)
    index.unpin(one)  # takes a slice, which is all that is free
    assert (index.tidy(9), index.is_tidy, list(index.walk())) == (False, False, ["c", "d"])
    index.discard("d")
    index.unpin(two)
    assert not index.tidy(9)
    index.unpin(two)
    assert (index.tidy(9), index.is_tidy, len(index)) == (False, True, 0)


def test_a_world_apart_tells_the_others_nothing_of_its_keys() -> None:
    world = write(write(World.empty(), "b", 1), "d", 1)
    apart = write(write(write(world.apart(), "a", 2), "c", 2), "d", 2)
    assert [key for key, _ in apart.scan()] == ["a", "b", "c", "d"]
    assert [key for key, _ in apart.scan("c")] == ["c"]
    assert list(world.index.walk()) == ["b", "d"]
    assert list(apart.index.walk("b", after=True)) == ["c", "d"]


def test_a_walk_begins_at_a_key_or_after_it() -> None:
    index = KeyIndex()
    index.add_all(["a", "b", "c"])
    assert list(index.walk("b")) == ["b", "c"]
    assert list(index.walk("b", after=True)) == ["c"]
    assert list(index.walk("bb")) == ["c"]


def test_a_pin_that_is_shared_holds_until_all_who_share_it_have_let_go() -> None:
    """A new one would not hold what went before it was made."""
    index = KeyIndex()
    index.add("a")
    pin = index.pin()
    index.discard("a")
    index.share(pin)
    later = index.pin()
    index.unpin(pin)
    assert "a" in index
    index.unpin(pin)
    assert "a" not in index
    index.unpin(later)
