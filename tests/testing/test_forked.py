"""Work in a process of its own: it ends in a result or in a fate that names the handler."""

import faulthandler
import os
import select
import signal
from collections.abc import Callable
from typing import Any

import pytest

from rmf.line import Line
from rmf.testing import Bench
from rmf.testing.false_surroundings import FalseClock, attended
from rmf.testing.forked import CallMark, Fate, work

GIB = 2**30


def done(job: Callable[[CallMark], Any], call_s: float = 5.0, whole_s: float = 20.0) -> Any:
    return work(job, call_s=call_s, whole_s=whole_s, memory_bytes=4 * GIB)


def handled(do: Callable[[], Any]) -> Callable[[CallMark], Any]:
    """A job that sends a good packet and a bad one to a line, whose handler then does this."""
    line = Line("bad")
    line.on("good/+")(lambda _world, packet: {packet.topic: packet.payload})
    line.on("bad/+")(lambda _world, _packet: do())
    line.check()

    def job(mark: CallMark) -> Any:
        factory = Bench(attended(line, FalseClock(0), 1, mark))
        factory.send("good/a", 1, ttl_ms=60_000)
        receipt = factory.send("bad/b", 1, ttl_ms=60_000)
        return [receipt.reason, mark.calls, mark.present]

    return job


def select_for_ever() -> None:
    select.select([], [], [])


def spin() -> None:
    while True:
        pass


def aborts() -> None:
    faulthandler.disable()  # pytest's, which would tell all of it
    os.abort()


def test_a_result_comes_back() -> None:
    assert done(lambda _mark: {"a": [1, None]}) == {"a": [1, None]}
    assert len(done(lambda _mark: "x" * 3_000_000)) == 3_000_000


def test_a_handler_that_fails_is_bagged_and_no_fate() -> None:
    assert done(handled(lambda: 1 / 0)) == ["handler_error", 2, None]


def spin_alone() -> None:
    os.closerange(3, 1024)  # with the way back
    spin()


@pytest.mark.parametrize("do", [spin, select_for_ever, spin_alone])
def test_a_call_without_end_is_hung_and_named(do: Callable[[], Any]) -> None:
    fate = done(handled(do), call_s=0.5)
    assert isinstance(fate, Fate)
    assert (fate.kind, fate.packet) == ("hung", {"topic": "bad/b"})
    assert fate.handler is not None
    assert fate.handler["filter"] == "bad/+"
    assert fate.why == "it went on for more than 0.5 s"


@pytest.mark.parametrize(
    ("do", "why"),
    [
        (lambda: os._exit(3), "the process exited with 3"),
        (lambda: os._exit(0), "the process exited with 0"),
        (aborts, "the process was killed by SIGABRT"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "the process was killed by SIGKILL"),
        (lambda: os.kill(os.getpid(), 40), "the process was killed by signal 40"),
    ],
)
def test_a_call_that_ends_the_process_is_named(do: Callable[[], Any], why: str) -> None:
    fate = done(handled(do))
    assert isinstance(fate, Fate)
    assert (fate.kind, fate.why, fate.packet) == ("died", why, {"topic": "bad/b"})


def test_a_call_that_forks_gives_one_result() -> None:
    assert done(handled(lambda: {"x": os.fork() and 1})) == [None, 2, None]


def test_memory_is_bounded() -> None:
    assert done(handled(lambda: bytearray(8 * GIB)))[0] == "handler_memory"


def test_work_without_end_is_overdue() -> None:
    fate = done(lambda _mark: spin(), whole_s=0.5)
    assert isinstance(fate, Fate)
    assert (fate.kind, fate.handler) == ("overdue", None)


def test_our_own_bug_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    fate = done(lambda _mark: os.environ["NOTHING"])
    assert isinstance(fate, Fate)
    assert fate.kind == "died"
    assert "KeyError: 'NOTHING'" in capfd.readouterr().err


def test_what_the_child_leaves_behind_is_the_childs() -> None:
    kept: list[int] = []
    assert done(lambda _mark: kept.append(1)) is None
    assert kept == []
