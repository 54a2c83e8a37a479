"""A line on the bench: what a user's test may do, and that it is what production does."""

import subprocess
import sys
import traceback

import pytest

from rmf import LineError, Raw, Refused, UsageError
from rmf.client.client_values import Parcel
from rmf.core.shelf import Shelf
from rmf.core.state import genesis_state
from rmf.line import Line
from rmf.line.replay import Replay
from rmf.testing import Bagged, Bench
from rmf.testing.drifting_clock import WALL_NS
from rmf.testing.shown import Picture
from tests.testing.lines import greenhouse, workshop

TEMP = "greenhouse/3/temp"


def test_three_lines_are_enough() -> None:
    factory = Bench(greenhouse)
    receipt = factory.send(TEMP, {"celsius": 21.5}, ttl_ms=2000)
    assert factory.world == {TEMP: 21.5, "average/3": 21.5}
    assert (receipt.outcome, receipt.reason, receipt.seq) == ("applied", None, 1)


def test_it_needs_no_trio() -> None:
    script = (
        "import sys; from rmf.testing import Bench; from tests.testing.lines import greenhouse;"
        f"Bench(greenhouse).send({TEMP!r}, {{'celsius': 1}}, ttl_ms=5);"
        "sys.exit('trio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_line_that_cannot_work_is_refused() -> None:
    with pytest.raises(LineError, match="no handlers"):
        Bench(Line("empty"))


# --- Time ---------------------------------------------------------------------------------------


def test_a_cell_lives_exactly_as_long_as_it_said() -> None:
    factory = Bench(greenhouse)
    factory.send(TEMP, {"celsius": 21.5}, ttl_ms=2000)
    factory.advance(ms=1990)
    assert TEMP in factory.world
    factory.advance(ms=20)
    assert factory.world == {f"alarm/{TEMP}": "no reading"}
    assert factory.snapshots[-1].removed == {TEMP: "expired", "average/3": "expired"}


def test_the_shelf_life_counts_from_the_intake() -> None:
    factory = Bench(greenhouse)
    factory.advance(seconds=1.0)
    receipt = factory.send(TEMP, {"celsius": 1}, ttl_ms=20, waited_ms=30)
    assert (receipt.outcome, receipt.reason) == ("bagged", "expired")
    assert factory.letter(receipt).stage == "latch"


def test_what_waited_is_as_much_older() -> None:
    factory = Bench(greenhouse)
    factory.advance(seconds=1.0)
    factory.send(TEMP, {"celsius": 1}, ttl_ms=2000, waited_ms=1500)
    factory.advance(ms=600)
    assert TEMP not in factory.world


def test_an_hour_passes_at_once_and_the_tick_with_it() -> None:
    factory = Bench(greenhouse)
    factory.send(TEMP, {"celsius": 1}, ttl_ms=7_200_000)
    factory.advance(seconds=3600)
    factory.send(TEMP, {"celsius": 2}, ttl_ms=7_200_000)
    cell = factory.cell(TEMP)
    assert cell is not None
    assert cell.tick == factory.tick >= 36_000_000
    assert cell.expires == cell.tick + 72_000_000
    assert cell.harvested_at - WALL_NS >= 3600 * 10**9


def test_packets_without_end_do_not_outrun_the_clock() -> None:
    factory = Bench(workshop)
    for i in range(1200):  # more than a Tick may lead its clock by
        assert factory.send("keep/a", i, ttl_ms=1).outcome == "applied"
    assert factory.world == {"keep/a": 1199}


# --- Producers ----------------------------------------------------------------------------------


def test_a_resend_is_answered_and_not_run_again() -> None:
    factory = Bench(greenhouse)
    first = factory.send(TEMP, {"celsius": 20}, ttl_ms=2000)
    factory.send(TEMP, {"celsius": 30}, ttl_ms=2000)
    again = factory.send(TEMP, {"celsius": 99}, ttl_ms=2000, seq=1)
    assert again == first._replace(duplicate=True)
    assert factory.world[TEMP] == 30.0


def test_a_hole_in_the_seqs_is_refused() -> None:
    factory = Bench(greenhouse)
    with pytest.raises(Refused, match="seq_gap"):
        factory.send(TEMP, {"celsius": 1}, ttl_ms=2000, seq=2)
    assert factory.send(TEMP, {"celsius": 1}, ttl_ms=2000).seq == 1


def test_each_producer_has_its_own_seqs_and_its_name_in_the_cell() -> None:
    factory = Bench(greenhouse)
    factory.send(TEMP, {"celsius": 1}, ttl_ms=2000)
    assert (
        factory.send(TEMP, {"celsius": 1}, ttl_ms=2000, producer="probe", harvested_at=7).seq == 1
    )
    cell = factory.cell(TEMP)
    assert cell is not None
    assert (cell.producer, cell.harvested_at) == ("probe", 7)
    assert factory.cell("nothing") is None


def test_a_fence_of_another_term_is_stale() -> None:
    factory = Bench(greenhouse)
    good = factory.send(TEMP, {"celsius": 1}, ttl_ms=2000, fence=factory.term)
    stale = factory.send(TEMP, {"celsius": 1}, ttl_ms=2000, fence=factory.term - 1)
    assert (good.reason, stale.reason) == (None, "stale_term")


def test_many_are_latched_in_one_tick_in_their_order() -> None:
    factory = Bench(workshop)
    receipts = factory.send_many([("keep/a", i, 1000) for i in range(5)])
    assert [x.stamp for x in receipts if x.stamp] == [
        (factory.term, factory.tick, slot) for slot in range(5)
    ]
    assert factory.world == {"keep/a": 4}
    many = factory.send_many([Parcel("keep/b", i, 1000) for i in range(5000)])
    assert [x.seq for x in many] == list(range(6, 5006))
    assert {x.outcome for x in many} == {"applied"}


def test_what_a_client_would_not_send_is_not_sent() -> None:
    factory = Bench(greenhouse)
    for bad in ({"topic": "a/+", "ttl_ms": 5}, {"topic": "a", "ttl_ms": 0}):
        with pytest.raises(UsageError):
            factory.send(payload=1, **bad)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="found 2"):
        factory.send_many([("a", 1)])
    assert factory.letters == []


# --- Letters ------------------------------------------------------------------------------------


def test_a_letter_tells_what_was_wrong_and_with_what() -> None:
    factory = Bench(greenhouse)
    receipt = factory.send(TEMP, {"celsius": "warm"}, ttl_ms=2000)
    (letter,) = factory.letters
    assert letter == factory.letter(receipt)
    assert (letter.id, letter.reason, letter.topic) == (receipt.letter, "payload_invalid", TEMP)
    assert letter.payload == {"celsius": "warm"}
    assert letter.stamp == receipt.stamp
    assert "expected float, found text" in letter.error.message
    with pytest.raises(KeyError):
        factory.letter(factory.send(TEMP, {"celsius": 1}, ttl_ms=2000))


def test_bytes_that_are_no_cbor_are_kept_as_they_came() -> None:
    factory = Bench(greenhouse)
    factory.send(TEMP, Raw(b"\xff"), ttl_ms=2000)
    (letter,) = factory.letters
    assert letter.reason == "payload_invalid"
    assert letter.payload is None
    assert b"\xff" in letter.packet


def test_a_handler_that_raises_costs_its_packet_alone() -> None:
    factory = Bench(workshop)
    reasons = [
        x.reason
        for x in factory.send_many(
            [("keep/a", 1, 1000), ("raise/a", 1, 1000), ("nonsense", 1, 1000), ("zzz", 1, 1000)]
        )
    ]
    assert reasons == [None, "handler_error", "result_invalid", "no_handler"]
    assert factory.world == {"keep/a": 1}
    assert "in raises" in factory.letters[0].error.traceback
    assert factory.letters[0].error.type == "RuntimeError"


def test_a_failure_at_an_expiry_is_a_letter_without_a_seq() -> None:
    factory = Bench(workshop)
    factory.send("cell/cursed", [1], ttl_ms=5)
    factory.advance(ms=10)
    (letter,) = factory.letters
    assert (letter.reason, letter.topic, letter.seq, letter.payload) == (
        "handler_error",
        "cell/cursed",
        None,
        [1],
    )
    assert factory.world == {}


# --- Strict -------------------------------------------------------------------------------------


def test_strict_lets_the_handlers_own_exception_through_with_its_traceback() -> None:
    factory = Bench(workshop, strict=True)
    with pytest.raises(RuntimeError, match="no luck") as caught:
        factory.send("raise/a", 1, ttl_ms=1000)
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-1] == "raises"
    assert "watched" not in frames
    cause = caught.value.__cause__
    assert isinstance(cause, KeyError)
    assert traceback.extract_tb(cause.__traceback__)[0].name == "raises"
    assert [x.reason for x in factory.letters] == ["handler_error"]
    assert factory.send("keep/a", 1, ttl_ms=1000).outcome == "applied"


def test_strict_shows_the_users_lines_and_none_of_the_benchs_to_pytest() -> None:
    factory = Bench(workshop, strict=True)
    with pytest.raises(RuntimeError) as caught:
        factory.send("raise/a", 1, ttl_ms=1000)
    shown = [x.name for x in caught.traceback.filter(caught)]
    assert shown == [
        "test_strict_shows_the_users_lines_and_none_of_the_benchs_to_pytest",
        "raises",
    ]


@pytest.mark.parametrize(
    ("topic", "reason"), [("nonsense", "result_invalid"), ("zzz", "no_handler")]
)
def test_strict_raises_where_the_line_refuses_without_raising(topic: str, reason: str) -> None:
    factory = Bench(workshop, strict=True)
    with pytest.raises(Bagged, match=reason) as caught:
        factory.send(topic, 1, ttl_ms=1000)
    assert caught.value.letter == factory.letters[0]


def test_strict_lets_an_expiry_handlers_exception_out_of_advance() -> None:
    factory = Bench(workshop, strict=True)
    factory.send("cell/cursed", [1], ttl_ms=5)
    with pytest.raises(LookupError, match="cell/cursed"):
        factory.advance(ms=10)
    factory.advance(ms=10)


def test_verdicts_of_the_latch_are_no_fault_of_the_line() -> None:
    factory = Bench(workshop, strict=True)
    assert factory.send("keep/a", 1, ttl_ms=1000, fence=99).reason == "stale_term"


# --- Reigns -------------------------------------------------------------------------------------


def test_a_new_reign_keeps_the_world_and_the_seqs() -> None:
    factory = Bench(workshop)
    factory.send("keep/a", 1, ttl_ms=1000)
    first = factory.send("cell/a", 1, ttl_ms=60_000)
    before, term, tick = factory.world, factory.term, factory.tick
    factory.new_reign()
    assert factory.term == term + 1
    assert factory.world == before
    assert factory.tick > tick
    again = factory.send("cell/a", 2, ttl_ms=60_000, seq=2)
    assert again == first._replace(duplicate=True)
    assert factory.send("cell/a", 3, ttl_ms=60_000).seq == 3


def test_after_a_power_cut_ages_are_unknown() -> None:
    factory = Bench(workshop)
    factory.send("keep/a", 1, ttl_ms=1000)
    factory.send("cell/a", 1, ttl_ms=60_000)
    factory.new_reign(power_cut=True)
    assert factory.world == {"keep/a": 1}
    assert factory.snapshots[-1].removed == {"cell/a": "age_unknown"}


def test_letters_of_the_reign_before_are_not_told_twice() -> None:
    factory = Bench(workshop)
    factory.send("zzz", 1, ttl_ms=1000)
    factory.new_reign()
    assert len(factory.letters) == 1
    factory.send("keep/a", 1, ttl_ms=1000)
    indexes = [snapshot.index for snapshot in factory.snapshots]
    assert indexes == sorted(set(indexes))
    assert len([x for x in factory.snapshots if x.cells]) == 1


# --- What there is ------------------------------------------------------------------------------


def test_the_same_calls_give_the_same_history() -> None:
    def digest() -> bytes:
        factory = Bench(greenhouse)
        for i in range(20):
            factory.send(TEMP, {"celsius": i}, ttl_ms=100 + i)
            factory.advance(ms=7 * i)
        return factory.digest

    assert digest() == digest()


def test_the_ledger_replays_without_a_difference() -> None:
    factory = Bench(workshop)
    factory.send_many([("keep/a", 1, 1000), ("raise/a", 1, 1000), ("cell/cursed", 1, 5)])
    factory.advance(ms=50)
    factory.new_reign()
    replay = Replay(genesis_state(factory.ledger[0].cluster), Shelf(), workshop)
    assert replay.run(factory.ledger) is None
    assert replay.state.digest() == factory.digest


def test_snapshots_say_what_each_tick_changed() -> None:
    factory = Bench(workshop)
    factory.send("keep/a", 1, ttl_ms=1000)
    factory.send("remove/a", None, ttl_ms=1000)
    changed, removed = factory.snapshots[-2:]
    assert {key: cell.value for key, cell in changed.cells.items()} == {"keep/a": 1}
    assert list(removed.removed) == ["keep/a"]
    assert removed.digest == factory.digest
    assert removed.live


def test_the_world_is_a_mapping_in_key_order() -> None:
    factory = Bench(workshop)
    factory.send_many([(f"keep/{x}", x, 1000) for x in "cab"])
    world = factory.world
    assert isinstance(world, Picture)
    assert list(world) == ["keep/a", "keep/b", "keep/c"]
    assert world.scan("keep/b") == [("keep/b", "b")]
    assert repr(world) == "{'keep/a': 'a', 'keep/b': 'b', 'keep/c': 'c'}"
    assert len(world) == 3
    assert "keep/d" not in world
    with pytest.raises(KeyError):
        world["keep/d"]
    factory.send("keep/a", "new", ttl_ms=1000)
    assert world["keep/a"] == "a"  # a picture of that moment
