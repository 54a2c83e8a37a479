"""The kinds of Entries, and which of them a cluster of some version may hold (R30).

A leader raises the cluster's version once every member knows it; VERSION, an Entry too, says so.
What a kind holds stands in `entry`; here, a body is asked for its kind and tick without decoding.
"""

from rmf.core.cbor_heads import INITIAL

__all__ = [
    "ACCESSION",
    "CLUSTER_VERSION",
    "FORMAT",
    "GENESIS",
    "KINDS_OF_VERSION",
    "MEMBERS",
    "READS_VERSION",
    "SETTINGS",
    "SETTINGS_VERSION",
    "SPANS",
    "SPANS_VERSION",
    "TABLE_SLICES_VERSION",
    "TICK",
    "TICKS",
    "TRIAGE",
    "TRIAGE_VERSION",
    "VERSION",
    "kind_of",
    "tick_of",
]

FORMAT = 1
GENESIS, ACCESSION, TICK, MEMBERS, VERSION, TRIAGE, SETTINGS, SPANS = range(8)
TICKS = frozenset({TICK, SPANS})  # the kinds that a Tick with packets is written as

# Which kinds a cluster of that version may hold (R30): VERSION itself announces all later ones.
KINDS_OF_VERSION = {
    1: frozenset({GENESIS, ACCESSION, TICK}),
    2: frozenset({GENESIS, ACCESSION, TICK, MEMBERS, VERSION}),
    3: frozenset({GENESIS, ACCESSION, TICK, MEMBERS, VERSION, TRIAGE}),
    4: frozenset({GENESIS, ACCESSION, TICK, MEMBERS, VERSION, TRIAGE, SETTINGS}),
    5: frozenset({GENESIS, ACCESSION, TICK, MEMBERS, VERSION, TRIAGE, SETTINGS, SPANS}),
}
TRIAGE_VERSION = 3
READS_VERSION = 3  # from which on a bag says which cells its handler read
SETTINGS_VERSION = 4  # a cluster that is founded with it waits longer before elections
SPANS_VERSION = 5  # from which on a Tick may say of packets that they are stored as they came
TABLE_SLICES_VERSION = 4  # from which on a Checkpoint has the producers' table in slices
CLUSTER_VERSION = max(KINDS_OF_VERSION)  # the highest that this release knows


def kind_of(body: bytes) -> int:
    """Return the kind of an encoded Entry, without decoding it; -1 if the bytes are none."""
    return body[2] if len(body) > 2 and body[1] == FORMAT else -1


def tick_of(body: bytes) -> int:
    """Return the tick of an encoded Entry, without decoding the rest: a log is asked for it."""
    tick = body[3]
    return tick if tick < 24 else int.from_bytes(body[4 : 4 + INITIAL[tick][2]], "big")
