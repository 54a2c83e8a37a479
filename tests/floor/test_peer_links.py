"""Which links there are: to members, and to whoever was let in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio

from rmf.core.entry import Member
from rmf.core.events import Heard, PeerLost, PeerMet
from rmf.core.raft import greetings as g
from rmf.core.raft import wire
from rmf.core.raft.messages import ReadAsk, ReadReply
from rmf.floor.dialling import Peer
from rmf.floor.peer_end import PeerEnd
from rmf.floor.peer_links import PeerLinks
from rmf.floor.supervisor import Child, Hands
from tests.floor.peers import Caller, Here, Listener, hello_from, here, listener, own_of
from tests.floor.wire import until

ASK, REPLY = ReadAsk(1, 7), ReadReply(1, 7, 5)
NOWHERE = ("127.0.0.1", 1)


def member(name: str, port: Listener | None = None) -> Member:
    address = "127.0.0.1:1" if port is None else f"{port.address[0]}:{port.address[1]}"
    return Member(name, name.encode() * 8, address)


async def run(child: Child) -> None:
    await child.run(Hands())


@asynccontextmanager
async def links_of_n1(
    **hints: tuple[str, int],
) -> AsyncIterator[tuple[PeerLinks, dict[str, PeerEnd]]]:
    ends: dict[str, PeerEnd] = {}
    async with trio.open_nursery() as nursery:
        yield PeerLinks(ends, partial(own_of, "n1"), hints, nursery, run), ends
        nursery.cancel_scope.cancel()


async def welcomed(port: Listener, name: str) -> Caller:
    caller = await port.accept()
    hello = await caller.hear()
    assert isinstance(hello, g.Hello)
    assert hello.to == name
    await caller.say_bytes(wire.PREFACE + wire.encode(g.welcome_of(own_of(name), hello)))
    return caller


def is_up(end: PeerEnd) -> bool:
    return end.is_up


async def test_there_is_a_link_to_each_other_member_and_none_to_a_former_one() -> None:
    async with listener() as two, listener() as three, links_of_n1() as (links, ends):
        links.set([member("n1"), member("n2", two), member("n3", three)])
        assert set(ends) == {"n2", "n3"}
        for name, port in (("n2", two), ("n3", three)):
            caller = await welcomed(port, name)
            await until(partial(is_up, ends[name]))
            if name == "n3":
                links.set([member("n1"), member("n2", two)])
                assert await caller.hear() is None
            caller.hang_up()
        assert set(ends) == {"n2"}
        assert [peer.name for peer in links.peers()] == ["n2"]


async def test_a_hint_goes_before_the_address_in_the_ledger() -> None:
    async with links_of_n1(n2=NOWHERE) as (links, _):
        links.set([Member("n2", b"n2" * 8, "elsewhere:7"), Member("n3", b"n3" * 8, "there:7")])
        assert links.peers() == [
            Peer("n2", b"n2" * 8, NOWHERE),
            Peer("n3", b"n3" * 8, ("there", 7)),
        ]


async def test_who_was_let_in_gets_a_link_back_while_it_is_here() -> None:
    async with links_of_n1() as (links, ends):
        links.set([])
        links.meet(hello_from("n2", peer_address="127.0.0.1:1"))
        assert set(ends) == {"n2"}
        links.part("n2")
        assert set(ends) == set()
        links.set([member("n2")])
        before = ends["n2"]
        links.meet(hello_from("n2", peer_address="127.0.0.1:1"))
        links.part("n2")
        assert ends["n2"] is before  # a member's link stays as it is


async def test_a_member_with_another_data_directory_or_address_gets_another_link() -> None:
    async with links_of_n1() as (links, ends):
        links.set([member("n2")])
        before = ends["n2"]
        links.set([member("n2")._replace(voter=False)])
        assert ends["n2"] is before
        links.set([member("n2")._replace(incarnation=b"x" * 16)])
        assert ends["n2"] is not before


async def test_a_member_without_a_readable_address_has_no_link() -> None:
    async with links_of_n1() as (links, ends):
        links.set([Member("n2", b"n2" * 8, "nonsense"), member("n3")])
        links.meet(hello_from("n2", peer_address=""))
        assert set(ends) == {"n3"}


async def test_two_nodes_of_which_one_knows_nobody_yet_hear_each_other() -> None:
    """As after `rmf-admin add`: the new node has an empty ledger, and still its answers arrive."""
    new = own_of("n2", members=(), membership=0)
    async with here(own_of("n1")) as one, here(new) as two, trio.open_nursery() as nursery:
        links: dict[str, PeerLinks] = {}
        for node in (one, two):
            address = f"{node.address[0]}:{node.address[1]}"
            node.own = attrs.evolve(node.own, peer_address=address)
            links[node.own.node] = PeerLinks(
                node.doors.peers, partial(own_now, node), {}, nursery, run
            )
            node.port.on_met = links[node.own.node].meet
            node.port.on_parted = links[node.own.node].part
        links["n1"].set([Member("n2", b"n2" * 8, two.own.peer_address)])
        assert isinstance(await two.event(), PeerMet)
        assert isinstance(await one.event(), PeerMet)
        await until(lambda: one.doors.peers["n2"].is_up and two.doors.peers["n1"].is_up)
        one.doors.peers["n2"].send_nowait(ASK)
        assert await two.event() == Heard("n1", ASK)
        two.doors.peers["n1"].send_nowait(REPLY)
        assert await one.event() == Heard("n2", REPLY)
        one.own = attrs.evolve(one.own, members=(), membership=2)
        links["n1"].set([])  # it is a member no more
        one.port.judge_again()
        assert await one.event() == PeerLost("n2")
        assert await two.event() == PeerLost("n1")
        assert one.doors.peers == two.doors.peers == {}
        nursery.cancel_scope.cancel()


def own_now(node: Here) -> g.Own:
    return node.own
