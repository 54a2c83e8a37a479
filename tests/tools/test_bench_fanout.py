"""rmf-bench fanout measures real nodes; here only that it does, for each kind of display."""

import pytest

from tools.bench_fanout import KINDS, fanout

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", KINDS)
def test_it_measures_the_line_and_those_who_look_on(kind: str) -> None:
    found = fanout(seconds=0.4, displays=3, kind=kind, batch=50)
    assert found["packets"] > 0
    assert found["display_mib_per_s"] >= 0
    assert 0 < found["begin_p50_ms"] <= found["begin_max_ms"]
