"""tools/replay_output: differences that no ledger of a sound node leads to, and foreign texts."""

import json
from typing import Any

import pytest

from rmf.core.shelf import Shelf
from rmf.core.state import genesis_state
from rmf.core.world import World
from rmf.line.replay import Replay
from rmf.line.slots_compared import Divergence
from rmf.storage.archive import Start
from rmf.storage.restore import Restored
from rmf.storage.segments import GENESIS
from tests.line.bench import cell
from tools.replay_output import Result, json_of, summary_of, world_lines

NO_CBOR = b"\xff"


def result(found: Divergence | None) -> Result:
    state = genesis_state(bytes(16))
    restored = Restored(Start(GENESIS, None), state, Shelf(), {})
    return Result(Replay(state, Shelf(), None), found, None, restored, 0.5)


def differing(kind: Any, key: str | None, ledger: Any, replay: Any) -> Result:
    slot = None if kind == "digest" else 2
    return result(
        Divergence(kind=kind, term=1, tick=9, slot=slot, key=key, ledger=ledger, replay=replay)
    )


def test_another_digest_has_no_slot_and_is_shown_as_hex() -> None:
    shown = differing("digest", None, bytes(16), bytes([255] * 16))
    assert json.loads(json_of(shown))["divergence"] == {
        "term": 1,
        "tick": 9,
        "slot": None,
        "key": None,
        "ledger": "00" * 16,
        "replay": "ff" * 16,
        "kind": "digest",
        "packet": None,
        "error": None,
    }
    assert summary_of(shown).startswith("different at term 1, tick 9: another digest\n")


def test_what_no_line_can_write_is_shown_all_the_same() -> None:
    shown = differing("change", "k", (2, "k", NO_CBOR, -1), (2, "k", b"\x01", -1))
    assert json.loads(json_of(shown))["divergence"]["ledger"] == {"$undecodable": "/w=="}


@pytest.mark.parametrize("key", ["a\x1b[2J", "a\nb", "a\u202eb"])
def test_a_key_moves_no_cursor(key: str) -> None:
    shown = differing("change", key, None, (2, key, b"\x01", -1))
    assert summary_of(shown).splitlines()[0].isprintable()
    assert json_of(shown).isprintable()
    assert json.loads(json_of(shown))["divergence"]["key"] == key


def test_text_of_people_stays_readable_for_people() -> None:
    shown = differing("change", "温室", None, (2, "温室", b"\x63\xe6\x98\xa5", -1))
    assert summary_of(shown).splitlines()[:3] == [
        "different at term 1, tick 9, slot 2, key 温室",
        '  ledger   {"$unchanged": true}',
        '  replay   "春"',
    ]


def test_a_ledger_without_entries_has_no_ticks_and_no_line() -> None:
    facts = json.loads(json_of(result(None)))
    assert (facts["identical"], facts["entries"], facts["packets_per_s"]) == (True, 0, 0)
    assert facts["first_tick"] is facts["last_tick"] is facts["ledger_line"] is None


def test_cells_come_in_key_order_and_say_null_for_never() -> None:
    world = World.of({key: cell(key, key=key) for key in ("b", "a", "aa")})
    cells = [json.loads(line) for line in world_lines(world)]
    assert [one["key"] for one in cells] == ["a", "aa", "b"]
    assert cells[0]["expires"] is None
    assert "mark" not in cells[0]
