"""The first words of a connection: preface and HELLO, judged (R41, R43).

Plain functions over values; `connection` does the reading and the waiting. A client that has not
said a valid HELLO is a stranger: what strangers send is counted and kept in a bounded ring, never
in the DLQ (R39), and they may not make the node buffer more than FRAME_BEFORE_HELLO_BYTES_MAX.
"""

from collections import Counter, deque
from typing import Any

import attrs

from rmf import limits
from rmf.core import messages as m
from rmf.core.producer_table import name_fault
from rmf.errors import ProtocolFault

__all__ = ["Guest", "Strangers", "guest_of"]


@attrs.frozen
class Guest:
    """Who said HELLO. `producer` is None for those who only watch and ask; `epoch` is what a
    producer that is no new one says of its last WELCOME, else 0; `dated`: its SNAPSHOTs shall carry
    the present tick."""

    producer: str | None
    ephemeral: bool
    agent: str
    epoch: int = 0
    dated: bool = False


class Strangers:
    """Faults of peers that never said HELLO: counted by code, the last ones kept (R39)."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.last: deque[tuple[str, str, bytes]] = deque(maxlen=limits.STRANGERS_RING)

    def note(self, peer: str, code: str, data: bytes) -> None:
        """Count a fault and keep the first bytes of what was sent."""
        self.counts[code] += 1
        self.last.append((peer, code, data[: limits.STRANGER_BYTES_KEPT]))


def guest_of(hello: m.Message, cluster: bytes) -> Guest:
    """Return who said HELLO. Raises ProtocolFault: `hello_expected`, `wrong_version`,
    `wrong_cluster`, `producer_name` or `wrong_shape`."""
    if not isinstance(hello, m.Hello):
        raise ProtocolFault("hello_expected", "the first message must be HELLO")
    options = hello.options
    _check_versions(options.get("versions"))
    named = options.get("cluster")
    if named and cluster and named != cluster:
        raise ProtocolFault("wrong_cluster", f"this is cluster {cluster.hex()}")
    producer = _optional(options, "producer", str)
    if producer is not None:
        fault = name_fault(producer)
        if fault is not None:
            raise ProtocolFault("producer_name", fault)
    epoch = _optional(options, "epoch", int)
    if epoch is not None and epoch < 1:
        raise ProtocolFault("wrong_shape", f"HELLO: an epoch is at least 1, found {epoch}")
    return Guest(
        producer,
        bool(_optional(options, "ephemeral", bool)),
        _optional(options, "agent", str) or "",
        epoch or 0,
        bool(_optional(options, "now", bool)),
    )


def _check_versions(versions: object) -> None:
    mine = f"this node speaks {m.VERSION_MIN} to {m.VERSION_MAX}"
    if type(versions) is not list or len(versions) != 2 or set(map(type, versions)) != {int}:
        raise ProtocolFault("wrong_shape", f"HELLO: versions must be [min, max]; {mine}")
    if versions[0] > m.VERSION_MAX or versions[1] < m.VERSION_MIN:
        raise ProtocolFault("wrong_version", f"the client speaks {versions}; {mine}")


def _optional(options: dict[str, Any], name: str, kind: type[Any]) -> Any:
    value = options.get(name)
    if value is not None and type(value) is not kind:
        raise ProtocolFault("wrong_shape", f"HELLO: {name} is of the wrong type")
    return value
