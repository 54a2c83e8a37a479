"""The values of consensus, and what a node's disk says of it at start (R13, R23).

Values only: nothing here decides. `Standing` is the seam between recovery and Raft: production
reads it from files, the simulator from its own disks, and both get the same node.
"""

from typing import NamedTuple

from rmf import limits

__all__ = ["HardState", "LogEntry", "Place", "Standing", "Timing"]


class HardState(NamedTuple):
    """What must be on the disk before any message that depends on it leaves: the term, and who got
    this node's vote in it (None: none yet)."""

    term: int
    voted_for: str | None

    def follows(self, before: "HardState") -> bool:
        """Whether it may be written after `before`: the term never falls, and a vote stays."""
        same = self.term == before.term and before.voted_for in {None, self.voted_for}
        return same or self.term > before.term


class Place(NamedTuple):
    """The place of one Entry in the log; index 0 is before the first."""

    index: int
    term: int
    chain: bytes


class LogEntry(NamedTuple):
    """An Entry in the log: its place, its body, and the CRC32C of that body."""

    index: int
    term: int
    chain: bytes
    body: bytes
    crc: int


class Standing(NamedTuple):
    """Where a node stands when it comes back. `place` is where its committed state stands, `serial`
    the number of that Entry's record; `tail` are the Entries behind it on this disk, not
    known to be committed, and `tail_serials` the numbers of their records. `whole` False: a damaged
    ledger was set aside, so this node may have promised more than it can remember, and neither
    votes nor counts until it has caught up (R24)."""

    hard: HardState
    place: Place
    serial: int
    tail: tuple[LogEntry, ...]
    tail_serials: tuple[int, ...]
    whole: bool = True


class Timing(NamedTuple):
    """The beats of consensus, in ns. A follower that hears nothing of a leader for a random time
    between the two election bounds stands for election; the leader speaks to each peer every
    `heartbeat_ns` at least, and steps down when it was without a majority for `quorum_ns`: to wait
    so long costs nothing, for reads and commits need a majority anyway. Raft paper §9.3: broadcast
    time << election timeout << time between failures; R17: an fsync that takes longer than
    `election_max_ns` ends a reign."""

    heartbeat_ns: int = limits.HEARTBEAT_NS
    election_min_ns: int = limits.ELECTION_NS_MIN
    election_max_ns: int = limits.ELECTION_NS_MAX
    quorum_ns: int = limits.QUORUM_NS_MAX

    def with_elections(self, low_ms: int, high_ms: int) -> "Timing":
        """Return the same with other election time-outs. Who waits for them longer than for a
        majority would step down for nothing."""
        low_ns, high_ns = low_ms * limits.MS, high_ms * limits.MS
        quorum_ns = max(limits.QUORUM_NS_MAX, high_ns)
        return Timing(self.heartbeat_ns, low_ns, high_ns, quorum_ns)
