import enum
from typing import Any, Literal, TypedDict

import attrs
import pytest

from rmf.line.payload import PayloadInvalid
from rmf.line.structure import structure_for


class Mode(enum.Enum):
    AUTO = "auto"


class Limits(TypedDict):
    low: float


@attrs.frozen
class Place:
    room: str
    floor: int = 0


@attrs.frozen
class Reading:
    celsius: float
    place: Place
    ok: bool = True
    raw: bytes = b""
    tags: list[str] = attrs.Factory(list)
    counts: dict[str, int] = attrs.Factory(dict)
    pair: tuple[int, str] = (0, "")
    series: tuple[float, ...] = ()
    seen: frozenset[int] = frozenset()
    note: str | None = None
    either: int | str = 0
    mode: Mode = Mode.AUTO
    kind: Literal["a", "b"] = "a"
    limits: Limits | None = None
    anything: Any = None
    inner: "list[Reading]" = attrs.Factory(list)


GOOD = {"celsius": 21.5, "place": {"room": "3"}}


def test_a_payload_becomes_an_instance_of_the_declared_class() -> None:
    payload = {
        **GOOD,
        "ok": False,
        "raw": b"x",
        "tags": ["a"],
        "counts": {"a": 1},
        "pair": [1, "b"],
        "series": [1, 2.5],
        "seen": [3, 3],
        "note": "n",
        "either": "e",
        "mode": "auto",
        "kind": "b",
        "limits": {"low": 1},
        "anything": [1, {"x": None}],
        "inner": [GOOD],
        "not declared": "and left out",
    }
    inner = Reading(21.5, Place("3"))
    expected = Reading(
        21.5,
        Place("3"),
        ok=False,
        raw=b"x",
        tags=["a"],
        counts={"a": 1},
        pair=(1, "b"),
        series=(1.0, 2.5),
        seen=frozenset({3}),
        note="n",
        either="e",
        mode=Mode.AUTO,
        kind="b",
        limits={"low": 1.0},
        anything=[1, {"x": None}],
        inner=[inner],
    )
    assert expected == structure_for(Reading)(payload)


def test_an_integer_is_taken_for_a_float_and_becomes_one() -> None:
    reading = structure_for(Reading)({"celsius": 21, "place": {"room": "3"}})
    assert repr(reading.celsius) == "21.0"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({**GOOD, "celsius": "21.5"}, "expected float, found text @ $.celsius"),
        ({**GOOD, "celsius": True}, "expected float, found a boolean @ $.celsius"),
        ({"place": {"room": "3"}}, "required field missing @ $.celsius"),
        ({**GOOD, "place": {"room": 3}}, "expected str, found an integer @ $.place.room"),
        ({**GOOD, "place": {"room": None}}, "expected str, found null @ $.place.room"),
        ({**GOOD, "place": "3"}, "expected a map, found text @ $.place"),
        ({**GOOD, "place": {"room": "3", "floor": 1.9}}, "expected int, found a float"),
        ({**GOOD, "place": {"room": "3", "floor": True}}, "expected int, found a boolean"),
        ({**GOOD, "ok": "x"}, "expected bool, found text @ $.ok"),
        ({**GOOD, "raw": 3}, "expected bytes, found an integer @ $.raw"),
        ({**GOOD, "tags": "abc"}, "expected an array, found text @ $.tags"),
        ({**GOOD, "tags": {"a": 1}}, "expected an array, found a map @ $.tags"),
        ({**GOOD, "tags": ["a", 1]}, "expected str, found an integer @ $.tags[1]"),
        ({**GOOD, "counts": [["a", 1]]}, "expected a map, found an array @ $.counts"),
        ({**GOOD, "counts": {"a": "1"}}, "expected int, found text @ $.counts['a']"),
        ({**GOOD, "pair": "ab"}, "expected an array, found text @ $.pair"),
        ({**GOOD, "pair": [1, "b", 2]}, "@ $.pair"),
        ({**GOOD, "series": {"a": 1}}, "expected an array, found a map @ $.series"),
        ({**GOOD, "seen": "12"}, "expected an array, found text @ $.seen"),
        ({**GOOD, "note": 5}, "expected str, found an integer @ $.note"),
        ({**GOOD, "either": 1.5}, "@ $.either"),
        ({**GOOD, "mode": "manual"}, "'manual' is not a valid Mode @ $.mode"),
        ({**GOOD, "kind": "c"}, "@ $.kind"),
        ({**GOOD, "limits": [1]}, "expected a map, found an array @ $.limits"),
        ({**GOOD, "inner": [GOOD, {}]}, "required field missing @ $.inner[1].celsius"),
        (21.5, "expected a map, found a float @ $"),
        (["celsius"], "expected a map, found an array @ $"),
        (None, "expected a map, found null @ $"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(payload: Any, said: str) -> None:
    with pytest.raises(PayloadInvalid) as caught:
        structure_for(Reading)(payload)
    assert said in str(caught.value)


def test_all_faults_are_named_up_to_a_bound() -> None:
    with pytest.raises(PayloadInvalid) as caught:
        structure_for(list[int])(["x"] * 11)
    assert str(caught.value).startswith("expected int, found text @ $[0]; expected int,")
    assert str(caught.value).endswith("@ $[7]; and 3 more")


@attrs.frozen
class Guarded:
    celsius: float = attrs.field(validator=attrs.validators.ge(-273.15))


@attrs.frozen
class Exits:
    celsius: float

    def __attrs_post_init__(self) -> None:
        raise SystemExit(self.celsius)


def test_a_validator_speaks_for_itself() -> None:
    with pytest.raises(PayloadInvalid, match=r"'celsius' must be >= -273.15: -300.0"):
        structure_for(Guarded)({"celsius": -300})


def test_whatever_the_declared_class_raises_is_a_fault_of_the_payload() -> None:
    with pytest.raises(PayloadInvalid, match=r"SystemExit: 1\.0"):
        structure_for(Exits)({"celsius": 1.0})


def test_types_without_a_class_can_be_declared() -> None:
    assert structure_for(dict[str, list[float]])({"a": [1]}) == {"a": [1.0]}
