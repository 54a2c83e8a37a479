"""Real clusters of nodes, as benchmarks and tests start and kill them."""

import socket
from pathlib import Path

import pytest

from rmf.errors import RmfError
from tools.bench_cluster import BenchCluster, free_ports


def test_free_ports_are_free_and_differ() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_no_process_that_wants_any_port_is_given_one_that_was_found_free() -> None:
    """Nor who connects: a node that starts meanwhile would find its port taken. Linux gives those
    from 32,768 on, unless it is told otherwise."""
    assert max(free_ports(200)) < 32_768


def test_what_does_not_come_about_is_said_with_what_was_seen(tmp_path: Path) -> None:
    cluster = BenchCluster(3, directory=tmp_path, patience_s=0.05)
    with pytest.raises(RmfError, match=r"no spring after 0\.05 s: \{\}; logs: .*\.log"):
        cluster.wait_until(lambda: None, "no spring")


@pytest.mark.slow
def test_a_node_that_does_not_start_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    cluster = BenchCluster(1, directory=tmp_path, line="no.such:line")
    with pytest.raises(RmfError, match=r"n1\.log"), cluster:
        pass
    assert "no.such" in (tmp_path / "n1.log").read_text()


@pytest.mark.long
def test_a_killed_leader_is_replaced_and_catches_up_when_it_is_back(tmp_path: Path) -> None:
    with BenchCluster(3, directory=tmp_path) as cluster:
        first = cluster.leader()
        cluster.kill(first)
        assert cluster.status(first) is None
        second = cluster.leader()
        assert second != first
        cluster.restart(first)
        cluster.wait_caught_up(first)
        assert cluster.wait_equal()["leader"] == second
        assert cluster.address == cluster.addresses[second]
        assert cluster.memory_mib() > 30
