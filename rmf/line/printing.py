"""What a handler prints: passed on where that costs nothing, dropped where it would.

The outcome of a packet must not depend on who reads a log (R20, R22). So a print of a handler never
waits and never raises: whatever the reader does, and where there is none. It knows a descriptor;
which one, and whether it is read, is nothing to it.
"""

import io
import os
import select
from contextlib import suppress

__all__ = ["Prints", "fill_standard_descriptors", "open_apart"]


class Prints(io.TextIOBase):
    """Text that goes to the descriptor `fd` line by line, as far as it is taken; the rest is lost.

    `fileno` is refused, as in io.StringIO: no handler writes past it.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd: int | None) -> None:
        super().__init__()
        self._fd = fd

    def writable(self) -> bool:
        """Return True: it can always be written to."""
        return True

    def write(self, text: str) -> int:
        """Pass the text on, or drop it. Raises TypeError for what is no text, as any stream."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._fd is None:
            return len(text)
        data = memoryview(str.encode(text, "utf-8", "backslashreplace"))
        with suppress(OSError, ValueError):  # full, closed, no reader: a log is no outcome
            # Of PIPE_BUF bytes the system takes all or nothing, where it says that it takes any.
            while data and select.select([], [self._fd], [], 0)[1]:
                data = data[os.write(self._fd, data[: select.PIPE_BUF]) :]
        return len(text)


def open_apart(fd: int) -> int | None:
    """Return a descriptor of one's own for what `fd` leads to, on which no write waits; None where
    that cannot be had. A flag set on `fd` itself would be set for all who share it."""
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        return os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:
        return None


def fill_standard_descriptors() -> None:
    """See to it that 0, 1 and 2 are open: else the next file that is opened takes such a number,
    and whatever writes to a standard stream writes into it."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)  # as theirs always are: a child needs them as well
    os.close(fd)
