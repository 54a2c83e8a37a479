"""Nodes of one factory, each a process with its own directory: started, killed, asked, stopped.

It knows how to start `python -m rmf serve --peers ...` several times on free ports of loopback, who
leads, and when a node that was killed has caught up. It knows nothing of what is measured, so that
tests of real clusters use it too.
"""

import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from rmf import limits
from rmf.client import blocking
from rmf.errors import ConnectionFailed, ProtocolFault, Refused, RmfError
from tools.bench_node import BenchNode

__all__ = ["BenchCluster", "free_ports"]

_T = TypeVar("_T")
Status = dict[str, Any]


class BenchCluster:
    """`nodes` running nodes, n1 first; use it as a context manager.

    `directory` given: data and logs are kept there. `options` are further ones of every `serve`,
    `python` the interpreter that runs it. What is waited for has to come within `patience_s`.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        line: str | None = None,
        directory: Path | None = None,
        options: Sequence[str] = (),
        patience_s: float = limits.BENCH_PATIENCE_S,
        python: str = sys.executable,
    ) -> None:
        self._patience_s = patience_s
        self._temporary = None if directory else tempfile.mkdtemp(prefix="rmf-bench-")
        self.directory = directory or Path(self._temporary or "")
        ports = free_ports(2 * nodes)
        names = [f"n{number + 1}" for number in range(nodes)]
        clients = dict(zip(names, ports[:nodes], strict=True))
        self.addresses = {name: ("127.0.0.1", port) for name, port in clients.items()}
        self.peer_addresses = {
            name: f"127.0.0.1:{port}" for name, port in zip(names, ports[nodes:], strict=True)
        }
        self.nodes = {
            name: BenchNode(
                data=self.directory / name,
                line=line,
                listen=f"127.0.0.1:{port}",
                options=["--node", name, *self.peer_options(name), *options],
                log=self.directory / f"{name}.log",
                python=python,
            )
            for name, port in clients.items()
        }

    def peer_options(self, name: str) -> list[str]:  # noqa: ARG002 tests tell each something else
        """Return the options that tell a node of the others and of itself."""
        known = self.peer_addresses.items()
        return ["--peers", ",".join(f"{peer}={address}" for peer, address in known)]

    def __enter__(self) -> Self:
        try:
            for node in self.nodes.values():
                node.start()
            for node in self.nodes.values():
                node.wait_ready()
            self.leader()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with ExitStack() as stack:
            for node in self.nodes.values():
                stack.callback(node.stop)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    # --- One node -----------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """End a node as a power cut of its process would."""
        self.nodes[name].stop(kill=True)

    def restart(self, name: str) -> None:
        """Start a node that was stopped, on the same port and directory; return when it listens."""
        self.nodes[name].start()
        self.nodes[name].wait_ready()

    def status(self, name: str) -> Status | None:
        """Return what a node says of itself, or None if it says nothing."""
        if not self.nodes[name].runs:
            return None
        with (
            suppress(ConnectionFailed, ProtocolFault, Refused, TimeoutError),
            blocking.connect(
                [self.addresses[name]], agent="rmf-bench", timeout_s=limits.BENCH_ASK_S_MAX
            ) as connection,
        ):
            return next(connection.query("status", {}, limits.BENCH_ASK_S_MAX), None)
        return None

    def statuses(self) -> dict[str, Status]:
        """Return the status of each node that answers."""
        found = {name: self.status(name) for name in self.nodes}
        return {name: status for name, status in found.items() if status is not None}

    # --- The factory --------------------------------------------------------------------------

    def leader(self) -> str:
        """Return who leads in the newest term, once a node does. Raises RmfError."""
        return self.wait_until(self._leader, "no node leads")

    def _leader(self) -> str | None:
        statuses = self.statuses()
        newest = max((status["term"] for status in statuses.values()), default=0)
        for name, status in statuses.items():
            if status["role"] == "leader" and status["term"] == newest and not status["strike"]:
                return name
        return None

    def wait_caught_up(self, name: str) -> None:
        """Wait until a node has applied all that the leader has committed by now. Raises
        RmfError."""
        goal = self.wait_until(lambda: self.status(self.leader()), "no leader answers")["commit"]

        def there() -> bool:
            status = self.status(name)
            return status is not None and not status["strike"] and status["applied"] >= goal

        self.wait_until(there, f"{name} does not catch up with index {goal}")

    def wait_equal(self) -> Status:
        """Wait until all running nodes stand at one index; return the status of one of them.

        Raises RmfError, at once if they stand there with different digests.
        """
        running = [name for name, node in self.nodes.items() if node.runs]

        def there() -> Status | None:
            statuses = self.statuses()
            if len(statuses) < len(running) or len({s["applied"] for s in statuses.values()}) > 1:
                return None
            digests = {name: status["digest"].hex() for name, status in statuses.items()}
            if len(set(digests.values())) > 1:
                raise RmfError(f"the nodes differ at the same index: {digests}")
            return statuses[running[0]]

        return self.wait_until(there, "the nodes do not come to one index")

    def wait_until(self, found: Callable[[], _T | None], text: str) -> _T:
        """Return what `found` returns as soon as it is something.

        Raises RmfError with the text, and with the statuses, when that takes too long.
        """
        deadline = time.monotonic() + self._patience_s
        while not (something := found()):
            if time.monotonic() > deadline:
                seen = {
                    name: [status.get(key) for key in ("role", "term", "commit", "strike")]
                    for name, status in self.statuses().items()
                }
                raise RmfError(
                    f"{text} after {self._patience_s:g} s: {seen};"
                    f" logs: {self.directory}{os.sep}*.log"
                )
            time.sleep(limits.BENCH_POLL_S)
        return something

    # --- Measured as one node is --------------------------------------------------------------

    @property
    def address(self) -> blocking.Address:
        """Where clients reach the leader."""
        return self.addresses[self.leader()]

    def cpu_s(self) -> float:
        """Return the CPU seconds that all nodes have used."""
        return sum(node.cpu_s() for node in self.nodes.values() if node.runs)

    def memory_mib(self) -> float:
        """Return the resident memory of all nodes."""
        return sum(node.memory_mib() for node in self.nodes.values() if node.runs)


# Below what a kernel gives to who asks for any port, or connects: while a node starts on one of
# these, no other process is given it.
_PORTS = range(10_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nothing listens on, and that no process gets by chance."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            port = secrets.choice(_PORTS)
            with suppress(OSError):  # taken: another one
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
    return found
