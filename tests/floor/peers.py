"""Nodes that talk to each other, without the rest of a node: who they are, and their ports.

async with here(own_of("n1")) as node: ...     n1's port, with a test behind its events door
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import trio

from rmf import limits
from rmf.core.entry import Member
from rmf.core.events import Event
from rmf.core.raft import wire
from rmf.core.raft.greetings import (
    RAFT,
    Acts,
    ActsAsk,
    Hello,
    Letters,
    LettersAsk,
    Own,
    Welcome,
    hello_of,
)
from rmf.core.raft.peer_messages import PeerMessage
from rmf.floor.arbiter.peers import Peers
from rmf.floor.doors import Doors, dial_door
from rmf.floor.items import EventItem, Linked, PeeringFacts, Roster, WhoIsKnown
from rmf.floor.links import peer_link, peer_port
from rmf.floor.links.dialling import Dialled, Peer
from rmf.floor.links.peer_connection import PeerPort
from rmf.floor.links.peering import Peering
from rmf.floor.supervisor import InProgress, Supervisor
from rmf.notation import Address
from tests.floor.wire import PATIENCE_S
from tests.protocol.cddl_check import assert_peer_conforms

CLUSTER = b"c" * 16
MEMBERS = tuple(Member(name, name.encode() * 8) for name in ("n1", "n2", "n3"))
LISTED = tuple(member.name for member in MEMBERS)


def own_of(name: str, **facts: Any) -> Own:
    """What a founded member knows of itself."""
    return attrs.evolve(
        Own(
            node=name,
            incarnation=name.encode() * 8,
            cluster=CLUSTER,
            members=MEMBERS,
            membership=1,
            client_address=f"{name}:7410",
            peer_address="127.0.0.1:1",
            listed=LISTED,
        ),
        **facts,
    )


def hello_from(name: str, to: str = "n1", purpose: str = RAFT, **fields: Any) -> Hello:
    """What a member says when it calls another."""
    return hello_of(own_of(name), to, to.encode() * 8, purpose)._replace(**fields)


async def no_letters(ask: LettersAsk | ActsAsk) -> Letters | Acts:
    """Answer for a node that has none, and knows of none; nothing was decided about any."""
    if isinstance(ask, ActsAsk):
        return Acts(ask.after, False, ())
    return Letters(ask.after, False, True, ())


class Caller:
    """The other side of a connection: says what it is told, and holds what it hears to the CDDL."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._buffer = wire.Frames(limits.PEER_FRAME_BYTES_MAX, wire.OPENING)

    async def say(self, *messages: wire.Message) -> None:
        """Send messages in one write."""
        await self.say_bytes(b"".join(map(wire.encode, messages)))

    async def say_bytes(self, data: bytes) -> None:
        """Send bytes."""
        with trio.fail_after(PATIENCE_S):
            await self.stream.send_all(data)

    async def hear(self) -> wire.Message | None:
        """Return the next message, None once the other side has closed."""
        with trio.fail_after(PATIENCE_S):
            while True:
                for frame in self._buffer.frames():
                    assert_peer_conforms(frame)
                    return wire.decode(frame)
                data = await self.hear_bytes()
                if not data:
                    return None
                self._buffer.feed(data)

    async def hear_bytes(self) -> bytes:
        """Return what comes next, nothing once the other side has closed."""
        with trio.fail_after(PATIENCE_S):
            try:
                return bytes(await self.stream.receive_some(limits.RECEIVE_BYTES))
            except trio.BrokenResourceError:
                return b""

    async def greet(self, hello: Hello) -> wire.Message | None:
        """Say preface and HELLO; return the answer."""
        await self.say_bytes(wire.PREFACE + wire.encode(hello))
        return await self.hear()

    async def leave(self) -> None:
        """Close the connection."""
        await trio.aclose_forcefully(self.stream)

    def hang_up(self) -> None:
        """Close the connection, whatever else is going on."""
        if isinstance(self.stream, trio.SocketStream):
            self.stream.socket.close()


class Inbox:
    """A node's doors, with a test in the place of the arbiter; it tells others by `peers`."""

    def __init__(self, doors: Doors) -> None:
        self.doors = doors
        self.peers = Peers()
        self._events: deque[Event] = deque()
        self._linked: set[str] = set()

    async def event(self) -> Event:
        """Return the next event for the arbiter's core; that a link is up, its loop would note."""
        while not self._events:
            await self._take()
        return self._events.popleft()

    async def link_to(self, name: str) -> None:
        """Return once there is a link to this node."""
        while name not in self._linked:
            await self._take()

    async def _take(self) -> None:
        item = await next_item(self.doors)
        if isinstance(item, Linked):
            self.peers.link(item)
            self._linked.add(item.peer)
        else:
            assert isinstance(item, Event)
            self._events.append(item)

    def waiting(self) -> int:
        """How many items wait."""
        return len(self._events) + self.doors.events_out.statistics().current_buffer_used


class Here(Inbox):
    """A node's port and its peering, with a test in the place of the arbiter."""

    def __init__(
        self,
        own: Own,
        letters: Callable[[Any], Any] = no_letters,
        listening: peer_port.PeerListening | None = None,
    ) -> None:
        super().__init__(Doors())
        self.own = own
        self.callers: list[Caller] = []
        self.listening = listening or peer_port.PeerListening(("127.0.0.1", 0))
        self.supervisor = Supervisor(own.node, self.doors.letters, self.doors.events)
        self.peering = Peering(self.doors, own, {}, self.supervisor)
        self.port = PeerPort(self.doors.events, self.doors.peering, letters)

    def know(self, *members: Member, index: int = 1, linked: tuple[Member, ...] = ()) -> None:
        """Have a ledger that names these members in that Entry."""
        self.doors.membership.put(Roster(linked, members, index))

    async def known(self) -> PeeringFacts:
        """Ask what it says of itself, and whom it links."""
        reply, reply_out = trio.open_memory_channel[PeeringFacts](1)
        with trio.fail_after(PATIENCE_S):
            await self.doors.peering.send(WhoIsKnown(reply))
            return await reply_out.receive()

    async def links(self) -> list[str]:
        """Return who is linked."""
        return [peer.name for peer in (await self.known()).peers]

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.listening.host, self.listening.port

    async def call(self) -> Caller:
        """Connect to the port."""
        with trio.fail_after(PATIENCE_S):
            self.callers.append(Caller(await trio.open_tcp_stream(*self.address)))
        return self.callers[-1]

    async def attend(self, name: str, **fields: Any) -> Caller:
        """Call the port as a member, and be let in."""
        caller = await self.call()
        answer = await caller.greet(hello_from(name, self.own.node, **fields))
        assert isinstance(answer, Welcome), answer
        return caller

    async def serve(self, *, keeps: bool = True) -> None:
        """Run the port, and peering if it `keeps` that."""
        run = partial(
            peer_port.run,
            self.listening,
            self.port,
            InProgress(),
            node=self.own.node,
            letters=self.doors.letters,
            wall_ns=lambda: 0,
        )
        async with trio.open_nursery() as nursery:
            if keeps:
                nursery.start_soon(self.peering.run, InProgress())
            nursery.start_soon(run)


@asynccontextmanager
async def here(own: Own, *, keeps: bool = True, **more: Any) -> AsyncIterator[Here]:
    """Serve the port of a node, and have it say where that is."""
    listening = peer_port.PeerListening(("127.0.0.1", 0))
    await listening.bind()
    node = Here(attrs.evolve(own, peer_address=listening.address), listening=listening, **more)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(node.serve, keeps=keeps))  # noqa: ASYNC113 it was bound
            yield node
            nursery.cancel_scope.cancel()
    finally:
        for caller in node.callers:
            caller.hang_up()


class Listener:
    """A port of which the test answers the connections by itself."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self.address: Address = listener.socket.getsockname()[:2]

    async def accept(self) -> Caller:
        """Return the next connection."""
        with trio.fail_after(PATIENCE_S):
            return Caller(await self._listener.accept())


@asynccontextmanager
async def listener() -> AsyncIterator[Listener]:
    """Listen on a free port."""
    (opened,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with opened:
        yield Listener(opened)


class Link:
    """A link to n2, with a test in the place of the arbiter and of whoever keeps the links."""

    def __init__(self, doors: Doors) -> None:
        self.peers = Peers()
        self.dials, self.dials_out = dial_door()
        self._doors = doors
        self._linked: list[Linked] = []

    async def comes_up(self) -> Linked:
        """Return what the arbiter is told once it is up."""
        item = await next_item(self._doors)
        assert isinstance(item, Linked)
        self.peers.link(item)
        self._linked.append(item)
        return item

    @property
    def is_up(self) -> bool:
        """Whether what is sent leads anywhere."""
        return is_up(self._linked[-1])

    def tell(self, message: PeerMessage) -> bool:
        """Send as the arbiter does; return whether it was taken."""
        before = self.peers.dropped
        self.peers.tell("n2", message)
        return self.peers.dropped == before

    @property
    def bulk_waits(self) -> bool:
        """Whether bulk waits at its door."""
        return self._linked[-1].bulk.statistics().current_buffer_used > 0


def is_up(linked: Linked) -> bool:
    """Whether these doors lead anywhere."""
    return linked.bulk.statistics().open_receive_channels > 0


async def next_item(doors: Doors) -> EventItem:
    """Return what the arbiter's loop takes next."""
    with trio.fail_after(PATIENCE_S):
        return await doors.events_out.receive()


@asynccontextmanager
async def linking(peer: Peer, own: Own) -> AsyncIterator[Link]:
    """Run a link task."""
    doors = Doors()
    link = Link(doors)
    run = partial(peer_link.run, peer, own, link.dials_out, doors.events, InProgress())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield link
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def carrying(dialled: Dialled) -> AsyncIterator[Link]:
    """Have a link over this connection."""
    doors = Doors()
    link = Link(doors)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer_link.carry, dialled, doors.events)
        await link.comes_up()
        yield link
        nursery.cancel_scope.cancel()
