"""The sessions are played against a real node, and every frame it sends is held to the CDDL.

One node serves all sessions that do not look at an empty World: each plays under a producer's name
of its own, of the same length, so that a fresh name stands for a fresh node.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from rmf import limits
from rmf.core import codec
from rmf.core.messages import (
    KEEPALIVE,
    Ack,
    Error,
    Hello,
    Message,
    Ping,
    Pong,
    Snapshot,
    Welcome,
)
from tests.children import said_by
from tests.protocol.cddl_check import assert_conforms
from tests.protocol.test_vectors import BAD, SESSIONS, frame_of
from tools.vectors.steps import step_fault

_PATIENCE_S = 20.0
_ELSEWHERE = {"session-subscribe"}
PLAYED = [x for x in SESSIONS if x["needs"] is None and x["id"] not in _ELSEWHERE]
SUBSCRIBE = next(x for x in SESSIONS if x["id"] == "session-subscribe")


class Node:
    """A node of one in a process of its own, while entered; `address` is where it listens."""

    def __init__(self, directory: Path) -> None:
        options = ["--listen", "127.0.0.1:0", "--http", "off", "--data", str(directory / "data")]
        options += ["--glovebox", "inline"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rmf", "serve", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        host, port = said_by(self._process)["listen"].rsplit(":", 1)
        self.address = (host, int(port))

    def __enter__(self) -> "Node":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate(timeout=_PATIENCE_S)


class Wire:
    """One connection of a session, seen from the client."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=_PATIENCE_S)
        self._frames = codec.FrameBuffer(limits.SERVER_FRAME_BYTES_MAX)
        self._waiting: list[Message] = []

    def expect_bytes(self, expected: bytes) -> None:
        """Read so many bytes; they must be these."""
        found = b""
        while len(found) < len(expected) and (more := self.sock.recv(len(expected) - len(found))):
            found += more
        assert found == expected

    def expect(self, step: dict[str, Any]) -> None:
        """Wait for the message of a step; others keep, because doors do not wait for each other."""
        wants_keepalive = step["match"].get("kind") == KEEPALIVE
        while True:
            for message in self._waiting:
                if type(message).__name__.lower() == step["type"] and (
                    wants_keepalive or not is_keepalive(message)
                ):
                    self._waiting.remove(message)
                    assert step_fault(step, message) is None
                    return
            assert self._read(), f"the node closed before {step['diag']}"

    def expect_end(self) -> None:
        """Read on until the node closes; it has nothing more to say than keepalives."""
        while self._read():
            pass
        assert [x for x in self._waiting if not is_keepalive(x)] == []

    def open(self, producer: str) -> None:
        """Shake hands as a producer."""
        hello = Hello({"versions": [1, 1], "agent": "tests", "producer": producer})
        self.sock.sendall(codec.PREFACE + codec.encode(hello))
        self.expect_bytes(codec.PREFACE)
        assert isinstance(self.next_message(), Welcome)

    def next_message(self) -> Message:
        """Return the next message, whatever it is."""
        while not self._waiting:
            assert self._read(), "the node closed"
        return self._waiting.pop(0)

    def _read(self) -> bool:
        data = self.sock.recv(limits.RECEIVE_BYTES)
        self._frames.feed(data)
        for frame in self._frames.frames():
            assert_conforms(frame)
            self._waiting.append(codec.decode(frame))
        return bool(data)


def is_keepalive(message: Message) -> bool:
    return isinstance(message, Snapshot) and message.kind == KEEPALIVE


def play(vector: dict[str, Any], address: tuple[str, int], producer: bytes) -> None:
    """Be the client of a session; the node must do what the script says."""
    wires: dict[str, Wire] = {}
    with ExitStack() as stack:
        for step in vector["decoded"]:
            name, data = step["connection"], bytes.fromhex(step["hex"])
            if name not in wires:
                wires[name] = Wire(address)
                stack.callback(wires[name].sock.close)
            wire = wires[name]
            if step["from"] == "client":
                wire.sock.sendall(data.replace(b"probe-3", producer))
            elif "match" in step:
                wire.expect(step)
            elif data:
                wire.expect_bytes(data)
            elif vector["id"] != "session-http":
                wire.expect_end()
            if not data:
                wires.pop(name).sock.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("vector", PLAYED, ids=lambda vector: vector["id"])
def test_a_node_plays_the_session(vector: dict[str, Any], node: Node) -> None:
    play(vector, node.address, f"prob-{PLAYED.index(vector):02}".encode())


@pytest.mark.slow
def test_a_fresh_node_plays_the_session_of_a_subscriber(tmp_path: Path) -> None:
    with Node(tmp_path) as fresh:
        play(SUBSCRIBE, fresh.address, b"probe-3")


@pytest.mark.parametrize("vector", BAD, ids=lambda vector: vector["id"])
def test_a_node_answers_a_bad_frame_by_name_and_its_connection_lives(
    vector: dict[str, Any], node: Node
) -> None:
    body = frame_of(vector)
    wire = Wire(node.address)
    with wire.sock:
        wire.open(f"bad-{BAD.index(vector)}")
        wire.sock.sendall(len(body).to_bytes(4, "big") + body + codec.encode(Ping(7)))
        answers = [wire.next_message(), wire.next_message()]
        pong = next(x for x in answers if isinstance(x, Pong))
        answers.remove(pong)
        assert pong.token == 7
        assert verdict_of(answers[0]) == vector["expect"]


def verdict_of(answer: Message) -> str | None:
    """Return the code of an ERROR, or the reason of the first bagged packet of an ACK."""
    if isinstance(answer, Error):
        return answer.code
    assert isinstance(answer, Ack), answer
    return next(run.reason for run in answer.runs if run.reason is not None)
