"""Members, Entries and logs for tests of consensus, named by what matters: terms and names."""

from collections.abc import Sequence
from functools import lru_cache

import crc32c

from rmf import limits
from rmf.core.entry import Accession, Entry, LineId, Member, Members, encode_entry
from rmf.core.raft.peer_messages import Append, WireEntry
from rmf.core.raft.raft_values import LogEntry, Place
from rmf.core.record import chain_of
from tests.core.raft.disk_kit import START

CLUSTER = b"c" * 16
MS = limits.MS


def member(name: str, *, voter: bool = True) -> Member:
    return Member(name, name.encode(), voter=voter)


def members_of(text: str) -> tuple[Member, ...]:
    """ "n1 n2 n3?": a question mark is a learner's."""
    return tuple(member(x.rstrip("?"), voter=not x.endswith("?")) for x in text.split())


@lru_cache(64)
def body_of(what: str, tick: int = 1) -> bytes:
    line = LineId("board", 1, b"")
    return encode_entry(Entry(tick, 0, bytes(16), Accession(what, line, age_unknown=False)))


def members_body(members: Sequence[Member], tick: int = 1) -> bytes:
    return encode_entry(Entry(tick, 0, bytes(16), Members(list(members), "test")))


def entry_after(before: Place, term: int, body: bytes) -> LogEntry:
    index = before.index + 1
    chain = chain_of(before.chain, CLUSTER, index, term, body)
    return LogEntry(index, term, chain, body, crc32c.crc32c(body))


def log_of(terms: Sequence[int], base: Place = START) -> list[LogEntry]:
    """Entries of these terms. Logs with the same terms up to an index are the same up to it."""

    made: list[LogEntry] = []
    for term in terms:
        at = place_of(made[-1]) if made else base
        made.append(entry_after(at, term, body_of(f"{at.index + 1}@{term}")))
    return made


def place_of(entry: LogEntry) -> Place:
    return Place(*entry[:3])


def wire_of(entries: Sequence[LogEntry]) -> list[WireEntry]:
    return [WireEntry(x.term, x.crc, x.body) for x in entries]


def append(
    term: int,
    log: Sequence[LogEntry],
    prev: int,
    through: int | None = None,
    *,
    commit: int = 0,
    round_: int = 1,
) -> Append:
    """What a leader with this log sends behind the index `prev`, up to `through`, all if None."""
    before = place_of(log[prev - 1]) if prev else START
    entries = wire_of(log[prev:through])
    last = log[-1].index if log else 0
    return Append(term, *before, commit, last, 1, False, round_, entries)
