"""The NATS contender: its client against a scripted server; the real one where it is installed."""

import re

import pytest

from rmf.errors import RmfError
from tests.tools.scripted_peer import scripted
from tools.compare_nats import FastBatch, NatsFlow, NatsServers, contenders, request
from tools.compare_servers import Contender, Load, one_of, pipelined

LOAD = Load(b"x" * 64, 1000, 0.05, 0)
HERE = [one for one in contenders() if not one.missing]


class Acking:
    """Acks each publication, in pieces that are cut anywhere."""

    def __init__(self, kind: bytes = b'"seq":%d') -> None:
        self._heard = b""
        self._kind = kind
        self.published = 0

    def __call__(self, data: bytes) -> list[bytes]:
        self._heard += data
        publications = re.findall(rb"PUB room\.\d+\.temp _A 64\r\nx{64}\r\n", self._heard)
        if not publications:
            return []
        self._heard = self._heard[self._heard.rfind(publications[-1]) + len(publications[-1]) :]
        acks = b""
        for _ in publications:
            self.published += 1
            ack = b'{"stream":"BENCH",' + self._kind % self.published + b"}"
            acks += b"MSG _A 1 %d\r\n%s\r\n" % (len(ack), ack)
        return [acks[at : at + 37] for at in range(0, len(acks), 37)]


def test_each_publication_is_counted_once_wherever_its_ack_is_cut() -> None:
    acking = Acking()
    with scripted(b'INFO {"server":"x"}\r\n', acking) as port:
        flow = NatsFlow(port, LOAD)
        sent = pipelined(flow, 1000, 0.05)
        assert one_of(flow) > 0
        flow.close()
    assert acking.published == sent.before + sent.messages + 1


def test_an_error_is_no_ack() -> None:
    with scripted(b"INFO {}\r\n", Acking(b'"error":%d')) as port:
        flow = NatsFlow(port, LOAD)
        with pytest.raises(RmfError, match="expected acks"):
            one_of(flow)
        flow.close()


def test_a_fast_batch_is_numbered_and_acked_up_to_a_number() -> None:
    numbers: list[tuple[int, int]] = []
    heard = b""

    def answer(data: bytes) -> list[bytes]:
        nonlocal heard
        *whole, heard = (heard + data).split(LOAD.payload + b"\r\n")
        found = [
            re.search(rb"PUB room\.\d+\.temp _F\.b\.500\.fail\.(\d+)\.([01])\.", x) for x in whole
        ]
        numbers.extend((int(x[1]), int(x[2])) for x in found if x is not None)
        acks = b"".join(
            b'MSG _F.b.500 1 33\r\n{"type":"ack","seq":%d,"msgs":500}\r\n' % number
            for number, _ in numbers[-len(found) :]
            if not number % 500
        )
        return [acks[at : at + 37] for at in range(0, len(acks), 37)]

    with scripted(b"INFO {}\r\n", answer) as port:
        flow = FastBatch(port, LOAD)
        sent = pipelined(flow, 1000, 0.05)
        flow.close()
    assert numbers == [(n, int(n > 1)) for n in range(1, sent.before + sent.messages + 1)]


def test_synced_are_only_servers_that_know_how() -> None:
    for one in HERE:
        newer = tuple(map(int, one.facts["version"].split("."))) >= (2, 12)
        assert newer or not one.name.endswith("-synced")


@pytest.mark.long
@pytest.mark.skipif(not HERE, reason="no nats-server is installed")
@pytest.mark.parametrize("contender", HERE, ids=[one.name for one in HERE])
def test_the_real_one_has_stored_what_it_acks(contender: Contender) -> None:
    with contender.start() as running:
        assert isinstance(running, NatsServers)
        assert running.waits(LOAD)
        sent = running.send(LOAD)
        port = running.ports[running.leads]
        stored = request(port, "$JS.API.STREAM.INFO.BENCH", {})["state"]["messages"]
        assert 0 < sent.before + sent.messages < stored
