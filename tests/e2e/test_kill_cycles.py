"""kill -9 under load, again and again: nothing acked is lost, nothing is applied twice (R2, R33).

The default run has a few cycles; `--long` has 300 (faults.md, bar C1).
"""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.children import said_by
from tests.e2e.factory import ENVIRONMENT, Node, command, run

PACKETS_A_CYCLE = 400


@pytest.mark.parametrize(
    "cycles",
    [pytest.param(4, marks=pytest.mark.long), pytest.param(300, marks=pytest.mark.long)],
)
def test_what_was_acked_survives_every_kill_exactly_once(tmp_path: Path, cycles: int) -> None:
    draw = random.Random(cycles)
    packets = (cycles + 1) * PACKETS_A_CYCLE
    source = tmp_path / "packets.jsonl"
    source.write_text("".join(f'{{"number": {i}}}\n' for i in range(1, packets + 1)))
    with Node(tmp_path / "data") as node:
        options = ["-c", node.address, "--producer", "counter", "--topic", "count", "--ttl", "1h"]
        options += ["--batch", "20", "--rate", "4000", "-o", "jsonl", "-W", "60s"]
        sender = subprocess.Popen(
            command("tools.rmf_send", *options, source),
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        assert sender.stdout is not None
        receipts: list[dict[str, Any]] = []
        for cycle in range(cycles):
            wanted = cycle * PACKETS_A_CYCLE + draw.randrange(20, PACKETS_A_CYCLE)
            while len(receipts) < wanted:
                receipts.append(said_by(sender))
            node.kill()
            node.start()
        with sender.stdout:
            receipts += [json.loads(line) for line in sender.stdout]
        assert sender.wait(60) == 0
        status = node.status()
        assert node.stop()[0] == 0
    assert [receipt["seq"] for receipt in receipts] == list(range(1, packets + 1))
    assert {receipt["outcome"] for receipt in receipts} == {"applied"}
    stamps = {(receipt["term"], receipt["tick"], receipt["slot"]) for receipt in receipts}
    assert len(stamps) == packets
    assert status["packets"]["latched"] == status["packets"]["applied"] == packets
    assert status["term"] == cycles + 1
    report = json.loads(run("tools.rmf_replay", tmp_path / "data", "-o", "json").stdout)
    assert (report["identical"], report["packets"]) == (True, packets)
    assert report["digest"] == status["digest"]
