"""What a node has for its peers: where it is for them, its tasks, and how it comes to a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from rmf import config, limits
from rmf.core.entry import LineId
from rmf.core.events import Unfounded
from rmf.core.raft.greetings import GENESIS, Welcome
from rmf.floor.doors import Doors
from rmf.floor.items import Belongs
from rmf.floor.links.peer_front import PeerFront
from rmf.floor.supervisor import Supervisor
from rmf.storage.directory import DataDirectory
from tests.floor.factory import LINE as LINE_PATH
from tests.floor.peers import CLUSTER, Caller, hello_from, next_item

LINE = LineId("shop", 1, bytes(16))


class Home:
    """A node's directory, its doors, and what it has for its peers."""

    def __init__(self, root: Path, name: str, peers: str, *, founded: bool, port: bool) -> None:
        self.directory = DataDirectory.open(
            root / name, node=name, found=False, first_segment_bytes=4 * limits.KIB
        )
        if founded:
            self.directory.found(CLUSTER)
        self.doors = Doors()
        flags: dict[str, str | None] = {"data": str(root / name), "node": name, "line": LINE_PATH}
        if peers:
            flags["peers"] = peers
        if port:
            flags["peer_listen"] = "127.0.0.1:0"
        settled = config.load(flags, {})
        self.supervisor = Supervisor(name, self.doors.letters, self.doors.events)
        self.front = PeerFront(settled, self.directory, self.doors, has_peers=bool(peers))


@contextmanager
def place(
    root: Path, name: str, peers: str = "", *, founded: bool = True, port: bool = False
) -> Iterator[Home]:
    made = Home(root, name, peers, founded=founded, port=port)
    try:
        yield made
    finally:
        made.directory.close()


async def test_a_node_without_a_cluster_says_that_it_has_none(tmp_path: Path) -> None:
    with place(tmp_path, "n2", "n1=127.0.0.1:1,n2=localhost:2", founded=False) as one:
        own = one.front.own("gate:1", LINE)
        assert (own.node, own.cluster, own.members, own.membership) == ("n2", None, (), 0)
        assert own.incarnation == one.directory.incarnation
        assert own.listed == ("n1", "n2")
        assert own.peer_address == "localhost:2"  # as --peers says: others reach it there
        assert (own.client_address, own.line) == ("gate:1", LINE)


async def test_peers_learn_where_the_port_listens(tmp_path: Path) -> None:
    with place(tmp_path, "n1", port=True) as one:
        await one.front.bind()
        own = one.front.own("", LINE)
        assert (own.cluster, own.listed) == (CLUSTER, ("n1",))
        assert own.peer_address == one.front.address
        assert not own.peer_address.endswith(":0")
        children = one.front.children(own, one.supervisor)
        assert [child.name for child in children] == ["peering", "peer_port"]
        async with trio.open_nursery() as nursery:
            for child in children:
                nursery.start_soon(one.supervisor.keep, child)
            host, _, port = own.peer_address.rpartition(":")
            caller = Caller(await trio.open_tcp_stream(host, int(port)))
            async with caller.stream:
                welcome = await caller.greet(hello_from("n2", purpose=GENESIS))
            assert isinstance(welcome, Welcome)
            assert welcome.node == "n1"
            nursery.cancel_scope.cancel()


async def test_without_a_port_no_peer_learns_where_to_come(tmp_path: Path) -> None:
    with place(tmp_path, "n1") as one:
        await one.front.bind()
        assert one.front.address is None
        assert one.front.own("", LINE).peer_address == ""
        children = one.front.children(one.front.own("", LINE), one.supervisor)
        assert [child.name for child in children] == ["peering"]


async def test_what_a_node_without_a_cluster_waits_for_is_reported_to_its_arbiter(
    tmp_path: Path,
) -> None:
    with place(tmp_path, "n1", "n1=127.0.0.1:1,n2=127.0.0.1:2", founded=False) as one:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.front.found, one.front.own("", LINE))
            told = await next_item(one.doors)
            assert isinstance(told, Unfounded)
            assert "n2" in told.why
            nursery.cancel_scope.cancel()


async def test_a_node_alone_has_its_cluster_at_once_and_says_so(tmp_path: Path) -> None:
    with place(tmp_path, "n1", founded=False) as one:
        await one.front.found(one.front.own("", LINE))
        said = one.doors.peering_out.receive_nowait()
        assert isinstance(said, Belongs)
        assert said.cluster == one.directory.cluster
        assert [x.name for x in said.members] == ["n1"]
        await one.front.found(one.front.own("", LINE))
        assert one.doors.peering_out.statistics().current_buffer_used == 0
