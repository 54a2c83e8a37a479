"""From a SEND frame to offers (R33): runs without holes, preset verdicts, the unreadable."""

from itertools import pairwise
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.entry import rows_of
from rmf.core.intake import Intake, open_send
from rmf.core.packet import seq_of
from rmf.errors import ProtocolFault
from tests import strategies as own
from tests.core.surroundings import frame_of, row_of


def opened(rows: list[Any], frame: bytes | None = None) -> Intake:
    return open_send(
        frame_of(rows) if frame is None else frame,
        rows,
        connection=4,
        producer="p",
        epoch=2,
        arrived_ns=77,
    )


@settings(deadline=None, max_examples=100)
@given(own.packets())
def test_a_good_frame_is_one_offer_of_everything(rows: list[list[Any]]) -> None:
    intake = opened(rows)
    (offer,) = intake.offers
    assert intake.unreadable == []
    assert (offer.connection, offer.producer, offer.epoch, offer.arrived_ns) == (4, "p", 2, 77)
    assert (offer.rows, offer.skip, offer.verdicts) == (rows, 0, {})
    assert offer.frame == frame_of(rows)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.none() | st.integers(1, 4) | st.just("x"), min_size=1, max_size=8))
def test_every_packet_is_in_one_run_without_holes_or_unreadable(seqs: list[Any]) -> None:
    rows = [[*row_of(1)[:1], seq, *row_of(1)[2:]] for seq in seqs]
    intake = opened(rows)
    found: list[int] = []
    for offer in intake.offers:
        run = [row[1] for row in offer.rows]
        assert run == list(range(run[0], run[0] + len(run)))
        assert rows_of(offer.frame, offer.skip, len(run)) == offer.rows
        found += run
    assert found == [seq for seq in seqs if type(seq) is int]
    missing = [cbor2.dumps(row) for row in rows if seq_of(row) is None]
    assert intake.unreadable == missing
    holes = sum(1 for a, b in pairwise(seqs) if type(a) is type(b) is int and b != a + 1)
    stretches = sum(1 for a, b in pairwise(["", *seqs]) if type(b) is int and type(a) is not int)
    assert len(intake.offers) == stretches + holes, "cut without need"


def test_a_frame_in_many_runs_is_not_kept_many_times() -> None:
    """Each offer's frame goes into the ledger: together they are no larger than what came."""
    rows: list[Any] = [x for seq in range(1, 1001) for x in (row_of(2 * seq), 7)]
    intake = opened(rows)
    assert len(intake.offers) == 1000
    assert sum(len(offer.frame) for offer in intake.offers) < 2 * len(frame_of(rows))
    assert intake.offers[3].frame == frame_of([row_of(8)])


def test_verdicts_are_counted_from_the_offers_first_packet() -> None:
    """R33: a faulty packet with a readable seq is latched with a verdict, never an error."""
    rows = [row_of(1), row_of(5), row_of(6, ttl_ms=0), row_of(7)]
    one, two = opened(rows).offers
    assert one.verdicts == {}
    assert {i: verdict.reason for i, verdict in two.verdicts.items()} == {1: "label_invalid"}
    assert (two.skip, two.frame) == (0, frame_of(rows[1:]))


def test_the_unreadable_is_given_back_byte_for_byte() -> None:
    rows: list[Any] = [row_of(1), ["a", "no seq"], 7, row_of(2)]
    intake = opened(rows)
    assert intake.unreadable == [cbor2.dumps(["a", "no seq"]), b"\x07"]
    assert [(offer.skip, len(offer.rows)) for offer in intake.offers] == [(0, 1), (0, 1)]


@pytest.mark.parametrize("count", [0, limits.FRAME_PACKETS_MAX + 1])
def test_a_frame_holds_a_ticks_worth_of_packets_at_most_and_one_at_least(count: int) -> None:
    with pytest.raises(ProtocolFault, match=f"SEND holds {count} packets") as caught:
        opened([row_of(1)] * count, b"")
    assert caught.value.code == "frame_packets"


def test_a_full_frame_is_taken() -> None:
    rows = [row_of(seq) for seq in range(1, limits.FRAME_PACKETS_MAX + 1)]
    assert len(opened(rows).offers[0].rows) == limits.FRAME_PACKETS_MAX


def test_a_fault_of_the_encoding_goes_before_a_fault_of_a_label() -> None:
    """Where a field is of the wrong kind, the frame may break the profile unseen until here."""
    row: list[Any] = [*row_of(1)[:4], {b"key": 1}]
    with pytest.raises(ProtocolFault) as caught:
        opened([row])
    assert caught.value.code == "key_type"
