"""False clocks, and chance that depends on the call alone."""

# Naive times are what lines ask for:
# ruff: noqa: DTZ001, DTZ002, DTZ003, DTZ005, DTZ011

import datetime as dt
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rmf.line import Line
from rmf.testing import Bench, Violation
from rmf.testing.false_surroundings import FalseClock, attended

WALL_NS = 1_800_000_000 * 10**9  # 2027-01-15 08:00:00 UTC


@contextmanager
def shown() -> Iterator[FalseClock]:
    clock = FalseClock(WALL_NS)
    clock.install()
    try:
        yield clock
    finally:
        clock.remove()


def test_every_way_to_ask_for_the_time_shows_the_false_one() -> None:
    with shown() as clock:
        clock.set(3600 * 10**9)
        for seconds in (
            time.time(),
            time.time_ns() / 1e9,
            time.monotonic(),
            time.perf_counter(),
            time.clock_gettime(time.CLOCK_REALTIME),
            dt.datetime.now(dt.UTC).timestamp(),
            dt.datetime.now().timestamp(),
            dt.datetime.utcnow().replace(tzinfo=dt.UTC).timestamp(),
            dt.datetime.today().timestamp(),
        ):
            assert 1_800_003_600 <= seconds < 1_800_003_601
        assert time.gmtime()[:5] == (2027, 1, 15, 9, 0)
        assert time.strftime("%Y") == str(time.localtime().tm_year) == "2027"
        assert "2027" in time.ctime()
        assert "2027" in time.asctime()
        assert dt.date.today().year == 2027
        assert time.gmtime(0)[:3] == (1970, 1, 1)


def test_a_false_datetime_is_still_a_datetime() -> None:
    real = dt.datetime(2020, 1, 1)
    with shown():
        assert isinstance(real, dt.datetime)
        assert isinstance(dt.datetime.now(), type(real))
        assert issubclass(type(real), dt.date)
        assert dt.datetime(2020, 1, 1) == real
        assert dt.datetime.fromisoformat("2020-01-01") == real


def test_who_waits_by_looking_sees_time_pass() -> None:
    with shown():
        end = time.time() + 1
        looks = 0
        while time.time() < end:
            looks += 1
        assert 900 < looks < 1100


def test_everything_is_put_back() -> None:
    before = (time.time, time.localtime, dt.datetime, dt.date)
    with shown():
        assert time.time is not before[0]
    assert (time.time, time.localtime, dt.datetime, dt.date) == before
    clock = FalseClock(WALL_NS)
    clock.install()
    try:
        with pytest.raises(Violation, match="one false clock"):
            clock.install()
    finally:
        clock.remove()


class Diary:
    """Notes what an attendant is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def begin(self, handler: Any, what: Any) -> None:
        self.told.append((handler.filter, getattr(what, "topic", None) or what.key))

    def end(self) -> None:
        self.told.append("end")


def drawing() -> Line:
    line = Line("drawing")

    @line.on("a/+")
    def draw(world: Any, packet: Any) -> Any:
        if packet.topic == "a/bad":
            raise ValueError
        return {packet.topic: [random.random(), time.time()]}

    @line.on_expired("a/+")
    def gone(world: Any, cell: Any) -> Any:
        return {f"gone/{cell.key}": random.random()}

    return line


def worlds(chance: int, before: int) -> tuple[dict[str, Any], Diary]:
    diary = Diary()
    with shown() as clock:
        line = drawing()
        line.check()
        factory = Bench(attended(line, clock, chance, diary))
        for _ in range(before):
            random.random()
            time.time()
        factory.send("a/1", 1, ttl_ms=60_000)
        factory.send("a/2", 1, ttl_ms=5)
        factory.send("a/bad", 1, ttl_ms=5)
        factory.advance(ms=10)
        return dict(factory.world), diary


def test_chance_and_time_depend_on_the_call_and_on_what_was_chosen() -> None:
    world, diary = worlds(1, 0)
    assert set(world) == {"a/1", "gone/a/2"}
    assert worlds(1, 7)[0] == world
    assert worlds(2, 0)[0] != world
    assert diary.told == [
        ("a/+", "a/1"),
        "end",
        ("a/+", "a/2"),
        "end",
        ("a/+", "a/bad"),
        "end",
        ("a/+", "a/2"),
        "end",
    ]
