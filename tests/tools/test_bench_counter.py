"""The counting line."""

from tests.line.bench import row, run, values, world
from tools.bench_counter import line


def test_each_packet_is_counted_once_and_the_count_keeps() -> None:
    executed = run(line, row("count/a", 0), row("count/a", 0, seq=2), before=world(count__a=40))
    assert values(executed) == {"count/a": 42}
    assert [change[3] for change in executed.listed][-1] == 0
