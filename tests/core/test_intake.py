"""From a SEND frame to offers (R33): holes, preset verdicts, the unreadable."""

from itertools import pairwise
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.intake import OpenedFrame, open_send
from rmf.core.packet import seq_of
from rmf.core.send_frames import rows_of
from rmf.errors import ProtocolFault
from tests import strategies as own
from tests.core.kit import Playbook
from tests.core.surroundings import frame_of, row_of


def opened(rows: list[Any], frame: bytes | None = None) -> OpenedFrame:
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
def test_what_comes_before_the_first_hole_is_offered_and_the_rest_refused(seqs: list[Any]) -> None:
    rows = [[*row_of(1)[:1], seq, *row_of(1)[2:]] for seq in seqs]
    intake = opened(rows)
    found = [[row[1] for row in offer.rows] for offer in intake.offers]
    readable = [seq for seq in seqs if type(seq) is int]
    run = next((i for i, (a, b) in enumerate(pairwise(readable), 1) if b != a + 1), len(readable))
    rest = readable[run : run + 1]
    assert found == [part for part in (readable[:run], rest) if part]
    assert [offer.after_hole for offer in intake.offers] == [False, True][: len(found)]
    for offer in intake.offers:
        assert rows_of(offer.frame, offer.skip, len(offer.rows)) == offer.rows
    missing = [cbor2.dumps(row) for row in rows if seq_of(row) is None]
    assert intake.unreadable == missing


def test_a_frame_full_of_holes_is_refused_in_one_word() -> None:
    """S15: else 328 such frames made 38,972 REFUSEs, and a reign end."""
    rows = [row_of(2 * seq) for seq in range(1, limits.FRAME_PACKETS_MAX + 1)]
    one, rest = opened(rows).offers
    assert ([x[1] for x in one.rows], [x[1] for x in rest.rows]) == ([2], [4])
    play = Playbook()
    probe = play.join("probe")
    probe.send_rows([row_of(1), *rows[:-1]])
    assert probe.told == {1: "applied", 2: "applied"}
    assert probe.refusals == [(4, "seq_gap", 3)]
    probe.send_rows([row_of(3), row_of(5), row_of(4)])
    assert probe.refusals[1:] == [(5, "seq_gap", 4)], "not even what would have come next"


def test_packets_go_into_the_ledger_without_what_has_no_seq() -> None:
    """The offer's frame does: it is no larger than what came."""
    rows: list[Any] = [x for seq in range(1, 1001) for x in (row_of(seq), 7)]
    (offer,) = opened(rows).offers
    assert offer.frame == frame_of(rows[::2])
    assert offer.rows == rows[::2]


def test_verdicts_are_counted_from_the_offers_first_packet() -> None:
    """R33: a faulty packet with a readable seq is latched with a verdict, never an error."""
    rows: list[Any] = [7, row_of(5), row_of(6, ttl_ms=0), row_of(7)]
    (offer,) = opened(rows).offers
    assert {i: verdict.reason for i, verdict in offer.verdicts.items()} == {1: "label_invalid"}
    assert (offer.skip, offer.frame) == (0, frame_of(rows[1:]))


def test_the_unreadable_is_given_back_byte_for_byte() -> None:
    rows: list[Any] = [row_of(1), ["a", "no seq"], 7, row_of(2)]
    intake = opened(rows)
    assert intake.unreadable == [cbor2.dumps(["a", "no seq"]), b"\x07"]
    assert [(offer.skip, len(offer.rows)) for offer in intake.offers] == [(0, 2)]


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
