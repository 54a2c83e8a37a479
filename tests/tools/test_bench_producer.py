"""The producer of `rmf-bench failover`, against nodes that follow scripts."""

import time
from collections.abc import Callable

import pytest
import trio

from rmf.client.command import parse_address
from rmf.core import messages as m
from rmf.errors import RmfError
from tests.client.trio_node import Peer, Standing, standing
from tests.scripted_node import facts
from tools.bench_producer import BenchProducer, Change, Reigns, Told

pytestmark = pytest.mark.slow


class World:
    """What the node has applied, over two terms: it dies once, before an ack."""

    def __init__(self, dies_after: int) -> None:
        self.epoch = 0
        self.seq = 0
        self.term = 1
        self._dies_after = dies_after

    async def serve(self, peer: Peer) -> None:
        """Be the node, for one connection."""
        if "producer" not in (await peer.greet()).options:
            return await self._answer(peer)
        self.epoch += 1
        await peer.send(m.Welcome(facts(epoch=self.epoch, last_seq=self.seq)))
        while isinstance(message := await peer.receive(), m.Send):
            [seq] = [row[1] for row in message.packets]
            duplicate = seq <= self.seq
            self.seq = max(self.seq, seq)
            if self.term == 1 and seq > self._dies_after:
                self.term = 2
                return None
            run = m.Run(seq, 1, m.APPLIED, duplicate, self.term, 5 + seq, 0, None, None)
            await peer.send(m.Ack([run]))
        return None

    async def _answer(self, peer: Peer) -> None:
        await peer.send(m.Welcome(facts()))
        get = await peer.expect(m.Get)
        assert get.linearizable
        value = b"\x1a" + self.seq.to_bytes(4, "big")
        cell = m.WireCell(get.key, value, 2, 5, 0, "p", 7, None)
        await peer.send(m.Value(get.request, 2, 5, 3, True, cell))
        await peer.wait_for_the_end()


def until(producer: BenchProducer, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not producer.saw(condition):
        assert time.monotonic() < deadline


def measured(node: Standing) -> Told:
    """Run a producer until it has seen term 2, and a little longer."""
    with BenchProducer([parse_address(node.address)]) as producer:
        until(producer, lambda: producer.term == 2 and producer.acked > 320)
        return producer.stop()


def changes_of(*acks: tuple[int, float, bool]) -> list[Change]:
    reigns = Reigns()
    for term, now_s, duplicate in acks:
        reigns.acked(term, now_s, duplicate=duplicate)
    return reigns.changes


def test_a_change_is_from_the_last_ack_of_a_reign_to_the_first_of_the_next() -> None:
    assert changes_of((1, 1.0, False), (1, 1.1, False), (2, 1.5, False)) == [(1.1, 1.5, 2)]


def test_the_answer_to_a_resend_is_the_first_of_the_next_reign() -> None:
    """Its Stamp is old, but it is the new leader that answers: else a failover would look short."""
    found = changes_of((1, 1.0, False), (1, 1.4, True), (2, 1.41, False))
    assert found == [(1.0, 1.4, 2)]


def test_a_resend_within_a_reign_is_no_change() -> None:
    found = changes_of((1, 1.0, False), (1, 1.4, True), (1, 1.5, False), (2, 1.9, False))
    assert found == [(1.5, 1.9, 2)]


async def test_a_change_of_term_is_noted_with_the_acks_around_it() -> None:
    began_s = time.monotonic()
    world = World(dies_after=300)
    async with standing(world.serve) as [node]:
        told = await trio.to_thread.run_sync(measured, node)
    assert told.acked == told.counted == world.seq
    assert told.duplicates == 1
    [change] = told.changes
    assert change.term == 2
    assert began_s < change.last_s < change.first_s < time.monotonic()


def ended(node: Standing) -> None:
    with BenchProducer([parse_address(node.address)]) as producer:
        with pytest.raises(RmfError, match="has ended"):
            until(producer, lambda: False)
        with pytest.raises(RmfError, match="has ended"):
            producer.stop()


async def test_a_producer_that_has_ended_is_an_error_not_a_wait() -> None:
    async def refusing(peer: Peer) -> None:
        await peer.greet()
        await peer.send(m.Error("producer_name", "no", None))

    async with standing(refusing) as [node]:
        await trio.to_thread.run_sync(ended, node)
