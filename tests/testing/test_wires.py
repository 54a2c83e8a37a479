"""A wire carries so many bytes a second; what hurries overtakes what may be long, all else
is in order."""

from functools import partial

from rmf import limits
from rmf.core.raft.peer_messages import Append, Heartbeat, PeerMessage, WireEntry
from rmf.testing.agenda import Agenda
from rmf.testing.wires import SimulatedWire, size_of

RATE = 100_000  # bytes a second


def append(index: int, size: int) -> Append:
    entries = [WireEntry(1, 0, bytes(size))] if size else []
    return Append(1, index, 1, bytes(16), 0, index + 1, 0, True, 1, entries)


HEARTBEAT = Heartbeat(1, 0, 0, 0, True, 1, 0, 0)


def carried(*messages: PeerMessage) -> list[tuple[float, PeerMessage]]:
    """Return when each of them arrives, in seconds; all are said at once."""
    agenda = Agenda()
    wire = SimulatedWire(agenda, RATE)
    found: list[tuple[float, PeerMessage]] = []

    def arrive(message: PeerMessage) -> None:
        found.append((agenda.now_ns / limits.SECOND, message))

    for message in messages:
        assert wire.carry(message, partial(arrive, message))
    agenda.run_until(3600 * limits.SECOND)
    return found


def test_a_message_takes_as_long_as_its_bytes_take() -> None:
    long = append(1, 50_000)
    [(seconds, _)] = carried(long)
    assert abs(seconds - size_of(long) / RATE) < 0.001


def test_messages_follow_one_another() -> None:
    one, other = append(1, 10_000), append(2, 10_000)
    (first_s, first), (second_s, second) = carried(one, other)
    assert (first, second) == (one, other)
    assert abs(second_s - 2 * first_s) < 0.001


def test_a_heartbeat_overtakes_entries_even_those_that_are_leaving() -> None:
    assert [type(x) for _, x in carried(append(1, 50_000), HEARTBEAT)] == [Heartbeat, Append]
    [(seconds, _), _] = carried(append(1, 50_000), HEARTBEAT)
    assert seconds < 0.02


def test_what_waits_is_bounded() -> None:
    wire = SimulatedWire(Agenda(), RATE)
    one = append(1, limits.PEER_QUEUE_BYTES_MAX // 2)
    taken = [wire.carry(one, lambda: None) for _ in range(3)]
    assert taken == [True, False, False]
    assert wire.carry(HEARTBEAT, lambda: None)
