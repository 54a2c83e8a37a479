from hypothesis import given
from hypothesis import strategies as st

from rmf.testing.drifting_clock import BootClock


@given(
    base_ns=st.integers(0, 10**15),
    ppm=st.integers(-200, 200),
    shown=st.integers(0, 10**13),
)
def test_a_moment_is_the_first_at_which_the_clock_shows_it(
    base_ns: int, ppm: int, shown: int
) -> None:
    clock = BootClock(1_000, base_ns, ppm)
    when = clock.when(base_ns + shown)
    assert clock.shows(when) >= base_ns + shown
    assert when == 1_000 or clock.shows(when - 1) < base_ns + shown


def test_a_fast_clock_gains_what_it_says() -> None:
    assert BootClock(0, 0, 200).shows(1_000_000) == 1_000_200
