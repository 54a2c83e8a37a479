"""Every message between peers, a paragraph each; `protocol/PEERS.md` is the contract (R28).

A message is a CBOR array: its code, then its fields in the order given here. Who sent it is known
from the link and stands in no message. A receiver drops what came over an older link of the same
peer once a newer one is up: so nothing of a peer's former life is ever taken for its present.

`term` is the sender's, but for a pre-vote, which carries the term that is asked for. `tick` is the
sender's tick at sending and `bridged` whether it knows how much time went by (R6). Ticks, terms,
indexes and rounds are counts.

A version of the protocol between nodes may append fields (`APPENDED`): they are left out towards a
node that speaks an older one, and one that it says already stands for them.
"""

from typing import Any, NamedTuple

__all__ = [
    "APPENDED",
    "CODES",
    "INDEX_MAX",
    "Append",
    "AppendReply",
    "CampaignNow",
    "Chunk",
    "ChunkReply",
    "Heartbeat",
    "HeartbeatReply",
    "PeerMessage",
    "ReadAsk",
    "ReadReply",
    "VoteAsk",
    "VoteReply",
    "WireEntry",
    "answer_to_older",
]


INDEX_MAX = 2**63 - 1  # no Entry has it


class WireEntry(NamedTuple):
    """An Entry on its way: its term, the CRC32C of its body made where it was proposed (or read
    back), and the body. Its index follows from its place, its chain from the one before."""

    term: int
    crc: int
    body: bytes


class VoteAsk(NamedTuple):
    """A candidate asks for a vote in `term`; with `pre` it only asks whether it would get it, and
    no node changes anything. `last_index` and `last_term` are those of its last Entry. `transfer`:
    the leader wants this election, so leases do not speak against it."""

    term: int
    last_index: int
    last_term: int
    pre: bool
    transfer: bool


class VoteReply(NamedTuple):
    """The answer; a granted pre-vote carries the asked term, a refusal the voter's own. `tick` and
    `bridged` tell a new reign what time it is (R6), `heard` is the tick at which a reign set the
    voter's clock last: of two clocks that one is right which has run alone for less long."""

    term: int
    pre: bool
    granted: bool
    tick: int
    bridged: bool
    heard: int


class Append(NamedTuple):
    """The leader's Entries behind (`prev_index`, `prev_term`, `prev_chain`), maybe none. `commit`
    is the leader's, `round` the newest round of contact (see Heartbeat), `last_index` its last
    Entry's."""

    term: int
    prev_index: int
    prev_term: int
    prev_chain: bytes
    commit: int
    last_index: int
    tick: int
    bridged: bool
    round: int
    entries: list[WireEntry]


class AppendReply(NamedTuple):
    """Accepted: everything up to `compared` matches the leader's and is on this disk; up to `index`
    there are Entries that are committed, so that they ought to match: where it is higher, the
    leader shall ask there next. Not accepted: the
    Entry before `index` + 1 does not match (`index` is the append's prev_index), and (`hint`,
    `hint_term`) is the last one that may; `compared` INDEX_MAX: that cannot be, for what does not
    match is committed here, so one of the two ledgers is damaged. `whole` is False while the peer
    repairs itself: its `index` then replaces whatever it said before, and does not count for a
    majority yet."""

    term: int
    accepted: bool
    index: int
    hint: int
    hint_term: int
    round: int
    whole: bool
    compared: int

    @property
    def is_doubt(self) -> bool:
        """Whether it says that one of the two ledgers is damaged."""
        return not self.accepted and self.compared == INDEX_MAX


class Heartbeat(NamedTuple):
    """The leader reigns. `commit` is capped by what this peer is known to have; `round` rises with
    every round of contact the leader begins, and confirms reads and its own lease. Up to `held`
    this peer said in this term that all is on its disk: a node that has less, lost it. A node that
    has applied Entry `acked` has all that any client received before this was said (R36);
    INDEX_MAX: the leader itself does not know, because no majority was in touch with it lately."""

    term: int
    commit: int
    last_index: int
    tick: int
    bridged: bool
    round: int
    acked: int
    held: int


class HeartbeatReply(NamedTuple):
    """The answer, with the round it answers."""

    term: int
    round: int
    whole: bool


class Chunk(NamedTuple):
    """A piece of the leader's Checkpoint of Entry `index` (its term and chain with it): `data` at
    `offset` of `total` bytes. `content` names the file's content: pieces of two files never mix."""

    term: int
    index: int
    entry_term: int
    chain: bytes
    content: bytes
    total: int
    offset: int
    data: bytes
    round: int


class ChunkReply(NamedTuple):
    """How far the Checkpoint `content` is on the receiver's disk: `offset` is wanted next, `total`
    says that it is complete and verified. `wanted` False: it is not needed (any more)."""

    term: int
    index: int
    content: bytes
    offset: int
    wanted: bool
    round: int


class CampaignNow(NamedTuple):
    """The leader hands over: the receiver, which has everything, stands for election at once."""

    term: int


class ReadAsk(NamedTuple):
    """A follower asks from which index on its state is current (linearizable read)."""

    term: int
    request: int


class ReadReply(NamedTuple):
    """A node that has applied `index` may answer; -1: the sender cannot say, it does not reign."""

    term: int
    request: int
    index: int


PeerMessage = (
    VoteAsk
    | VoteReply
    | Append
    | AppendReply
    | Heartbeat
    | HeartbeatReply
    | Chunk
    | ChunkReply
    | CampaignNow
    | ReadAsk
    | ReadReply
)

CODES: dict[int, type[PeerMessage]] = {
    0: VoteAsk,
    1: VoteReply,
    2: Append,
    3: AppendReply,
    4: Heartbeat,
    5: HeartbeatReply,
    6: Chunk,
    7: ChunkReply,
    8: CampaignNow,
    9: ReadAsk,
    10: ReadReply,
}

# What version 2 appended, and the field that stands for it where a node of version 1 speaks: its
# last Entry is as new as what it acked, its clock and what it says it has are taken at its word.
APPENDED: dict[type[Any], tuple[str, ...]] = {
    VoteReply: ("tick",),
    AppendReply: ("index",),
    Heartbeat: ("last_index", "commit"),
}


def answer_to_older(message: PeerMessage, term: int, *, whole: bool) -> PeerMessage | None:
    """Return the answer to a message of an older term: it names the newer one (raft-cases 8). None:
    the sender learns nothing by an answer."""
    match message:
        case Append():
            return AppendReply(term, False, message.prev_index, 0, 0, 0, whole, 0)
        case Heartbeat():
            return HeartbeatReply(term, 0, whole)
        case Chunk():
            return ChunkReply(term, message.index, message.content, 0, True, 0)
        case VoteAsk():
            return VoteReply(term, message.pre, False, 0, False, 0)
        case ReadAsk():
            return ReadReply(term, message.request, -1)
        case _:
            return None
