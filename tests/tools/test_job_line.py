"""The line of the job counts the packets of each key, and adds up what they say."""

from rmf.testing import Bench
from tools.job_line import line
from tools.job_values import payload_of


def test_packets_are_counted_for_good() -> None:
    bench = Bench(line)
    for number in (0, 1, 2):
        bench.send(f"job/{number % 2}", payload_of(number), ttl_ms=1000)
    assert dict(bench.world) == {"job/0": {"count": 2, "sum": 2}, "job/1": {"count": 1, "sum": 1}}
