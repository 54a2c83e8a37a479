"""How much may be on its way: a way of known bandwidth and length, and what is allowed on it."""

from collections import deque

import pytest

from rmf import limits
from rmf.core.raft.flow import Flow

KIB, MIB, MS = limits.KIB, limits.MIB, limits.MS
LEAST, MOST = limits.PEER_WINDOW_BYTES_MIN, limits.PEER_WINDOW_BYTES


class Way:
    """First in, first out: so many bits a second, and so long from one end to the other."""

    def __init__(self, mbit: float, round_trip_ms: float) -> None:
        self.flow = Flow(LEAST, MOST)
        self.now_ns = self.free_ns = 0
        self.mbit = mbit
        self.round_trip_ns = int(round_trip_ms * MS)
        self.came = 0  # bytes
        self.longest_ns = 0  # from sending to coming
        self._marks = 0
        self._under_way: deque[tuple[int, int, int, int]] = deque()

    def send(self, size: int) -> None:
        """Put so many bytes on the way."""
        self._marks += 1
        self.flow.sent(self._marks, size, self.now_ns)
        self.free_ns = max(self.free_ns, self.now_ns) + int(size * 8000 / self.mbit)
        comes_ns = self.free_ns + self.round_trip_ns
        self._under_way.append((comes_ns, self._marks, size, self.now_ns))

    def wait(self) -> None:
        """Let the next answer come."""
        self.now_ns, mark, size, sent_ns = self._under_way.popleft()
        self.came += size
        self.longest_ns = max(self.longest_ns, self.now_ns - sent_ns)
        self.flow.came(mark, self.now_ns)

    def fill(self, seconds: float, size: int) -> float:
        """Send as much as is allowed, for so long; return Mbit/s."""
        until_ns, came, began_ns = self.now_ns + int(seconds * 1e9), self.came, self.now_ns
        while self.now_ns < until_ns:
            while self.flow.has_room:
                self.send(size)
            self.wait()
        return (self.came - came) * 8000 / (self.now_ns - began_ns)

    def drain(self) -> None:
        """Wait for everything."""
        while self._under_way:
            self.wait()


def ready(mbit: float, round_trip_ms: float) -> Way:
    """A way that a probe has been over."""
    way = Way(mbit, round_trip_ms)
    way.send(100)
    way.wait()
    return way


@pytest.mark.parametrize("mbit", [2, 10, 100, 1000])
@pytest.mark.parametrize("round_trip_ms", [0.2, 20, 200])
def test_a_way_is_used_and_nothing_waits_for_long_on_it(mbit: float, round_trip_ms: float) -> None:
    way = ready(mbit, round_trip_ms)
    way.fill(4, 64 * KIB)
    way.longest_ns = 0
    carried = way.fill(4, 64 * KIB)
    assert carried >= 0.8 * min(mbit, MOST * 8000 / (round_trip_ms * MS))
    one = int((LEAST + 64 * KIB) * 8000 / mbit)  # what may always be on it
    assert way.longest_ns <= way.round_trip_ns + max(one, 1.5 * limits.PEER_PATIENCE_NS)


def test_at_first_and_at_least_a_little_is_allowed() -> None:
    way = Way(0.1, 1000)
    assert way.flow.window_bytes == LEAST
    for _ in range(9):
        way.send(100 * KIB)
        way.wait()
    assert way.flow.window_bytes == LEAST


def test_one_send_of_any_size_is_allowed() -> None:
    way = ready(10, 0.2)
    way.send(8 * MIB)
    assert not way.flow.has_room
    way.wait()
    assert way.flow.has_room


def test_a_fast_way_has_all_there_is_after_one_answer() -> None:
    way = ready(10_000, 0.2)
    way.send(1 * MIB)
    way.wait()
    assert way.flow.window_bytes == MOST


def test_a_way_that_becomes_slow_is_noticed_with_the_next_answers() -> None:
    way = ready(10_000, 0.2)
    way.fill(0.1, 1 * MIB)
    way.drain()
    way.mbit = 10
    for _ in range(3):
        way.send(1 * MIB)  # less than is allowed by now
    for _ in range(3):
        way.wait()
    assert way.flow.window_bytes < 512 * KIB


def test_a_way_that_becomes_longer_is_found_out_and_used() -> None:
    way = ready(100, 0.2)
    way.fill(1, 64 * KIB)
    way.drain()
    way.round_trip_ns = 200 * MS
    for _ in range(20):  # nobody has much to say for a while
        way.send(64 * KIB)
        way.wait()
    assert way.fill(5, 64 * KIB) > 75


def test_little_that_takes_long_is_not_the_fault_of_what_goes_before() -> None:
    """A disk that hangs for a moment, for example."""
    way = ready(10_000, 0.2)
    way.send(1 * MIB)
    way.wait()
    way.round_trip_ns = 300 * MS
    way.send(100)
    way.wait()
    assert way.flow.window_bytes == MOST


def test_what_is_lost_is_on_the_way_no_more() -> None:
    way = ready(10, 0.2)
    way.send(1 * MIB)
    way.flow.forget()
    assert (way.flow.count, way.flow.bytes) == (0, 0)
    way.flow.came(99, 5)


def test_what_is_sent_later_is_no_older() -> None:
    flow = Flow(LEAST, MOST)
    flow.sent(5, 10, 0)
    with pytest.raises(AssertionError, match="a mark goes back"):
        flow.sent(4, 10, 0)
