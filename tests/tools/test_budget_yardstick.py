"""The yardstick is a piece of work that takes time."""

from tools.budget_yardstick import yardstick_ns


def test_it_takes_some_time() -> None:
    least_ns = min(yardstick_ns() for _ in range(20))
    assert 50_000 < least_ns < 50_000_000
