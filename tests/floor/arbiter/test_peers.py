"""The other nodes as the Arbiter's loop knows them: who is told, what is dropped, who is here."""

import attrs

from rmf import limits
from rmf.core.entry_kinds import CLUSTER_VERSION
from rmf.core.events import PeerMet
from rmf.core.raft.peer_messages import Chunk, ReadAsk
from rmf.floor.arbiter.peers import Peers
from rmf.floor.doors import link_doors
from rmf.floor.items import Linked

READ = ReadAsk(1, 7)
N2_MET = PeerMet("n2", b"n2" * 8, "n2:7410", CLUSTER_VERSION)


def chunk(size: int) -> Chunk:
    return Chunk(1, 1, 1, bytes(16), b"c", size, 0, bytes(size), 1)


async def test_what_hurries_and_bulk_go_by_doors_of_their_own() -> None:
    peers = Peers()
    hurrying, hurrying_out, bulk, bulk_out = link_doors()
    peers.link(Linked("n2", hurrying, bulk))
    for message in (chunk(1), READ):
        peers.tell("n2", message)
    assert hurrying_out.receive_nowait() == READ
    assert bulk_out.receive_nowait() == chunk(1)
    peers.tell("n3", READ)
    assert peers.dropped == 1


async def test_a_link_that_broke_is_forgotten_and_the_next_one_has_nothing_of_the_past() -> None:
    peers = Peers()
    hurrying, hurrying_out, bulk, bulk_out = link_doors()
    peers.link(Linked("n2", hurrying, bulk))
    peers.tell("n2", READ)
    hurrying_out.close()
    bulk_out.close()
    for _ in range(2):
        peers.tell("n2", READ)
    assert peers.dropped == 2
    hurrying, hurrying_out, bulk, _ = link_doors()
    peers.link(Linked("n2", hurrying, bulk))
    assert hurrying_out.statistics().current_buffer_used == 0
    peers.tell("n2", READ)
    assert hurrying_out.receive_nowait() == READ


async def test_bulk_is_bounded_in_bytes_and_what_was_taken_gives_room() -> None:
    peers = Peers()
    hurrying, _, bulk, bulk_out = link_doors()
    peers.link(Linked("n2", hurrying, bulk))
    half = chunk(limits.PEER_QUEUE_BYTES_MAX // 2)
    for _ in range(3):
        peers.tell("n2", half)
    assert peers.dropped == 1
    peers.tell("n2", READ)  # it hurries
    assert peers.dropped == 1
    bulk_out.receive_nowait()
    peers.tell("n2", half)
    peers.tell("n2", chunk(1))
    assert peers.dropped == 2
    assert bulk_out.statistics().current_buffer_used == 2


async def test_who_is_here_is_whom_it_met_last_and_did_not_part_with() -> None:
    peers = Peers()
    peers.meet(attrs.evolve(N2_MET, client_address="former:1"))
    peers.meet(N2_MET)
    peers.meet(PeerMet("n3", b"n3" * 8, "", CLUSTER_VERSION))
    peers.meet(PeerMet("n9", b"n9" * 8, "", CLUSTER_VERSION, linked=False))  # only knocked
    peers.part("n3")
    peers.part("n7")
    assert peers.present() == [N2_MET]
