"""The example of the public documentation, to the letter."""

from typing import Any

import attrs
import pytest

from rmf import REMOVE, Keep, Line
from tests.line.bench import expired, reasons, row, run, values

line = Line("greenhouse", version="1")


@attrs.frozen
class Temperature:
    celsius: float


@line.on("greenhouse/+/temp", Temperature)
def temperature(world, packet):  # type: ignore[no-untyped-def]
    room = packet.topic.split("/")[1]
    average = (
        0.9 * world.get(f"average/{room}", packet.payload.celsius) + 0.1 * packet.payload.celsius
    )
    return {packet.topic: packet.payload.celsius, f"average/{room}": average}


@line.on_expired("greenhouse/+/temp")
def lost(world, cell):  # type: ignore[no-untyped-def]
    return {f"alarm/{cell.key}": Keep("no reading")}


def test_the_average_follows_the_readings() -> None:
    readings = [row("greenhouse/3/temp", {"celsius": celsius}) for celsius in (20.0, 30, 20.0)]
    found = values(run(line, *readings))
    assert found["greenhouse/3/temp"] == 20.0
    assert pytest.approx(20.9) == found["average/3"]


def test_a_room_that_falls_silent_raises_an_alarm_that_stays() -> None:
    executed = run(line, expired_cells=(expired("greenhouse/3/temp", 20.0),))
    assert values(executed) == {"alarm/greenhouse/3/temp": "no reading"}
    assert [change[3] for change in executed.listed] == [0]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"celsius": "warm"}, "expected float, found text @ $.celsius"),
        ({}, "required field missing @ $.celsius"),
        (21.5, "expected a map, found a float @ $"),
    ],
)
def test_a_reading_that_is_none_is_bagged_with_the_reason_in_words(payload: Any, said: str) -> None:
    executed = run(line, row("greenhouse/3/temp", payload), row("greenhouse/3/door", 1))
    assert reasons(executed) == [(0, "payload_invalid"), (1, "no_handler")]
    assert said == executed.outcomes[0].error.message


def test_remove_is_there_to_take_the_alarm_away() -> None:
    silent = Line("silent")
    silent.on("ack/#")(lambda _world, packet: {f"alarm/{packet.payload}": REMOVE})
    assert values(run(silent, row("ack", "x"))) == {"alarm/x": None}
