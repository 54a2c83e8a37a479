"""Seeds: a stated part of them in every run, a thousand of five simulated minutes behind --long.

A seed that fails prints the one command that replays it.
"""

from collections import Counter

import pytest

from rmf.testing.run import Report
from rmf.testing.swarm import never, reports

# In every run: so many seeds, of so many simulated seconds each, a few at a time, for they may run
# on several cores. About 20 s of CPU.
SEEDS, SECONDS, AT_ONCE = range(1, 16), 60.0, 5
FORGETFUL_SEEDS = range(1, 4)
LONG_SEEDS, LONG_SECONDS = range(1, 1001), 300.0
LONG_AT_ONCE = 100


def verdict_of(report: Report) -> str:
    return f"{report.verdict}: {report.why}\n{report.where}\n{report.command}"


@pytest.mark.slow
@pytest.mark.parametrize("first", SEEDS[::AT_ONCE])
def test_a_stated_part_of_the_seeds_passes(first: int) -> None:
    found = list(reports(range(first, first + AT_ONCE), seconds=SECONDS))
    assert len(found) == AT_ONCE
    for report in found:
        assert report.verdict == "passed", verdict_of(report)


@pytest.mark.slow
@pytest.mark.parametrize("seed", FORGETFUL_SEEDS)
def test_it_passes_where_names_are_forgotten_all_the_time(seed: int) -> None:
    """R32: a table of five places, and people who pass by."""
    (report,) = reports([seed], seconds=SECONDS, places=5)
    assert report.verdict == "passed", verdict_of(report)
    assert report.counts["gave_up_forgotten"]


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("first", LONG_SEEDS[::LONG_AT_ONCE])
def test_a_thousand_seeds_of_five_minutes_pass_and_meet_everything(first: int) -> None:
    counts: Counter[str] = Counter()
    for report in reports(range(first, first + LONG_AT_ONCE), 2, seconds=LONG_SECONDS):
        assert report.verdict == "passed", verdict_of(report)
        counts.update(report.counts)
    assert never(counts) == []
