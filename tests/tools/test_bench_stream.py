"""The producer that sends as much as is taken: what it counts."""

import pytest

from rmf.errors import RmfError
from tools.bench_load import payload_of
from tools.bench_node import BenchNode
from tools.bench_stream import BenchStream

pytestmark = pytest.mark.slow


def test_what_was_acked_is_counted_and_how_long_each_batch_took() -> None:
    with (
        BenchNode(options=["--glovebox", "inline"]) as node,
        BenchStream([node.address], payload=payload_of(64), batch=10, window=2, rate=50) as stream,
    ):
        told = stream.stop(after_s=1)
    assert told.packets == 10 * len(told.waits_s) > 0
    assert 0 < min(told.waits_s) <= told.gap_s + max(told.waits_s)
    assert told.seconds <= 5


def test_a_producer_that_finds_no_node_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    nobody = [("127.0.0.1", 1)]
    with (
        BenchStream(nobody, payload=b"\x00", batch=1, window=1) as stream,
        pytest.raises(RmfError, match="has ended"),
    ):
        stream.stop()
    assert "ConnectionFailed" in capfd.readouterr().err
