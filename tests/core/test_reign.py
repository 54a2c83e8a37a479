"""One reign (R1, R3, R4, R6): its Ticks, what runs ahead of the disk, what is postponed."""

from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.core.effects import Execute, ExpiredCell, Persist
from rmf.core.entry import Accession, Genesis, Members, TickBooks
from rmf.core.entry_kinds import SPANS_VERSION
from rmf.core.events import Beat, Executed
from tests.core.cluster import Cluster
from tests.core.kit import Playbook
from tests.core.surroundings import BOOT_NS, CLUSTER, MEMBERS, PERIOD_NS, replay, row_of

# --- The first Entries ------------------------------------------------------------------------


def test_a_new_cluster_begins_with_genesis_and_accession() -> None:
    """R29: one member, itself."""
    play = Playbook()
    genesis, accession = (entry.books for _, entry in play.disk.entries)
    assert genesis == Genesis(CLUSTER, PERIOD_NS, list(MEMBERS))
    assert accession == Accession("n1", play.core.identity.line, age_unknown=False)
    assert [entry.tick for _, entry in play.disk.entries] == [1, 2]


def test_a_reign_begins_above_the_last_tick_and_in_the_next_term() -> None:
    play = Playbook()
    play.join("p").send(1)
    again = play.restart()
    record, entry = again.disk.entries[-1]
    assert isinstance(entry.books, Accession)
    assert (record.term, entry.tick) == (2, play.tick + 1)
    assert entry.wall_ns == again.now().wall_ns


# --- The Tick ------------------------------------------------------------------------------------


def test_a_tick_is_one_entry_of_everything_that_waited() -> None:
    """R1: HELLOs, packets, bags, changes in one Entry; one record, one fsync."""
    play = Playbook()
    a, b = play.join("a"), play.join("b")
    before = len(play.disk.records)
    with play.together():
        a.send_rows([row_of(1), row_of(2, topic="poison")])
        b.send(1, topic="keep/x")
        play.join("c")
    assert len(play.disk.records) == before + 1
    entry, books = play.ticks[-1]
    assert [frame.producer for frame in books.frames] == ["a", "b"]
    assert [register.producer for register in books.registers] == ["c"]
    assert [(bag.slot, bag.reason) for bag in books.bags] == [(1, "handler_error")]
    assert [(slot, key) for slot, key, _, _ in books.changes] == [(0, "cell/a"), (2, "keep/x")]
    assert (books.line_version, entry.wall_ns) == (7, play.now().wall_ns)
    assert entry.digest == play.published[-1].digest


def test_a_lone_packet_is_latched_at_once() -> None:
    """R4: in the very step that brings it."""
    play = Playbook()
    probe = play.join("p")
    play.runner.held = True
    probe.send(1)
    assert play.batch is not None
    assert play.batch.slots == 1


def test_what_comes_while_a_tick_is_on_the_bench_makes_the_next() -> None:
    """R4."""
    play = Playbook()
    probe = play.join("p")
    play.runner.held = True
    for seq in range(1, 5):
        probe.send(seq)
    play.run()
    play.run()
    assert [len(books.frames) for _, books in play.ticks[-2:]] == [1, 3]


def test_several_entries_may_be_in_flight_but_not_more_than_so_many() -> None:
    """R4: ENTRIES_IN_FLIGHT; then what arrives waits, and forms one Tick."""
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    for seq in range(1, limits.ENTRIES_IN_FLIGHT + 4):
        probe.send(seq)
    assert len(play.disk.waiting) == limits.ENTRIES_IN_FLIGHT
    assert play.core.sessions.queue.packets == 3
    assert play.core.next_due_ns() == BOOT_NS + limits.ELECTION_NS_MAX  # to be live no more
    play.sync(1)
    assert len(play.disk.waiting) == limits.ENTRIES_IN_FLIGHT
    assert play.core.sessions.queue.packets == 0


def test_nothing_waiting_means_no_tick() -> None:
    """Idle costs nothing: no Entry, no Execute, and the next Beat is far."""
    play = Playbook()
    before = len(play.effects)
    play.happen(Beat())
    assert len(play.effects) == before
    due_ns = play.core.next_due_ns()
    assert due_ns == BOOT_NS + limits.PRODUCER_IDLE_CHECK_S * limits.SECOND


def test_a_counter_that_leads_too_far_waits_for_the_clock() -> None:
    """R6: 50 ms."""
    play = Playbook(period_ns=10 * limits.MS)
    probe = play.join("p")
    for seq in range(1, 9):
        probe.send(seq)
    assert play.tick == 1 + 5
    assert play.core.next_due_ns() == BOOT_NS + 10 * limits.MS
    play.advance(10)
    assert play.tick == 1 + 6
    assert set(probe.told) == set(range(1, 9))


def test_the_tick_number_goes_on_with_the_clock() -> None:
    play = Playbook()
    probe = play.join("p")
    play.advance(1000)
    probe.send(1)
    assert play.tick == 1 + 10_000


# --- Speculation (R3) --------------------------------------------------------------------------


def test_a_tick_is_executed_on_top_of_what_is_not_committed() -> None:
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    for seq in (1, 2, 3):
        probe.send(seq, topic="count/x")
    assert play.published[-1].world.get("count/x") is None
    play.sync(2)
    assert play.world == {"count/x": 2}
    play.sync()
    assert play.world == {"count/x": 3}


def test_a_key_that_goes_and_comes_back_while_nothing_is_committed_is_found() -> None:
    """The index of keys is shared by all versions: it forgets what none of them has."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1)
    play.disk.hold()
    probe.send(2, topic="remove", payload=["cell/a"])
    probe.send(3)
    play.sync(1)
    assert play.world == {}
    play.sync()
    assert play.world == {"cell/a": 3}


def test_a_version_on_its_way_keeps_its_keys_though_a_later_one_has_them_no_more() -> None:
    """Else a full picture and a Checkpoint of the version between would lack the key."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1)
    play.disk.hold()
    probe.send(2, topic="remove", payload=["cell/a"])
    probe.send(3)
    probe.send(4, topic="remove", payload=["cell/a"])
    play.sync(1)
    assert play.world == {}
    play.sync(1)
    assert play.world == {"cell/a": 3}
    play.sync()
    assert play.world == {}
    assert len(play.core.committed.world.index) == 0


def test_what_was_not_committed_is_gone_with_the_reign() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, topic="count/x")
    play.disk.hold()
    probe.send(2, topic="count/x")
    again = play.restart()
    assert again.world == {"count/x": 1}
    assert again.join("p").last_seq == 1


def test_what_is_on_the_disk_is_committed_though_no_producer_learned_it() -> None:
    """R3: a reign starts from its last ledger Entry, acked or not."""
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    probe.send(1)
    play.disk.write_one(0)
    assert probe.told == {}
    again = play.restart().join("p")
    assert again.last_seq == 1
    again.send(1)
    assert (again.told, again.duplicates) == ({1: "applied"}, [1])


def test_a_duplicate_of_something_uncommitted_waits_for_its_commit() -> None:
    play = Playbook()
    probe = play.join("p")
    play.disk.hold()
    probe.send(1)
    probe.send(1)
    assert probe.told == {}
    play.sync()
    assert probe.told == {1: "applied"}
    assert probe.duplicates == [1]


def test_a_duplicate_of_the_past_waits_for_nothing_but_what_is_in_flight() -> None:
    play = Playbook()
    probe, other = play.join("p"), play.join("o")
    probe.send(1)
    play.disk.hold()
    other.send(1)
    probe.send(1)
    assert probe.duplicates == []
    play.sync()
    probe.send(1)
    assert probe.duplicates == [1, 1]


def test_every_duplicate_is_counted() -> None:
    """Whether it is answered at once, with the Tick in flight, or with one of its own."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1, 2)
    probe.send(1, 2)
    play.disk.hold()
    probe.send(3)
    probe.send(3)
    probe.send(3, 4)
    play.sync()
    assert play.status["packets"]["duplicate"] == len(probe.duplicates) == 4


def test_last_words_about_an_uncommitted_epoch_wait_for_its_commit() -> None:
    """R3: `superseded` is final; it must not be said for the sake of a HELLO that is lost."""
    play = Playbook()
    old = play.join("p")
    play.disk.hold()
    play.join("p")
    old.send(1)
    assert (old.errors, old.closed) == ([], False)
    play.sync()
    assert (old.errors, old.closed) == (["superseded"], True)


# --- Executed -----------------------------------------------------------------------------------


def postponed(done: int) -> tuple[Playbook, Any, Any]:
    """Two producers' frames of two packets each, of which the first `done` slots are done."""
    play = Playbook()
    a, b = play.join("a"), play.join("b")
    play.runner.held = True
    b.send(1, topic="keep/first")
    with play.together():
        a.send(1, 2, topic="count/x")
        b.send_rows([row_of(2, topic="count/x"), row_of(3, ttl_ms=0), row_of(4, topic="poison")])
    play.run()
    play.run(done)
    return play, a, b


def test_what_was_not_done_waits_for_the_next_tick() -> None:
    """R20: nothing of it is lost, nothing done twice, wherever the cut is."""
    for done in range(1, 6):
        play, a, b = postponed(done)
        told = len(a.told) + len(b.told) - 1
        assert told == done
        assert play.batch is None if done == 5 else play.batch is not None
        if play.batch is not None:
            play.run()
        assert a.told == {1: "applied", 2: "applied"}
        assert b.told == {1: "applied", 2: "applied", 3: "label_invalid", 4: "handler_error"}
        assert play.world["count/x"] == 3
        assert (a.duplicates, b.duplicates) == ([], [])
        assert replay(play.disk).state.digest() == play.published[-1].digest


def test_the_rest_keeps_its_order_and_its_turns() -> None:
    play = Playbook()
    a, b = play.join("a"), play.join("b")
    play.runner.held = True
    b.send(1)
    with play.together():
        a.send(1, 2)
        b.send(2)
        a.send(3)
    play.run()
    play.run(1)
    assert play.batch is not None
    seqs = [(group.producer, group.rows[0][1], len(group.rows)) for group in play.batch.groups]
    assert seqs == [("a", 2, 1), ("b", 2, 1), ("a", 3, 1)]
    assert a.refusals == []


def test_the_rest_is_next_before_what_came_meanwhile() -> None:
    play = Playbook()
    a, b = play.join("a"), play.join("b")
    play.runner.held = True
    a.send(1, 2, 3)
    b.send(1)
    a.send(4)
    play.run(1)
    assert play.batch is not None
    seqs = [(group.producer, group.rows[0][1], len(group.rows)) for group in play.batch.groups]
    assert seqs == [("a", 2, 2), ("b", 1, 1), ("a", 4, 1)]


def test_an_expiry_that_was_not_done_comes_again() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send_rows([row_of(i, topic=f"cell/loud/{i}", ttl_ms=5) for i in (1, 2, 3)])
    play.runner.held = True
    play.advance(6)
    assert play.batch is not None
    assert [cell.slot for cell in play.batch.expired] == [0, 1, 2]
    play.run(1)
    assert set(play.world) == {"cell/loud/2", "cell/loud/3", "lost/cell/loud/1"}
    assert [cell.key for cell in cells_on(play)] == ["cell/loud/2", "cell/loud/3"]
    play.run()
    assert set(play.world) == {f"lost/cell/loud/{i}" for i in (1, 2, 3)}


def cells_on(play: Playbook) -> list[ExpiredCell]:
    assert play.batch is not None
    return play.batch.expired


def test_the_batch_says_what_goes_in_its_tick_with_a_handler_or_without() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send_rows([row_of(1, ttl_ms=5), row_of(2, topic="cell/loud/a", ttl_ms=5)])
    play.runner.held = True
    play.advance(6)
    assert play.batch is not None
    assert play.batch.gone == {"cell/a", "cell/loud/a"}
    assert [cell.cell.value for cell in play.batch.expired] == [cbor2.dumps(2)]
    assert play.batch.world.get("cell/a") is not None


def test_who_cost_the_line_its_time_goes_last_and_alone_until_a_frame_runs_well() -> None:
    """R20: one producer's poison delays the others by one budget at most."""
    play = Playbook()
    a, b, c = play.join("a"), play.join("b"), play.join("c")
    play.runner.held = True
    with play.together():
        a.send(1, 2, 3)
        b.send(1)
        c.send(1)
    assert on_the_bench(play) == [("a", [1, 2, 3]), ("b", [1]), ("c", [1])]
    play.run(1, cut_short=True)
    assert on_the_bench(play) == [("b", [1]), ("c", [1])]  # it would be first, if not for that
    b.send(2)
    play.run()
    assert on_the_bench(play) == [("a", [2, 3])]
    c.send(2)
    play.run(1, cut_short=True)
    assert on_the_bench(play) == [("b", [2]), ("c", [2])]
    b.send(3)
    play.run()
    assert on_the_bench(play) == [("a", [3])]
    play.run()
    assert on_the_bench(play) == [("b", [3])]
    with play.together():
        a.send(4)
        c.send(3)
    play.run()
    assert on_the_bench(play) == [("a", [4]), ("c", [3])]  # it is one of them again
    play.run()
    assert a.told == dict.fromkeys(range(1, 5), "applied")


def on_the_bench(play: Playbook) -> list[tuple[str, list[int]]]:
    assert play.batch is not None
    return [(group.producer, [row[1] for row in group.rows]) for group in play.batch.groups]


def test_what_comes_late_of_another_reign_is_ignored() -> None:
    """No batch has the number of one of another reign, though each counts its own."""
    play = Playbook()
    probe = play.join("p")
    play.runner.held = True
    probe.send(1)
    assert play.batch is not None
    late = Executed(play.batch.number, 1, [], b"\x80", [])
    again = play.restart()
    probe = again.join("p")
    again.runner.held = True
    probe.send(1)
    assert again.batch is not None
    assert again.batch.number >> 32 == play.batch.number >> 32 << 1 == 2
    again.happen(late)
    assert probe.told == {}
    assert again.batch is not None
    again.run()
    assert probe.told == {1: "applied"}
    assert again.world == {"cell/a": 1}


def test_a_batch_of_another_time_is_ignored() -> None:
    play = Playbook()
    probe = play.join("p")
    play.runner.held = True
    probe.send(1)
    assert play.batch is not None
    wrong = Executed(play.batch.number - 1, 1, [], b"\x80", [])
    play.happen(wrong)
    assert probe.told == {}
    play.run()
    play.happen(wrong)
    assert probe.told == {1: "applied"}


def test_no_batch_comes_back_with_more_than_it_had() -> None:
    """What the bench answers and what was put on it are held against each other."""
    play = Playbook()
    probe = play.join("p")
    play.runner.held = True
    probe.send(1)
    assert play.batch is not None
    with pytest.raises(AssertionError):
        play.core.step([Executed(play.batch.number, 2, [], b"\x80", [])], play.now())


def test_nothing_is_decreed_while_a_tick_is_on_the_bench() -> None:
    """The Tick has its number and its place already."""
    play = Playbook()
    probe = play.join("p")
    play.runner.held = True
    probe.send(1)
    reign = play.core.lifecycle.reign
    assert reign is not None
    with pytest.raises(AssertionError):
        reign.decree(Members([], "a test"), play.now())


def test_a_tick_without_slots_needs_no_line() -> None:
    play = Playbook()
    before = len(play.seen(Execute))
    play.join("p")
    assert len(play.seen(Execute)) == before
    assert play.ticks[-1][1].registers[0].producer == "p"


def test_each_entry_is_one_write_and_tickets_rise() -> None:
    """R2: one order of fsyncs."""
    play = Playbook()
    probe = play.join("p")
    for seq in range(1, 5):
        probe.send(seq)
    tickets = [persist.ticket for persist in play.seen(Persist)]
    assert tickets == list(range(1, len(tickets) + 1))
    indexes = [record.index for record, _ in play.disk.entries]
    assert indexes == list(range(1, len(indexes) + 1))


def test_a_tick_closes_once_it_has_enough_so_that_a_step_stays_short() -> None:
    """R45: no frame comes on that would go beyond TICK_PACKETS_GOAL, however many wait."""
    play = Playbook()
    people = [play.join(f"p{i}") for i in range(6)]
    part = limits.TICK_PACKETS_GOAL // 4
    before = len(play.ticks)
    with play.together():
        for producer in people:
            producer.send_rows([row_of(seq) for seq in range(1, part + 1)])
    frames = [len(books.frames) for _, books in play.ticks[before:]]
    assert frames == [4, 2]


def test_a_tick_takes_so_many_frames_for_each_is_answered_by_itself() -> None:
    """R45: a thousand producers with a packet each are answered in slices, too."""
    play = Playbook()
    people = []
    for number in range(limits.TICK_FRAMES_GOAL + 10):
        people.append(play.join(f"p{number}"))
        play.boot_ns += limits.MS
    before = len(play.ticks)
    with play.together():
        for producer in people:
            producer.send(1)
    assert [len(books.frames) for _, books in play.ticks[before:]] == [limits.TICK_FRAMES_GOAL, 10]
    assert all(producer.told == {1: "applied"} for producer in people)


@pytest.mark.parametrize(
    ("version", "spans"), [(SPANS_VERSION - 1, []), (SPANS_VERSION, [[[0, 1]]])]
)
def test_spans_are_said_only_once_every_member_knows_them(version: int, spans: object) -> None:
    """R30: a node of an older release strikes at such an Entry."""
    play = Cluster(version=version, n3_knows=version)
    play["n1"].join("probe").send(1)
    play.advance(100)
    for node in play.nodes.values():
        ticks = [x.books for _, x in node.disk.entries if isinstance(x.books, TickBooks)]
        assert [x.verbatim for x in ticks if x.verbatim] == spans
        assert [key for x in ticks for _, key, _, _ in x.changes] == ["cell/a"]
