"""What is written to a peer: what hurries overtakes what is long, and waits for little."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import crc32c
import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core.raft import greetings as g
from rmf.core.raft import peer_messages as m
from rmf.core.raft import wire
from rmf.core.raft.pieces import BULK, Joining
from rmf.floor.links.dialling import Dialled
from tests.floor.peers import Link, carrying, hello_from, own_of
from tests.floor.slow_link import slow_link

WELCOME = g.welcome_of(own_of("n2"), hello_from("n1", "n2"))


def append(size: int, index: int = 1) -> m.Append:
    """An APPEND with one Entry of so many bytes."""
    body = bytes(size)
    entries = [m.WireEntry(1, crc32c.crc32c(body), body)]
    return m.Append(1, index - 1, 1, bytes(16), 0, index, 0, True, 1, entries)


def heartbeat(round_: int) -> m.Heartbeat:
    return m.Heartbeat(1, 0, 1, 0, True, round_, 0, 0)


class Peer:
    """The other node: takes pieces, and notes what came when, and the lengths of the pieces."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.came: list[tuple[float, wire.Message]] = []
        self.pieces: list[int] = []
        self.answers = True
        self._stream = stream

    async def listen(self) -> None:
        frames, joining = wire.Frames(limits.PEER_FRAME_BYTES_MAX), Joining()
        while data := bytes(await self._stream.receive_some(limits.PEER_RECEIVE_BYTES)):
            frames.feed(data)
            for frame in frames.frames():
                message = wire.decode(frame)
                if isinstance(message, g.Piece):
                    self.pieces.append(len(message.data))
                    joining.take(message)
                    if self.answers:
                        await self._stream.send_all(wire.encode(g.Taken(joining.taken)))
                    if not message.last:
                        continue
                    message = joining.message()
                elif isinstance(message, BULK):
                    before = joining.taken
                    joining.passes(len(frame))
                    if joining.taken > before and self.answers:
                        await self._stream.send_all(wire.encode(g.Taken(joining.taken)))
                self.came.append((trio.current_time(), message))

    def all_of(self, kind: type[wire.Message]) -> list[wire.Message]:
        return [x for _, x in self.came if isinstance(x, kind)]


@asynccontextmanager
async def linked(
    mbit: float, seconds: float, version: int = g.VERSION_MAX
) -> AsyncIterator[tuple[Link, Peer]]:
    """A link that is up, and the peer."""
    async with slow_link(mbit, seconds) as (ours, theirs), trio.open_nursery() as nursery:
        peer = Peer(theirs)
        welcome = WELCOME._replace(version=version)
        dialled = Dialled(ours, welcome, wire.Frames(limits.PEER_FRAME_BYTES_MAX))
        nursery.start_soon(peer.listen)
        async with carrying(dialled) as link:
            await trio.testing.wait_all_tasks_blocked()
            yield link, peer
        nursery.cancel_scope.cancel()


async def beat_while_bulk_goes(link: Link, peer: Peer) -> dict[int, float]:
    """Send heartbeats until two Entries have come; return when each left."""
    left: dict[int, float] = {}
    while len(peer.all_of(m.Append)) < 2:
        left[len(left)] = trio.current_time()
        link.tell(heartbeat(len(left) - 1))
        await trio.sleep(limits.HEARTBEAT_NS / limits.SECOND)
    return left


@pytest.mark.parametrize(
    ("mbit", "seconds"),
    [
        (10, 0.1),
        pytest.param(10, 0.0001, marks=pytest.mark.slow),
        pytest.param(100, 0.0001, marks=pytest.mark.slow),
        pytest.param(100, 0.1, marks=pytest.mark.slow),
        pytest.param(2, 0.02, marks=pytest.mark.slow),
    ],
)
async def test_a_heartbeat_waits_for_little_behind_the_longest_entries(
    mbit: float, seconds: float, autojump_clock: trio.testing.MockClock
) -> None:
    size = limits.MIB * (8 if mbit > 50 else 1)
    async with linked(mbit, seconds) as (link, peer):
        began = trio.current_time()
        for index in (1, 2):
            link.tell(append(size, index))
        left = await beat_while_bulk_goes(link, peer)
        await trio.sleep(3)
        entries = [at for at, x in peer.came if isinstance(x, m.Append)]
        late = [at - left[x.round] for at, x in peer.came if isinstance(x, m.Heartbeat)]
        assert peer.all_of(m.Append) == [append(size, 1), append(size, 2)]
        # The way is made use of, and it is never more than a moment behind: what may always be on
        # it (64 KiB and a piece), or what goes through in 50 ms and in a round trip.
        assert entries[1] - began <= 1.2 * 2 * size * 8e-6 / mbit + 24 * seconds
        at_least = (limits.PEER_PIECES_BYTES_MIN + limits.PEER_PIECE_BYTES_MIN) * 8e-6 / mbit
        assert len(late) == len(left)
        assert max(late) <= seconds + max(at_least, 0.05 + 1.5 * 2 * seconds) + 0.05


async def test_pieces_are_short_on_a_slow_link_and_longer_on_a_fast_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    longest = []
    for mbit in (10, 1000):
        async with linked(mbit, 0.0001) as (link, peer):
            link.tell(append(limits.MIB))
            await trio.sleep(2)
            assert peer.all_of(m.Append) == [append(limits.MIB)]
            longest.append(max(peer.pieces))
            assert peer.pieces[0] == limits.PEER_PIECE_BYTES_MIN
    assert longest[0] <= 64 * limits.KIB
    assert longest[1] == limits.PEER_PIECE_BYTES_MAX


async def test_bulk_keeps_its_order_and_so_does_what_hurries(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with linked(100, 0.001) as (link, peer):
        for index in range(1, 10):
            link.tell(append(10 if index % 2 else 300_000, index))
            link.tell(heartbeat(index))
        await trio.sleep(2)
        assert [x.last_index for x in peer.all_of(m.Append)] == list(range(1, 10))  # type: ignore[union-attr]
        assert [x.round for x in peer.all_of(m.Heartbeat)] == list(range(1, 10))  # type: ignore[union-attr]
        assert isinstance(peer.came[-1][1], m.Append)  # what hurries came before the last of it


async def test_no_more_leaves_than_the_peer_says_it_takes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with linked(1000, 0.0001) as (link, peer):
        peer.answers = False
        link.tell(append(limits.MIB))
        await trio.sleep(4)
        assert sum(peer.pieces) == limits.PEER_PIECES_BYTES_MIN
        link.tell(heartbeat(1))
        await trio.sleep(0.1)
        assert peer.came[-1][1] == heartbeat(1)


async def test_to_a_node_of_version_1_messages_go_whole_and_hurry_between_them(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with linked(10, 0.0001, version=1) as (link, peer):
        link.tell(append(300_000, 1))
        await trio.testing.wait_all_tasks_blocked()
        link.tell(heartbeat(1))
        await trio.sleep(2)
        assert peer.pieces == []
        assert [type(x) for _, x in peer.came] == [m.Append, m.Heartbeat]


async def test_what_else_a_peer_says_ends_the_link(autojump_clock: trio.testing.MockClock) -> None:
    for said in (wire.encode(g.Alive()), b"\xff" * 9):
        ours, theirs = trio.testing.memory_stream_pair()
        dialled = Dialled(ours, WELCOME, wire.Frames(limits.PEER_FRAME_BYTES_MAX))
        async with carrying(dialled) as link:
            assert link.is_up
            await theirs.send_all(said)
            await trio.testing.wait_all_tasks_blocked()
            assert not link.is_up
