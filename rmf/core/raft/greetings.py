"""What nodes say to each other before and beside consensus, and whom a node lets in (R28, R29).

Each connection between nodes begins with HELLO and ends the handshake with WELCOME or REFUSAL;
`protocol/PEERS.md` is the contract. Pure values and one decision (`refusal_of`): it knows what a
node says of itself and what the ledger says of the members, no socket and no time.

Theory. A name alone proves nothing: a node that lost its disk comes back under its old name, and
must not vote a second time. So each data directory has an incarnation, the ledger says which one is
the member, and both sides of a connection check it. But a node may be behind, and then it knows
less of the members than the one that calls: `membership`, the index of the Entry that names the
members, says whose list is newer, and a caller with a newer one is let in. A wiped node cannot
claim that: its ledger is empty.
"""

from typing import NamedTuple

import attrs

from rmf.core.bag import Letter
from rmf.core.entry import LineId, Member
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.triage import Act

__all__ = [
    "GENESIS",
    "LETTERS",
    "LINK_CODES",
    "PIECES",
    "PURPOSES",
    "RAFT",
    "REFUSALS",
    "VERSION_MAX",
    "VERSION_MIN",
    "Acts",
    "ActsAsk",
    "Alive",
    "Hello",
    "Letters",
    "LettersAsk",
    "LinkMessage",
    "Own",
    "Piece",
    "Refusal",
    "Taken",
    "Welcome",
    "hello_of",
    "refusal_of",
    "welcome_of",
]

VERSION_MIN = 1  # of the protocol between nodes: what each says, PEERS.md lists
VERSION_MAX = 2
PIECES = 2  # from this version on APPEND and CHUNK may come in pieces

RAFT, LETTERS, GENESIS = PURPOSES = ("raft", "letters", "genesis")

REFUSALS = {
    "wrong_version": "no common version of this protocol; the text names both ranges",
    "wrong_node": "the address leads to another node than the one that was called, or to itself",
    "wrong_incarnation": "a node under that name is a member, but not with this data directory",
    "wrong_cluster": "the two belong to different clusters",
    "not_member": "the ledger names no such member",
    "unfounded": "the called node belongs to no cluster yet; try again",
    "too_many_connections": "no connection is left; try again",
}


class Hello(NamedTuple):
    """The caller's first message. `to` is the node that is called, `to_incarnation` the one that
    the caller's members name (None: it knows none). `membership` is the index of the Entry that
    its members come from, 0: none. `listed` are the names of its `--peers`, its own included.
    `line` is the line it runs; releases up to 0.2 do not say it."""

    node: str
    incarnation: bytes
    cluster: bytes | None
    to: str
    to_incarnation: bytes | None
    membership: int
    versions: tuple[int, int]
    cluster_version: int
    client_address: str
    peer_address: str
    listed: tuple[str, ...]
    purpose: str
    line: LineId | None = None


class Welcome(NamedTuple):
    """The answer: who is there. `cluster` None: it belongs to none yet. `member`: its members name
    the caller with the caller's incarnation. `version` is what both speak from here on."""

    node: str
    incarnation: bytes
    cluster: bytes | None
    member: bool
    version: int
    cluster_version: int
    client_address: str
    peer_address: str
    listed: tuple[str, ...]


class Refusal(NamedTuple):
    """The other answer: a code of REFUSALS and a human-readable sentence; the connection closes."""

    code: str
    text: str


class LettersAsk(NamedTuple):
    """Asks for letters of the line behind row `after` of the called node's file (0: from the
    first), stamped at or before (`term`, `tick`), which are those of the Entry `through_index`."""

    after: int
    through_index: int
    term: int
    tick: int


class Letters(NamedTuple):
    """A page of them; ask again from `after` on. `more` False: that was all there is now, and
    `whole` says whether that is all there ever was up to the asked Entry."""

    after: int
    more: bool
    whole: bool
    letters: tuple[Letter, ...]


class ActsAsk(NamedTuple):
    """Asks for what people decided about letters of the line, behind row `after` of the called
    node's file (0: from the first)."""

    after: int


class Acts(NamedTuple):
    """A page of them; ask again from `after` on. `more` False: that was all there is now."""

    after: int
    more: bool
    acts: tuple[Act, ...]


class Alive(NamedTuple):
    """Nothing to say, but still there: sent when a link was silent for a while."""


class Piece(NamedTuple):
    """A part of one APPEND or CHUNK, of its item; `last`: with it the message is complete."""

    last: bool
    data: bytes


class Taken(NamedTuple):
    """How many bytes of all pieces' data have come over this connection."""

    bytes: int


LinkMessage = (
    Hello | Welcome | Refusal | LettersAsk | Letters | Alive | ActsAsk | Acts | Piece | Taken
)

LINK_CODES: dict[int, type[LinkMessage]] = {
    100: Hello,
    101: Welcome,
    102: Refusal,
    103: LettersAsk,
    104: Letters,
    105: Alive,
    106: ActsAsk,
    107: Acts,
    108: Piece,
    109: Taken,
}


@attrs.frozen
class Own:
    """What a node knows of itself and its cluster at this moment. `cluster` is None until it was
    founded; `members` are those of its ledger (of Genesis, while that is being written), and
    `membership` is the index of their Entry. `listed` are the names of `--peers`, its own too.
    `line` is the one it runs."""

    node: str
    incarnation: bytes
    cluster: bytes | None = None
    members: tuple[Member, ...] = ()
    membership: int = 0
    client_address: str = ""
    peer_address: str = ""
    listed: tuple[str, ...] = ()
    line: LineId | None = None

    def member(self, name: str) -> Member | None:
        """Return the member of that name, if there is one."""
        return next((x for x in self.members if x.name == name), None)

    def is_member(self, name: str, incarnation: bytes) -> bool:
        """Whether a node with this data directory is a member."""
        found = self.member(name)
        return found is not None and found.incarnation == incarnation


def hello_of(own: Own, to: str, to_incarnation: bytes | None, purpose: str) -> Hello:
    """Return what this node says to the one it calls."""
    return Hello(
        node=own.node,
        incarnation=own.incarnation,
        cluster=own.cluster,
        to=to,
        to_incarnation=to_incarnation,
        membership=own.membership,
        versions=(VERSION_MIN, VERSION_MAX),
        cluster_version=CLUSTER_VERSION,
        client_address=own.client_address,
        peer_address=own.peer_address,
        listed=own.listed,
        purpose=purpose,
        line=own.line,
    )


def welcome_of(own: Own, hello: Hello) -> Welcome:
    """Return the answer to a caller that is let in."""
    return Welcome(
        node=own.node,
        incarnation=own.incarnation,
        cluster=own.cluster,
        member=own.is_member(hello.node, hello.incarnation),
        version=min(VERSION_MAX, hello.versions[1]),
        cluster_version=CLUSTER_VERSION,
        client_address=own.client_address,
        peer_address=own.peer_address,
        listed=own.listed,
    )


def refusal_of(hello: Hello, own: Own) -> Refusal | None:
    """Return why a caller is not let in, or None if it is."""
    low, high = hello.versions
    if low > VERSION_MAX or high < VERSION_MIN:
        mine = f"{VERSION_MIN} to {VERSION_MAX}"
        return Refusal("wrong_version", f"the caller speaks {low} to {high}, this node {mine}")
    if hello.to != own.node:
        return Refusal("wrong_node", f"this is node {own.node}, not {hello.to}: see --peers")
    if hello.node == own.node:
        return Refusal("wrong_node", f"the caller is called {own.node}, too: names must differ")
    if hello.purpose == GENESIS:
        return None  # only a question: the asker learns who is here
    if hello.to_incarnation is not None and hello.to_incarnation != own.incarnation:
        return _wrong_incarnation(own.node, hello.to_incarnation, own.incarnation)
    if own.cluster is None:
        return Refusal("unfounded", f"node {own.node} belongs to no cluster yet")
    if hello.cluster != own.cluster:
        theirs = "none" if hello.cluster is None else hello.cluster.hex()
        return Refusal("wrong_cluster", f"this is cluster {own.cluster.hex()}, not {theirs}")
    return _not_a_member(hello, own)


def _not_a_member(hello: Hello, own: Own) -> Refusal | None:
    if hello.membership > own.membership:
        return None  # it knows members that this node is still to learn of
    member = own.member(hello.node)
    if member is None:
        text = f"node {hello.node} is no member of this cluster: rmf-admin add makes it one"
        return Refusal("not_member", text)
    if member.incarnation != hello.incarnation:
        return _wrong_incarnation(hello.node, member.incarnation, hello.incarnation)
    return None


def _wrong_incarnation(name: str, expected: bytes, found: bytes) -> Refusal:
    return Refusal(
        "wrong_incarnation",
        f"the member {name} has the data directory {expected.hex()}, this is {found.hex()}: it was"
        " wiped or swapped; rmf-admin remove and add let it in again",
    )
