"""The job on other systems, where they are installed."""

import pytest

from tests.tools.jobs import done_once
from tools import job_nats, job_redis, job_syncobj

ALL = [one for job in (job_nats, job_redis, job_syncobj) for one in job.contenders()]
HERE = [one for one in ALL if not one.missing]


def test_what_is_missing_is_said() -> None:
    assert all(one.missing or one.facts["version"] for one in ALL)


@pytest.mark.long
@pytest.mark.skipif(not HERE, reason="not installed")
@pytest.mark.parametrize("name", [one.name for one in HERE])
def test_each_packet_is_counted_once(name: str) -> None:
    done_once(next(one for one in HERE if one.name == name))
