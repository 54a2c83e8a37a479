"""What is compared, as the comparison sees it, and the processes of other systems.

A contender is a system in one mode of it: how to start it, and what its figures mean. Its servers
run in a directory that is removed, on free ports of loopback, and are killed at the end. Its client
runs in a process of its own, so that what it costs is known.
"""

import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from rmf import limits
from rmf.errors import RmfError

__all__ = [
    "Contender",
    "Flow",
    "Load",
    "Running",
    "Sent",
    "connect",
    "executables",
    "in_a_process",
    "one_by_one",
    "one_of",
    "pipelined",
    "servers",
    "version_of",
    "wait_until",
]

_T = TypeVar("_T")
_SPAWN = multiprocessing.get_context("spawn")  # with nothing of this process in it
_WARM_SHARE = 0.25  # of the measured time goes before it
_CLIENT_S_MAX = 120.0  # beyond what it was to take


class Load(NamedTuple):
    """What a contender is to carry: the bytes of a payload, over so many keys."""

    payload: bytes
    keys: int
    seconds: float
    window: int  # messages in flight; 0: what is best for the contender


class Sent(NamedTuple):
    """What a client sent in the measured time, what that cost it, and what it sent before."""

    messages: int
    seconds: float
    client_cpu_s: float
    before: int = 0


class Running(Protocol):
    """A contender whose servers run."""

    def pids(self) -> list[int]:
        """Return its processes; those that descend from them count too."""

    def send(self, load: Load) -> Sent:
        """Keep a window in flight for so many seconds. Raises RmfError."""

    def waits(self, load: Load) -> list[float]:
        """Send one message after the other; return how long each waited for its ack, s."""


class Contender(NamedTuple):
    """A system in one mode: `facts` says version, nodes, fsync and client. `missing`: why it
    cannot be compared here, empty if it can."""

    name: str
    facts: dict[str, Any]
    start: Callable[[], AbstractContextManager[Running]]
    missing: str = ""


class Flow(Protocol):
    """A connection to a system: messages go out, acks come in."""

    block: int  # messages that go out at once

    def send(self, messages: int) -> None:
        """Send so many: `block`, or one."""

    def receive(self) -> int:
        """Wait for acks; return of how many messages. Raises RmfError for any other answer."""


def pipelined(flow: Flow, window: int, seconds: float) -> Sent:
    """Keep so many messages in flight, warming up first."""
    before, _ = _run(flow, window, seconds * _WARM_SHARE)
    cpu_s = time.process_time()
    messages, took_s = _run(flow, window, seconds)
    return Sent(messages, took_s, time.process_time() - cpu_s, before)


def _run(flow: Flow, window: int, seconds: float) -> tuple[int, float]:
    began = time.perf_counter()
    in_flight = acked = 0
    while True:
        while in_flight < window and time.perf_counter() - began < seconds:
            flow.send(flow.block)
            in_flight += flow.block
        if not in_flight:
            return acked, time.perf_counter() - began
        count = flow.receive()
        in_flight -= count
        acked += count


def one_by_one(one: Callable[[], float], seconds: float) -> list[float]:
    """Send one message after the other, warming up first; return how long each waited, s. `one`
    sends a message, and returns how long that waited."""
    end = time.perf_counter() + seconds * _WARM_SHARE
    while time.perf_counter() < end:
        one()
    waits: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        waits.append(one())
    return waits


def one_of(flow: Flow) -> float:
    """Send one message; return how long it waited for its ack, s."""
    began = time.perf_counter()
    flow.send(1)
    while not flow.receive():
        pass
    return time.perf_counter() - began


# --- Processes ------------------------------------------------------------------------------------


def in_a_process(function: Callable[..., _T], *args: Any, takes_s: float) -> _T:
    """Return what a function of a module returns, run in a process of its own. Raises RmfError if
    that fails, or takes much longer than it was to."""
    ours, theirs = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_tell, args=(theirs, function, args), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(takes_s + _CLIENT_S_MAX):
            raise RmfError(f"the client ran for more than {takes_s + _CLIENT_S_MAX:g} s")
        told: _T | RmfError = ours.recv()
    except EOFError:
        raise RmfError("the client ended; its words above say why") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(told, RmfError):
        raise told
    return told


def _tell(pipe: Any, function: Callable[..., object], args: tuple[Any, ...]) -> None:
    try:
        pipe.send(function(*args))
    except (RmfError, OSError) as error:
        pipe.send(RmfError(f"{function.__name__}: {error}"))


@contextmanager
def servers(
    commands: Callable[[Path], Sequence[Sequence[str]]],
) -> Iterator[tuple[Path, list[int]]]:
    """Run the commands that are made for a directory; give it, and their process ids. They are
    killed afterwards, and their directory is removed."""
    directory = Path(tempfile.mkdtemp(prefix="rmf-compare-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        pids = []
        for number, command in enumerate(commands(directory)):
            log = stack.enter_context((directory / f"{number}.log").open("wb"))
            process = subprocess.Popen(  # noqa: S603 our own command, no shell
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory
            )
            stack.callback(_end, process)
            pids.append(process.pid)
        yield directory, pids


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def wait_until(found: Callable[[], _T | None], text: str) -> _T:
    """Return what `found` returns as soon as it is something; a server that does not answer yet is
    asked again. Raises RmfError with the text when that takes too long."""
    deadline = time.monotonic() + limits.BENCH_PATIENCE_S
    while True:
        with suppress(OSError, json.JSONDecodeError, IndexError):
            if something := found():
                return something
        if time.monotonic() > deadline:
            raise RmfError(f"{text} after {limits.BENCH_PATIENCE_S:g} s")
        time.sleep(limits.BENCH_POLL_S)


def connect(port: int) -> socket.socket:
    """Return a connection to a server of this machine."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=limits.BENCH_PATIENCE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def executables(name: str) -> list[Path]:
    """Return where a program is installed: beside this interpreter and on PATH, each file once."""
    places = [str(Path(sys.executable).parent), *os.get_exec_path()]
    found: dict[Path, Path] = {}
    for place in places:
        if path := shutil.which(name, path=place):
            found.setdefault(Path(path).resolve(), Path(path))
    return list(found.values())


def version_of(program: Path, pattern: Callable[[str], str]) -> str:
    """Return what a program says its version is; `pattern` finds it in what it says."""
    said = subprocess.run(  # noqa: S603 a program found by us
        [program, "--version"], check=False, capture_output=True, text=True, timeout=10
    )
    return pattern(said.stdout + said.stderr)
