"""storage/exchange: the old or the new, whole, wherever it was interrupted."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from rmf.errors import StorageError
from rmf.storage.swap_directories import (
    READY,
    announce,
    exchange,
    finish,
    is_unfinished,
    make_directory,
    take_place,
)
from tests.storage.crashes import crash_states
from tests.storage.ledger_kit import Ledger, ledger_in, overwrite

OLD = {"ledger/1": "old", "checkpoints/1": "old", "archive/1": "old"}
NEW = {"ledger/2": "new", "checkpoints/2": "new", "archive/2": "new"}


def put(path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        make_directory((path / name).parent)
        (path / name).write_text(text)


def found(path: Path, *parts: str) -> dict[str, str]:
    return {
        str(p.relative_to(path)): p.read_text()
        for part in parts or ("ledger", "checkpoints", "archive")
        for p in sorted((path / part).rglob("*"))
        if p.is_file()
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A directory with a ledger, and another one staged."""
    made = tmp_path / "data"
    put(made, OLD)
    put(made / "staged", NEW)
    put(made, {"identity.json": "mine", "vote": "n2"})
    return made


def test_the_staged_parts_live_and_the_others_are_kept(path: Path) -> None:
    put(path / "before", {"ledger/0": "of an earlier time"})
    exchange(path, "staged", "before")
    assert found(path) == NEW
    assert found(path / "before") == OLD
    assert not is_unfinished(path)
    assert not (path / "staged").exists()
    assert (path / "vote").read_text() == "n2"


def test_wherever_it_was_interrupted_it_is_the_old_or_is_finished_to_the_new(
    path: Path, tmp_path: Path
) -> None:
    """Raft-cases 46: renames, and crashes between them."""
    states = crash_states(path, tmp_path / "states", lambda: exchange(path, "staged", "before"))
    assert len(states) > 10
    seen = []
    for state in states:
        begun = is_unfinished(state)
        assert finish(state) == begun
        assert not is_unfinished(state)
        seen.append(found(state))
        assert found(state) in (OLD, NEW)
        if begun:
            assert found(state / "before") == OLD
    assert seen[0] == OLD
    assert seen == sorted(seen, key=lambda x: x == NEW)  # once it is new it stays new


def test_finishing_may_be_interrupted_as_well(path: Path, tmp_path: Path) -> None:
    states = crash_states(path, tmp_path / "first", lambda: exchange(path, "staged", "before"))
    unfinished = [x for x in states if is_unfinished(x)]
    assert unfinished
    for state in unfinished:
        again = crash_states(state, tmp_path / f"again-{state.name}", partial(finish, state))
        assert again
        for second in again:
            finish(second)
            assert (found(second), found(second / "before")) == (NEW, OLD)


def test_a_part_that_was_not_there_needs_no_place(path: Path) -> None:
    (path / "archive" / "1").unlink()
    (path / "archive").rmdir()
    exchange(path, "staged", "before")
    assert found(path) == NEW


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_file_that_cannot_say_what_is_exchanged_is_never_guessed(path: Path, text: str) -> None:
    (path / "exchange").write_text(text)
    with pytest.raises(StorageError, match="exchange is unreadable"):
        finish(path)
    assert found(path) == OLD


# --- A received Checkpoint ----------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_in(tmp_path / "n1") as made:
        make_directory(made.path / READY)
        put(made.path / READY, NEW)
        yield made


def comes(ledger: Ledger, index: int, chain: bytes) -> bool:
    announce(ledger.path, index, chain)
    took = take_place(ledger.path, ledger.cluster)
    assert not (ledger.path / READY).exists()
    assert (ledger.path / "ledger" / "2").exists() == took
    return took


def test_a_checkpoint_that_was_not_announced_takes_no_place(ledger: Ledger) -> None:
    assert not take_place(ledger.path, ledger.cluster)
    assert found(ledger.path / READY) == NEW


def test_a_ledger_that_ends_before_gives_way(ledger: Ledger) -> None:
    ledger.entries(b"1", b"2")
    assert comes(ledger, 3, b"chain of another")
    assert [p.name for p in (ledger.path / "before-install" / "ledger").iterdir()]
    assert not (ledger.path / "install").exists()


def test_a_ledger_that_has_got_there_meanwhile_stays(ledger: Ledger) -> None:
    ledger.entries(b"1", b"2", b"3")
    assert not comes(ledger, 2, ledger.drafts.chains[2])


def test_a_ledger_that_went_another_way_gives_way(ledger: Ledger) -> None:
    ledger.entries(b"1", b"2", b"3")
    assert comes(ledger, 2, b"chain of another")


def test_a_ledger_that_voided_what_is_not_the_checkpoints_stays(ledger: Ledger) -> None:
    ledger.entries(b"1", b"2", b"3")
    ledger.drafts.void_after(1)
    ledger.entries(b"2'")
    assert not comes(ledger, 2, ledger.drafts.chains[2])


def test_a_damaged_ledger_stays_for_it_may_have_held_more(ledger: Ledger) -> None:
    """Raft-cases 41: corrupt is unknown, never absent."""
    ledger.entries(b"one", b"two")
    ledger.entries(b"three")
    content = ledger.segments[0].read_bytes()
    overwrite(ledger.segments[0], content.index(b"two"), b"?")
    assert not comes(ledger, 9, b"chain of another")


def test_an_announcement_that_cannot_be_read_is_none(ledger: Ledger) -> None:
    ledger.entries(b"1")
    (ledger.path / READY / "ready").write_bytes(b"\xff")
    assert not take_place(ledger.path, ledger.cluster)
    assert not (ledger.path / READY).exists()
