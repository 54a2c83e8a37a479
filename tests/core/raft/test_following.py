"""A leader's messages, taken in: what `cases` does not ask."""

from rmf.core.effects import Reload
from rmf.core.raft.following import Following
from rmf.core.raft.peer_messages import INDEX_MAX, Append, AppendReply, Heartbeat, HeartbeatReply
from rmf.core.raft.raft_log import RaftLog
from tests.core.raft.disk_kit import START
from tests.core.raft.entries_kit import CLUSTER, append, log_of


def log(*terms: int) -> RaftLog:
    return RaftLog(CLUSTER, START, log_of(terms))


def test_replies_name_the_round_and_whether_the_node_is_whole() -> None:
    following, mine = Following(whole=False), log()
    beat = Heartbeat(1, 0, 1, 0, False, 7, 0, 0)
    assert following.take("n2", beat, 1, mine).replies == (HeartbeatReply(1, 7, False),)
    taken = following.take("n2", append(1, log_of([1]), 0, round_=8), 1, mine)
    assert taken.replies == (AppendReply(1, True, 1, 0, 0, 8, False, 1),)
    assert [x.index for x in taken.news] == [1]
    assert following.maybe_whole(1)
    assert not following.maybe_whole(1)  # once
    assert following.whole


def test_a_heartbeat_commits_no_more_than_was_compared() -> None:
    """An older life of this node said that it had these Entries, or others of their indexes."""
    following, mine = Following(whole=True), log(1, 1)
    taken = following.take("n2", Heartbeat(1, 9, 9, 0, False, 1, 9, 0), 1, mine)
    assert mine.commit == 0
    assert taken.replies[1:] == (AppendReply(1, True, 2, 0, 0, 1, True, 0),), "it asks for that"
    following.take("n2", append(1, log_of([1, 1]), 1), 1, mine)
    following.take("n2", Heartbeat(1, 9, 9, 0, False, 1, 9, 0), 1, mine)
    assert mine.commit == 2


def test_late_messages_take_no_commit_back() -> None:
    following, mine = Following(whole=True), log(1, 1)
    following.take("n2", append(1, log_of([1, 1]), 1), 1, mine)
    following.take("n2", Heartbeat(1, 2, 2, 0, False, 2, 2, 0), 1, mine)
    following.take("n2", Heartbeat(1, 1, 2, 0, False, 1, 1, 0), 1, mine)
    assert (mine.commit, following.round) == (2, 2)


def test_rounds_and_measures_start_over_with_a_term() -> None:
    following, mine = Following(whole=False), log()
    following.take("n2", append(1, log_of([1, 1]), 0, 1, round_=40), 1, mine)
    following.enter(2)
    assert following.round == 0
    following.take("n3", append(2, log_of([1]), 0, round_=3), 2, mine)
    assert following.round == 3
    assert following.maybe_whole(1)


def test_damage_is_answered_by_nothing_but_a_doubt() -> None:
    following, mine = Following(whole=True), log(1, 1)
    wrong = Append(1, 2, 1, b"x" * 16, 2, 2, 0, False, 1, [])
    taken = following.take("n2", wrong, 1, mine)
    assert (taken.news, mine.commit) == ((), 0)
    assert taken.replies == (AppendReply(1, False, 0, 0, 0, 1, True, INDEX_MAX),)
    (reload,) = taken.effects
    assert isinstance(reload, Reload)
    assert reload.reason == "doubt"
