"""What a failover is counted from, and that it is measured on real nodes."""

import json

import pytest

from rmf.errors import RmfError
from tools.bench_failover import downtimes_s
from tools.bench_producer import Change
from tools.rmf_bench import main


def test_a_downtime_is_from_the_last_ack_before_to_the_first_one_of_a_newer_term() -> None:
    changes = [Change(10.0, 10.2, 2), Change(19.9, 20.3, 3), Change(29.0, 29.3, 5)]
    found = downtimes_s([10.01, 19.91, 29.1], changes)
    assert [round(s, 3) for s in found] == [0.2, 0.4, 0.3]


def test_an_election_that_no_kill_caused_is_not_counted() -> None:
    changes = [Change(5.0, 5.1, 2), Change(10.0, 10.2, 3)]
    assert [round(s, 3) for s in downtimes_s([10.01], changes)] == [0.2]


def test_a_kill_without_a_new_term_is_a_failed_measurement() -> None:
    with pytest.raises(RmfError, match="not followed"):
        downtimes_s([10.0], [Change(5.0, 5.1, 2)])


@pytest.mark.long
def test_leaders_are_killed_and_nothing_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["failover", "--kills", "3", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["bench"], found["nodes"], found["fsync"], found["kills"]) == (
        "failover",
        3,
        True,
        3,
    )
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]
    assert (found["lost"], found["applied_twice"]) == (0, 0)
    assert found["packets"] > 60
