"""Corner cases of Checkpoints in the core: 47 to 52 of the list that R28 asks for."""

from itertools import pairwise

import pytest

from rmf import limits
from rmf.core.effects import ReadChunk, ReadEntries, WriteChunk
from rmf.core.events import ChunkRead, ChunkWritten, EntriesRead
from rmf.core.raft.peer_messages import Append, AppendReply, Chunk, ChunkReply
from rmf.core.raft.raft_values import LogEntry
from tests.core.raft.cluster_kit import Cluster
from tests.core.raft.entries_kit import append, log_of, members_of
from tests.core.raft.one_kit import One, Told, of, only


def chunk(term: int, at: LogEntry, *, offset: int = 0, round_: int = 1) -> Chunk:
    return Chunk(term, *at[:3], b"content", 100, offset, b"x" * 50, round_)


def asked(one: One) -> list[object]:
    """What the step asked of the disk."""
    return [x for x in one.effects if isinstance(x, ReadEntries | ReadChunk | WriteChunk)]


def installing() -> One:
    """A leader whose peer n2 needs a Checkpoint: memory and ledger begin behind it."""
    one = One(terms=[1] * 9, commit=9)
    one.raft.log.compact(9, 0)
    one.lead()
    one.hear("n2", AppendReply(2, False, 9, 2, 1, 0, True, 0))
    assert asked(one) == [ReadEntries("n2", 2, 9, limits.PROBE_BYTES_MAX)]
    nothing = EntriesRead("n2", 2, 0, b"", [])
    one.do(lambda raft: raft.disk_read(nothing, one.now_ns))
    assert asked(one) == [ReadChunk("n2", None, 0)]
    return one


def read(one: One, offset: int = 0, content: bytes = b"content", total: int = 100) -> Told:
    place = log_of([1] * 8)[-1][:3]
    found = ChunkRead("n2", *place, content, total, offset, b"x" * 50)
    return one.do(lambda raft: raft.disk_read(found, one.now_ns))


def wants(offset: int, *, wanted: bool = True, content: bytes = b"content") -> ChunkReply:
    return ChunkReply(2, 8, content, offset, wanted, 0)


@pytest.mark.parametrize("index", [1, 2, 3])
def test_case_47_a_checkpoint_at_or_below_commit_is_answered_with_commit(index: int) -> None:
    one = One(terms=[1, 1, 1, 1], commit=3)
    reply = only(ChunkReply, one.hear("n2", chunk(1, log_of([1] * 4)[index - 1])))
    assert (reply.wanted, reply.index, asked(one)) == (False, 3, [])


def test_case_48_a_checkpoint_of_an_entry_that_is_here_commits_it_and_keeps_the_tail() -> None:
    one = One(terms=[1, 1, 1, 1], commit=1)
    reply = only(ChunkReply, one.hear("n2", chunk(1, log_of([1] * 4)[2])))
    assert (reply.wanted, reply.index) == (False, 3)
    assert (one.log.commit, one.log.last.index) == (3, 4)


def test_case_48_one_that_conflicts_is_written_and_the_tail_goes_with_the_ledger() -> None:
    one = One(terms=[1, 1, 1, 1], commit=1)
    one.hear("n2", sent := chunk(2, log_of([1, 1, 2])[2]))
    assert asked(one) == [WriteChunk("n2", sent)]
    assert (one.log.commit, one.log.last.index) == (1, 4)
    cluster = Cluster("n1 n2 n3")
    cluster.furnish("n1", [1, 1, 2, 2, 2], commit=5)
    cluster.furnish("n2", [1, 1, 1, 1], term=2, commit=1)
    cluster.furnish("n3", [1, 1, 2, 2, 2])
    cluster.start("n1", "n3")
    cluster.elect("n1")
    cluster.checkpoint("n1")
    cluster.start("n2")
    cluster.wait(50, "n1")
    cluster.wait(50, "n1")
    assert cluster.core("n2").log.base.index >= 5
    assert cluster.core("n2").log.last == cluster.core("n1").log.last


def test_case_49_a_checkpoint_carries_the_members_in_place_of_newer_ones_uncommitted() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.start()
    cluster.elect("n1")
    cluster.cut = {("n1", "n2"), ("n1", "n3"), ("n2", "n1"), ("n3", "n1")}
    cluster.change("n1", members_of("n1 n2 n3 n9?"))
    cluster.settle()
    cluster.crash("n1")
    cluster.elect("n2")
    for name in ["a", "b"]:
        cluster.propose("n2", name)
    cluster.settle()
    cluster.checkpoint("n2")
    cluster.cut.clear()
    cluster.start("n1")
    assert "n9" in {x.name for x in cluster.core("n1").members}
    for _ in range(4):
        cluster.wait(50, "n2")
    assert [x.name for x in cluster.core("n1").members] == ["n1", "n2", "n3"]
    assert cluster.core("n1").log.commit == cluster.core("n2").log.commit


def test_case_50_a_piece_is_sent_as_the_receiver_asks_for_it() -> None:
    one = installing()
    first = only(Chunk, read(one), "n2")
    assert (first.offset, first.total, first.index) == (0, 100, 8)
    one.hear("n2", wants(50))
    assert asked(one) == [ReadChunk("n2", b"content", 50)]
    one.hear("n2", wants(0))  # it began again
    assert asked(one) == [ReadChunk("n2", b"content", 0)]
    one.hear("n2", wants(50, content=b"of another leader"))
    assert asked(one) == []


def test_case_50_a_new_leader_goes_on_where_the_old_one_was() -> None:
    cluster = Cluster("n1 n2 n3 n4?")
    cluster.start("n1", "n2", "n3")
    cluster.elect("n1")
    cluster.propose("n1", "x")
    cluster.settle()
    cluster.wait(50, "n1")
    for name in ["n1", "n2"]:
        cluster.checkpoint(name)
    cluster.start("n4")
    cluster.now_ns += 50 * limits.MS
    cluster.beat("n1")
    while not cluster.nodes["n4"].catching_up.received:
        assert cluster._move_one()
    received = len(cluster.nodes["n4"].catching_up.received)
    cluster.crash("n1")
    cluster.elect("n2")
    sent = [x.message for x in cluster.history if x.source == "n2"]
    offsets = [x.offset for x in sent if isinstance(x, Chunk)]
    assert offsets[:2] == [0, received]
    cluster.wait(50, "n2")
    assert cluster.core("n4").log.last == cluster.core("n2").log.last


def test_case_50_a_lost_piece_is_asked_for_again() -> None:
    one = installing()
    read(one)
    for _ in range(limits.ELECTION_NS_MAX // limits.HEARTBEAT_NS - 1):
        one.beat(50)
        assert asked(one) == []
        one.answers("n3", one.leads.contact.rounds.newest)
        one.answers("n2", one.leads.contact.rounds.newest)
    one.beat(50)
    assert asked(one) == [ReadChunk("n2", b"content", 0)]


def test_case_50_a_piece_that_is_under_way_is_not_sent_twice() -> None:
    """A slow link carries it still, and a repeated one is answered, too."""
    one = installing()
    read(one)
    one.hear("n2", wants(50))
    assert asked(one) == [ReadChunk("n2", b"content", 50)]
    for _ in range(3):
        one.hear("n2", wants(50))
        assert asked(one) == []


def test_case_50_a_piece_is_asked_for_again_less_and_less_often_and_only_for_who_is_there() -> None:
    one = installing()
    read(one)
    asks = []
    for beat in range(200):
        one.beat(50)
        asks += [beat] * len(asked(one))
        one.answers("n3", one.leads.contact.rounds.newest)
        if beat < 100:
            one.answers("n2", one.leads.contact.rounds.newest)
    pauses = [b - a for a, b in pairwise(asks)]
    assert pauses
    assert all(b == 2 * a for a, b in pairwise(pauses))
    assert asks[-1] <= 100 + 2 * pauses[-1]


def test_case_50_one_that_is_gone_gives_way_to_the_newest() -> None:
    one = installing()
    read(one)
    one.hear("n2", wants(50))
    read(one, 50, b"content", total=0)
    assert asked(one) == [ReadChunk("n2", None, 0)]
    assert not one.leads.replication.wants_checkpoint
    read(one, 0, b"", total=0)
    assert asked(one) == []
    assert one.leads.replication.wants_checkpoint


@pytest.mark.parametrize("reply", [wants(100, wanted=False), wants(-1)])
def test_case_51_install_ends_when_the_peer_wants_no_more(reply: ChunkReply) -> None:
    one = installing()
    read(one)
    one.hear("n2", reply)
    peer = one.leads.peers["n2"]
    assert (peer.state, peer.next) == ("probe", 9)
    told = one.answers("n2", 1)
    assert asked(one) == [ReadEntries("n2", 8, 9, limits.PROBE_BYTES_MAX)]
    assert of(Append, told, "n2") == []


def test_case_51_install_ends_when_the_peer_caught_up_by_itself() -> None:
    one = installing()
    one.acks("n2", 9)
    assert one.leads.peers["n2"].state == "replicate"
    assert read(one) == []


def test_case_51_install_survives_a_broken_link() -> None:
    one = installing()
    read(one)
    one.do(lambda raft: raft.peer_lost("n2", one.now_ns))
    one.hear("n2", wants(50))
    assert asked(one) == [ReadChunk("n2", b"content", 50)]


def test_case_52_a_full_window_keeps_no_follower_from_its_checkpoint() -> None:
    cluster = Cluster("n1 n2 n3")
    cluster.start()
    cluster.elect("n1")
    cluster.wait(50)
    cluster.cut = {("n1", "n2")}
    for number in range(limits.PEER_APPENDS_IN_FLIGHT + 9):
        cluster.propose("n1", str(number))
    cluster.settle()
    cluster.checkpoint("n1")
    cluster.cut.clear()
    for _ in range(limits.ELECTION_NS_MAX // limits.HEARTBEAT_NS + 4):
        cluster.wait(50, "n1")
    assert cluster.core("n2").log.last == cluster.core("n1").log.last
    assert (
        cluster.core("n2").log.base.index
        == cluster.nodes["n1"].disk.checkpoints[-1].base.place.index
    )


def test_the_answer_to_a_piece_names_no_round_of_an_older_leader() -> None:
    """Else a reign that counts from one anew takes it for the answer to all its later rounds."""
    one = One()
    one.hear("n2", chunk(1, log_of([1, 1, 1])[2], round_=1000))
    reply = ChunkReply(1, 3, b"content", 50, True, 1000)
    written = ChunkWritten("n2", reply, complete=False)
    assert only(ChunkReply, one.do(lambda raft: raft.chunk_written(written))).round == 1000
    one.hear("n3", append(2, log_of([1]), 0, round_=3))
    told = one.do(lambda raft: raft.chunk_written(written))
    assert (only(ChunkReply, told).term, only(ChunkReply, told).round) == (2, 3)
