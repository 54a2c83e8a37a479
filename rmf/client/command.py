"""What the commands share: addresses, durations, exit codes, a reader that went away.

It decides what a user may write after `-c` and as a duration, and what an exit code means
(INTERFACES). Text in, values out, and UsageError where the text is wrong; it knows argparse and the
process's standard streams, and neither sockets nor trio nor attrs, so that every command starts
quickly.
"""

import argparse
import getpass
import os
import re
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from rmf.errors import ConnectionFailed, ProtocolFault, Refused, RmfError, UsageError

__all__ = [
    "DEFAULT_PORT",
    "EXIT_BAGGED",
    "EXIT_CANNOT_CONNECT",
    "EXIT_DONE",
    "EXIT_FAILED",
    "EXIT_GAP",
    "EXIT_INTERRUPTED",
    "EXIT_REFUSED",
    "EXIT_TIME_OUT",
    "EXIT_USAGE",
    "add_connect_option",
    "argument",
    "command_parser",
    "exit_code_of",
    "notice",
    "parse_address",
    "parse_addresses",
    "parse_duration_ms",
    "parse_moment_ns",
    "run_command",
    "whoami",
]

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_BAGGED = 3  # something was bagged, or a difference was found
EXIT_CANNOT_CONNECT = 4
EXIT_REFUSED = 5
EXIT_TIME_OUT = 6
EXIT_GAP = 7
EXIT_INTERRUPTED = 130  # as a shell reports SIGINT

DEFAULT_PORT = 7410
_DEFAULT_ADDRESS = f"127.0.0.1:{DEFAULT_PORT}"
_T = TypeVar("_T")

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)(ms|s|m|h)")


def parse_address(text: str) -> tuple[str, int]:
    """Return (host, port) of `host:port`, `[v6]:port` or `host` (port 7410). Raises UsageError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or (host.startswith("[") and not host.endswith("]")):
        host, port = text.strip(), str(DEFAULT_PORT)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or any(c in bare for c in "/[] ") or (":" in bare and bare == host):
        raise UsageError(f"address {text!r}: expected HOST:PORT or [V6]:PORT")
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise UsageError(f"address {text!r}: the port must be a number from 1 to 65535")
    return bare, int(port)


def parse_addresses(text: str) -> list[tuple[str, int]]:
    """Return the addresses in `host:port,host:port`, doubles left out. Raises UsageError."""
    return list(dict.fromkeys(parse_address(part) for part in text.split(",")))


def parse_duration_ms(text: str) -> int:
    """Return the milliseconds in `250ms`, `5s`, `1.5m` or `2h`: whole and above 0.

    Raises UsageError. A bare number is refused: it would be seconds to one and ms to another.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"duration {text!r}: expected a number with a unit, as 250ms, 5s or 2h")
    value_ms = float(found[1]) * _UNITS_MS[found[2]]
    if value_ms < 1 or value_ms != int(value_ms):
        raise UsageError(f"duration {text!r}: expected whole milliseconds, at least 1ms")
    return int(value_ms)


def argument(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Return `parse` as a `type=` for argparse: its UsageError becomes a usage message, exit 2."""

    def checked(text: str) -> _T:
        try:
            return parse(text)
        except UsageError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return checked


def command_parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Return the parser of a command; its help ends with `examples`, as they stand."""
    return argparse.ArgumentParser(
        name,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_connect_option(parser: argparse.ArgumentParser) -> None:
    """Add `-c`/`--connect`: the addresses as (host, port) pairs in `args.connect`.

    Without the option RMF_CONNECT decides, then the default address.
    """
    parser.add_argument(
        "-c",
        "--connect",
        metavar="HOST:PORT[,HOST:PORT...]",
        type=argument(parse_addresses),
        default=os.environ.get("RMF_CONNECT") or _DEFAULT_ADDRESS,
        help=f"nodes to try (default: RMF_CONNECT, else {_DEFAULT_ADDRESS})",
    )


def notice(text: str) -> None:
    """Say something to the user, apart from the data: one line on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def whoami() -> str:
    """Return `user@host`, as far as the process knows."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user here, as in many a container
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"


def parse_moment_ns(text: str, now_ns: int) -> int:
    """Return the wall-clock ns of `2h` (so long ago) or of a time as 2026-11-26T20:00:00Z (without
    a zone: this computer's). Raises UsageError."""
    if _DURATION.fullmatch(text.strip()) is not None:
        return now_ns - parse_duration_ms(text) * 1_000_000
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as exc:
        raise UsageError(
            f"time {text!r}: expected a duration, as 2h, or a time, as 2026-11-26T20:00:00Z"
        ) from exc
    return int(moment.timestamp() * 1_000_000) * 1000


def exit_code_of(exc: RmfError) -> int:
    """Return the exit code that stands for an error."""
    if isinstance(exc, UsageError):
        return EXIT_USAGE
    if isinstance(exc, ConnectionFailed):
        return EXIT_CANNOT_CONNECT
    if isinstance(exc, Refused):
        return EXIT_REFUSED
    if isinstance(exc, ProtocolFault):
        return EXIT_CANNOT_CONNECT
    return EXIT_FAILED


def run_command(name: str, work: Callable[[], int]) -> int:
    """Run a command's work and return its exit code; errors become one line on stderr.

    A reader of stdout that went away (`| head`) ends the process as SIGPIPE would, silently.
    """
    try:
        code = work()
        sys.stdout.flush()
    except RmfError as exc:
        notice(f"{name}: {exc}")
        return exit_code_of(exc)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python would try to flush stdout once more at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code
