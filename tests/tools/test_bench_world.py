"""What is read off the histograms of large Worlds, and how gaps between acks are found."""

from tools.bench_world import Prober, cells, differences, key_of


def test_steps_between_two_looks_are_counted_by_length() -> None:
    before = {"0.01": 5, "0.02": 6, "0.05": 6, "+Inf": 6}
    after = {"0.01": 25, "0.02": 27, "0.05": 28, "+Inf": 28}
    quiet = {"0.01": 7, "0.02": 7, "0.05": 7, "+Inf": 7}
    assert differences([(before, after), (quiet, quiet)]) == {
        "steps": 22,
        "longest_ms_max": 50.0,
        "over_10_ms": 2,
        "over_20_ms": 1,
        "over_50_ms": 0,
    }


def test_a_step_beyond_all_bounds_has_none() -> None:
    found = differences([({}, {"0.01": 1, "0.02": 1, "0.05": 1, "+Inf": 2})])
    assert (found["longest_ms_max"], found["over_50_ms"]) == (None, 1)


def test_no_node_left_to_look_at_is_no_step() -> None:
    assert differences([])["steps"] == 0


def test_the_longest_gap_counts_from_and_to_the_ends() -> None:
    prober = Prober([])
    prober.acks_s += [1.0, 2.0, 2.5, 6.0, 9.0]
    assert prober.longest_s(2.0, 7.0) == 3.5
    assert prober.longest_s(6.5, 8.9) == 2.4000000000000004
    assert prober.first_s(2.0) == 2.5
    assert prober.first_s(9.0) is None


def test_keys_are_many_and_different() -> None:
    assert len({key for key, _ in cells(map(key_of, range(5000)))}) == 5000
