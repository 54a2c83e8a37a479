"""The etcd contender: its client against a scripted server; the real one where it is installed."""

import struct

import pytest

from rmf.errors import RmfError
from tests.tools.scripted_peer import scripted
from tools.compare_etcd import EtcdFlow, contenders, frame, put, transaction
from tools.compare_servers import Contender, Load, one_of, pipelined

HERE = [one for one in contenders() if not one.missing]
LOAD = Load(b"x" * 64, 1000, 0.05, 0)
PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
DATA, HEADERS, SETTINGS, CREDIT = 0, 1, 4, 8


class Answering:
    """Answers each call, and gives back the credit that its DATA took."""

    def __init__(self, *, with_data: bool = True) -> None:
        self._rest = b""
        self._begun = False
        self._with_data = with_data
        self.calls = 0

    def __call__(self, data: bytes) -> list[bytes]:
        self._rest += data
        if not self._begun:
            self._rest, self._begun = self._rest[PREFACE:], True
        answers = []
        while len(self._rest) >= 9:
            size, kind = int.from_bytes(self._rest[:3]), self._rest[3]
            if len(self._rest) < 9 + size:
                break
            stream = int.from_bytes(self._rest[5:9])
            self._rest = self._rest[9 + size :]
            if kind == DATA:
                answers += self._answer(stream, size)
        whole = b"".join(answers)
        return [whole[at : at + 41] for at in range(0, len(whole), 41)]

    def _answer(self, stream: int, size: int) -> list[bytes]:
        self.calls += 1
        answer = [frame(CREDIT, 0, 0, struct.pack(">I", size))]
        if self._with_data:
            answer += [frame(HEADERS, 4, stream, b"\x88"), frame(DATA, 0, stream, bytes(5))]
        return [*answer, frame(HEADERS, 5, stream, b"\x88")]


def test_each_call_is_counted_once_and_credit_is_kept() -> None:
    answering = Answering()
    with scripted(frame(SETTINGS, 0, 0, b""), answering) as port:
        flow = EtcdFlow(port, b"/etcdserverpb.KV/Put", [put(b"k", b"x" * 2000)], 1)
        sent = pipelined(flow, 100, 0.05)  # more than the credit there is
        flow.close()
    assert answering.calls == sent.before + sent.messages


def test_an_end_without_an_answer_is_an_error() -> None:
    with scripted(b"", Answering(with_data=False)) as port:
        flow = EtcdFlow(port, b"/etcdserverpb.KV/Put", [put(b"k", b"v")], 1)
        with pytest.raises(RmfError, match="only ends of calls"):
            one_of(flow)
        flow.close()


def test_requests_are_protobuf() -> None:
    assert put(b"k", b"v" * 200) == b"\x0a\x01k\x12\xc8\x01" + b"v" * 200
    assert transaction([b"one", b"two"]) == b"\x12\x05\x12\x03one\x12\x05\x12\x03two"


@pytest.mark.long
@pytest.mark.skipif(not HERE, reason="no etcd is installed")
@pytest.mark.parametrize("contender", HERE, ids=[one.name for one in HERE])
def test_the_real_one_acks(contender: Contender) -> None:
    with contender.start() as running:
        assert running.waits(LOAD)
        assert running.send(LOAD).messages > 0
