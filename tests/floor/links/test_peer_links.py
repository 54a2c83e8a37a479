"""Which links there are: to members, and to whoever was let in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from rmf.core.entry import Member
from rmf.core.raft import greetings as g
from rmf.core.raft import wire
from rmf.floor.doors import Doors
from rmf.floor.items import Linked
from rmf.floor.links.dialling import Peer
from rmf.floor.links.peer_links import PeerLinks
from rmf.floor.supervisor import Supervisor
from tests.floor.peers import (
    Caller,
    Listener,
    hello_from,
    is_up,
    listener,
    next_item,
    own_of,
)

OWN = own_of("n1")
NOWHERE = ("127.0.0.1", 1)


def member(name: str, port: Listener | None = None) -> Member:
    address = "127.0.0.1:1" if port is None else f"{port.address[0]}:{port.address[1]}"
    return Member(name, name.encode() * 8, address)


@asynccontextmanager
async def links_of_n1(
    **hints: tuple[str, int],
) -> AsyncIterator[tuple[PeerLinks, Doors]]:
    doors = Doors()
    async with trio.open_nursery() as nursery:
        supervisor = Supervisor("n1", doors.letters, doors.events)
        yield PeerLinks(doors, OWN, hints, nursery, supervisor), doors
        nursery.cancel_scope.cancel()


async def welcomed(port: Listener, name: str) -> Caller:
    caller = await port.accept()
    hello = await caller.hear()
    assert isinstance(hello, g.Hello)
    assert hello.to == name
    await caller.say_bytes(wire.PREFACE + wire.encode(g.welcome_of(own_of(name), hello)))
    return caller


def names(links: PeerLinks) -> list[str]:
    return [peer.name for peer in links.peers()]


async def test_there_is_a_link_to_each_other_member_and_none_to_a_former_one() -> None:
    async with listener() as two, listener() as three, links_of_n1() as (links, doors):
        links.set(OWN, [member("n1"), member("n2", two), member("n3", three)])
        assert names(links) == ["n2", "n3"]
        for name, port in (("n2", two), ("n3", three)):
            caller = await welcomed(port, name)
            linked = await next_item(doors)
            assert isinstance(linked, Linked)
            assert (linked.peer, is_up(linked)) == (name, True)
            if name == "n3":
                links.set(OWN, [member("n1"), member("n2", two)])
                assert await caller.hear() is None
                assert not is_up(linked)
            caller.hang_up()
        assert names(links) == ["n2"]


async def test_a_hint_goes_before_the_address_in_the_ledger() -> None:
    async with links_of_n1(n2=NOWHERE) as (links, _):
        links.set(OWN, [Member("n2", b"n2" * 8, "elsewhere:7"), Member("n3", b"n3" * 8, "there:7")])
        assert links.peers() == (
            Peer("n2", b"n2" * 8, NOWHERE),
            Peer("n3", b"n3" * 8, ("there", 7)),
        )


async def test_who_was_let_in_gets_a_link_back_while_it_is_here() -> None:
    async with listener() as port, links_of_n1() as (links, _):
        links.set(OWN, [])
        here = f"127.0.0.1:{port.address[1]}"
        links.meet(hello_from("n2", peer_address=here))
        caller = await welcomed(port, "n2")
        links.part("n2")
        assert names(links) == []
        assert await caller.hear() is None
        caller.hang_up()
        links.set(OWN, [member("n2", port)])
        caller = await welcomed(port, "n2")
        links.meet(hello_from("n2", peer_address=here))
        links.part("n2")
        await says_nothing(caller)  # a member's link stays as it is
        caller.hang_up()


async def says_nothing(caller: Caller) -> None:
    """A connection that is there, and where nothing is said."""
    with trio.move_on_after(0.05) as silence:
        await caller.hear()
    assert silence.cancelled_caught


async def test_a_member_with_another_data_directory_or_address_gets_another_link() -> None:
    async with listener() as port, links_of_n1() as (links, _):
        links.set(OWN, [member("n2", port)])
        caller = await welcomed(port, "n2")
        links.set(OWN, [member("n2", port)._replace(voter=False)])
        await says_nothing(caller)
        links.set(OWN, [member("n2", port)._replace(incarnation=b"x" * 16)])
        assert await caller.hear() is None
        caller.hang_up()
        other = await port.accept()
        hello = await other.hear()
        other.hang_up()
        assert isinstance(hello, g.Hello)
        assert hello.to_incarnation == b"x" * 16


async def test_a_member_without_a_readable_address_has_no_link() -> None:
    async with links_of_n1() as (links, _):
        links.set(OWN, [Member("n2", b"n2" * 8, "nonsense"), member("n3")])
        links.meet(hello_from("n2", peer_address=""))
        assert names(links) == ["n3"]


async def test_what_this_node_says_of_itself_changes_and_each_link_says_it() -> None:
    newer = attrs.evolve(OWN, membership=7)
    async with listener() as port, links_of_n1() as (links, _):
        links.set(OWN, [member("n2", port)])
        first = await port.accept()
        assert await first.hear() == hello_from("n1", "n2")
        links.set(newer, [member("n2", port)])
        first.hang_up()
        second = await port.accept()
        assert await second.hear() == g.hello_of(newer, "n2", b"n2" * 8, g.RAFT)
        second.hang_up()
