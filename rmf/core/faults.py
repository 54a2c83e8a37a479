"""The error table of the protocol: every code that ERROR, REFUSE and GOAWAY may carry (R41).

Text only: it knows nothing of RMF. `protocol/README.md` shows the same table; a test
compares the two. A code is never reused and never changes its meaning.

- `closes`: the node closes the connection after the message that carries the code.
- `retry`: the same thing may be tried again, not sooner than `back_off_ms` (with jitter).
"""

from typing import NamedTuple

__all__ = ["FAULTS", "Fault", "closes", "retry_allowed"]


class Fault(NamedTuple):
    """A row of the table; `back_off_ms` is 0 where `retry` is False."""

    closes: bool
    retry: bool
    back_off_ms: int
    meaning: str


FAULTS: dict[str, Fault] = {
    # The connection as a whole.
    "bad_preface": Fault(True, False, 0, "the first bytes are not the preface of RMF"),
    "wrong_version": Fault(True, False, 0, "no common version; the text states the node's range"),
    "wrong_cluster": Fault(True, False, 0, "HELLO names another cluster than this one"),
    "hello_expected": Fault(True, False, 0, "the first message must be HELLO"),
    "hello_repeated": Fault(True, False, 0, "HELLO came twice on one connection"),
    "handshake_timeout": Fault(True, True, 1000, "preface and HELLO did not come in time"),
    "frame_timeout": Fault(True, True, 1000, "a frame was begun and not finished in time"),
    "frame_too_long": Fault(True, False, 0, "the length field exceeds the announced limit"),
    "idle_timeout": Fault(True, True, 0, "nothing came for the announced idle time"),
    "slow_reader": Fault(True, True, 1000, "answers were not read; the bound was reached"),
    "too_many_connections": Fault(True, True, 1000, "the node has no connection left"),
    "superseded": Fault(True, False, 0, "a newer connection of this producer took over (R32)"),
    "forgotten": Fault(True, False, 0, "the factory does not know this producer any more (R32)"),
    "internal": Fault(True, True, 1000, "the node failed while it served this connection"),
    # One frame: the framing is still trusted, the connection goes on.
    "not_well_formed": Fault(False, False, 0, "the frame is not one CBOR item (RFC 8949 §5.3.1)"),
    "trailing_bytes": Fault(False, False, 0, "bytes follow the item within the frame"),
    "not_shortest": Fault(False, False, 0, "a head is longer than its value needs"),
    "indefinite_length": Fault(False, False, 0, "an indefinite length"),
    "tag": Fault(False, False, 0, "a tag"),
    "simple_value": Fault(False, False, 0, "a simple value other than false, true, null"),
    "duplicate_key": Fault(False, False, 0, "a map names one key twice"),
    "key_type": Fault(False, False, 0, "a map key is neither text nor integer"),
    "depth": Fault(False, False, 0, "nested deeper than the announced limit"),
    "too_many_items": Fault(False, False, 0, "more CBOR items than announced"),
    "utf8": Fault(False, False, 0, "text that is not UTF-8"),
    "unknown_type": Fault(False, False, 0, "a message type that this version does not know"),
    "wrong_shape": Fault(False, False, 0, "a field is missing, too many, or of the wrong type"),
    "frame_packets": Fault(False, False, 0, "SEND holds no packet, or more than announced"),
    "no_producer": Fault(False, False, 0, "SEND on a connection whose HELLO named no producer"),
    "no_seq": Fault(False, False, 0, "a packet without a readable seq: sealed as an edge letter"),
    "too_many_subscriptions": Fault(False, False, 0, "the announced bound is reached"),
    "subscription_taken": Fault(False, False, 0, "the subscription number is in use"),
    "bad_filter": Fault(False, False, 0, "a topic filter breaks the rules of topics"),
    "not_retained": Fault(False, False, 0, "the tick asked for is gone; the oldest is named"),
    "unknown_query": Fault(False, False, 0, "QUERY names a subject that this node does not know"),
    # Packets not taken in: nothing was latched, the seq is free.
    "busy": Fault(False, True, 1000, "the disk is at its hard watermark: no packets for now"),
    "not_leader": Fault(False, True, 10, "this node does not reign; the leader is named if known"),
    "no_reign": Fault(False, True, 10, "no reigning Arbiter is known: the node is on strike"),
    "strike": Fault(False, True, 1000, "the node is on strike; its status says why"),
    "stopping": Fault(False, True, 200, "the node is being stopped; go elsewhere or come back"),
    "seq_gap": Fault(False, True, 0, "the seq expected next is named; resend from there"),
    # An order to the node or the factory that was not carried out.
    "change_pending": Fault(False, True, 200, "another change of the members is under way"),
    "not_ready": Fault(False, True, 200, "not yet: the text says what must come first"),
    "no_such_member": Fault(False, False, 0, "the factory has no member of this name"),
    "not_possible": Fault(False, False, 0, "it cannot be done here; the text says why"),
    # HELLO itself.
    "producer_name": Fault(True, False, 0, "the producer name is empty, too long or not printable"),
}


def closes(code: str) -> bool:
    """Whether the node closes the connection after an ERROR with this code."""
    return FAULTS[code].closes


def retry_allowed(code: str) -> bool:
    """Whether a client may try again after this code; unknown codes are final."""
    fault = FAULTS.get(code)
    return fault is not None and fault.retry
