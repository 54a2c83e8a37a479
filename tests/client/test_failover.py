"""A client whose leader dies, has not been elected yet, or is elsewhere (R31 to R33)."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import rmf
from rmf import limits
from rmf.core import messages as m
from rmf.errors import ConnectionFailed, Refused
from tests.client.trio_node import Peer, Script, Standing, acked, nodes, snapshot, standing
from tests.scripted_node import facts

ELECTION_S = 0.2


class Books:
    """What a factory's producers' table says: one outcome a seq, the same from every node."""

    def __init__(self) -> None:
        self.epoch = 0
        self.last_seq = 0
        self.applied: Counter[int] = Counter()

    def latch(self, send: m.Send) -> m.Ack:
        """Apply what is new; answer what is not."""
        runs = []
        for row in send.packets:
            seq = row[1]
            duplicate = seq <= self.last_seq
            if not duplicate:
                assert seq == self.last_seq + 1, "seqs are contiguous"
                self.last_seq = seq
                self.applied[seq] += 1
            runs.append(m.Run(seq, 1, m.APPLIED, duplicate, 1, 5, 0, None, None))
        return m.Ack(runs)


def leading(books: Books, **more: Any) -> Script:
    """A leader."""

    async def script(peer: Peer) -> None:
        hello = await peer.greet()
        assert "producer" in hello.options
        books.epoch += 1
        await peer.send(welcome(books, **more))
        while isinstance(message := await peer.receive(), m.Send | m.Ping):
            if isinstance(message, m.Send):
                await peer.send(books.latch(message))

    return script


def welcome(books: Books, **more: Any) -> m.Welcome:
    return m.Welcome(facts(epoch=books.epoch, last_seq=books.last_seq, **more))


def refusing(code: str, leader: list[str | None]) -> Script:
    """A follower: producers are refused; the leader is what the list holds at the time."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        await peer.send(m.Refuse(0, code, 0, leader[0], "go away"))

    return script


def latching_without_an_ack(books: Books) -> Script:
    """A leader that commits one frame and dies before the ack is out."""

    async def script(peer: Peer) -> None:
        await peer.greet()
        books.epoch += 1
        await peer.send(welcome(books))
        books.latch(await peer.expect(m.Send))

    return script


async def test_a_receipt_survives_a_leader_that_dies_before_its_ack() -> None:
    books = Books()
    async with (
        nodes([latching_without_an_ack(books)], [leading(books)]) as addresses,
        rmf.connect(",".join(addresses), producer="p") as factory,
    ):
        receipts = await factory.send_many((f"t/{i}", i, 5000) for i in range(100))
    assert [receipt.seq for receipt in receipts] == list(range(1, 101))
    assert all(receipt.duplicate for receipt in receipts)
    assert set(books.applied.values()) == {1}


async def test_a_leader_that_dies_within_a_frame_of_its_own_is_replaced() -> None:
    books = Books()

    async def dying(peer: Peer) -> None:
        await peer.greet()
        books.epoch += 1
        await peer.send(welcome(books))
        await peer.send(books.latch(await peer.expect(m.Send)))
        await peer.expect(m.Send)
        await peer.stream.send_all(b"\x00\x00\x00\x40\x82\x04")

    async with (
        nodes([dying], [leading(books)]) as addresses,
        rmf.connect(",".join(addresses), producer="p") as factory,
    ):
        first = await factory.send("t", 1, ttl_ms=5000)
        second = await factory.send("t", 2, ttl_ms=5000)
    assert (first.duplicate, second.duplicate) == (False, False)
    assert books.applied == {1: 1, 2: 1}


async def failing_over(
    books: Books, followers: list[Standing], factory: rmf.Factory, leader: Standing
) -> float:
    """Kill the leader, elect a follower ELECTION_S later; how long after that an ack came."""
    killed_s = trio.current_time()
    leader.kill()

    async def elect() -> None:
        await trio.sleep(ELECTION_S)
        followers[0].script = leading(books)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(elect)
        await factory.send("t", 0, ttl_ms=5000)
    return trio.current_time() - killed_s - ELECTION_S


@pytest.mark.slow
@pytest.mark.parametrize("code", ["not_leader", "no_reign"])
async def test_the_clients_share_of_a_failover_is_small(code: str) -> None:
    books = Books()
    follower = refusing(code, [None])
    shares = []
    for _ in range(5):
        async with standing(leading(books), follower, follower) as [leader, *others]:
            addresses = ",".join(node.address for node in [leader, *others])
            async with rmf.connect(addresses, producer="p") as factory:
                await factory.send("t", 0, ttl_ms=5000)
                shares.append(await failing_over(books, others, factory, leader))
                assert len(others[1].accepted) < 40, "that many attempts are a siege"
    assert sorted(shares)[2] < 0.08
    assert set(books.applied.values()) == {1}


@pytest.mark.slow
async def test_followers_that_still_name_the_dead_leader_are_not_believed_for_long() -> None:
    books = Books()
    named: list[str | None] = [None]
    follower = refusing("not_leader", named)
    async with standing(leading(books), follower, follower) as [leader, *others]:
        named[0] = leader.address
        async with rmf.connect(others[0].address, producer="p") as factory:
            await factory.send("t", 0, ttl_ms=5000)
            others[1].script = leading(books)
            named[0] = others[1].address
            assert await failing_over(books, others, factory, leader) < 0.1


async def test_a_client_that_was_given_a_follower_only_finds_the_leader() -> None:
    books = Books()
    named: list[str | None] = [None]
    async with standing(leading(books), refusing("not_leader", named)) as [leader, follower]:
        named[0] = leader.address
        async with rmf.connect(follower.address, producer="p") as factory:
            assert (await factory.send("t", 0, ttl_ms=5000)).outcome == "applied"
        assert len(follower.accepted) == 1


async def test_two_nodes_that_point_at_each_other_are_asked_in_peace() -> None:
    books = Books()
    one_names: list[str | None] = [None]
    two_names: list[str | None] = [None]
    one = refusing("not_leader", one_names)
    async with standing(one, refusing("not_leader", two_names)) as [first, second]:
        one_names[0], two_names[0] = second.address, first.address
        with pytest.raises(ConnectionFailed, match="not_leader"):
            async with rmf.connect(first.address, producer="p", give_up_s=0.3):
                pass
        assert 3 < len(first.accepted) < 20
        first.script = leading(books)
        async with rmf.connect(second.address, producer="p") as factory:
            await factory.send("t", 0, ttl_ms=5000)


async def test_a_leader_that_loses_its_reign_within_the_stream_sends_us_on() -> None:
    books = Books()
    elsewhere: list[str] = []

    async def deposed(peer: Peer) -> None:
        await peer.greet()
        books.epoch += 1
        await peer.send(welcome(books))
        send = await peer.expect(m.Send)
        await peer.send(books.latch(m.Send(send.packets[:2])))
        seq = send.packets[2][1]
        await peer.send(m.Refuse(seq, "not_leader", seq, elsewhere[0], "go there"))
        await peer.wait_for_the_end()

    async with nodes([deposed], [leading(books)]) as [first, second]:
        elsewhere.append(second)
        async with rmf.connect(first, producer="p") as factory:
            receipts = await factory.send_many(("t", i, 5000) for i in range(5))
    assert [receipt.duplicate for receipt in receipts] == [False] * 5
    assert set(books.applied.values()) == {1}


async def test_what_a_welcome_names_is_where_a_client_of_one_address_goes() -> None:
    books = Books()
    named: list[str] = []

    async def dying(peer: Peer) -> None:
        books.epoch += 1
        await peer.produce(epoch=books.epoch, nodes=named)
        await peer.expect(m.Send)

    async with nodes([dying], [leading(books)]) as [first, second]:
        named += [first, second]
        async with rmf.connect(first, producer="p") as factory:
            assert (await factory.send("t", 0, ttl_ms=5000)).outcome == "applied"


async def test_what_one_connection_learnt_all_of_a_factory_know() -> None:
    async def naming(peer: Peer) -> None:
        await peer.welcome(nodes=others)
        await peer.wait_for_the_end()

    async def showing(peer: Peer) -> None:
        await peer.welcome()
        if isinstance(await peer.receive(), m.Subscribe):
            await peer.send(snapshot(m.FULL, 5, "k"))
            await peer.wait_for_the_end()

    others: list[str] = []
    async with standing(naming, showing) as [first, second]:
        others.append(second.address)
        async with rmf.connect(first.address) as factory:
            first.kill()
            async with factory.watch("#") as snapshots:
                assert set((await anext(snapshots)).cells) == {"k"}


@pytest.fixture
def jumping_clock() -> MockClock:
    """A clock that jumps when nothing has happened for a moment; sockets need that moment."""
    return MockClock(autojump_threshold=0.02)


async def test_a_node_that_takes_connections_and_says_nothing_is_passed_over(
    jumping_clock: MockClock,
) -> None:
    books = Books()

    async def silent(peer: Peer) -> None:
        await peer.wait_for_the_end()

    async with standing(silent, leading(books)) as [first, second]:
        began = trio.current_time()
        async with rmf.connect(f"{first.address},{second.address}", producer="p") as factory:
            assert trio.current_time() - began < limits.CONNECT_S_MAX / 2
            await factory.send("t", 0, ttl_ms=50_000)


async def test_a_factory_without_a_reign_is_asked_ever_less_often(
    jumping_clock: MockClock,
) -> None:
    silence = refusing("no_reign", [None])
    async with standing(silence, silence) as [first, second]:
        with pytest.raises(ConnectionFailed, match="no_reign"):
            async with rmf.connect(f"{first.address},{second.address}", producer="p", give_up_s=60):
                pass
        pauses = [b - a for a, b in pairwise(first.accepted)]
    assert 20 < len(pauses) < 80
    assert max(pauses[:3]) < 0.1
    assert min(pauses[-3:]) > 0.5


# --- Questions ----------------------------------------------------------------------------


def answering(*ends: str, cell: m.WireCell | None = None) -> Script:
    """Refuse so many GETs with these codes, answer the next ones."""

    async def script(peer: Peer) -> None:
        await peer.welcome()
        for code in ends:
            await peer.send(m.End((await peer.expect(m.Get)).request, code, "not now"))
        while isinstance(get := await peer.receive(), m.Get):
            await peer.send(m.Value(get.request, 1, 5, 3, True, cell))

    return script


CELL = m.WireCell("k", b"\x18\x2a", 1, 5, 0, "p", 7, 99)


async def test_a_read_that_one_node_cannot_answer_is_asked_of_another() -> None:
    async with (
        nodes([answering("no_reign")], [answering(cell=CELL)]) as addresses,
        rmf.connect(",".join(addresses)) as factory,
    ):
        assert await factory.get("k", linearizable=True) == 42


async def test_where_there_is_no_other_node_the_same_is_asked_again() -> None:
    script = answering("no_reign", "not_leader", "no_reign", cell=CELL)
    async with nodes([script]) as [address], rmf.connect(address) as factory:
        assert await factory.get("k", linearizable=True) == 42


async def test_a_read_that_no_node_answers_ends_and_says_why(jumping_clock: MockClock) -> None:
    async def reignless(peer: Peer) -> None:
        await peer.welcome()
        while isinstance(get := await peer.receive(), m.Get | m.Ping):
            if isinstance(get, m.Get):
                await peer.send(m.End(get.request, "no_reign", "nobody reigns"))

    async with (
        standing(reignless, reignless) as [first, second],
        rmf.connect(f"{first.address},{second.address}") as factory,
    ):
        with pytest.raises(ConnectionFailed, match="10 s: no_reign: nobody reigns"):
            await factory.get("k", linearizable=True)


async def test_a_read_that_is_refused_for_good_is_not_asked_again() -> None:
    async with (
        nodes([answering("not_possible")]) as [address],
        rmf.connect(address) as factory,
    ):
        with pytest.raises(Refused, match="not_possible"):
            await factory.get("k", linearizable=True)


async def test_a_question_that_is_no_read_is_its_users_to_repeat() -> None:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(m.End((await peer.expect(m.Query)).request, "not_ready", "not yet"))
        await peer.wait_for_the_end()

    async with nodes([script]) as [address], rmf.connect(address) as factory:
        with pytest.raises(Refused, match="not_ready") as caught:
            await factory.status()
    assert caught.value.code == "not_ready"


async def test_an_ack_of_a_later_frame_does_not_settle_an_earlier_one() -> None:
    async def script(peer: Peer) -> None:
        await peer.produce()
        await peer.expect(m.Send)
        await peer.send(acked(m.Send([["t", 2, 0, 1, b"\x00"]])))

    async def second(peer: Peer) -> None:
        await peer.produce(epoch=2, last_seq=0)
        send = await peer.expect(m.Send)
        assert [row[1] for row in send.packets] == [1]
        await peer.send(acked(send))
        await peer.wait_for_the_end()

    async with nodes([script, second]) as [address], rmf.connect(address, producer="p") as factory:
        assert (await factory.send("t", 0, ttl_ms=5000)).seq == 1


# --- Nodes that live and say nothing --------------------------------------------------------


async def test_a_leader_that_is_paused_is_left_as_soon_as_it_owes_an_answer(
    jumping_clock: MockClock,
) -> None:
    books = Books()

    async def paused(peer: Peer) -> None:
        await peer.greet()
        books.epoch += 1
        await peer.send(welcome(books))
        await peer.wait_for_the_end()

    said: list[str] = []
    async with (
        standing(paused, leading(books)) as [first, second],
        rmf.connect(f"{first.address},{second.address}", producer="p", say=said.append) as factory,
    ):
        await trio.sleep(10)
        assert not said, "it owes nothing"
        began_s = trio.current_time()
        await factory.send("t", 0, ttl_ms=50_000)
        assert trio.current_time() - began_s < limits.OWED_SILENCE_S_MAX + 1.5
    assert "nothing came from the node for" in said[0]


async def test_a_node_that_answers_pings_is_not_left_however_long_it_takes(
    jumping_clock: MockClock,
) -> None:
    async def slow(peer: Peer) -> None:
        await peer.produce()
        send = await peer.expect(m.Send)
        for _ in range(8):
            ping = await peer.receive()
            assert isinstance(ping, m.Ping)
            await peer.send(m.Pong(ping.token, 1, 5))
        await peer.send(acked(send))
        await peer.wait_for_the_end()

    async with (
        standing(slow, slow) as [first, second],
        rmf.connect(f"{first.address},{second.address}", producer="p") as factory,
    ):
        assert not (await factory.send("t", 0, ttl_ms=50_000)).duplicate
    assert len(second.accepted) == 0
