"""A node as its surroundings treat it: standard streams that are closed, full or gone, and signals
at awkward moments, change nothing for those it serves (R17, R18)."""

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio

from rmf.core import messages as m
from tests.floor.process import a_process, command, surroundings
from tests.floor.wire import PATIENCE_S, POLL_S, Wire, packet

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# --- Streams --------------------------------------------------------------------------------------

CLOSED = {
    "stdin closed": "<&-",
    "stdout closed": ">&-",
    "stdout full": ">/dev/full",
    "stderr closed": "2>&-",
    "stderr full": "2>/dev/full",
    "all closed": "<&- >&- 2>&-",
}
PIPES = ["stdout without a reader", "stdout unread", "stderr without a reader", "stderr unread"]


@contextmanager
def a_pipe(*, is_read: bool) -> Iterator[int]:
    """A pipe without a reader, or a full one whose reader does not read."""
    read, write = os.pipe()
    if is_read:
        os.set_blocking(write, False)
        with suppress(BlockingIOError):
            while True:
                os.write(write, bytes(select.PIPE_BUF))
        os.set_blocking(write, True)
    else:
        os.close(read)
    try:
        yield write
    finally:
        os.close(write)
        if is_read:
            os.close(read)


@contextmanager
def started(
    arguments: list[str],
    redirected: str = "",
    *,
    stdout: int = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a command with its streams like that."""
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", *arguments],
        env=surroundings(),
        stdout=stdout,
        stderr=stderr,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


async def serves(port: int) -> None:
    """A producer comes, and its packet is applied."""
    with trio.fail_after(PATIENCE_S):
        while True:
            try:
                wire = Wire(await trio.open_tcp_stream("127.0.0.1", port))
            except OSError:
                await trio.sleep(POLL_S)
            else:
                break
    async with wire.stream:
        await wire.hello("probe")
        await wire.send(packet(1, "cell/a"))
        assert (await wire.expect(m.Ack)).runs[0].outcome == m.APPLIED


async def is_a_node_as_any(process: "subprocess.Popen[bytes]", port: int) -> None:
    await serves(port)
    process.send_signal(signal.SIGTERM)
    with trio.fail_after(PATIENCE_S):
        assert await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True) == 0


@pytest.mark.parametrize("how", CLOSED)
async def test_streams_that_are_closed_or_full_change_nothing(how: str, tmp_path: Path) -> None:
    port = free_port()
    node = command(tmp_path, "--listen", f"127.0.0.1:{port}")
    with started(node, CLOSED[how]) as process:
        await is_a_node_as_any(process, port)


@pytest.mark.parametrize("how", PIPES)
async def test_pipes_that_no_process_reads_change_nothing(how: str, tmp_path: Path) -> None:
    port = free_port()
    node = command(tmp_path, "--listen", f"127.0.0.1:{port}")
    name, _, state = how.partition(" ")
    with a_pipe(is_read=state == "unread") as pipe:
        out, err = (pipe if name == x else subprocess.DEVNULL for x in ("stdout", "stderr"))
        with started(node, stdout=out, stderr=err) as process:
            await is_a_node_as_any(process, port)


async def test_a_glove_box_starts_without_any_stream(tmp_path: Path) -> None:
    port = free_port()
    node = command(tmp_path, "--listen", f"127.0.0.1:{port}", "--glovebox", "process")
    with started(node, "<&- >&- 2>&-") as process:
        await is_a_node_as_any(process, port)


def test_what_could_not_be_said_on_stdout_is_in_the_log(tmp_path: Path) -> None:
    node = command(tmp_path)
    with started(node, ">/dev/full", stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        said = next(row for row in map(json.loads, lines) if row["event"] == "stdout_lost")
        assert json.loads(said["text"])["event"] == "ready"


# --- Signals --------------------------------------------------------------------------------------


@contextmanager
def starting(tmp_path: Path, *before: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A node that is held up while it loads its line, until the test lets it go on."""
    gate, line = tmp_path / "gate", tmp_path / "slow.py"
    os.mkfifo(gate)
    line.write_text(
        f"with open({str(gate)!r}) as gate:\n    gate.read()\nfrom tests.floor.lines import shop\n"
    )
    node = command(tmp_path / "data", "--line", f"{line}:shop")
    process = started([*before, *node], stderr=subprocess.PIPE)
    with process as running, gate.open("wb"):  # which waits until it is read
        yield running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_before_it_listens_a_signal_ends_it_without_a_traceback(
    number: signal.Signals, tmp_path: Path
) -> None:
    """And a shell's loop sees what it died of."""
    with starting(tmp_path) as process:
        process.send_signal(number)
        said = process.communicate(timeout=PATIENCE_S)[1].splitlines()
        assert process.returncode == -number
        assert all(b'"event": "starting"' in line for line in said)  # as far as it came


NAMESPACE = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]


def can_be_first() -> bool:
    """Whether this system lets a process be the first one of a namespace."""
    try:
        return (
            subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        return False


@pytest.mark.skipif(not can_be_first(), reason="no namespace of processes can be made here")
def test_the_first_process_of_a_container_hears_of_its_end_before_it_listens(
    tmp_path: Path,
) -> None:
    """To such a process the kernel sends only what it has a handler for."""
    with starting(tmp_path, *NAMESPACE) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        os.kill(int(children.split()[0]), signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGTERM


async def test_two_signals_at_once_end_it_at_once(tmp_path: Path) -> None:
    with a_process(tmp_path) as node:
        await (await node.producer("probe")).produce("cell/a")
        node.popen.send_signal(signal.SIGTERM)
        node.popen.send_signal(signal.SIGINT)
        code, _ = await node.ended()
        assert code in {128 + signal.SIGTERM, 128 + signal.SIGINT}


@contextmanager
def hangups_heard() -> Iterator[None]:
    """What is started meanwhile hears of them, though these tests may run behind nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_a_terminal_that_goes_stops_it_in_order(tmp_path: Path) -> None:
    """Some send SIGHUP along with SIGTERM: that is no second signal."""
    with hangups_heard(), a_process(tmp_path) as node:
        probe = await node.producer("probe")
        await probe.produce("cell/a")
        for number in (signal.SIGHUP, signal.SIGHUP):
            node.popen.send_signal(number)
        *_, last = await probe.rest()
        assert isinstance(last, m.Goaway)
        code, log = await node.ended()
        assert code == 0
        assert [x["signal"] for x in log if x["event"] == "stopping"] == ["SIGHUP"]


async def test_what_means_nothing_to_it_does_not_end_it(tmp_path: Path) -> None:
    with a_process(tmp_path) as node:
        probe = await node.producer("probe")
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
            node.popen.send_signal(number)
        await probe.produce("cell/a")
        node.popen.send_signal(signal.SIGTERM)
        code, log = await node.ended()
        assert code == 0
        unused = {x["signal"] for x in log if x["event"] == "signal_without_meaning"}
        assert unused == {"SIGUSR1", "SIGUSR2"}


async def test_nohup_is_heeded(tmp_path: Path) -> None:
    port = free_port()
    node = ["env", "--ignore-signal=HUP", *command(tmp_path, "--listen", f"127.0.0.1:{port}")]
    with started(node) as process:
        await serves(port)
        process.send_signal(signal.SIGHUP)
        await is_a_node_as_any(process, port)
