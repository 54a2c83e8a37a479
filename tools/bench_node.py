"""A node of its own for each benchmark: started, measured from outside, stopped.

It knows how to start `python -m rmf serve` on a free port with a data directory that it removes
afterwards, and how to read the process's CPU time and memory. It knows nothing of what is measured.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from rmf import limits
from rmf.client import blocking
from rmf.errors import RmfError

__all__ = ["BenchNode"]

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class BenchNode:
    """A running node; use it as a context manager. `data` given: it is kept, and may hold a
    ledger. `ready_s` is the time from exec to the line that says so."""

    def __init__(self, *, data: Path | None = None, line: str | None = None) -> None:
        self._temporary = None if data is not None else tempfile.mkdtemp(prefix="rmf-bench-")
        self.data = data if data is not None else Path(self._temporary or "")
        self._line = line
        self.address = ("", 0)
        self.ready_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "BenchNode":
        command = [sys.executable, "-m", "rmf", "serve", "--data", str(self.data)]
        command += ["--listen", "127.0.0.1:0", "--http", "off"]
        command += ["--line", self._line] if self._line is not None else []
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RMF_")}
        began = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 our own command, no shell
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.ready_s = time.perf_counter() - began
        if not line:
            self.__exit__(None, None, None)
            raise RmfError("the node did not start; its log above says why")
        host, _, port = json.loads(line)["listen"].rpartition(":")
        self.address = (host, int(port))
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
