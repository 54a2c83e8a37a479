"""Shaped links carry what they are told to, and rmf-bench measures a factory over them."""

import json
import socket
import threading
import time
from typing import Any

import pytest

from tools.rmf_bench import main
from tools.shaped_links import ShapedLinks

pytestmark = pytest.mark.slow


def answered_s(address: str, server: socket.socket, size: int) -> float:
    """Send so many bytes, and return how long the answer to the last of them took."""

    def answer() -> None:
        far, _ = server.accept()
        with far:
            left = size
            while left:
                left -= len(far.recv(65536))
            far.sendall(b"!")

    thread = threading.Thread(target=answer)
    thread.start()
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as near:
        began_s = time.monotonic()
        near.sendall(bytes(size))
        assert near.recv(1) == b"!"
        took_s = time.monotonic() - began_s
    thread.join()
    return took_s


def test_a_shaped_link_has_its_bandwidth_and_its_length() -> None:
    with ShapedLinks(10, 100) as shaped, socket.create_server(("127.0.0.1", 0)) as server:
        address = shaped.between("n1", "n2", f"127.0.0.1:{server.getsockname()[1]}")
        assert shaped.between("n1", "n2", "any") == address
        assert 0.1 <= answered_s(address, server, 1) < 1
        assert 0.18 <= answered_s(address, server, 130_000) < 2  # 0.1 s more, but for a burst
        shaped.set("n2", 1000)
        assert shaped.carried("n2") == 130_001


def figures(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main(["links", *argv, "-o", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["bench"], found["nodes"], found["payload_bytes"]) == ("links", 3, 100)
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]
    return found


@pytest.mark.long
def test_reigns_and_acks_are_counted_over_slow_links(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--mbit", "50", "--round-trip-ms", "10", "--seconds", "2")
    found = figures(capsys, *options, "--payload-bytes", "100")
    assert found["packets"] > 0
    assert found["reigns"] >= 1


@pytest.mark.long
def test_a_node_catches_up_over_10_mbit(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--mbit", "10", "--catch-up", "--mib", "1", "--payload-bytes", "100")
    found = figures(capsys, *options)
    assert found["mib"] >= 1
    assert 0 < found["mbit_per_s"] <= 11
