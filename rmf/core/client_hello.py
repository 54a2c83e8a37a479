"""HELLO of a client, judged (R41, R43): who it is, or why it cannot be taken."""

from typing import Any

import attrs

from rmf.core import messages as m
from rmf.core.producer_table import name_fault
from rmf.errors import ProtocolFault

__all__ = ["Guest", "guest_of"]


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


def guest_of(hello: m.Hello, cluster: bytes) -> Guest:
    """Return who said HELLO to a node of a cluster (b"": of none yet). Raises ProtocolFault:
    `wrong_version`, `wrong_cluster`, `producer_name` or `wrong_shape`."""
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
