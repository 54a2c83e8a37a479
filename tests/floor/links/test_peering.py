"""A node among its peers: who is let in, who is linked, and what the Arbiter hears."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from rmf import limits
from rmf.core.entry import LineId, Member
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.events import Heard, PeerLost, PeerMet, Unfounded
from rmf.core.raft import greetings as g
from rmf.core.raft.peer_messages import ReadAsk, ReadReply
from rmf.floor.doors import Doors, verdict_door
from rmf.floor.items import Belongs, Greeting, Parted, PeeringFacts, WhoIsKnown
from rmf.floor.links.peering import Peering
from rmf.floor.stand_ins import refuse_peers
from rmf.floor.supervisor import InProgress
from tests.floor.peers import CLUSTER, Here, hello_from, here, own_of
from tests.floor.wire import PATIENCE_S

ASK, REPLY = ReadAsk(1, 7), ReadReply(1, 7, 5)
LINE = LineId("shop", 1, bytes(16))


@asynccontextmanager
async def places(*names: str) -> AsyncIterator[Sequence[Here]]:
    """Nodes that listen, and know nobody yet."""
    async with AsyncExitStack() as stack:
        nowhere = {"members": (), "membership": 0, "line": LINE}
        yield [await stack.enter_async_context(here(own_of(x, **nowhere))) for x in names]


def member(node: Here) -> Member:
    host, port = node.address
    return Member(node.own.node, node.own.incarnation, f"{host}:{port}", "")


def know(*nodes: Here, of: Sequence[Here], index: int = 1) -> None:
    """Have these nodes know those for the members."""
    members = tuple(map(member, of))
    for node in nodes:
        node.know(*members, index=index, linked=members)


# --- Members --------------------------------------------------------------------------------------


async def test_members_find_each_other_and_the_arbiters_hear_of_it() -> None:
    async with places("n1", "n2") as (one, two):
        know(one, two, of=(one, two))
        met = PeerMet("n1", one.own.incarnation, "n1:7410", CLUSTER_VERSION, LINE)
        assert await two.event() == met
        assert isinstance(await one.event(), PeerMet)
        await one.link_to("n2")
        one.peers.tell("n2", ASK)
        assert await two.event() == Heard("n1", ASK)
        assert await one.links() == ["n2"]


async def test_what_it_says_of_itself_is_what_its_ledger_says() -> None:
    async with places("n1") as (one,):
        assert (await one.known()).own == one.own
        others = (Member("n1", b"n1" * 8), Member("n2", b"2" * 16), Member("n3", b"3" * 16))
        one.know(*others, index=5, linked=others[:1])
        await wait_all_tasks_blocked()
        own = (await one.known()).own
        assert (own.members, own.membership) == (others, 5)
        assert (own.line, own.client_address) == (one.own.line, one.own.client_address)


async def test_that_it_belongs_to_a_cluster_is_said_from_then_on() -> None:
    async with here(own_of("n1", cluster=None)) as one:
        assert (await one.known()).own.cluster is None
        await one.doors.peering.send(Belongs(CLUSTER))
        assert (await one.known()).own.cluster == CLUSTER


async def test_members_that_were_known_before_it_ran_are_linked_then() -> None:
    one = Here(own_of("n1"))
    one.know(linked=(Member("n1", b"n1" * 8), Member("n2", b"2" * 16, "127.0.0.1:1")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.serve)
        await wait_all_tasks_blocked()
        assert await one.links() == ["n2"]
        nursery.cancel_scope.cancel()


async def test_who_left_the_members_is_parted_with() -> None:
    async with places("n1", "n2") as (one, two):
        know(one, two, of=(one, two))
        assert isinstance(await one.event(), PeerMet)
        await two.link_to("n1")
        know(one, of=(one,), index=2)
        assert await one.event() == PeerLost("n2")
        assert await one.links() == []


async def test_two_nodes_of_which_one_knows_no_other_yet_hear_each_other() -> None:
    """As after `rmf-admin add`: the new node has an empty ledger, and still its answers arrive."""
    new = own_of("n2", members=(), membership=0)
    async with here(own_of("n1")) as one, here(new) as two:
        one.know(member(one), member(two), linked=(member(two),))
        assert isinstance(await two.event(), PeerMet)
        assert isinstance(await one.event(), PeerMet)
        await one.link_to("n2")
        await two.link_to("n1")
        one.peers.tell("n2", ASK)
        assert await two.event() == Heard("n1", ASK)
        two.peers.tell("n1", REPLY)
        assert await one.event() == Heard("n2", REPLY)
        one.know(index=2)  # it is a member no more
        assert await one.event() == PeerLost("n2")
        assert await two.event() == PeerLost("n1")
        assert await one.links() == await two.links() == []


# --- Strangers ------------------------------------------------------------------------------------


async def test_a_stranger_is_reported_to_the_arbiter_and_not_let_in() -> None:
    """So that an operator can add it: `rmf-admin add` needs to know its incarnation."""
    async with places("n1", "n4") as (one, stranger):
        know(one, of=(one,))
        know(stranger, of=(one,))
        met = PeerMet("n4", b"n4" * 8, "n4:7410", CLUSTER_VERSION, LINE, linked=False)
        assert await one.event() == met
        assert await one.links() == []


async def test_at_a_full_door_no_peer_waits_for_the_arbiter() -> None:
    async with places("n1", "n4") as (one, stranger):
        know(one, of=(one,))
        while one.waiting() < limits.EVENTS_MAX:
            one.doors.events.send_nowait(Unfounded("full"))
        know(stranger, of=(one,))
        await wait_all_tasks_blocked(0.01)
        assert one.waiting() == limits.EVENTS_MAX
        assert (await one.known()).own.node == "n1"


# --- When it fails --------------------------------------------------------------------------------


async def test_after_a_failure_it_knows_what_it_knew_and_peers_come_again() -> None:
    one = Here(own_of("n1"))
    kept = Peering(one.doors, one.own, {}, one.supervisor)
    one.know(*one.own.members, index=5, linked=(Member("n2", b"n2" * 8, "127.0.0.1:1"),))
    greeting, verdict = greeted(hello_from("n2"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail, kept)
        await one.doors.peering.send(greeting)
        with trio.fail_after(PATIENCE_S):
            assert isinstance(await verdict.receive(), g.Welcome)
        one.doors.peering.send_nowait("no question")  # type: ignore[arg-type]
    with pytest.raises(trio.EndOfChannel):
        verdict.receive_nowait()
    assert await one.event() == PeerLost("n2")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.run, InProgress())
        known = await one.known()
        assert known.own.membership == 5
        assert [peer.name for peer in known.peers] == ["n2"]
        nursery.cancel_scope.cancel()


async def fail(kept: Peering) -> None:
    with pytest.RaisesGroup(AttributeError):
        await kept.run(InProgress())


def greeted(hello: g.Hello) -> tuple[Greeting, trio.MemoryReceiveChannel[g.Welcome | g.Refusal]]:
    verdict, verdict_out = verdict_door()
    return Greeting(hello, verdict), verdict_out


async def test_where_it_is_given_up_no_peer_is_let_in_and_none_waits() -> None:
    doors = Doors()
    greeting, verdict = greeted(hello_from("n2"))
    reply, reply_out = trio.open_memory_channel[PeeringFacts](1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse_peers, doors, "it failed 11 times")
        for item in (greeting, Parted(greeting), Belongs(CLUSTER), WhoIsKnown(reply)):
            await doors.peering.send(item)
        for door in (verdict, reply_out):
            with trio.fail_after(PATIENCE_S), pytest.raises(trio.EndOfChannel):
                await door.receive()
        nursery.cancel_scope.cancel()
