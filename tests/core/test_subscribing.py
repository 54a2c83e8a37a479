"""What a SUBSCRIBE may say."""

from typing import Any

import pytest

from rmf import limits
from rmf.core import messages as m
from rmf.core.subscribing import subscribe_fault

MOST = limits.SUBSCRIPTIONS_PER_CONNECTION_MAX
MANY = limits.FILTERS_PER_SUBSCRIPTION_MAX


@pytest.mark.parametrize(
    ("filters", "options"),
    [
        (["#"], {}),
        (["a/+/b"] * MANY, {}),
        (["a"], {"mode": "full", "rate_hz": 0.1, "every_tick": True, "from_tick": 0}),
        (["a"], {"mode": "delta", "rate_hz": 1_000_000, "from_tick": 2**63 - 1}),
    ],
)
def test_a_good_one_has_no_fault(filters: list[str], options: dict[str, Any]) -> None:
    assert subscribe_fault(m.Subscribe(1, filters, options), set(range(2, MOST + 1))) is None


@pytest.mark.parametrize(
    ("filters", "options", "code"),
    [
        ([], {}, "bad_filter"),
        (["a"] * (MANY + 1), {}, "bad_filter"),
        ([""], {}, "bad_filter"),
        (["a/#/b"], {}, "bad_filter"),
        (["a", "b+"], {}, "bad_filter"),
        (["x" * 1025], {}, "bad_filter"),
        (["a"], {"mode": "both"}, "wrong_shape"),
        (["a"], {"mode": 1}, "wrong_shape"),
        (["a"], {"rate_hz": 0}, "wrong_shape"),
        (["a"], {"rate_hz": -1}, "wrong_shape"),
        (["a"], {"rate_hz": float("nan")}, "wrong_shape"),
        (["a"], {"rate_hz": float("inf")}, "wrong_shape"),
        (["a"], {"rate_hz": True}, "wrong_shape"),
        (["a"], {"rate_hz": None}, "wrong_shape"),
        (["a"], {"every_tick": 1}, "wrong_shape"),
        (["a"], {"from_tick": -1}, "wrong_shape"),
        (["a"], {"from_tick": 2**63}, "wrong_shape"),
        (["a"], {"from_tick": 1.0}, "wrong_shape"),
        (["a"], {"form_tick": 1}, "wrong_shape"),
    ],
)
def test_a_bad_one_is_refused_by_name(
    filters: list[str], options: dict[str, Any], code: str
) -> None:
    fault = subscribe_fault(m.Subscribe(1, filters, options), set())
    assert fault is not None
    assert fault.code == code


def test_an_unknown_option_is_named_with_those_there_are() -> None:
    fault = subscribe_fault(m.Subscribe(1, ["a"], {"form_tick": 1}), set())
    assert fault is not None
    assert "'form_tick'; known are mode, rate_hz, every_tick, from_tick" in fault.text


def test_numbers_are_taken_once_and_there_are_not_endlessly_many() -> None:
    taken = subscribe_fault(m.Subscribe(1, ["a"], {}), {1})
    crowded = subscribe_fault(m.Subscribe(99, ["a"], {}), set(range(MOST)))
    assert (taken and taken.code) == "subscription_taken"
    assert (crowded and crowded.code) == "too_many_subscriptions"
