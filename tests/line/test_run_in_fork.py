"""line/apart: whatever a handler does in the child, this process goes on and knows what it read."""

import ctypes
import os
import signal
from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.line import Line
from rmf.line.run_in_fork import Ran, run_apart
from tests.line.bench import batch, expired, row, world

BEFORE = world(a=1, b=2, room__1=3)


def run(function: Any, **more: Any) -> Ran:
    line = Line("test")
    line.on("#")(function)
    line.on_expired("#")(function)
    line.check()
    return run_apart(line, batch(row("t", 7), before=BEFORE), **more)


def test_changes_and_reads_come_back() -> None:
    ran = run(lambda w, p: {"sum": w.get("a", 0) + w.get("x", 0) + p.payload})
    assert ran.bag is None
    assert [(key, cbor2.loads(value or b"")) for _, key, value, _ in ran.changes] == [("sum", 8)]
    assert (ran.keys, ran.scanned) == (["a", "x"], [])


def test_a_scan_is_reported_with_its_prefix() -> None:
    ran = run(lambda w, _p: {"n": len(list(w.scan("room/")))})
    assert (ran.scanned, ran.keys) == (["room/"], ["room/1"])


def test_what_is_raised_comes_back_as_evidence() -> None:
    def handler(w: Any, _packet: Any) -> Any:
        return w["none"]

    ran = run(handler)
    assert ran.bag is not None
    assert (ran.bag.slot, ran.bag.reason, ran.bag.error.type) == (0, "handler_error", "KeyError")
    assert "in handler" in ran.bag.error.traceback
    assert ran.keys == ["none"]


def test_an_expired_cell_is_run_too() -> None:
    line = Line("test")
    line.on_expired("#")(lambda _w, cell: {"was": cell.value})
    line.check()
    ran = run_apart(line, batch(expired_cells=(expired("k", 5),)))
    assert [change[1] for change in ran.changes] == ["was"]


def test_what_hangs_is_killed_and_says_where_it_was() -> None:
    def hang(w: Any, _packet: Any) -> None:
        while w.get("a"):
            pass

    ran = run(hang, budget_s=0.1)
    assert ran.bag is not None
    assert ran.bag.reason == "handler_timeout"
    assert "after 0.1 s" in ran.bag.error.message
    assert "in hang" in ran.bag.error.traceback
    assert ran.keys == ["a"]


@pytest.mark.parametrize(
    ("die", "said"),
    [
        (lambda: os._exit(0), "exit code 0"),
        (lambda: os._exit(5), "exit code 5"),
        (os.abort, "died of SIGABRT"),
        (lambda: ctypes.string_at(0), "died of SIGSEGV"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed"),
        (lambda: os.kill(os.getpid(), 40), "died of signal 40"),
    ],
)
def test_a_death_is_a_verdict(die: Any, said: str) -> None:
    def handler(w: Any, _packet: Any) -> None:
        w.get("b")
        die()

    ran = run(handler)
    assert ran.bag is not None
    assert ran.bag.reason == "handler_died"
    assert said in ran.bag.error.message
    assert ran.keys == ["b"]


def test_who_closes_the_way_back_and_hangs_is_killed_too() -> None:
    def handler(_w: Any, _packet: Any) -> None:
        os.closerange(3, 1024)
        while True:
            pass

    ran = run(handler, budget_s=0.1)
    assert ran.bag is not None
    assert ran.bag.reason == "handler_timeout"


def test_memory_has_an_end() -> None:
    ran = run(lambda _w, _p: {"x": len(bytearray(256 * limits.MIB))}, memory_bytes=64 * limits.MIB)
    assert ran.bag is not None
    assert ran.bag.reason == "handler_memory"


def test_what_it_prints_is_no_data_and_it_has_no_input(capfd: pytest.CaptureFixture[str]) -> None:
    def talk(_w: Any, _packet: Any) -> Any:
        print("from the handler")
        return {"line": input()}

    ran = run(talk)
    assert ran.bag is not None
    assert ran.bag.error.type == "EOFError"
    assert capfd.readouterr() == ("", "from the handler\n")


def test_keys_of_any_text_and_of_none_at_all_are_survived() -> None:
    ran = run(lambda w, _p: {"n": [w.get('["done"', 0), w.get("\ud800", 0), w.get(7, 0)]})
    assert ran.bag is None
    assert ran.keys == ['["done"', "\ud800"]
