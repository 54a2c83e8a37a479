"""A short job, on any system."""

from tools.compare_servers import wait_until
from tools.job_processes import JobContender
from tools.job_values import Books, Phase, books, waits_s

__all__ = ["done_once"]

_KEYS = 10


def done_once(contender: JobContender) -> None:
    """Have it done at a rate, and without one; all of it must be seen, and nothing twice."""
    with contender.start() as running:
        first = running.produce(Phase(0, 0.5, 100.0, 1000, _KEYS))
        paced = len(first.sent_ns)
        wait_until(lambda: running.total() >= paced, "not all is seen")
        second = running.produce(Phase(paced, 0.3, 0.0, 1000, _KEYS))
        packets = paced + len(second.sent_ns)
        wait_until(lambda: running.total() >= packets, "not all is seen")
        rows = running.rows()
        assert running.pids()
    assert (first.acked, second.acked) == (paced, len(second.sent_ns))
    assert books(rows, packets, _KEYS) == Books(0, 0, 0)
    assert len(waits_s(rows, first, _KEYS)) == paced
