"""The line of the benchmarks of large Worlds keeps what it is told, and removes it when told."""

from rmf.testing import Bench
from tools.bench_plant import line


def test_it_keeps_and_removes() -> None:
    bench = Bench(line)
    bench.send("plant/1", 21.5, ttl_ms=1000)
    bench.send("plant/2", 3, ttl_ms=1000)
    bench.send("remove", ["plant/1"], ttl_ms=1000)
    assert dict(bench.world) == {"plant/2": 3}
