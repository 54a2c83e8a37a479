"""Contenders: their servers are ended, their clients are heard, their windows are kept."""

import os
import sys
from pathlib import Path

import pytest

from rmf.errors import RmfError
from tools.bench_cpu import family
from tools.compare_servers import (
    executables,
    in_a_process,
    one_by_one,
    one_of,
    pipelined,
    servers,
    version_of,
)


class Echoing:
    """A flow whose messages are acknowledged in turn, three at a time."""

    block = 10

    def __init__(self) -> None:
        self.in_flight = 0
        self.most = 0

    def send(self, messages: int) -> None:
        self.in_flight += messages
        self.most = max(self.most, self.in_flight)

    def receive(self) -> int:
        acked = min(3, self.in_flight)
        self.in_flight -= acked
        return acked


def test_a_window_is_kept_and_all_of_it_is_acked_in_the_end() -> None:
    flow = Echoing()
    sent = pipelined(flow, 40, 0.02)
    assert flow.in_flight == 0
    assert 40 <= flow.most < 40 + flow.block
    assert sent.messages > 0
    assert sent.before > 0
    assert sent.seconds >= 0.02


def test_one_message_waits_for_its_ack_before_the_next() -> None:
    flow = Echoing()
    waits = one_by_one(lambda: one_of(flow), 0.01)
    assert flow.most == 1
    assert waits
    assert min(waits) >= 0


def refuse(text: str) -> None:
    raise RmfError(text)


@pytest.mark.slow
def test_what_a_client_returns_or_raises_comes_back() -> None:
    assert in_a_process(os.path.basename, "a/b", takes_s=1) == "b"
    with pytest.raises(RmfError, match="refuse: no acks"):
        in_a_process(refuse, "no acks", takes_s=1)


@pytest.mark.slow
def test_a_client_that_dies_is_an_error() -> None:
    with pytest.raises(RmfError, match="the client ended"):
        in_a_process(os._exit, 3, takes_s=1)


def test_servers_are_killed_and_their_directory_is_gone() -> None:
    waits = [sys.executable, "-c", "input()"]
    with servers(lambda _: [["/bin/sleep", "60"], waits]) as (directory, pids):
        assert directory.is_dir()
        assert family(pids[0]) == [pids[0]]
    assert not directory.exists()
    assert family(pids[0]) == []


def test_programs_are_found_once_each_and_say_their_version() -> None:
    assert executables("no-such-program") == []
    (found,) = {path.resolve() for path in executables(Path(sys.executable).name)} & {
        Path(sys.executable).resolve()
    }
    assert version_of(found, lambda said: said.split()[0]) == "Python"
