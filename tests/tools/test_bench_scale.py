"""`rmf-bench scale`: figures by size, and how they grow."""

import json
from typing import Any

import pytest

from tools.bench_scale import SIZES, as_lines, growth
from tools.rmf_bench import main


def test_growth_is_the_factor_from_the_first_size_to_the_last() -> None:
    assert growth({"a": 2.0, "b": 3.0, "c": 0.0}, {"a": 3.0, "b": 3.0, "c": 1.0}) == {
        "a": 1.5,
        "b": 1,
    }


def test_each_size_is_a_row_and_growth_the_last() -> None:
    sizes = {"1000": {"a": 2.0, "b": 0.0}, "1000000": {"a": 3.5, "b": 1.0}}
    lines = as_lines({"kind": "world", "sizes": sizes, "growth": {"a": 1.75}})
    assert [line.split() for line in lines] == [
        ["world", "a", "b"],
        ["1,000", "2", "0"],
        ["1,000,000", "3.5", "1"],
        ["growth", "x", "1.75", "x", "0"],
    ]


def measured(capsys: pytest.CaptureFixture[str], kind: str, sizes: str) -> dict[str, Any]:
    argv = ["scale", "--kind", kind, "--sizes", sizes, "--seconds", "0.3", "-o", "json"]
    assert main(argv) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["sizes"]
    assert list(found) == sizes.split(",")
    return found


@pytest.mark.slow
def test_a_lone_packet_takes_more_of_the_ledger_than_one_of_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = measured(capsys, "ticks", "1,200")
    assert 64 < found["200"]["bytes_ledger_bytes"] < found["1"]["bytes_ledger_bytes"]
    assert 0 < found["200"]["map_cpu_us"] < found["1"]["map_cpu_us"]


@pytest.mark.long
@pytest.mark.parametrize("kind", sorted(SIZES))
def test_each_kind_is_measured(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(capsys, kind, "2,1000" if kind != "overload" else "1,2")
    assert all(figures for figures in found.values())
