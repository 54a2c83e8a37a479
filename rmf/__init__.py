"""RMF, the Robust Micro-Factory: the public names, imported when they are first used.

    from rmf import Line, Keep, Fresh, REMOVE             a line of one's own
    async with rmf.connect("127.0.0.1:7410") as factory:  a client (trio)

`import rmf` alone loads neither trio nor attrs, so that commands which need neither start quickly
(DESIGN §16); each name brings its module with it (PEP 562). Only names stand here.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmf.client.client_values import ClientCell, Parcel, Raw, Receipt, Snapshot
    from rmf.client.factory import Factory, connect
    from rmf.errors import (
        ConfigError,
        ConnectionFailed,
        LineError,
        ProtocolFault,
        Refused,
        RmfError,
        UsageError,
    )
    from rmf.line.cell_values import REMOVE, Fresh, Keep
    from rmf.line.line import Line

__version__ = "0.1.0"

_HOMES = {
    "REMOVE": "rmf.line.cell_values",
    "ClientCell": "rmf.client.client_values",
    "ConfigError": "rmf.errors",
    "ConnectionFailed": "rmf.errors",
    "Factory": "rmf.client.factory",
    "Fresh": "rmf.line.cell_values",
    "Keep": "rmf.line.cell_values",
    "Line": "rmf.line.line",
    "LineError": "rmf.errors",
    "Parcel": "rmf.client.client_values",
    "ProtocolFault": "rmf.errors",
    "Raw": "rmf.client.client_values",
    "Receipt": "rmf.client.client_values",
    "Refused": "rmf.errors",
    "RmfError": "rmf.errors",
    "Snapshot": "rmf.client.client_values",
    "UsageError": "rmf.errors",
    "connect": "rmf.client.factory",
}

__all__ = [
    "REMOVE",
    "ClientCell",
    "ConfigError",
    "ConnectionFailed",
    "Factory",
    "Fresh",
    "Keep",
    "Line",
    "LineError",
    "Parcel",
    "ProtocolFault",
    "Raw",
    "Receipt",
    "Refused",
    "RmfError",
    "Snapshot",
    "UsageError",
    "connect",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rmf' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
