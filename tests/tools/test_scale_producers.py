"""What known producers cost a node."""

import pytest

from tools.scale_producers import producers


@pytest.mark.slow
def test_all_that_came_are_known_when_they_are_gone() -> None:
    found = producers(30, 0.2)
    assert found["known"] == 31  # and the probe
    assert 0 < found["p50_ms"] <= found["p99_ms"]
