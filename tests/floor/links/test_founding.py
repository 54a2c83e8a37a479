"""Nodes that find each other: one cluster comes of it, also where they crash on the way."""

from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from rmf import limits
from rmf.core.entry import Member
from rmf.core.events import Unfounded
from rmf.core.raft import greetings as g
from rmf.errors import DiskFailed
from rmf.floor.items import Belongs
from rmf.floor.links.founding import Founded, found
from rmf.notation import Address
from rmf.storage.directory import DataDirectory
from rmf.storage.genesis_draft import read_draft, write_draft
from tests.floor.peers import Here, here, own_of
from tests.floor.wire import PATIENCE_S, until


class Node:
    """A node that is being founded: its directory, and its port while entered."""

    def __init__(self, root: Path, name: str, listed: tuple[str, ...]) -> None:
        self.directory = DataDirectory.open(
            root / name, node=name, found=False, first_segment_bytes=4 * limits.KIB
        )
        self.founded: Founded | None = None
        self.own = self._own(name, listed)
        self.port = Here(self.own)

    def _own(self, name: str, listed: tuple[str, ...]) -> g.Own:
        """What the node knows of itself at first."""
        cluster = self.directory.cluster or None
        members = read_draft(self.directory.path, self.directory.cluster) if cluster else None
        return g.Own(
            name,
            self.directory.incarnation,
            cluster,
            members or (),
            len(members or ()),
            listed=listed,
        )

    async def run(self, peers: dict[str, Address]) -> None:
        """Be founded, and say so."""
        doors = self.port.doors
        self.founded = await found(self.directory, self.own, peers, doors.claims_out, doors.events)
        await doors.peering.send(Belongs(self.founded.cluster, self.founded.members or ()))

    async def told(self) -> str:
        """Return the next word on what it waits for."""
        while not isinstance(told := await self.port.event(), Unfounded):
            pass
        return told.why


class Nodes:
    """Nodes by name, each with its port; `crash` takes one away, its directory stays."""

    def __init__(self, root: Path, stack: ExitStack, *listed: str) -> None:
        self._root = root
        self._stack = stack
        self._listed = listed
        self.peers: dict[str, Address] = {}
        self.nodes: dict[str, Node] = {}

    def open(self, name: str) -> Node:
        node = self.nodes[name] = Node(self._root, name, self._listed)
        self._stack.callback(node.directory.close)
        return node

    async def bind(self, *names: str) -> None:
        for name in names or self._listed:
            node = self.open(name)
            await node.port.listening.bind()
            self.peers[name] = node.port.address

    def clusters(self) -> set[bytes]:
        return {node.directory.cluster for node in self.nodes.values()}


async def together(nodes: Nodes, *names: str) -> None:
    """Run these nodes until all of them belong to a cluster."""
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as ports:
            for name in names:
                ports.start_soon(nodes.nodes[name].port.serve)
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(nodes.nodes[name].run, nodes.peers)
            ports.cancel_scope.cancel()


async def test_three_nodes_make_one_cluster_which_the_lowest_name_made(tmp_path: Path) -> None:
    with ExitStack() as stack:
        nodes = Nodes(tmp_path, stack, "n1", "n2", "n3")
        await nodes.bind()
        await together(nodes, "n3", "n2", "n1")
        assert len(nodes.clusters()) == 1
        first = nodes.nodes["n1"].founded
        assert first is not None
        assert first.members is not None
        assert [(x.name, x.incarnation) for x in first.members] == [
            (name, nodes.nodes[name].directory.incarnation) for name in ("n1", "n2", "n3")
        ]
        for name in ("n2", "n3"):
            assert nodes.nodes[name].founded == Founded(first.cluster, None)


async def test_a_node_alone_founds_at_once_and_a_second_start_finds_it_founded(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        node = Nodes(tmp_path, stack, "n1").open("n1")
        await node.run({})
        assert node.founded is not None
        assert node.founded.members == (Member("n1", node.directory.incarnation),)
        node.directory.close()
        again = Nodes(tmp_path, stack, "n1").open("n1")
        assert again.directory.founded
        await again.run({})
        assert again.founded == node.founded


async def test_no_node_founds_while_one_is_missing(tmp_path: Path) -> None:
    with ExitStack() as stack:
        nodes = Nodes(tmp_path, stack, "n1", "n2", "n3")
        await nodes.bind()
        await nodes.nodes["n3"].port.listening.close()  # it is not there yet
        async with trio.open_nursery() as nursery:
            for name in ("n1", "n2"):
                nursery.start_soon(nodes.nodes[name].port.serve)
                nursery.start_soon(nodes.nodes[name].run, nodes.peers)
            for _ in range(4):  # a few rounds of both
                assert "n3" in await nodes.nodes["n1"].told()
            assert nodes.clusters() == {b""}
            nursery.start_soon(nodes.nodes["n3"].port.serve)
            nursery.start_soon(nodes.nodes["n3"].run, nodes.peers)
            await until(lambda: all(x.founded for x in nodes.nodes.values()))
            nursery.cancel_scope.cancel()
        assert len(nodes.clusters()) == 1


async def test_a_crash_after_the_draft_leads_to_another_round(tmp_path: Path) -> None:
    with ExitStack() as stack:
        nodes = Nodes(tmp_path, stack, "n1", "n2", "n3")
        await nodes.bind()
        old = b"o" * 16
        write_draft(nodes.nodes["n1"].directory.path, old, [Member("n1", b"1" * 16)])
        await together(nodes, "n1", "n2", "n3")
        assert len(nodes.clusters() - {old, b""}) == 1
        first = nodes.nodes["n1"].founded
        assert first is not None
        assert first.members is not None
        assert len(first.members) == 3


async def test_a_founder_that_crashed_before_any_node_heard_leads_to_the_same_cluster(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        nodes = Nodes(tmp_path, stack, "n1", "n2", "n3")
        await nodes.bind()
        n1 = nodes.nodes["n1"]
        members = [Member(name, node.directory.incarnation) for name, node in nodes.nodes.items()]
        write_draft(n1.directory.path, b"c" * 16, members)
        n1.directory.found(b"c" * 16)
        n1.directory.close()  # the crash: no Entry was written, no peer was told
        await n1.port.listening.close()
        await nodes.bind("n1")
        await together(nodes, "n1", "n2", "n3")
        assert nodes.clusters() == {b"c" * 16}
        assert nodes.nodes["n1"].founded == Founded(b"c" * 16, tuple(members))


@pytest.mark.slow
async def test_a_wiped_node_waits_until_it_is_let_in(tmp_path: Path) -> None:
    with ExitStack() as stack:
        nodes = Nodes(tmp_path, stack, "n1", "n2")
        await nodes.bind("n1")
        wiped = nodes.nodes["n1"]
        members = (Member("n1", b"other" + bytes(11)), Member("n2", b"n2" * 8))
        async with here(own_of("n2", members=members)) as other:
            nodes.peers["n2"] = other.address
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wiped.run, nodes.peers)
                assert "rmf-admin add n1" in await wiped.told()
                assert not wiped.directory.founded
                other.know(Member("n1", wiped.directory.incarnation), members[1])
                await until(lambda: wiped.founded is not None)
            await wiped.port.listening.close()
            assert wiped.founded == Founded(other.own.cluster or b"", None)


async def test_a_node_that_is_called_by_its_cluster_joins_though_no_node_it_lists_answers(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        nodes = Nodes(tmp_path, stack, "n1", "n2")
        await nodes.bind("n2")
        nodes.peers["n1"] = ("127.0.0.1", 1)
        n2 = nodes.nodes["n2"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(n2.port.serve)
            nursery.start_soon(n2.run, nodes.peers)
            caller = await n2.port.call()
            hello = g.hello_of(own_of("n1"), "n2", n2.directory.incarnation, g.RAFT)
            answer = await caller.greet(hello)
            assert isinstance(answer, g.Refusal)
            assert answer.code == "unfounded"
            await until(lambda: n2.founded is not None)
            await caller.leave()
            nursery.cancel_scope.cancel()
        assert n2.founded == Founded(own_of("n1").cluster or b"", None)


async def test_a_disk_that_fails_is_reported_as_such(tmp_path: Path) -> None:
    with ExitStack() as stack:
        node = Nodes(tmp_path, stack, "n1").open("n1")
        (node.directory.path / "ledger").write_bytes(b"in the way")
        with pytest.raises(DiskFailed):
            await node.run({})
