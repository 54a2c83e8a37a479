"""A node in a process of its own, as a user starts it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import trio

from tests.children import said_by
from tests.floor.factory import LINE
from tests.floor.wire import PATIENCE_S, Wire


def command(data: Path, *options: str) -> list[str]:
    """The command line of a node with its data there."""
    base = [sys.executable, "-W", "error", "-m", "rmf", "serve", "--listen", "127.0.0.1:0"]
    base += ["--http", "off", "--log-format", "json", "--line", LINE]
    base += ["--glovebox", "inline"]
    return [*base, "--data", str(data), *options]


def surroundings() -> dict[str, str]:
    """The environment without settings of RMF."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RMF_")}


def refused(data: Path, *options: str) -> tuple[int, str]:
    """Start a node that must not start; return its exit code and what it says on stderr."""
    done = subprocess.run(
        command(data, *options),
        env=surroundings(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


class Process:
    """A node that runs; `ready` is the line it wrote when it was."""

    def __init__(self, arguments: list[str]) -> None:
        self.popen = subprocess.Popen(
            arguments,
            env=surroundings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.ready = said_by(self.popen)
        host, port = self.ready["listen"].rsplit(":", 1)
        self.address = (host, int(port))
        self.wires: list[Wire] = []

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()
        for wire in self.wires:
            if isinstance(wire.stream, trio.SocketStream):
                wire.stream.socket.close()

    async def connect(self) -> Wire:
        """Connect, and say nothing."""
        self.wires.append(Wire(await trio.open_tcp_stream(*self.address)))
        return self.wires[-1]

    async def producer(self, name: str) -> Wire:
        """Connect as a producer."""
        wire = await self.connect()
        await wire.hello(name)
        return wire

    async def ended(self) -> tuple[int, list[dict[str, Any]]]:
        """Wait until it has ended; return its exit code and its log."""
        with trio.fail_after(PATIENCE_S):
            _, log = await trio.to_thread.run_sync(self.popen.communicate, abandon_on_cancel=True)
        return self.popen.returncode, [json.loads(line) for line in log.splitlines()]


@contextmanager
def a_process(data: Path, *options: str) -> Iterator[Process]:
    """Run a node; what is left of it is killed."""
    with Process(command(data, *options)) as running:
        yield running


_MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
_IN_A_NAMESPACE = ["unshare", "--map-root-user", "--mount", "sh", "-c", _MOUNT, "sh"]


def can_mount() -> bool:
    """Whether this system lets a process have a file system of its own."""
    with tempfile.TemporaryDirectory() as place:
        try:
            done = subprocess.run(
                [*_IN_A_NAMESPACE, "1m", place, "true"], capture_output=True, check=False
            )
        except OSError:
            return False
    return done.returncode == 0


@contextmanager
def a_process_on_a_small_disk(data: Path, size: str) -> Iterator[tuple[Process, Path]]:
    """Run a node whose data lie on a disk of that size, which goes when it ends; gives the node and
    the path at which that disk is seen from here."""
    data.mkdir()
    with Process([*_IN_A_NAMESPACE, size, str(data), *command(data)]) as running:
        yield running, Path(f"/proc/{running.popen.pid}/root{data}")
