"""A node among its peers: what it says of itself, who is linked, and what the Arbiter hears."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from rmf import limits
from rmf.core.arbiter import Arbiter, Identity
from rmf.core.clock import Pace
from rmf.core.entry import CLUSTER_VERSION, LineId, Member
from rmf.core.events import Heard, PeerLost, PeerMet, Unfounded
from rmf.core.raft.messages import ReadAsk
from rmf.core.raft.node import Raft
from rmf.core.raft.values import HardState, Place, Standing
from rmf.core.record import GENESIS_CHAIN
from rmf.core.shelf import Shelf
from rmf.core.state import genesis_state
from rmf.floor import peer_port
from rmf.floor.doors import Doors
from rmf.floor.peering import Peering
from rmf.floor.supervisor import Child, Hands
from rmf.notation import Address
from rmf.storage.directory import DataDirectory
from tests.floor.peers import CLUSTER, Inbox

NOWHERE = ("127.0.0.1", 1)


class Home(Inbox):
    """A node's directory, doors and peering, with a test in the place of its Arbiter's loop."""

    def __init__(self, root: Path, name: str, hints: dict[str, Address], *, founded: bool) -> None:
        self.name = name
        self.hints = hints
        self.directory = DataDirectory.open(
            root / name, node=name, found=False, first_segment_bytes=4 * limits.KIB
        )
        if founded:
            self.directory.found(CLUSTER)
        super().__init__(Doors())
        self.core: Arbiter | None = None
        self.listening = peer_port.Listening(("127.0.0.1", 0))
        self.peering = Peering(self.doors, self.directory, hints, lambda: self.core, self.listening)

    @property
    def member(self) -> Member:
        return Member(self.name, self.directory.incarnation, self.listening.address, "")

    def know(self, *members: Member) -> None:
        """Have a core whose ledger names these members, and link them."""
        standing = Standing(HardState(1, None), Place(0, 0, GENESIS_CHAIN), 0, (), ())
        raft = Raft(
            self.name,
            CLUSTER,
            standing,
            members,
            incarnation=self.directory.incarnation,
            membership=0,
            pace=Pace(None),
            period_ns=limits.TICK_PERIOD_NS,
            dice=lambda: 0.5,
        )
        line = LineId("shop", 1, bytes(16))
        self.core = Arbiter(
            Identity(self.name, self.directory.incarnation, line, 1, "", ""),
            genesis_state(CLUSTER),
            Shelf(),
            raft,
            listens=lambda _: False,
            depth_packets_max=1,
        )
        self.peering.link(members)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            child = self.peering.child(self.name, lambda: 0)
            nursery.start_soon(child.run, Hands())
            self.peering.open(nursery, _run)
            await trio.sleep_forever()


async def _run(child: Child) -> None:
    await child.run(Hands())


@contextmanager
def place(
    root: Path, name: str, hints: dict[str, Address] | None = None, *, founded: bool = True
) -> Iterator[Home]:
    made = Home(root, name, hints or {}, founded=founded)
    try:
        yield made
    finally:
        made.directory.close()


@asynccontextmanager
async def places(root: Path, *names: str) -> AsyncIterator[Sequence[Home]]:
    """Nodes that listen, and know nobody yet."""
    with ExitStack() as stack:
        made = [stack.enter_context(place(root, name)) for name in names]
        for one in made:
            await one.listening.bind()
        async with AsyncExitStack() as running:
            nursery = await running.enter_async_context(trio.open_nursery())
            for one in made:
                nursery.start_soon(one.run)
            yield made
            nursery.cancel_scope.cancel()


def names(one: Home) -> list[str]:
    """Who is linked, as it says to whoever wants to ask them."""
    return [peer.name for peer in one.peering.peers()]


# --- What it says of itself -----------------------------------------------------------------------


async def test_a_node_without_a_cluster_says_that_it_has_none(tmp_path: Path) -> None:
    with place(tmp_path, "n2", {"n1": NOWHERE, "n2": ("here", 2)}, founded=False) as one:
        own = one.peering.own()
        assert (own.node, own.cluster, own.members, own.membership) == ("n2", None, (), 0)
        assert own.incarnation == one.directory.incarnation
        assert own.listed == ("n1", "n2")
        assert own.peer_address == "here:2"  # as --peers says: others reach it there


async def test_a_member_says_what_its_ledger_says(tmp_path: Path) -> None:
    with place(tmp_path, "n1") as one:
        await one.listening.bind()
        other = Member("n2", b"2" * 16, "127.0.0.1:1", "")
        one.know(one.member, other)
        own = one.peering.own()
        assert (own.cluster, own.members) == (CLUSTER, (one.member, other))
        assert own.listed == ("n1",)
        assert own.peer_address == f"127.0.0.1:{one.listening.port}"
        for listener in await one.listening.listeners():
            await listener.aclose()


async def test_without_a_port_nobody_is_told_where_to_come(tmp_path: Path) -> None:
    with place(tmp_path, "n1") as one:
        peering = Peering(one.doors, one.directory, {}, lambda: None, None)
        assert (peering.peer_address, peering.peers(), peering.present()) == ("", [], [])
        peering.link([])
        assert one.waiting() == 0


# --- Links ----------------------------------------------------------------------------------------


async def test_members_find_each_other_and_the_arbiters_hear_of_it(tmp_path: Path) -> None:
    async with places(tmp_path, "n1", "n2") as (one, two):
        one.peering.client_address = "gate:1"
        members = (one.member, two.member)
        one.know(*members)
        two.know(*members)
        met = await two.event()
        line = LineId("shop", 1, bytes(16))
        assert met == PeerMet("n1", one.directory.incarnation, "gate:1", CLUSTER_VERSION, line)
        assert isinstance(await one.event(), PeerMet)
        await one.link_to("n2")
        one.peers.tell("n2", ReadAsk(1, 7))
        assert await two.event() == Heard("n1", ReadAsk(1, 7))
        assert names(one) == ["n2"]


async def test_members_that_were_known_before_the_links_opened_are_linked_then(
    tmp_path: Path,
) -> None:
    with place(tmp_path, "n1") as one:
        one.know(Member("n1", one.directory.incarnation), Member("n2", b"2" * 16, "127.0.0.1:1"))
        assert names(one) == []
        async with trio.open_nursery() as nursery:
            one.peering.open(nursery, _run)
            assert names(one) == ["n2"]
            nursery.cancel_scope.cancel()


async def test_a_core_that_is_loaded_anew_can_be_told_who_is_there(tmp_path: Path) -> None:
    async with places(tmp_path, "n1", "n2") as (one, two):
        one.know(one.member, two.member)
        two.know(one.member, two.member)
        first = await one.event()
        assert one.peering.present() == [first]


async def test_who_left_the_members_is_parted_with(tmp_path: Path) -> None:
    async with places(tmp_path, "n1", "n2") as (one, two):
        one.know(one.member, two.member)
        two.know(one.member, two.member)
        assert isinstance(await one.event(), PeerMet)
        await two.link_to("n1")
        one.know(one.member)
        assert await one.event() == PeerLost("n2")
        assert names(one) == []


async def test_a_stranger_is_told_to_the_arbiter_and_not_let_in(tmp_path: Path) -> None:
    """So that an operator can add it: `rmf-admin add` needs to know its incarnation."""
    async with places(tmp_path, "n1", "n4") as (one, stranger):
        one.know(one.member)
        stranger.know(one.member)
        met = await one.event()
        line, incarnation = LineId("shop", 1, bytes(16)), stranger.directory.incarnation
        assert met == PeerMet("n4", incarnation, "", CLUSTER_VERSION, line, linked=False)
        assert names(one) == []


# --- A cluster ------------------------------------------------------------------------------------


async def test_what_a_node_without_a_cluster_waits_for_is_told_to_its_arbiter(
    tmp_path: Path,
) -> None:
    with place(tmp_path, "n1", {"n1": NOWHERE, "n2": NOWHERE}, founded=False) as one:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.peering.found)
            told = await one.event()
            assert isinstance(told, Unfounded)
            assert "n2" in told.why
            nursery.cancel_scope.cancel()


async def test_a_node_alone_has_its_cluster_at_once(tmp_path: Path) -> None:
    with place(tmp_path, "n1", founded=False) as one:
        founded = await one.peering.found()
        assert founded.cluster == one.directory.cluster
        assert founded.members is not None
        assert [x.name for x in founded.members] == ["n1"]


async def test_at_a_full_door_nobody_waits_for_the_arbiter(tmp_path: Path) -> None:
    async with places(tmp_path, "n1", "n4") as (one, stranger):
        one.know(one.member)
        while one.waiting() < limits.EVENTS_MAX:
            one.doors.events.send_nowait(Unfounded("full"))
        stranger.know(one.member)
        await wait_all_tasks_blocked(0.01)
        assert one.waiting() == limits.EVENTS_MAX
