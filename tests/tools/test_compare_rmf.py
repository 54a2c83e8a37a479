"""RMF as a contender."""

import sys

import pytest

from rmf.errors import UsageError
from rmf.interpreter import interpreter
from tools.compare_rmf import contenders
from tools.compare_servers import Load

LOAD = Load(b"\x58\x3e" + bytes(62), 1000, 0.2, 1000)


def test_three_nodes_and_one_with_payloads_and_keys_of_kinds() -> None:
    assert [(one.name, one.facts["nodes"], one.missing) for one in contenders()] == [
        ("rmf", 3, ""),
        ("rmf-map", 3, ""),
        ("rmf-keys", 3, ""),
        ("rmf-1", 1, ""),
    ]


def test_nodes_on_another_interpreter_are_contenders_and_one_without_rmf_is_an_error() -> None:
    *_, three, one = contenders([sys.executable])
    assert (three.name, three.facts["nodes"]) == (f"rmf-on-{sys.executable}", 3)
    assert (one.name, one.facts["nodes"]) == (f"rmf-1-on-{sys.executable}", 1)
    assert one.facts["version"].endswith(interpreter())
    with pytest.raises(UsageError, match="RMF does not run on /bin/false"):
        contenders(["/bin/false"])
    with pytest.raises(UsageError, match="cannot be run"):
        contenders(["/no/such/python"])


@pytest.mark.slow
def test_one_node_acks() -> None:
    *_, contender = contenders([sys.executable])
    with contender.start() as running:
        assert len(running.pids()) == 1
        assert running.waits(LOAD)
        sent = running.send(LOAD)
    assert sent.messages > 0
    assert 0 < sent.client_cpu_s < sent.seconds


@pytest.mark.long
def test_three_nodes_take_many_keys() -> None:
    contender = next(one for one in contenders() if one.name == "rmf-keys")
    with contender.start() as running:
        assert len(running.pids()) == 3
        assert running.send(LOAD).before > 100_000
