"""What the tests of `rmf-cat` share: a picture, scripts for nodes, a way to run the command."""

import json
import sys
from collections.abc import Callable

import cbor2
import pytest

from rmf.core.messages import (
    DELTA,
    FULL,
    Error,
    Gap,
    Goaway,
    Snapshot,
    WireCell,
)
from tests.scripted_node import Peer, ScriptedNode
from tools.rmf_cat import main

DIGEST = bytes(range(16))
TEMP = WireCell("room/3/temp", cbor2.dumps(21.5), 3, 40, 0, "probe-3", 99, 2841)
BLOB = WireCell("room/4/blob", cbor2.dumps(b"\xff\x00"), 3, 41, 7, "probe-4", 100, None)


def snapshot(
    kind: int,
    tick: int,
    cells: list[WireCell] | None = None,
    removed: list[list[str]] | None = None,
    *,
    more: bool = False,
    live: bool = True,
    skipped: int = 0,
) -> Snapshot:
    return Snapshot(1, kind, more, 3, tick, 7, DIGEST, live, skipped, cells or [], removed or [])


def saying(*messages: Snapshot | Error | Gap | Goaway) -> Callable[[Peer], None]:
    """A script: take one subscription, send these, wait until the client has gone."""

    def script(peer: Peer) -> None:
        peer.subscribed()
        peer.send(*messages)
        peer.wait_for_the_end()

    return script


FIRST = snapshot(FULL, 41, [TEMP, BLOB])
SECOND = snapshot(DELTA, 50, [TEMP._replace(tick=50)], [["room/4/blob", "expired"]], skipped=2)


def lines_of(out: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


class Cat:
    """Runs the command in this process; holds what it wrote."""

    def __init__(self, capture: pytest.CaptureFixture[bytes]) -> None:
        self._capture = capture
        self.out = b""
        self.err = ""

    def __call__(self, node: ScriptedNode, *args: str) -> int:
        code = main(["-c", node.text, *args])
        out, err = self._capture.readouterr()
        self.out, self.err = out, err.decode()
        return code


def command(node: ScriptedNode, *args: str) -> list[str]:
    return [sys.executable, "-m", "tools.rmf_cat", "-c", node.text, *args]
