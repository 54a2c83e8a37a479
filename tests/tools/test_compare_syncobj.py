"""The PySyncObj contender, where it is installed."""

import pytest

from tools.compare_servers import Load
from tools.compare_syncobj import MISSING, contenders

LOAD = Load(b"x" * 64, 1000, 0.2, 0)
(CONTENDER,) = contenders()


def test_what_is_missing_is_said() -> None:
    assert CONTENDER.missing in {"", MISSING}


@pytest.mark.long
@pytest.mark.skipif(bool(CONTENDER.missing), reason=MISSING)
def test_the_real_one_acks() -> None:
    with CONTENDER.start() as running:
        assert len(running.pids()) == 3
        assert running.waits(LOAD)
        assert running.send(LOAD).messages > 0
