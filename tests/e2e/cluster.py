"""A real cluster under test: what BenchCluster can do, and what only a test wants to do to it."""

import json
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.e2e.factory import objects, run
from tools.bench_cluster import BenchCluster, Status, free_ports
from tools.bench_node import BenchNode

LINE = "tests.e2e.lines:line"


class Wires(Protocol):
    """Proxies between nodes: see proxy, and tools/shaped_links."""

    def between(self, name: str, peer: str, address: str) -> str:
        """Return where `name` has to dial in order to reach `peer` at `address`."""
        ...


class Cluster(BenchCluster):
    """`proxied`: each link between two nodes goes through a proxy of its own (see proxy).
    `lists`: what single nodes are told with --peers, instead of all names. `http`: each has a port
    for health, by its number."""

    def __init__(
        self,
        directory: Path,
        nodes: int = 3,
        *,
        line: str = LINE,
        options: Sequence[str] = (),
        patience_s: float = 20.0,
        proxies: Wires | None = None,
        lists: dict[str, list[str]] | None = None,
        http: bool = False,
    ) -> None:
        self.http = dict(enumerate(free_ports(nodes), start=1)) if http else {}
        self._line = line
        self._options = list(options)
        self._proxies = proxies
        self._lists = lists or {}
        self._paused: set[str] = set()
        super().__init__(
            nodes, line=line, directory=directory, options=options, patience_s=patience_s
        )

    def peer_options(self, name: str) -> list[str]:
        port = self.http.get(int(name[1:]))
        told = ["--glovebox", "inline", *self._told(name)]
        return [*told, *(["--http", f"127.0.0.1:{port}"] if port else [])]

    def _told(self, name: str) -> list[str]:
        if len(self.peer_addresses) == 1:
            return ["--peer-listen", self.peer_addresses[name]]
        known = {
            peer: address
            for peer, address in self.peer_addresses.items()
            if peer in self._lists.get(name, self.peer_addresses)
        }
        if self._proxies is not None:
            known |= {
                peer: self._proxies.between(name, peer, address)
                for peer, address in known.items()
                if peer != name
            }
        return ["--peers", ",".join(f"{peer}={address}" for peer, address in known.items())]

    def __exit__(self, *exc: Any) -> None:
        for name in list(self._paused):
            self.resume(name)
        super().__exit__(*exc)

    # --- One node -----------------------------------------------------------------------------

    def give_line(self, name: str, line: str) -> None:
        """Have a node that does not run start with another line from now on."""
        assert not self.nodes[name].runs
        host, port = self.addresses[name]
        self.nodes[name] = BenchNode(
            data=self.data(name),
            line=line,
            listen=f"{host}:{port}",
            options=["--node", name, *self.peer_options(name), *self._options],
            log=self.directory / f"{name}.log",
        )

    def begin(self, *names: str) -> None:
        """Start nodes; each says that it is ready before this returns."""
        for name in names:
            self.nodes[name].start()
        for name in names:
            self.nodes[name].wait_ready()

    def stop(self, name: str) -> None:
        """End a node in order."""
        self.nodes[name].stop()

    def pause(self, name: str) -> None:
        """Stop its process from running, as a hung machine would."""
        self._paused.add(name)
        os.kill(self.nodes[name].pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let it run again."""
        self._paused.discard(name)
        os.kill(self.nodes[name].pid, signal.SIGCONT)

    def wipe(self, name: str) -> None:
        """Remove the data directory of a node that does not run."""
        shutil.rmtree(self.data(name))

    def data(self, name: str) -> Path:
        """Its data directory."""
        return self.directory / name

    def log(self, name: str) -> str:
        """What it said on stderr."""
        return (self.directory / f"{name}.log").read_text()

    def ask(self, name: str) -> Status:
        """Its status; it has to answer."""
        return self.wait_until(lambda: self.status(name), f"{name} says nothing")

    def statuses(self) -> dict[str, Status]:
        """The status of each node that can answer."""
        found = {name: self.status(name) for name in self.nodes if name not in self._paused}
        return {name: status for name, status in found.items() if status is not None}

    def dlq(self, name: str) -> dict[str, tuple[str, str]]:
        """The letters of the line that it keeps: id to reason and packet."""
        host, port = self.addresses[name]
        done = run("tools.rmf_dlq", "list", "-c", f"{host}:{port}", "-o", "jsonl", "--limit", 9999)
        assert done.returncode == 0, done.stderr
        found = objects(done.stdout)
        lined = (x for x in found if ":edge:" not in x["letter"])
        return {x["letter"]: (x["reason"], str(x["packet"])) for x in lined}

    def diverged(self, name: str) -> list[dict[str, Any]]:
        """The letters of its audits, in the order of their slots."""
        host, port = self.addresses[name]
        where = ("-c", f"{host}:{port}", "-o", "jsonl", "--limit", 9999)
        done = run("tools.rmf_dlq", "list", "--reason", "diverged", *where)
        assert done.returncode == 0, done.stderr
        return sorted(objects(done.stdout), key=lambda x: (x["tick"], x["slot"]))

    def forget_history(self, name: str) -> None:
        """Have a node that runs keep nothing but its newest Checkpoints and what follows: what
        months of running bring about."""
        for _ in range(2):
            self.admin("checkpoint", name)
        for path in (self.data(name) / "archive").iterdir():
            path.unlink()

    # --- The factory --------------------------------------------------------------------------

    def followers(self) -> list[str]:
        """Those that run and do not lead."""
        leader = self.leader()
        return [name for name, node in self.nodes.items() if node.runs and name != leader]

    def new_node(self, name: str, listen: str, peer_listen: str, *options: str) -> None:
        """Prepare one more node, which `begin` starts."""
        host, _, port = listen.rpartition(":")
        self.addresses[name] = (host, int(port))
        self.peer_addresses[name] = peer_listen
        self.nodes[name] = BenchNode(
            data=self.data(name),
            line=self._line,
            listen=listen,
            options=["--node", name, *self.peer_options(name), *options],
            log=self.directory / f"{name}.log",
        )

    def admin(self, *arguments: object, code: int = 0) -> str:
        """Give an order; return what rmf-admin printed."""
        where = ",".join(
            f"{host}:{port}"
            for name, (host, port) in self.addresses.items()
            if self.nodes[name].runs and name not in self._paused
        )
        done = run("tools.rmf_admin", *arguments, "-c", where, "-o", "json", "--yes")
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def replays(self) -> dict[str, dict[str, Any]]:
        """What rmf-replay says of each data directory; the nodes need not run."""
        found = {}
        for name in self.nodes:
            done = run("tools.rmf_replay", self.data(name), "--line", self._line, "-o", "json")
            assert done.returncode == 0, (name, done.stdout, done.stderr)
            found[name] = json.loads(done.stdout)
        return found
