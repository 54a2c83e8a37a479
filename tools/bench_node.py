"""A node of its own for each benchmark: started, measured from outside, stopped.

It knows how to start `python -m rmf serve` on a free port with a data directory that it removes
afterwards, to kill and to start it again, and how to read the process's CPU time and memory. It
knows nothing of what is measured, nor of other nodes (see bench_cluster).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from rmf import limits
from rmf.client import blocking
from rmf.errors import RmfError

__all__ = ["BenchNode"]

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class BenchNode:
    """A running node; use it as a context manager, or `start`, `wait_ready` and `stop`.

    `data` given: it is kept, and may hold a ledger. `options` are further ones of `serve`; `log`
    takes what it says on stderr. `ready_s` is the time from exec to the line that says so.
    `program` is what the interpreter starts: its next start takes what stands there then; `python`
    names the interpreter.
    """

    def __init__(
        self,
        *,
        data: Path | None = None,
        line: str | None = None,
        listen: str = "127.0.0.1:0",
        options: Sequence[str] = (),
        log: Path | None = None,
        python: str = sys.executable,
    ) -> None:
        self._python = python
        self._temporary = None if data is not None else tempfile.mkdtemp(prefix="rmf-bench-")
        self.data = data if data is not None else Path(self._temporary or "")
        self.program = ["-m", "rmf"]
        self._options = ["--listen", listen, "--http", "off", *options]
        self._options += ["--line", line] if line is not None else []
        self._log = log
        self._began_s = 0.0
        self.address = ("", 0)
        self.ready_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "BenchNode":
        self.start()
        try:
            self.wait_ready()
        except RmfError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def start(self) -> None:
        """Start the process; it is ready when `wait_ready` returns."""
        assert self._process is None
        serve = [*self.program, "serve", "--data", str(self.data)]
        command = [self._python, *serve, *self._options]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RMF_")}
        self._began_s = time.perf_counter()
        with ExitStack() as files:
            self._process = subprocess.Popen(  # noqa: S603 our own command, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=files.enter_context(self._log.open("ab")) if self._log else None,
                env=environment,
            )

    def wait_ready(self) -> None:
        """Wait until the node says that it listens. Raises RmfError if it ends before that."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.ready_s = time.perf_counter() - self._began_s
        if not line:
            where = f"see {self._log}" if self._log else "its log above says why"
            raise RmfError(f"the node did not start; {where}")
        host, _, port = json.loads(line)["listen"].rpartition(":")
        self.address = (host, int(port))

    def stop(self, *, kill: bool = False) -> None:
        """Stop the node in order, or as a power cut of the process would."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(limits.BENCH_EXIT_S_MAX)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    @property
    def runs(self) -> bool:
        """Whether it was started, and was not stopped since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process id of the node."""
        assert self._process is not None
        return self._process.pid

    def connect(self, *, producer: str | None = None) -> blocking.BlockingConnection:
        """Return a connection to the node."""
        options = {"producer": producer} if producer is not None else {}
        return blocking.connect([self.address], agent="rmf-bench", timeout_s=10, options=options)

    def cpu_s(self) -> float:
        """Return the CPU seconds that the node has used, user and system."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    def memory_mib(self) -> float:
        """Return the resident memory of the node."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0
