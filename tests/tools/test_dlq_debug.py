"""rmf-dlq debug: the letter's own failure, at its raise, or the news that it is gone."""

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rmf.core.bag import Evidence
from rmf.core.outcome import Outcome
from tests import shop
from tests.driven_node import DrivenNode
from tests.storage.dlq_letters import edge_letter
from tests.tools.again import Run, mended, node, spec
from tools.dlq_debug import is_same_failure
from tools.rmf_dlq import main

__all__ = ["mended", "node", "spec"]


@pytest.fixture
def debug(node: DrivenNode, spec: str, capfd: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def run(letter: str, *argv: str, line: str = spec) -> Run:
        code = main(["debug", letter, "--data", str(node.path), "--line", line, *argv])
        return Run(code, *capfd.readouterr())

    return run


@contextmanager
def typing(text: str) -> Iterator[None]:
    """Have a person type this at the debugger."""
    before, sys.stdin = sys.stdin, io.StringIO(text)
    try:
        yield
    finally:
        sys.stdin = before


# --- Without a debugger -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "letter",
    [
        *(shop.NO_STOCK, shop.NO_KEY, shop.NO_COUNT, shop.NAN, shop.EXIT, shop.BY_ZERO),
        *(shop.NOBODY, shop.EXPIRY, shop.DIE),
    ],
)
def test_each_letter_fails_as_it_did(debug: Any, letter: str) -> None:
    ran = debug(letter, "-o", "jsonl")
    assert ran.code == 0
    told = ran.object
    assert (told["letter"], told["same"], told["fails"]) == (letter, True, True)
    assert told["now"]["reason"] == told["then"]["reason"]
    assert told["line"] == told["ledger_line"]


@pytest.mark.slow
def test_what_hangs_is_reported_and_does_not_hang_the_tool(debug: Any) -> None:
    told = debug(shop.HANG, "--no-pdb", "-o", "json")
    assert told.code == 0
    assert '"reason": "handler_timeout"' in told.out
    assert "in hang" in told.out


def test_the_mended_line_passes_and_exits_3(debug: Any, mended: str) -> None:
    ran = debug(shop.NO_KEY, "--no-pdb", line=mended)
    assert ran.code == 3
    assert (ran.object["fails"], ran.object["now"]) == (False, None)
    assert ran.object["changes"] == {"stock/kiwi": 98}
    assert ran.object["reads"] == ["stock/kiwi"]
    assert "another source" in ran.err


def test_another_failure_exits_3_too(debug: Any, tmp_path: Path) -> None:
    other = shop.shop_file(tmp_path / "other.py", stock=".nothing", version=2)
    ran = debug(shop.NO_KEY, "-o", "table", line=other)
    assert ran.code == 3
    lines = ran.out.splitlines()
    assert lines[0] == "it fails in another way"
    assert lines[1] == "  then     handler_error: KeyError: 'stock/kiwi'"
    assert lines[2].startswith("  now      handler_error: AttributeError: ")
    assert "the letter is of line 'shop' version 1; this runs 'shop' version 2" in ran.err


def test_a_slot_that_was_applied_can_be_run_too(debug: Any) -> None:
    ran = debug(shop.APPLIED, "-o", "table")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "it did not fail, and does not fail")


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [
        ("at 0x7f0012345678", "at 0x7fff87654321", True),
        ("left: 3", "left: 4", False),
    ],
)
def test_addresses_in_a_message_are_no_difference(then: str, now: str, same: bool) -> None:
    sides = [Outcome(0, "handler_error", "line", Evidence("E", text, "")) for text in (then, now)]
    assert is_same_failure(*sides) is same


# --- What has no handler to run -----------------------------------------------------------------


def test_a_letter_of_the_latch_says_so(debug: Any) -> None:
    ran = debug(shop.LATCH)
    assert (ran.code, ran.out) == (1, "")
    assert "bagged by the latch, before any handler saw the packet" in ran.err


def test_a_letter_of_the_edge_says_so(debug: Any, node: DrivenNode) -> None:
    node.store.put_edge([edge_letter("n1:edge:1")])
    assert "of the stage 'edge'" in debug("n1:edge:1").err
    assert "unknown_letter" in debug("n1:edge:2").err
    assert debug("n1:edge:1").code == 1


@pytest.mark.parametrize(
    ("letter", "said"),
    [("1.9.0", "has no Tick 9 of term 1"), ("1.6.9", "Tick 6 of term 1 has no slot 9")],
)
def test_what_the_ledger_does_not_hold_is_said(debug: Any, letter: str, said: str) -> None:
    ran = debug(letter)
    assert ran.code == 1
    assert said in ran.err


def test_without_data_or_line_it_is_a_usage_error(
    node: DrivenNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["debug", shop.NO_KEY]) == 2
    assert "--data DIR" in capsys.readouterr().err
    assert main(["debug", shop.NO_KEY, "--data", str(node.path)]) == 2
    assert "of the line 'shop' version 1: name it with --line" in capsys.readouterr().err


# --- Under the debugger -------------------------------------------------------------------------


def test_it_stops_at_the_raise_in_the_world_as_it_was(debug: Any) -> None:
    with typing('p "stock", stock, packet.payload.count, world["stock/apple"]\nq\n'):
        ran = debug(shop.NO_STOCK)
    assert ran.code == 0
    assert "-> raise ValueError(" in ran.out
    assert "('stock', 3, 4, 3)" in ran.out
    assert "now      handler_error: ValueError: only 3 left" in ran.err


def test_an_expired_cells_handler_is_debugged_too(debug: Any) -> None:
    with typing("p cell.key, cell.reason\nq\n"):
        ran = debug(shop.EXPIRY)
    assert (ran.code, "('temp/a', 'expired')" in ran.out) == (0, True)
    assert "the expiry of temp/a" in ran.err


def test_a_result_that_is_none_starts_at_the_handlers_first_line(debug: Any) -> None:
    with typing("p packet.topic\nq\n"):
        ran = debug(shop.NAN)
    assert ran.code == 0
    assert "'nan'" in ran.out
    assert "nothing was raised in the handler" in ran.err


def test_poison_is_not_run_here_unless_that_is_said(debug: Any) -> None:
    with typing("y\n"):
        ran = debug(shop.HANG)
    assert (ran.code, ran.out) == (2, "")
    assert "it may hang it, kill it" in ran.err
    with typing("p packet.topic\nq\n"):
        ran = debug(shop.HANG, "--yes")
    assert ran.code == 3
    assert "'hang'" in ran.out


def test_step_starts_before_anything_happened(debug: Any) -> None:
    with typing("n\np stock\nq\n"):
        ran = debug(shop.APPLIED, "--step")
    assert '-> stock = world[f"stock/{packet.payload.item}"]' in ran.out
    assert ran.out.splitlines()[-2].endswith("5")


@pytest.mark.parametrize("letter", [shop.NO_COUNT, shop.NOBODY])
def test_without_a_handler_there_is_no_place_to_stop_at(debug: Any, letter: str) -> None:
    ran = debug(letter)
    assert (ran.code, ran.out) == (0, "")
    assert "there is no place to stop at" in ran.err


def test_a_mended_line_opens_no_debugger(debug: Any, mended: str) -> None:
    ran = debug(shop.NO_KEY, line=mended)
    assert (ran.code, ran.out) == (3, "")
    assert "it does not fail any more" in ran.err


@pytest.mark.slow
def test_as_a_process_on_a_copy_without_a_dlq(node: DrivenNode, spec: str, tmp_path: Path) -> None:
    """A person on a laptop: the ledger was copied, nothing else."""
    copy = tmp_path / "copy"
    (copy / "ledger").mkdir(parents=True)
    for path in node.directory.ledger_path.iterdir():
        (copy / "ledger" / path.name).write_bytes(path.read_bytes())
    (copy / "identity.json").write_bytes((node.path / "identity.json").read_bytes())
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "tools.rmf_dlq", "debug", shop.NO_STOCK),
            *("--data", str(copy), "--line", spec),
        ],
        input=b"where\nq\n",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, b"-> raise ValueError" in ran.stdout) == (0, True)
