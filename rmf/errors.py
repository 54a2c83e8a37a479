"""The exceptions of RMF: raised, never sent. What a peer may do wrong is a value (see core/faults).

    RmfError
    ├── UsageError            the caller's mistake: arguments, configuration, a line that can't load
    │   └── ConfigError       a setting: names the key, the value, the origin and what to do
    ├── LineError             a Line that cannot be loaded: overlapping filters, wrong object
    ├── ProtocolFault         bytes of the other side that break protocol/; `.code` names the fault
    │   └── BadPreface        another protocol than the one that is spoken here
    ├── ConnectionFailed      the other side cannot be reached, or was lost
    ├── Refused               the node said no; `.code` is of the error table, `.retry` its advice
    ├── StorageError          what is on the disk, or the disk itself
    │   ├── DirectoryInUse    another process holds the data directory
    │   ├── ForeignDirectory  the data belongs to another node or cluster
    │   ├── DirectoryCopied   a member's data are a copy: it may have promised more since (R28)
    │   ├── LedgerDamaged     damage that is not a torn tail: exact place and repair command
    │   ├── CheckpointDamaged a Checkpoint that fails its digest
    │   ├── DiskFailed        a write or fsync failed: never retried (R17)
    │   ├── NoDescriptor      the process has no file descriptor left: nothing was written
    │   ├── DiskHangs         a write is in the kernel and does not return: no other may write (R23)
    │   └── PenTaken          a newer writer of this process has the ledger (R23)
    └── Diverged              a digest that differs from the ledger's (R26)

Each message says what was found, what was expected, and what to do.
"""

import os

__all__ = [
    "NO_CONNECTION",
    "WAY_BACK",
    "BadPreface",
    "CheckpointDamaged",
    "ConfigError",
    "ConnectionFailed",
    "DirectoryCopied",
    "DirectoryInUse",
    "DiskFailed",
    "DiskHangs",
    "Diverged",
    "ForeignDirectory",
    "LedgerDamaged",
    "LetterDamaged",
    "LineError",
    "NoDescriptor",
    "PenTaken",
    "ProtocolFault",
    "Refused",
    "RmfError",
    "StorageError",
    "UsageError",
    "why_no_connection",
]

# What is left to do for who cannot go on with the data of a node. Never: to put a copy of a member
# back, which has forgotten what it acked and for whom it voted (R28).
WAY_BACK = (
    "A factory of one: begin a new one with a backup (`rmf serve --restore FILE`). A member of a"
    " larger one: begin it with an empty directory, `rmf-admin add` it: the others have its data;"
    " never put a copy of it back."
)


class RmfError(Exception):
    """The root of everything RMF raises on purpose."""


class UsageError(RmfError):
    """The caller asked for something that cannot be: wrong arguments or settings."""


class ConfigError(UsageError):
    """A setting is unknown, unreadable or out of its range."""


class LineError(UsageError):
    """A Line cannot be loaded: not found, not a Line, or its filters overlap (R22)."""


class ProtocolFault(RmfError):
    """The other side's bytes break the protocol; `code` is a name of the error table (R41)."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class BadPreface(ProtocolFault):
    """The other side speaks another protocol. `began` is how it began to; `answer` is what it will
    understand, b"" where RMF knows no such thing."""

    def __init__(self, text: str, began: bytes, answer: bytes = b"") -> None:
        super().__init__("bad_preface", text)
        self.began = began
        self.answer = answer


class ConnectionFailed(RmfError):
    """No connection could be made, or the one there was is lost."""


class Refused(RmfError):
    """The node refused; `code` is a name of the error table, `retry` whether to try again."""

    def __init__(self, code: str, text: str, *, retry: bool = False) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.retry = retry


class StorageError(RmfError):
    """Something is wrong with the data directory."""


class DirectoryInUse(StorageError):
    """Another living process holds the lock of this data directory."""


class ForeignDirectory(StorageError):
    """The data directory belongs to another node, or holds records of another cluster."""


class DirectoryCopied(StorageError):
    """A member's data directory is a copy: what it promised since is forgotten (R28)."""


class LedgerDamaged(StorageError):
    """Records that were durable cannot be read: never cut, never guessed (R24)."""


class CheckpointDamaged(StorageError):
    """A Checkpoint does not have the digest it states (R25)."""


class LetterDamaged(StorageError):
    """A letter of the DLQ cannot be read: its row is damaged. The others are as they were (R39)."""


class DiskFailed(StorageError):
    """A write or fsync failed. The node strikes; the call is never retried (R17)."""


class NoDescriptor(StorageError):
    """The process has no file descriptor left; nothing failed to be written."""


class DiskHangs(StorageError):
    """An earlier write is in the kernel and does not return: no other may write (R23)."""


class PenTaken(StorageError):
    """A newer writer of this process has the ledger: this one writes nothing any more (R23)."""


class Diverged(RmfError):
    """A computed digest or change differs from what the ledger states (R26, R27)."""


# What connecting and listening raise: a name that cannot even be looked up is no OSError.
NO_CONNECTION = (OSError, UnicodeError)


def why_no_connection(exc: OSError | UnicodeError) -> str:
    """Return in words what one of these says; trio wraps the causes of several attempts in a
    group."""
    if isinstance(exc, UnicodeError):
        return "no host can have that name: a part of it is empty or too long"
    cause = exc.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, OSError):
        exc = cause
    if exc.errno is not None and exc.errno > 0:
        return os.strerror(exc.errno)
    return exc.strerror or str(exc)
