"""Every message of the client protocol, a paragraph each; `protocol/README.md` is the contract.

A message is a CBOR array: its code, then its fields in the order given here. The layout of HELLO,
WELCOME and ERROR is frozen for all versions, so that any two versions can tell each other no.
Messages are NamedTuples, not attrs classes: `rmf-cat` answers within 100 ms because its imports
hold neither attrs nor trio (DESIGN §16).

Units: `*_ms` milliseconds, `*_ns` and `harvested_at` nanoseconds; ticks and terms are counts.
"""

from typing import Any, NamedTuple

__all__ = [
    "APPLIED",
    "BAGGED",
    "CODES",
    "DELTA",
    "FROM_CLIENT",
    "FROM_NODE",
    "FULL",
    "KEEPALIVE",
    "OUTCOMES",
    "UNKNOWN",
    "VERSION_MAX",
    "VERSION_MIN",
    "Ack",
    "Bye",
    "End",
    "Error",
    "Gap",
    "Get",
    "Goaway",
    "Hello",
    "Item",
    "Message",
    "Ping",
    "Pong",
    "Query",
    "Refuse",
    "Run",
    "Send",
    "Snapshot",
    "Subscribe",
    "Unsubscribe",
    "Value",
    "Welcome",
    "WireCell",
    "fields_of",
    "name_of",
]

VERSION_MIN = VERSION_MAX = 1

OUTCOMES = ("applied", "bagged", "unknown")
APPLIED, BAGGED, UNKNOWN = range(3)

FULL, DELTA, KEEPALIVE = range(3)


class Hello(NamedTuple):
    """Client, first message. `options`: `versions` [min, max], `agent` text; and where wanted
    `producer` text, `ephemeral` bool (the name leaves the table with BYE), `epoch` (of a producer's
    last WELCOME: it comes back), `cluster` bytes, `now` bool (SNAPSHOTs shall carry the present
    tick). Unknown keys are ignored."""

    options: dict[str, Any]


class Welcome(NamedTuple):
    """Node, answer to HELLO. `facts`: `version`, `node`, `cluster`, `agent`, `term`, `tick`,
    `period_ns`, `leader` (address or null), `limits` (every limit by its name); for a producer
    also `epoch`, `last_seq` and `ephemeral`, and then it comes only after the commit of its epoch
    (R32)."""

    facts: dict[str, Any]


class Error(NamedTuple):
    """Node. A code of the error table, a human-readable sentence, and the id of the edge letter
    that holds the offending bytes, or null. The code says whether the connection closes."""

    code: str
    text: str
    letter: str | None


class Send(NamedTuple):
    """Producer. Packets in the order of their seqs, each a row (see core/packet)."""

    packets: list[list[Any]]


class Run(NamedTuple):
    """Outcomes of `packets` packets with consecutive seqs and slots. `term`, `tick`, `slot` are the
    Stamp of the first (null when unknown). A bagged packet is a run of its own, with its reason
    and the id of its letter."""

    seq: int
    packets: int
    outcome: int
    duplicate: bool
    term: int | None
    tick: int | None
    slot: int | None
    reason: str | None
    letter: str | None


class Ack(NamedTuple):
    """Node. What became of packets; sent after commit, never before (R2)."""

    runs: list[Run]


class Refuse(NamedTuple):
    """Node. Nothing from `seq` on was taken in of this frame: `code` of the error table, `expected`
    the seq that must come next, `leader` where to go (or null), a sentence. Only `seq_gap` and
    `busy` free seqs (R33)."""

    seq: int
    code: str
    expected: int
    leader: str | None
    text: str


class Bye(NamedTuple):
    """Client. It leaves on purpose; an ephemeral producer's row is removed by an Entry (R33)."""


class Goaway(NamedTuple):
    """Node. It will close soon: reason, addresses of other nodes, how long to hold off."""

    code: str
    alternatives: list[str]
    hold_off_ms: int
    text: str


class Ping(NamedTuple):
    """Client. Keeps the connection alive; the token comes back in PONG."""

    token: int


class Pong(NamedTuple):
    """Node. Answer to PING, with the node's present term and tick."""

    token: int
    term: int
    tick: int


class Subscribe(NamedTuple):
    """Client. `number` names the subscription on this connection. `options`: `mode` "full" or
    "delta", `rate_hz` number, `every_tick` bool, `from_tick` integer. Unknown keys: `wrong_shape`.
    """

    number: int
    filters: list[str]
    options: dict[str, Any]


class Unsubscribe(NamedTuple):
    """Client. No SNAPSHOT of this subscription follows the END that answers it."""

    number: int


class WireCell(NamedTuple):
    """A cell as subscribers get it; `value` is embedded CBOR, `expires` a tick or null."""

    key: str
    value: bytes
    term: int
    tick: int
    slot: int
    producer: str
    harvested_at: int
    expires: int | None


class Snapshot(NamedTuple):
    """Node. The picture at one Tick, or a chunk of it: `more` says that the Tick is not complete
    yet. `kind` FULL, DELTA or KEEPALIVE; `skipped` ticks conflated since the last one; `removed`
    pairs of key and reason. `now` is the factory's present tick, on connections whose HELLO asks
    for it and if the node knows it; else it is left out."""

    number: int
    kind: int
    more: bool
    term: int
    tick: int
    entry_index: int
    digest: bytes
    live: bool
    skipped: int
    cells: list[WireCell]
    removed: list[list[str]]
    now: int | None = None


class Gap(NamedTuple):
    """Node. Ticks before `oldest` are no longer retained for this every-tick subscription; a full
    picture follows, which says its own Tick."""

    number: int
    oldest: int


class Get(NamedTuple):
    """Client. One cell; `linearizable` asks for a read that no later write precedes."""

    request: int
    key: str
    linearizable: bool


class Value(NamedTuple):
    """Node. Answer to GET: the cell (or null) at this Tick."""

    request: int
    term: int
    tick: int
    entry_index: int
    live: bool
    cell: WireCell | None


class Query(NamedTuple):
    """Client. Asks the node about itself: `subject` "status", "dlq.stats", "dlq.groups",
    "dlq.list", "dlq.show", "dlq.tail"; `args` by subject. Answered by ITEMs and one END."""

    request: int
    subject: str
    args: dict[str, Any]


class Item(NamedTuple):
    """Node. One piece of the answer to a QUERY."""

    request: int
    body: dict[str, Any]


class End(NamedTuple):
    """Node. The answer to a QUERY or UNSUBSCRIBE is complete; a code of the error table or null."""

    request: int
    code: str | None
    text: str | None


Message = (
    Hello
    | Welcome
    | Error
    | Send
    | Ack
    | Refuse
    | Bye
    | Goaway
    | Ping
    | Pong
    | Subscribe
    | Unsubscribe
    | Snapshot
    | Gap
    | Get
    | Value
    | Query
    | Item
    | End
)


def fields_of(message: Message) -> tuple[Any, ...]:
    """Return the fields as they go over the wire: what may be left out at the end, is."""
    if type(message) is Snapshot and message.now is None:
        return message[:-1]
    return message


CODES: dict[int, type[Any]] = {
    0: Hello,
    1: Welcome,
    2: Error,
    3: Send,
    4: Ack,
    5: Refuse,
    6: Bye,
    7: Goaway,
    8: Ping,
    9: Pong,
    10: Subscribe,
    11: Unsubscribe,
    12: Snapshot,
    13: Gap,
    14: Get,
    15: Value,
    16: Query,
    17: Item,
    18: End,
}

FROM_CLIENT: tuple[type[Any], ...] = (Hello, Send, Bye, Ping, Subscribe, Unsubscribe, Get, Query)
FROM_NODE = tuple(kind for kind in CODES.values() if kind not in FROM_CLIENT)


def name_of(kind: type[Any]) -> str:
    """Return the name of a kind of message, as `protocol/` writes it."""
    return kind.__name__.upper()
