"""Virtual time goes on only when nothing can happen before, threads included."""

import threading
import time

import trio

from tests.nemesis.clock import VirtualClock


def test_an_hour_passes_at_once() -> None:
    clock = VirtualClock()
    began = time.perf_counter()
    trio.run(trio.sleep, 3600, clock=clock, instruments=[clock])
    assert clock.now_s == 3600
    assert time.perf_counter() - began < 5


def test_time_does_not_pass_a_thread_that_works() -> None:
    clock = VirtualClock()
    found: list[float] = []

    def work() -> None:
        until_s = time.perf_counter() + 0.1
        while time.perf_counter() < until_s:
            pass
        found.append(clock.now_s)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, work)
            await trio.sleep(1)

    trio.run(main, clock=clock, instruments=[clock])
    assert found == [0.0]


def test_a_thread_waits_in_virtual_time() -> None:
    clock = VirtualClock()

    async def main() -> float:
        await trio.to_thread.run_sync(clock.wait, 30)
        return trio.current_time()

    assert trio.run(main, clock=clock, instruments=[clock]) == 30


def test_another_thread_may_wake_it_before() -> None:
    clock = VirtualClock()
    woken = threading.Event()

    async def main() -> float:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, clock.wait, 30, woken)
            await trio.sleep(2)
            woken.set()
        return trio.current_time()

    assert trio.run(main, clock=clock, instruments=[clock]) == 2


def test_a_timer_calls_unless_it_is_cancelled() -> None:
    clock = VirtualClock()
    called: list[str] = []
    for name in ("first", "second"):
        timer = clock.timer(5, called.append, (name,))
        timer.start()
    timer.cancel()
    trio.run(trio.sleep, 10, clock=clock, instruments=[clock])
    assert called == ["first"]
