"""line/patience: a handler that loops is interrupted, one that is slow but moves on is not."""

import signal
import time
from typing import Any

import attrs

from rmf.line import Inline, Line
from rmf.line.time_limit import patience
from tests.line.bench import batch, reasons, row


def looping(_world: Any, packet: Any) -> Any:
    while packet.topic == "hang":
        pass
    return {packet.topic: packet.payload}


def test_a_handler_that_loops_is_bagged_and_the_tick_closes_behind_it() -> None:
    line = Line("test")
    line.on("#")(looping)
    bench = Inline(line)
    before = signal.getsignal(signal.SIGALRM)
    with patience(bench.mark, 0.05):
        executed = bench.run(batch(row("a", 1), row("hang", 2), row("b", 3)))
    assert (executed.done, reasons(executed)) == (2, [(1, "handler_timeout")])
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_many_slots_that_take_longer_together_are_let_pass() -> None:
    def slow(_world: Any, packet: Any) -> Any:
        until = time.monotonic() + 0.02
        while time.monotonic() < until:
            pass
        return {packet.topic: 1}

    line = Line("test")
    line.on("#")(slow)
    bench = Inline(line)
    with patience(bench.mark, 0.1):
        for number in range(20):
            executed = bench.run(attrs.evolve(batch(row("a", 1)), number=number))
            assert reasons(executed) == []
