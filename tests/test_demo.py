"""The demo producer: what two samples tell, and what a system that refuses leaves out."""

import json
import math
import socket
import subprocess
import sys
from pathlib import Path

import psutil  # psutil has no type hints
import pytest

from rmf import demo
from rmf.core import topics
from tests.children import said_by

BEFORE = demo.SystemSample(
    at_s=100.0,
    cpu_busy_s=10.0,
    cpu_idle_s=90.0,
    network_received_bytes=1000,
    network_sent_bytes=500,
)
NOW = demo.SystemSample(
    at_s=100.5,
    cpu_busy_s=10.25,
    cpu_idle_s=90.75,
    load_1min=0.5,
    memory_used_bytes=250,
    memory_total_bytes=1000,
    disk_free_bytes=7,
    disk_total_bytes=10,
    disk_read_bytes=4096,
    network_received_bytes=1100,
    network_sent_bytes=500,
)


def test_two_samples_tell_shares_and_rates() -> None:
    assert demo.readings(BEFORE, NOW) == {
        "cpu": {"used_percent": 25.0, "load_1min": 0.5},
        "memory": {"used_bytes": 250, "total_bytes": 1000, "used_percent": 25.0},
        "disk": {"free_bytes": 7, "total_bytes": 10},
        "network": {"received_bytes_per_s": 200.0, "sent_bytes_per_s": 0.0},
    }


def test_the_first_sample_has_no_rates() -> None:
    found = demo.readings(None, NOW)
    assert found["cpu"] == {"load_1min": 0.5}
    assert "network" not in found


def test_a_counter_that_went_back_is_left_out() -> None:
    again = NOW._replace(network_received_bytes=5, cpu_idle_s=1.0)
    found = demo.readings(BEFORE, again)
    assert found["network"] == {"sent_bytes_per_s": 0.0}
    assert "used_percent" not in found["cpu"]


def test_two_samples_of_one_moment_tell_no_rate() -> None:
    found = demo.readings(NOW, NOW)
    assert "network" not in found
    assert "used_percent" not in found["cpu"]


@pytest.mark.parametrize(
    "failure",
    [
        psutil.AccessDenied(),
        PermissionError("no"),
        FileNotFoundError("/proc/diskstats"),
        RuntimeError("no counters"),
        NotImplementedError(),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_system_that_refuses_leaves_everything_out(failure: Exception) -> None:
    class Refusing:
        def __getattr__(self, name: str) -> object:
            def refuse(*_: object) -> None:
                raise failure

            return refuse

    sample = demo.take(Refusing())
    assert set(sample[1:]) == {None}
    assert demo.readings(sample, sample) == {}


def test_a_system_without_disks_or_networks_leaves_them_out() -> None:
    class Bare:
        def __getattr__(self, name: str) -> object:
            if name == "virtual_memory":
                return psutil.virtual_memory
            return lambda *_: None

    assert list(demo.readings(None, demo.take(Bare()))) == ["memory"]


def test_this_computer_tells_its_memory_and_every_number_is_finite() -> None:
    first, second = demo.take(), demo.take()
    found = demo.readings(first, second)
    assert found["memory"]["total_bytes"] > 0
    assert second.at_s >= first.at_s
    assert all(math.isfinite(v) and v >= 0 for values in found.values() for v in values.values())


@pytest.mark.parametrize(
    ("hostname", "slug"),
    [
        ("Greenhouse-3.plant.example", "greenhouse-3"),
        ("a+b/c#d", "a-b-c-d"),
        ("Tür", "t-r"),
        ("", "host"),
        ("...", "host"),
    ],
)
def test_a_host_is_one_level_of_a_topic(hostname: str, slug: str) -> None:
    assert demo.host_slug(hostname) == slug
    assert topics.topic_fault(f"host/{slug}/cpu") is None


@pytest.mark.slow
def test_a_node_with_a_demo_shows_this_computers_telemetry(tmp_path: Path) -> None:
    """One command runs a factory on real input, a second one shows its World."""
    command = [sys.executable, "-m", "rmf", "serve", "--demo", "--listen", "127.0.0.1:0"]
    cat = [sys.executable, "-m", "tools.rmf_cat"]
    with subprocess.Popen(
        [*command, "--http", "off", "--data", str(tmp_path / "n1"), "--log-format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as node:
        assert node.stdout is not None
        try:
            address = said_by(node)["listen"]
            shown = subprocess.run(
                [*cat, "-c", address, "host/#", "-n", "3", "-W", "20s", "-o", "jsonl"],
                capture_output=True,
                check=True,
            )
        finally:
            node.terminate()
            _, log = node.communicate()
    snapshots = [json.loads(line) for line in shown.stdout.splitlines()]
    cells = {key: cell for snapshot in snapshots for key, cell in snapshot["cells"].items()}
    memory = cells[f"host/{demo.host_slug(socket.gethostname())}/memory"]
    assert memory["producer"] == demo.PRODUCER
    assert memory["value"]["total_bytes"] > 0
    assert node.returncode == 0
    assert [line for line in log.splitlines() if '"level": "error"' in line] == []
