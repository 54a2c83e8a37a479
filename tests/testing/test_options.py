import pytest

from rmf import limits
from rmf.testing.knobs import small_bounds
from rmf.testing.options import FAULTS, derived, options_of


def test_options_survive_their_text() -> None:
    options = derived(11, seconds=12.5)
    assert options_of(options.text()) == options


def test_what_is_chosen_is_not_left_to_the_seed() -> None:
    assert derived(11, nodes=5).nodes == 5


def test_seeds_differ_in_the_faults_in_play() -> None:
    played = [frozenset(derived(seed).faults) for seed in range(20)]
    assert len(set(played)) > 5
    assert all(0 < len(faults) <= len(FAULTS) for faults in played)


def test_what_is_no_option_is_said() -> None:
    with pytest.raises(ValueError, match="no options"):
        options_of('{"seed": 1, "color": "red"}')


def test_small_bounds_are_put_right_again() -> None:
    before = limits.LOG_MEMORY_BYTES
    with small_bounds(derived(1, log_memory_bytes=7)):
        assert limits.LOG_MEMORY_BYTES == 7
    assert before == limits.LOG_MEMORY_BYTES
