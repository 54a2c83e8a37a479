"""The job on RMF."""

import pytest

from tests.tools.jobs import done_once
from tools.job_rmf import contenders


def test_it_is_always_there() -> None:
    assert [(one.name, one.missing) for one in contenders()] == [("rmf", "")]


@pytest.mark.long
def test_each_packet_is_counted_once() -> None:
    done_once(contenders()[0])
