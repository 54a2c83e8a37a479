"""rmf-replay as a what-if: what it prints, how it exits, and when it is one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import shop
from tests.driven_node import DrivenNode
from tests.tools.again import Run, mended, node, spec
from tools.replay_values import both_written
from tools.rmf_replay import main
from tools.what_if_output import FAIL_ON

__all__ = ["mended", "node", "spec"]


@pytest.fixture
def replay(node: DrivenNode, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def run(*argv: str) -> Run:
        return Run(main([str(node.path), *argv]), *capsys.readouterr())

    return run


@pytest.fixture
def other(tmp_path: Path) -> str:
    """Version 2: takes any item to be in stock, and fails at what expired for another reason."""
    parts = {"lost": "raise ValueError(cell.value)"}
    return shop.shop_file(tmp_path / "other.py", mended=True, version=2, **parts)


def test_another_version_is_a_what_if_with_all_the_fields_of_a_replay(
    replay: Any, other: str, node: DrivenNode
) -> None:
    ran = replay("--line", other)
    told = ran.object
    assert ran.code == 3
    assert (told["identical"], told["digest"]) == (False, node.core.committed.digest().hex())
    assert (told["entries"], told["last_tick"]) == (node.core.committed.index, node.tick)
    first = told["divergence"]
    assert (first["tick"], first["slot"], first["kind"]) == (6, 2, "outcome")
    assert (first["ledger"], first["replay"]) == ("handler_error", None)
    what_if = told["what_if"]
    assert (what_if["mode"], what_if["poison_skipped"], what_if["end"]) == ("per_tick", 2, None)
    assert {name: what_if["letters"][name] for name in ("appears", "vanishes", "changes")} == {
        "appears": 0,
        "vanishes": 1,
        "changes": 1,
    }
    (cell,) = what_if["cells"]["shown"]
    assert (cell["key"], cell["ledger"], cell["replay"]) == ("stock/kiwi", {"$unchanged": True}, 98)
    assert cell["packet"] == {"producer": "till", "seq": 3, "topic": "sale/1"}
    gone, changed = what_if["letters"]["shown"]
    assert (gone["what"], gone["example"]) == ("vanishes", shop.NO_KEY)
    assert (changed["was"], changed["error"]["type"]) == ("handler_error", "ValueError")


@pytest.mark.parametrize(
    ("fail_on", "code"), [("any-difference", 3), ("new-letters", 3), ("never", 0)]
)
def test_a_gate_says_which_differences_count(
    replay: Any, other: str, fail_on: str, code: int
) -> None:
    assert fail_on in FAIL_ON
    assert replay("--line", other, "--fail-on", fail_on).code == code


def test_a_gate_for_new_letters_lets_pass_what_only_vanishes(replay: Any, mended: str) -> None:
    assert replay("--line", mended, "--fail-on", "new-letters").code == 0
    assert replay("--line", mended, "--fail-on", "any-difference").code == 3


def test_forward_ends_in_another_world(replay: Any, other: str) -> None:
    end = replay("--line", other, "--forward").object["what_if"]["end"]
    assert end == {
        "keys": 1,
        "shown": [{"key": "stock/kiwi", "ledger": {"$absent": True}, "replay": 98}],
    }


def test_a_summary_for_people_counts_and_shows(replay: Any, other: str) -> None:
    ran = replay("--line", other, "--forward", "-o", "summary", "--limit", "1")
    lines = ran.out.splitlines()
    assert ran.code == 3
    assert lines[:3] == [
        "different (an alternative history)",
        "  letters  0 appear, 1 vanish, 1 are others, in 2 groups",
        "    1 x vanishes: handler_error, KeyError: 'stock/kiwi'",
    ]
    assert "    and 1 more groups: see --limit" in lines
    assert '    stock/kiwi: {"$unchanged": true} -> 98' in lines
    assert '    stock/kiwi: {"$absent": true} -> 98' in lines
    assert any("--run-poison" in line for line in lines)


def test_the_same_version_is_a_replay_unless_more_is_asked_for(replay: Any, mended: str) -> None:
    plain = replay("--line", mended)
    assert plain.code == 3
    assert "what_if" not in plain.object
    assert plain.object["entries"] < replay("--line", mended, "--what-if").object["entries"]


def test_the_own_line_is_the_same_either_way(replay: Any, spec: str) -> None:
    for argv in ([], ["--what-if"], ["--forward"]):
        ran = replay("--line", spec, *argv, "-o", "json")
        assert (ran.code, ran.object["identical"], ran.object["uncommitted"]) == (0, True, 0)
    assert replay("--line", spec, "--forward", "-o", "summary").out.startswith("the same")


def test_a_what_if_without_a_line_to_run_is_a_usage_error(replay: Any) -> None:
    assert replay("--world", "--forward").code == 2


def test_equal_values_show_their_shelves() -> None:
    assert both_written((0, "a", b"\x01", 0), (0, "a", b"\x01", -1)) == (
        {"$shelf": "kept"},
        {"$shelf": "inherited"},
    )


def test_damage_is_said_behind_the_report(replay: Any, mended: str, node: DrivenNode) -> None:
    node.send("till", ("temp/b", "to be spoilt"))
    node.writer.seal()
    (segment,) = node.directory.ledger_path.glob("*.seg")
    segment.write_bytes(segment.read_bytes().replace(b"to be spoilt", b"to be sp0ilt"))
    ran = replay("--line", mended, "--fail-on", "new-letters")
    assert ran.code == 1
    assert ran.object["what_if"]["letters"]["vanishes"] == 1
    assert "checksum" in ran.err


def test_it_stops_at_what_is_known_to_be_committed(replay: Any, spec: str) -> None:
    """What a record says is committed are the Entries before it."""
    whole = replay("--line", spec).object
    known = replay("--line", spec, "--committed").object
    assert known["entries"] == whole["entries"] - 1
    assert (known["identical"], known["uncommitted"]) == (True, 0)


@pytest.mark.slow
def test_a_new_line_that_ends_its_process_is_a_finding_and_no_end(
    replay: Any, tmp_path: Path
) -> None:
    parts = {"lost": "import os; os._exit(3)"}
    fatal = shop.shop_file(tmp_path / "fatal.py", mended=True, version=2, **parts)
    ran = replay("--line", fatal)
    reasons = [x["error"]["message"] for x in ran.object["what_if"]["letters"]["shown"]]
    assert ran.code == 3
    assert any("exit status 3, twice" in text for text in reasons), reasons
