"""The Redis contender: its client against a scripted server; the real one where it is installed."""

import pytest

from rmf.errors import RmfError
from tests.tools.scripted_peer import scripted
from tools.compare_redis import RedisFlow, command, contenders
from tools.compare_servers import Load, pipelined

LOAD = Load(b"x" * 64, 1000, 0.05, 0)


def test_a_command_is_an_array_of_strings() -> None:
    assert command(b"XADD", b"s", b"*") == b"*3\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n"


def test_each_id_is_counted_once_wherever_it_is_cut() -> None:
    added, rest = 0, b""

    def answer(data: bytes) -> list[bytes]:
        nonlocal added, rest
        *commands, rest = (rest + data).split(LOAD.payload)
        count = len(commands)
        added += count
        ids = b"$15\r\n1700000000000-0\r\n" * count
        return [ids[at : at + 23] for at in range(0, len(ids), 23)]

    with scripted(b"", answer) as port:
        flow = RedisFlow(port, LOAD)
        sent = pipelined(flow, flow.block, 0.05)
        flow.close()
    assert added == sent.before + sent.messages


def test_an_error_is_no_id() -> None:
    with scripted(b"", lambda _: [b"-ERR full\r\n"]) as port:
        flow = RedisFlow(port, LOAD)
        flow.send(1)
        with pytest.raises(RmfError, match="expected ids"):
            flow.receive()
        flow.close()


@pytest.mark.long
@pytest.mark.skipif(bool(contenders()[0].missing), reason=contenders()[0].missing)
def test_the_real_one_acks() -> None:
    with contenders()[0].start() as running:
        assert running.waits(LOAD)
        assert running.send(LOAD).messages > 0
