"""The options of rmf-bench."""

import argparse

import pytest

from tools.bench_options import add_scale, positive


def test_a_count_is_a_whole_number_above_0() -> None:
    assert positive("3") == 3
    with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number above 0"):
        positive("0")


def test_sizes_stand_with_commas_between() -> None:
    parser = argparse.ArgumentParser()
    add_scale(parser)
    assert parser.parse_args(["--kind", "letters", "--sizes", "10,200"]).sizes == [10, 200]
    assert parser.parse_args([]).sizes == []
