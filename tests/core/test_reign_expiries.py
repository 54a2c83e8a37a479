"""Shelf lives in a reign (R6, R9, R11): expiries by Entries, ages over a restart or a power cut."""

from typing import Any

from rmf import limits
from rmf.core import events as ev
from rmf.core.effects import Note, Stopped
from rmf.core.entry import Accession, Expiry
from rmf.line import Fresh, Line
from tests.core.kit import Playbook
from tests.core.surroundings import BOOT_NS, PERIOD_NS, Producer, replay, row_of

# --- Expiries (R9) -----------------------------------------------------------------------------


def test_an_expiry_makes_an_entry_even_if_nothing_arrives() -> None:
    play = Playbook()
    play.join("p").send(1, topic="cell/a", ttl_ms=5)
    born = play.tick
    assert play.core.next_due_ns() == BOOT_NS + (born - 1 + 50) * PERIOD_NS
    play.advance(6)
    entry, books = play.ticks[-1]
    assert (entry.tick, books.frames) == (born + 50, [])
    assert books.expiries == [Expiry("cell/a", "expired", None)]
    assert play.published[-1].removed == {"cell/a": "expired"}
    assert play.world == {}


def test_the_line_hears_of_an_expiry_in_a_slot_of_its_own() -> None:
    play = Playbook()
    play.join("p").send(1, topic="cell/loud/a", ttl_ms=5, payload="x")
    play.advance(6)
    _, books = play.ticks[-1]
    assert books.expiries == [Expiry("cell/loud/a", "expired", 0)]
    assert play.world == {"lost/cell/loud/a": ["x", "expired"]}
    cell = play.core.committed.world.get("lost/cell/loud/a")
    assert cell is not None
    assert (cell.producer, cell.slot, cell.expires) == ("line:shop", 0, 0)


def test_a_handler_that_fails_does_not_keep_the_cell() -> None:
    play = Playbook()
    play.join("p").send(1, topic="cell/cursed/a", ttl_ms=5)
    play.advance(6)
    assert play.world == {}
    assert [letter.reason for letter in play.letters] == ["handler_error"]
    assert play.status["packets"]["bagged"] == 0


def test_expiries_come_first_in_a_tick_by_expiry_and_key() -> None:
    """R11; and the packets of the Tick do not see the stale cells any more."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1, topic="cell/loud/c", ttl_ms=5)
    probe.send(2, topic="cell/loud/b", ttl_ms=6)
    with play.together():
        probe.send(3, topic="cell/loud/d", ttl_ms=5)
        probe.send(4, topic="cell/loud/a", ttl_ms=5)
    play.boot_ns += 10 * limits.MS
    probe.send(5, topic="see", payload="cell/loud/a")
    _, books = play.ticks[-1]
    assert [expiry.key[-1] for expiry in books.expiries] == ["c", "a", "d", "b"]
    assert [expiry.slot for expiry in books.expiries] == [0, 1, 2, 3]
    assert books.frames[0].first_slot == 4
    assert play.world["seen"] == "nothing"


def test_a_cell_written_again_in_time_does_not_expire() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, ttl_ms=5)
    play.advance(4)
    probe.send(2, ttl_ms=50)
    play.advance(6)
    assert play.world == {"cell/a": 2}
    play.advance(50)
    assert play.world == {}


def test_a_cell_written_again_with_a_shorter_life_expires_by_that() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, ttl_ms=500)
    probe.send(2, ttl_ms=5)
    play.advance(6)
    assert play.world == {}
    play.advance(600)
    assert [len(books.expiries) for _, books in play.ticks].count(1) == 1


def fill(play: Playbook, cells: int) -> None:
    """So many cells with a shelf life of 500 ms, made in a few Ticks."""
    filler = play.join("filler")
    step = limits.TICK_PACKETS_MAX
    for first in range(1, cells + 1, step):
        seqs = range(first, min(first + step, cells + 1))
        rows = [row_of(seq, topic=f"cell/{seq:05}", ttl_ms=500, payload=0) for seq in seqs]
        filler.send_rows(rows)


def test_more_expiries_than_a_tick_takes_share_the_ticks_with_packets() -> None:
    """R9, R43: a World that ends at once must not keep anybody waiting; within a Tick expiries go
    first (R11), and the packet sees none of the stale cells, removed or not."""
    play = Playbook()
    fill(play, 2_300)
    probe = play.join("p")
    play.boot_ns += 600 * limits.MS
    before = len(play.ticks)
    probe.send(1, topic="see", payload="cell/02299")
    counts = [(len(books.expiries), len(books.frames)) for _, books in play.ticks[before:]]
    assert counts[0][1] == 1
    assert max(expiries for expiries, _ in counts) <= limits.TICK_EXPIRIES_MAX
    assert play.world == {"seen": "nothing"}
    assert play.status["expiries"] == {"expired": 2_300, "age_unknown": 0}
    assert replay(play.disk).state.digest() == play.published[-1].digest


def test_expiries_of_several_ticks_go_by_expiry_and_key() -> None:
    """R11, over the bound of a Tick, too."""
    play = Playbook()
    fill(play, 2_300)
    play.boot_ns += 600 * limits.MS
    play.happen()
    keys = [expiry.key for _, books in play.ticks for expiry in books.expiries]
    assert keys == sorted(keys)
    assert len(keys) == 2_300


def test_cells_that_end_leave_room_for_packets_on_the_way_to_the_disk() -> None:
    """R9: a packet waits for some Entries of ends, not for as many as may be in flight."""
    play = Playbook()
    fill(play, 2_300)
    probe = play.join("p")
    play.disk.hold()
    play.boot_ns += 600 * limits.MS
    play.happen()
    assert len(play.disk.waiting) == limits.EXPIRIES_IN_FLIGHT
    probe.send(1)
    assert len(play.disk.waiting) == limits.EXPIRIES_IN_FLIGHT + 1
    play.disk.held = False
    play.sync()
    assert probe.told == {1: "applied"}
    assert play.status["expiries"]["expired"] == 2_300


def test_a_tick_with_a_packet_ends_what_is_due_however_many_entries_are_on_their_way() -> None:
    """R9: over a far link some always are, and cells would never end."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1, topic="cell/a", ttl_ms=50)
    play.disk.hold()
    for seq in range(2, 2 + limits.EXPIRIES_IN_FLIGHT):
        probe.send(seq, topic="keep/c")
    assert len(play.disk.waiting) == limits.EXPIRIES_IN_FLIGHT
    play.boot_ns += 60 * limits.MS
    play.happen()
    probe.send(seq + 1, topic="see", payload="cell/a")
    play.disk.held = False
    play.sync()
    _, books = play.ticks[-1]
    assert books.expiries == [Expiry("cell/a", "expired", None)]
    assert len(books.frames) == 1
    assert play.world["seen"] == "nothing"


def loud_cells(play: Playbook, count: int) -> Producer:
    """So many cells whose end the line hears of are stale by now, and on the bench, which nothing
    leaves any more. Returns somebody else who may send."""
    rows = [row_of(i + 1, topic=f"cell/loud/{i:02}", ttl_ms=5) for i in range(count)]
    play.join("cells").send_rows(rows)
    probe = play.join("p")
    play.runner.held = True
    play.boot_ns += 6 * limits.MS
    play.happen()
    return probe


def on_the_bench(play: Playbook) -> tuple[list[str], list[str]]:
    """Keys whose end is on the bench, and producers whose packets are."""
    assert play.batch is not None
    return [x.key[-2:] for x in play.batch.expired], [x.producer for x in play.batch.groups]


def test_ends_whose_handler_hangs_take_turns_with_packets() -> None:
    """P6, R20: twenty of them cost another producer one budget, not twenty."""
    play = Playbook()
    probe = loud_cells(play, 20)
    assert on_the_bench(play) == ([f"{i:02}" for i in range(20)], [])
    probe.send(1)
    play.run(1, cut_short=True)  # the first one used up its time
    assert on_the_bench(play) == ([], ["p"])
    play.run()
    assert probe.told == {1: "applied"}
    assert on_the_bench(play) == ([f"{i:02}" for i in range(1, 20)], [])
    probe.send(2)
    play.run(1, cut_short=True)
    assert on_the_bench(play) == ([], ["p"])
    play.run()
    play.run()  # these run well to their end: no turns any more
    play.runner.held = False
    probe.send(3)
    assert probe.told == dict.fromkeys((1, 2, 3), "applied")
    ended = [expiry.key for _, books in play.ticks for expiry in books.expiries]
    assert ended == [f"cell/loud/{i:02}" for i in range(20)]


def test_quiet_ends_do_not_wait_for_handlers_that_hang() -> None:
    play = Playbook()
    play.join("q").send(1, topic="cell/quiet", ttl_ms=9)
    probe = loud_cells(play, 3)
    assert on_the_bench(play) == (["00", "01", "02"], [])
    play.boot_ns += 4 * limits.MS
    probe.send(1)
    play.run(1, cut_short=True)
    assert on_the_bench(play) == ([], ["p"])
    play.run()
    assert play.published[-1].removed == {"cell/quiet": "expired"}


def test_what_is_written_again_while_it_waits_for_its_end_lives() -> None:
    play = Playbook()
    probe = loud_cells(play, 3)
    probe.send(1, topic="cell/loud/02", payload="again")
    play.run(1, cut_short=True)
    play.run()
    assert probe.told == {1: "applied"}
    play.runner.held = False
    play.run()
    assert play.world["cell/loud/02"] == "again"
    assert "lost/cell/loud/02" not in play.world
    play.advance(60_001)
    assert play.world["lost/cell/loud/02"] == ["again", "expired"]


def test_a_reign_that_ends_puts_back_whose_turn_had_not_come() -> None:
    play = Playbook()
    loud_cells(play, 3).send(1)
    play.run(1, cut_short=True)
    assert on_the_bench(play) == ([], ["p"])
    play.happen(ev.Struck("admin", "an operator says so"))
    assert sorted(play.core.settled.shelf.armed) == ["cell/loud/01", "cell/loud/02"]


def everlasting() -> Line:
    """A line whose cells are renewed as they end."""
    line = Line("everlasting", version=1)

    @line.on("#")
    def put(_world: Any, packet: Any) -> Any:
        return {packet.topic: packet.payload}

    @line.on_expired("cell/#")
    def renew(_world: Any, cell: Any) -> Any:
        return {cell.key: Fresh(cell.value, ttl_ms=1)}

    return line


def test_cells_that_renew_themselves_stop_no_packet_and_no_stop() -> None:
    """P6: more of them than a Tick takes, for ever."""
    play = Playbook(line=everlasting())
    count = limits.TICK_EXPIRIES_MAX + 500
    rows = [row_of(i + 1, topic=f"cell/{i:05}", ttl_ms=1, payload=0) for i in range(count)]
    cells, probe = play.join("cells"), play.join("p")
    play.runner.held = True
    cells.send_rows(rows)
    play.run()
    for seq in range(1, 6):
        play.boot_ns += 2 * limits.MS
        probe.send(seq, topic="other")
        play.run()
    assert len(probe.told) >= 4
    play.happen(ev.StopAsked())
    play.run()
    assert play.batch is None
    assert play.seen(Stopped)


# --- Restart: bridged or not (R6) ---------------------------------------------------------------


def with_cells() -> Playbook:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, topic="cell/a", ttl_ms=5000)
    probe.send(2, topic="cell/loud/b", ttl_ms=5000)
    probe.send(3, topic="keep/c")
    return play


def test_a_restart_that_is_bridged_counts_the_time_it_took() -> None:
    play = with_cells()
    again = play.restart(after_ms=4000)
    assert again.tick - play.tick == 4000 * 10
    assert set(again.world) == {"cell/a", "cell/loud/b", "keep/c"}
    again.advance(1001)
    assert set(again.world) == {"keep/c", "lost/cell/loud/b"}


def test_what_went_stale_while_the_node_was_down_goes_at_once() -> None:
    again = with_cells().restart(after_ms=6000)
    assert set(again.world) == {"keep/c", "lost/cell/loud/b"}
    assert again.world["lost/cell/loud/b"] == [2, "expired"]


def test_where_no_node_can_bridge_every_age_is_unknown() -> None:
    """R6: nothing comes back fresh that may be old, not even for one packet."""
    play = with_cells()
    play.disk.hold()
    again = play.restart(bridged=False)
    assert [note.fields["age_unknown"] for note in again.seen(Note)] == [True]
    accession, tick = (entry.books for _, entry in again.disk.entries[-2:])
    assert isinstance(accession, Accession)
    assert accession.age_unknown
    assert tick == again.ticks[-1][1]
    assert again.ticks[-1][1].expiries == [
        Expiry("cell/a", "age_unknown", None),
        Expiry("cell/loud/b", "age_unknown", 0),
    ]
    assert again.world["lost/cell/loud/b"] == [2, "age_unknown"]


def test_no_packet_sees_a_cell_of_unknown_age_whether_it_is_gone_or_not() -> None:
    """C1: they go in slices, and packets come on meanwhile."""
    play = Playbook()
    fill(play, 2_300)
    play.disk.hold()
    again = play.restart(bridged=False)
    before = len(again.ticks)
    probe = again.join("p")
    probe.send(1, topic="see", payload="cell/02300")
    assert again.world == {"seen": "nothing"}
    assert again.status["expiries"] == {"expired": 0, "age_unknown": 2_300}
    assert max(len(books.expiries) for _, books in again.ticks) <= limits.TICK_EXPIRIES_MAX
    assert len(again.ticks) >= before + 1


def test_a_crash_amid_the_removal_of_what_is_too_old_forgets_nothing_of_it() -> None:
    """The accession is durable, the removals are not; the next start is bridged."""
    play = with_cells().restart(bridged=False)
    play.disk.lose_from(play.disk.entries[-2][0].serial + 1)
    again = play.restart()
    assert set(again.world) == {"keep/c", "lost/cell/loud/b"}
    assert again.world["lost/cell/loud/b"] == [2, "age_unknown"]


def test_without_cells_that_can_expire_there_is_nothing_unknown() -> None:
    play = Playbook()
    play.join("p").send(1, topic="keep/c")
    again = play.restart(bridged=False)
    assert [note.fields["age_unknown"] for note in again.seen(Note)] == [False]
