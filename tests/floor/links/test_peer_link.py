"""The link to one peer: what is said when it comes up, and that nothing waits for a peer."""

import socket
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import codec
from rmf.core.raft import greetings as g
from rmf.core.raft import peer_messages as m
from rmf.core.raft import wire
from rmf.core.raft.pieces import Joining
from rmf.errors import ConnectionFailed, ProtocolFault, Refused
from rmf.floor.links.dialling import Dialled, Peer, dial
from tests.floor.peers import Caller, Listener, carrying, hello_from, linking, listener, own_of
from tests.floor.wire import until

READ = m.ReadAsk(1, 7)
N2 = b"n2" * 8
WELCOME = g.welcome_of(own_of("n2"), hello_from("n1", "n2"))


def n2_at(listening: Listener) -> Peer:
    return Peer("n2", N2, listening.address)


OWN = own_of("n1")


async def welcomed(listening: Listener, welcome: g.Welcome = WELCOME) -> Caller:
    """Accept the link's next connection and let it in."""
    caller = await listening.accept()
    assert await caller.hear() == hello_from("n1", "n2")
    await caller.say_bytes(wire.PREFACE + wire.encode(welcome))
    return caller


async def test_a_link_says_hello_and_then_what_is_sent() -> None:
    async with listener() as port, linking(n2_at(port), OWN) as link:
        caller = await welcomed(port)
        async with caller.stream:
            await link.comes_up()
            link.tell(READ)
            link.tell(m.CampaignNow(2))
            assert [await caller.hear() for _ in range(2)] == [READ, m.CampaignNow(2)]


async def test_what_was_sent_while_the_link_was_down_is_gone_and_a_new_link_comes_up() -> None:
    async with listener() as port, linking(n2_at(port), OWN) as link:
        assert not link.tell(READ)
        for number in (1, 2):
            caller = await welcomed(port)
            async with caller.stream:
                await link.comes_up()
                assert link.tell(m.CampaignNow(number))
                assert await caller.hear() == m.CampaignNow(number)
            await until(lambda: not link.is_up)  # noticed though nothing is sent
            assert not link.tell(READ)
        assert link.peers.dropped == 3


async def test_what_this_node_says_of_itself_is_what_was_told_last() -> None:
    newer = attrs.evolve(OWN, membership=7)
    async with listener() as port, linking(n2_at(port), OWN) as link:
        caller = await welcomed(port)
        await link.comes_up()
        link.dials.put(newer)
        assert link.is_up
        caller.hang_up()
        again = await port.accept()
        assert await again.hear() == g.hello_of(newer, "n2", N2, g.RAFT)
        again.hang_up()
        later = await port.accept()
        assert await later.hear() == g.hello_of(newer, "n2", N2, g.RAFT)
        later.hang_up()


async def test_a_reset_connection_is_noticed_at_once() -> None:
    async with listener() as port, linking(n2_at(port), OWN) as link:
        caller = await welcomed(port)
        await link.comes_up()
        assert isinstance(caller.stream, trio.SocketStream)
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # on, 0 s: close by a reset
        caller.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        caller.hang_up()
        await until(lambda: not link.is_up)


def chunk(number: int, size: int) -> m.Chunk:
    return m.Chunk(1, 1, 1, bytes(16), b"c", 9, number, bytes(size), 1)


async def heard(caller: Caller, count: int) -> list[wire.Message]:
    """Take so many messages, and pieces as PEER-24 says."""
    found: list[wire.Message] = []
    joining = Joining()
    while len(found) < count:
        message = await caller.hear()
        assert message is not None
        if isinstance(message, g.Piece):
            joining.take(message)
            await caller.say(g.Taken(joining.taken))
            if not message.last:
                continue
            message = joining.message()
        found.append(message)
    return found


async def test_more_than_a_socket_takes_arrives_whole_and_in_order() -> None:
    async with listener() as port, linking(n2_at(port), OWN) as link:
        caller = await welcomed(port)
        async with caller.stream:
            await link.comes_up()
            chunks = [chunk(number, 3_000_000) for number in range(5)]
            for one in chunks:
                link.tell(one)
            link.tell(READ)
            found = await heard(caller, 6)
            assert [x for x in found if isinstance(x, m.Chunk)] == chunks
            assert found.index(READ) == 0  # it hurries
            link.tell(READ)  # and then it is as at first
            assert await caller.hear() == READ


async def test_more_than_a_socket_takes_goes_whole_to_a_node_that_knows_no_pieces() -> None:
    welcome = WELCOME._replace(version=1)
    async with listener() as port, linking(n2_at(port), OWN) as link:
        caller = await welcomed(port, welcome)
        async with caller.stream:
            await link.comes_up()
            big = chunk(0, 8_000_000)
            for message in (big, READ, chunk(1, 10)):
                link.tell(message)
            found = [await caller.hear() for _ in range(3)]
            assert [x for x in found if x != READ] == [big, chunk(1, 10)]


async def test_beyond_the_bound_in_bytes_bulk_is_dropped_and_what_hurries_still_goes() -> None:
    async with listener() as port, linking(n2_at(port), OWN) as link:
        caller = await welcomed(port)
        async with caller.stream:
            await link.comes_up()
            big = chunk(0, limits.ENTRY_BYTES_MAX)
            sent = 0
            while link.tell(big):
                sent += 1
            assert 2 <= sent < 10
            link.tell(READ)
            assert await heard(caller, sent + 1) == [READ, *[big] * sent]


async def test_a_peer_of_an_older_release_hears_what_it_understands() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    caller = Caller(theirs)
    async with carrying(Dialled(ours, WELCOME._replace(version=1), wire.Frames(0))) as link:
        heartbeat = m.Heartbeat(3, 7, 9, 70, True, 4, 8, 0)
        link.tell(heartbeat)
        assert await caller.hear_bytes() == wire.encode(heartbeat, version=1)


async def test_a_silent_link_says_that_it_is_alive(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    caller = Caller(theirs)
    async with carrying(Dialled(ours, WELCOME, wire.Frames(0))) as link:
        began = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()
        link.tell(READ)
        assert await caller.hear_bytes() == wire.encode(READ)
        assert await caller.hear_bytes() == wire.encode(g.Alive())
        assert await caller.hear_bytes() == wire.encode(g.Alive())
        assert trio.current_time() - began == pytest.approx(3 * limits.PEER_ALIVE_S)


async def test_a_link_that_waits_dials_at_once_when_its_peer_is_known_to_be_there(
    mock_clock: trio.testing.MockClock,
) -> None:
    """The clock stands still: by itself the link would never dial again."""
    async with listener() as port, linking(n2_at(port), OWN) as link:
        accepted = 0

        async def turn_away() -> None:
            nonlocal accepted
            while True:
                (await port.accept()).hang_up()
                accepted += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(turn_away)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert accepted == 1
            while accepted < 5:
                link.dials.put(OWN)
                await trio.testing.wait_all_tasks_blocked(0.001)
            nursery.cancel_scope.cancel()


# --- Who answers --------------------------------------------------------------------------------


async def answered(*answer: bytes, to: str = "n2", purpose: str = g.RAFT) -> g.Welcome:
    """Dial a port that answers with these bytes."""
    found: list[g.Welcome] = []
    async with listener() as port, trio.open_nursery() as nursery:

        async def answer_it() -> None:
            caller = await port.accept()
            async with caller.stream:
                await caller.hear()
                await caller.say_bytes(b"".join(answer))
                await caller.hear_bytes()

        nursery.start_soon(answer_it)
        try:
            dialled = await dial(port.address, hello_from("n1", to, purpose))
        finally:
            nursery.cancel_scope.cancel()
        found.append(dialled.welcome)
        await dialled.stream.aclose()
    return found[0]


def saying(**fields: Any) -> bytes:
    return wire.PREFACE + wire.encode(WELCOME._replace(**fields))


async def test_the_node_that_was_meant_is_taken() -> None:
    assert await answered(saying()) == WELCOME
    asked = await answered(saying(cluster=None, incarnation=b"x" * 16), purpose=g.GENESIS)
    assert asked.cluster is None


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (saying(node="n3"), "wrong_node"),
        (saying(incarnation=b"x" * 16), "wrong_incarnation"),
        (saying(cluster=b"x" * 16), "wrong_cluster"),
        (saying(cluster=None), "wrong_cluster"),
        (wire.PREFACE + wire.encode(READ), "wrong_shape"),
        (codec.PREFACE, "bad_preface"),
        (b"HTTP/1.1 400 Bad Request\r\n", "bad_preface"),
        (wire.PREFACE + b"\xff\xff\xff\xff", "frame_too_long"),
    ],
)
async def test_another_that_answers_is_not_taken(answer: bytes, code: str) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(ProtocolFault, match=f"^{code}:")):
        await answered(answer)


async def test_a_refusal_and_silence_have_their_own_names(
    autojump_clock: trio.testing.MockClock,
) -> None:
    refusal = wire.encode(g.Refusal("not_member", "no"))
    with pytest.RaisesGroup(pytest.RaisesExc(Refused, match="not_member")):
        await answered(wire.PREFACE + refusal)
    with pytest.RaisesGroup(pytest.RaisesExc(ConnectionFailed, match="did not answer")):
        await answered(wire.PREFACE)
    async with listener() as port:
        address = port.address
    with pytest.raises(ConnectionFailed, match="refused"):
        await dial(address, hello_from("n1", "n2"))
