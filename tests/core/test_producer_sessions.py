"""What producers ask for before the latch, and what they are told after it (R3, R32, R33)."""

import pytest

from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.effects import Answer, Close, Effect
from rmf.core.latch import Waiting
from rmf.core.producer_sessions import IntakeRefusal, ProducerSessions
from rmf.core.producer_table import OutcomeRun, Table
from tests.core.cluster import Cluster
from tests.core.surroundings import frame_of, row_of

NOT_LEADER = IntakeRefusal("not_leader", "n2:7410", "node n2 reigns, this one does not")


@pytest.fixture
def sessions() -> ProducerSessions:
    return ProducerSessions(100)


def table() -> Table:
    """A table in which `probe` has come to seq 7."""
    registered = Table.of({}).registered("probe", 1, "id", ephemeral=False, tick=1)
    return registered.latched("probe", OutcomeRun(1, 7, 1, 2, 0, ()))


def offer(*seqs: int, connection: int = 1, producer: str = "probe") -> ev.Offered:
    rows = [row_of(seq) for seq in seqs]
    return ev.Offered(connection, producer, 1, frame_of(rows), rows, 0, {}, 0)


def joined(connection: int = 1, producer: str = "probe") -> ev.Joined:
    return ev.Joined(connection, producer, "id", False)


def welcome() -> m.Welcome:
    return m.Welcome({"version": 1})


def refusals(effects: list[Effect]) -> list[tuple[int, m.Refuse]]:
    return [
        (x.connection, message)
        for x in effects
        if isinstance(x, Answer)
        for message in x.messages
        if isinstance(message, m.Refuse)
    ]


def test_packets_wait_unless_there_is_a_reason_not_to_take_them(
    sessions: ProducerSessions,
) -> None:
    assert sessions.offered(offer(8, 9), None, table()) == []
    assert sessions.queue.packets == 2
    (refused,) = refusals(sessions.offered(offer(10), NOT_LEADER, table()))
    assert refused == (1, m.Refuse(10, "not_leader", 8, "n2:7410", NOT_LEADER.text))
    assert sessions.queue.packets == 2


def test_of_an_unknown_producer_the_first_seq_is_expected(sessions: ProducerSessions) -> None:
    (refused,) = refusals(sessions.offered(offer(3, producer="new"), NOT_LEADER, table()))
    assert refused[1].expected == 1


def test_a_hello_that_is_refused_leaves_no_connection(sessions: ProducerSessions) -> None:
    effects = sessions.joined(joined(), NOT_LEADER)
    assert refusals(effects) == [(1, m.Refuse(0, "not_leader", 0, "n2:7410", NOT_LEADER.text))]
    assert effects[-1] == Close(1)
    assert not sessions.queue.joined


def test_all_that_waits_is_refused_at_once(sessions: ProducerSessions) -> None:
    sessions.offered(offer(8), None, table())
    sessions.offered(offer(1, connection=2, producer="other"), None, table())
    sessions.joined(joined(3, "third"), None)
    effects = sessions.refuse_all(NOT_LEADER, table())
    assert [(to, x.seq) for to, x in refusals(effects)] == [(1, 8), (2, 1), (3, 0)]
    assert Close(3) in effects
    assert Close(1) not in effects  # it may say more here, or go elsewhere
    assert (sessions.queue.packets, len(sessions.queue.joined)) == (0, 0)
    assert sessions.refuse_all(NOT_LEADER, table()) == []


def test_who_was_latched_in_vain_is_let_down_in_words(sessions: ProducerSessions) -> None:
    """Packets, HELLOs, resends that waited for a commit, last words to a void epoch."""
    sessions.joined(joined(3, "third"), None)
    sessions.queue.joined.clear()  # it was latched
    run = m.Run(5, 2, m.APPLIED, True, 1, 2, 0, None, None)
    error = m.Error("superseded", "a newer connection", None)
    waiting = Waiting([(4, [run])], [(5, error)])
    effects = sessions.let_down([offer(8, 9)], [joined(3, "third")], [waiting], NOT_LEADER, table())
    assert [(to, x.seq, x.expected) for to, x in refusals(effects)] == [
        (1, 8, 8),
        (4, 5, 5),
        (3, 0, 0),
    ]
    assert {x.connection for x in effects if isinstance(x, Close)} == {3, 5}
    assert sessions.welcome(joined(3, "third"), welcome()) == []  # it was sent away


def test_welcome_supersedes_the_older_connection_of_that_name(sessions: ProducerSessions) -> None:
    sessions.joined(joined(1), None)
    assert sessions.welcome(joined(1), welcome()) == [Answer(1, [welcome()])]
    sessions.joined(joined(2), None)
    told, closed, welcomed = sessions.welcome(joined(2), welcome())
    assert isinstance(told, Answer)
    assert told.connection == 1
    assert isinstance(told.messages[0], m.Error)
    assert told.messages[0].code == "superseded"
    assert (closed, welcomed) == (Close(1), Answer(2, [welcome()]))


def test_who_was_lost_meanwhile_is_not_welcomed(sessions: ProducerSessions) -> None:
    sessions.joined(joined(1), None)
    sessions.lost(1)
    assert sessions.welcome(joined(1), welcome()) == []
    sessions.joined(joined(2), None)
    sessions.welcome(joined(2), welcome())
    sessions.lost(2)
    sessions.joined(joined(3), None)
    assert sessions.welcome(joined(3), welcome()) == [Answer(3, [welcome()])]


def test_producers_are_sent_off_when_their_core_ends_and_no_others(
    sessions: ProducerSessions,
) -> None:
    """Only a WELCOME says what of theirs is committed (R33)."""
    for connection, name in ((1, "probe"), (2, "other")):
        sessions.joined(joined(connection, name), None)
        sessions.welcome(joined(connection, name), welcome())
    goaway = m.Goaway("no_reign", ["n2:7410"], 10, "the ledger is read anew")
    effects = sessions.send_off(goaway)
    assert effects == [Answer(1, [goaway]), Close(1), Answer(2, [goaway]), Close(2)]
    assert sessions.send_off(goaway) == []


def test_who_speaks_is_known_until_its_last_connection_is_lost(sessions: ProducerSessions) -> None:
    """R33: whoever is connected is not forgotten."""
    sessions.joined(joined(1), None)
    sessions.joined(joined(2), None)
    sessions.joined(joined(3), NOT_LEADER)
    sessions.lost(1)
    sessions.lost(3)
    assert (sessions.queue.speakers, sessions.queue.parted) == ({"probe": 1}, [])
    sessions.lost(2)
    sessions.lost(2)
    assert (sessions.queue.speakers, sessions.queue.parted) == ({}, ["probe"])


def test_resends_are_counted_when_they_are_answered(sessions: ProducerSessions) -> None:
    run = m.Run(5, 2, m.APPLIED, True, 1, 2, 0, None, None)
    error = m.Error("forgotten", "connect again", None)
    effects = sessions.tell(Waiting([(4, [run, run])], [(5, error)]))
    assert effects == [Answer(4, [m.Ack([run, run])]), Answer(5, [error]), Close(5)]
    assert sessions.duplicates == 4


# --- In a cluster ---------------------------------------------------------------------------------


def test_a_resend_that_waits_for_a_commit_is_let_down_with_its_reign() -> None:
    play = Cluster()
    n1 = play["n1"]
    probe = n1.join("probe")
    play.cut("n1")
    probe.send(1)
    probe.send(1)  # in flight already: answered when that is committed
    assert probe.heard[1:] == []
    play.advance(1_100)
    assert probe.refusals == [(1, "no_reign", 1), (1, "no_reign", 1)]
    assert probe.told == {}
