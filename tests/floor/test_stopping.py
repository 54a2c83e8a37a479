"""A stop ends, whatever hangs, and the second signal is heard, whatever waits (R18)."""

import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest
import trio

from rmf import limits
from rmf.core.events import Beat, StopAsked
from rmf.floor.doors import Doors
from rmf.floor.stopping import Stop, heard

pytestmark = pytest.mark.slow

# A node whose tasks neither end nor give way, as with a disk that hangs.
NODE = """
    import signal, sys, trio
    from rmf.core.events import Beat
    from rmf.floor import log
    from rmf.floor.doors import Doors
    from rmf.floor.stopping import Stop

    async def main():
        log.configure("json", sys.stderr)
        doors, stop = Doors(), Stop(float(sys.argv[1]))
        while sys.argv[2] == "full":
            try:
                doors.events.send_nowait(Beat())
            except trio.WouldBlock:
                break
        with trio.open_signal_receiver(signal.SIGTERM) as signals, trio.CancelScope(shield=True):
            async with trio.open_nursery() as outside:
                outside.start_soon(stop.obey, signals, doors.events)
                print("ready", flush=True)
                await trio.sleep_forever()

    trio.run(main)
"""


def node(bound_s: float, door: str) -> "subprocess.Popen[str]":
    args = [sys.executable, "-c", textwrap.dedent(NODE), str(bound_s), door]
    process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_stop_that_hangs_ends_at_its_bound_and_says_so() -> None:
    with node(0.2, "empty") as process:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=20)[1]
        assert process.returncode == 1
        assert '"stop_overdue"' in said


def test_the_bound_needs_no_reader_of_the_log() -> None:
    with node(0.2, "empty") as process:
        assert process.stderr is not None
        process.stderr.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 1


def test_the_second_signal_is_heard_though_the_first_one_waits_at_a_full_door() -> None:
    with node(60.0, "full") as process:
        assert process.stderr is not None
        process.send_signal(signal.SIGTERM)
        assert "stopping" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 128 + signal.SIGTERM


async def test_the_first_signal_reaches_the_arbiter() -> None:
    doors, stop = Doors(), Stop()
    send, signals = trio.open_memory_channel[int](2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop.obey, signals, doors.events)
        doors.events.send_nowait(Beat())
        send.send_nowait(signal.SIGTERM)
        assert await doors.events_out.receive() == Beat()
        assert await doors.events_out.receive() == StopAsked()
        nursery.cancel_scope.cancel()
    stop.close()


def test_a_node_that_has_ended_is_not_ended_again() -> None:
    """The bound is a thread of the process, which may go on: as that of a test does."""
    made: list[threading.Timer] = []

    def timer(*args: Any) -> threading.Timer:
        made.append(threading.Timer(*args))
        return made[0]

    stop = Stop(0.05, timer=timer)
    made[0].start()
    stop.close()
    began = time.monotonic()
    made[0].join(limits.STOP_S_MAX)
    assert time.monotonic() - began < limits.STOP_S_MAX


@pytest.mark.parametrize(
    ("number", "handler", "is_heard"),
    [
        (signal.SIGHUP, signal.SIG_DFL, True),
        (signal.SIGHUP, signal.SIG_IGN, False),  # nohup
        (signal.SIGUSR1, signal.SIG_DFL, True),  # or it would end the node
        (signal.SIGUSR1, lambda *_: None, False),  # it has a meaning for somebody
    ],
)
def test_it_hears_what_it_was_not_started_to_ignore(
    number: signal.Signals, handler: Any, is_heard: bool
) -> None:
    before = signal.signal(number, handler)
    try:
        assert (number in heard()) == is_heard
    finally:
        signal.signal(number, before)
