"""Payloads that are made up: each fits what was declared, or is wrong where it shall be."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NewType, NotRequired, TypedDict

import attrs
import cbor2
import pytest

from rmf.line.payload import PayloadInvalid, decode_alone
from rmf.line.structure import structure_for
from rmf.testing.dice import Dice
from rmf.testing.payloads import fitting, wrong
from tests.testing.lines import Impossible

Serial = NewType("Serial", int)


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


@attrs.frozen
class Inner:
    name: str
    colour: Colour = Colour.RED


@attrs.frozen
class Outer:
    count: int
    inner: Inner
    many: list[Inner]
    by_name: dict[str, float]
    kind: Literal["a", "b"]
    maybe: int | None
    pair: tuple[int, str]
    tags: set[str]
    raw: bytes
    flag: bool = False
    hidden: int = attrs.field(default=3, init=False)


@dataclasses.dataclass
class Data:
    x: float
    y: float = 0.0
    serial: Serial = Serial(0)


class Typed(TypedDict):
    name: str
    size: NotRequired[int]


@attrs.frozen
class Positive:
    celsius: float = attrs.field(validator=attrs.validators.gt(0.0))


@pytest.mark.parametrize(
    "declared",
    [
        int,
        float,
        str,
        bytes,
        bool,
        Any,
        Outer,
        Data,
        Typed,
        Positive,
        Colour,
        list[int],
        Sequence[str],
        tuple[int, ...],
        Mapping[str, int],
        dict[str, list[Inner]],
        int | str,
        Annotated[int, "of any kind"],
    ],
)
def test_what_is_made_up_fits(declared: Any) -> None:
    dice, structure = Dice(1).stream("payloads"), structure_for(declared)
    made = [fitting(declared, structure, dice) for _ in range(60)]
    assert all(fits for _, fits in made)
    for payload, _ in made:
        structure(decode_alone(payload))
    assert len({payload for payload, _ in made}) > 1


def test_fields_with_a_default_are_left_out_now_and_then() -> None:
    dice = Dice(1).stream("payloads")
    made = [cbor2.loads(fitting(Inner, structure_for(Inner), dice)[0]) for _ in range(60)]
    assert {frozenset(x) for x in made} == {frozenset({"name"}), frozenset({"name", "colour"})}


def test_edges_come_with_the_ordinary() -> None:
    dice = Dice(1).stream("payloads")
    made = {cbor2.loads(fitting(int, structure_for(int), dice)[0]) for _ in range(400)}
    assert {0, 2**64 - 1, -(2**63)} <= made
    assert len([x for x in made if -20 <= x <= 200]) > 50


def test_a_class_that_takes_nothing_is_said() -> None:
    dice = Dice(1).stream("payloads")
    _, fits = fitting(Impossible, structure_for(Impossible), dice)
    assert not fits


def test_without_a_class_anything_goes() -> None:
    dice = Dice(1).stream("payloads")
    for _ in range(100):
        payload, fits = fitting(None, None, dice)
        decode_alone(payload)
        assert fits


def test_wrong_ones_are_mostly_wrong_and_of_each_kind() -> None:
    dice, structure = Dice(1).stream("payloads"), structure_for(Inner)
    reasons = set()
    for _ in range(200):
        try:
            structure(decode_alone(wrong(Inner, dice)))
        except PayloadInvalid as exc:
            reasons.add(str(exc).split(" @")[0][:24])
    assert len(reasons) > 5


def test_the_same_seed_makes_up_the_same() -> None:
    structure = structure_for(Outer)
    one, other = (
        [fitting(Outer, structure, Dice(7).stream("payloads"))[0] for _ in range(5)]
        for _ in range(2)
    )
    assert one == other
