"""A whole factory as its users run it: processes, signals, commands, and what they print."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.children import said_by

START_S_MAX = 30.0
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("RMF_")}


def command(module: str, *arguments: object) -> list[str]:
    """The command line of one of RMF's commands."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def run(
    module: str, *arguments: object, text: str = "", hash_seed: str = "random"
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(module, *arguments),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=ENVIRONMENT | {"PYTHONHASHSEED": hash_seed},
    )


def objects(output: str) -> list[dict[str, Any]]:
    """The JSON objects that a command printed, a line each."""
    return [json.loads(line) for line in output.splitlines()]


class Node:
    """A node in a process of its own; `restart` uses the same directory and port."""

    def __init__(self, data: Path, *options: object) -> None:
        self.data = data
        self.address = "127.0.0.1:0"
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "Node":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()

    def start(self) -> dict[str, Any]:
        """Start it and wait until it says that it is ready."""
        options = ["--data", self.data, "--listen", self.address, "--http", "off"]
        options += ["--glovebox", "inline"]
        options += self._options
        self._process = subprocess.Popen(
            command("rmf", "serve", *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        ready = said_by(self._process)
        self.address = ready["listen"]
        return ready

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> tuple[int, str]:
        """SIGTERM; return the exit code and the log."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> tuple[int, str]:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(number)
        _, log = process.communicate(timeout=START_S_MAX)
        return process.returncode, log

    def status(self) -> dict[str, Any]:
        """What rmf-status prints of it."""
        done = run("tools.rmf_status", "-c", self.address, "-o", "json")
        assert done.returncode == 0, done.stderr
        return objects(done.stdout)[0]
