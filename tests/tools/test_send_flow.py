"""The pace and the report of rmf-send."""

import json

import pytest

from rmf.core import messages as m
from rmf.errors import ProtocolFault
from tools.send_flow import Pace, Report


@pytest.mark.parametrize(
    ("batch_packets", "rate_hz", "packets"),
    [(500, None, 500), (500, 100_000.0, 500), (500, 1000.0, 50), (500, 0.5, 1), (10, 1000.0, 10)],
)
def test_a_rate_makes_slices_that_are_smooth(
    batch_packets: int, rate_hz: float | None, packets: int
) -> None:
    assert Pace(batch_packets, rate_hz, 30.0).slice_packets() == packets


def test_duplicates_count_within_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(per_packet=False)
    report.add([m.Run(1, 3, m.APPLIED, True, 1, 5, 0, None, None)])
    report.add([m.Run(4, 1, m.UNKNOWN, True, None, None, None, None, None)])
    report.add([m.Run(5, 1, m.BAGGED, False, 1, 6, 0, "expired", "1.6.0")])
    report.finish()
    found = json.loads(capsys.readouterr().out)
    del found["seconds"]
    assert found == {
        "sent": 5,
        "applied": 3,
        "bagged": 1,
        "duplicate": 4,
        "unknown": 1,
        "skipped": 0,
    }


def test_an_outcome_without_a_stamp_has_no_slot(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(per_packet=True)
    report.add([m.Run(4, 2, m.UNKNOWN, True, None, None, None, None, None)])
    report.finish()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seq"] for line in lines] == [4, 5]
    assert all(line["slot"] is None and line["tick"] is None for line in lines)


def test_an_outcome_that_does_not_exist_is_a_fault() -> None:
    with pytest.raises(ProtocolFault, match="no outcome 9"):
        Report(per_packet=False).add([m.Run(1, 1, 9, False, 1, 5, 0, None, None)])
