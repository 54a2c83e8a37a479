"""What a leader says."""

from rmf.core.clock import Pace, TickClock
from rmf.core.events import ChunkRead
from rmf.core.raft.leader_messages import LeaderMessages
from rmf.core.raft.peer_messages import Append, Chunk, Heartbeat
from rmf.core.raft.raft_log import RaftLog
from tests.core.raft.disk_kit import START
from tests.core.raft.entries_kit import CLUSTER, log_of, place_of, wire_of


def speech() -> LeaderMessages:
    log = RaftLog(CLUSTER, START, log_of([1, 1, 2]))
    log.commit_to(2)
    return LeaderMessages(5, log, Pace(TickClock(100, 7, 0)))


def test_a_heartbeat_has_what_the_peer_may_hear_and_the_tick() -> None:
    assert speech().heartbeat(1, 7, 2, 9, 300) == Heartbeat(5, 1, 3, 10, True, 9, 2, 7)


def test_an_append_has_the_place_before_it_and_the_commit() -> None:
    entries = log_of([1, 1, 2])
    before, wire = place_of(entries[1]), wire_of(entries[2:])
    assert speech().append(before, wire, 9, 0) == Append(5, *before, 2, 3, 7, True, 9, wire)


def test_a_piece_is_passed_on_as_it_was_read() -> None:
    read = ChunkRead("n2", 3, 2, b"chain", b"content", 90, 30, b"data")
    assert speech().chunk(read, 9) == Chunk(5, 3, 2, b"chain", b"content", 90, 30, b"data", 9)
