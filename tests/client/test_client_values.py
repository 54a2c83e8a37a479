"""What users give and get."""

import math
from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.client.client_values import (
    ClientCell,
    Parcel,
    Raw,
    Receipt,
    cells_of,
    encode_payload,
    receipts_of,
    rows_of,
)
from rmf.core import messages as m
from rmf.core.packet import Stamp
from rmf.errors import ProtocolFault, UsageError


def test_a_payload_is_encoded_and_raw_bytes_pass_as_they_are() -> None:
    assert encode_payload(b"\x01") == b"\x41\x01"
    assert encode_payload(Raw(b"\x01")) == b"\x01"
    assert cbor2.loads(encode_payload({"a": [1, None, 2.5]})) == {"a": [1, None, 2.5]}


@pytest.mark.parametrize("payload", [object(), "\ud800", {"a": {1: object()}}])
def test_what_cbor_cannot_say_is_the_callers_mistake(payload: object) -> None:
    with pytest.raises(UsageError, match="CBOR cannot encode"):
        encode_payload(payload)


def test_a_payload_nested_without_end_is_the_callers_mistake() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UsageError):
        encode_payload(endless)


def test_only_bytes_can_be_raw() -> None:
    with pytest.raises(TypeError):
        Raw("text")  # type: ignore[arg-type]  # the mistake under test


def test_rows_hold_labels_and_payloads() -> None:
    plain, labelled = rows_of([("t", 1, 10), Parcel("u", Raw(b"x"), 20, harvested_at=5, fence=3)])
    assert plain[0] == "t"
    assert plain[3:] == [10, b"\x01"]
    assert plain[2] > 1_700_000_000 * 10**9
    assert labelled == ["u", 0, 5, 20, b"x", 3]
    assert rows_of([]) == []


@pytest.mark.parametrize(
    ("parcel", "words"),
    [
        (("a/+", 1, 10), "'+'"),
        (("", 1, 10), "topic"),
        (("t", 1, 0), "ttl_ms"),
        (("t", 1, True), "ttl_ms"),
        (("t", 1, limits.TTL_MS_MAX + 1), "ttl_ms"),
        (("t", b"x" * limits.PAYLOAD_BYTES_MAX, 10), "payload"),
        (("t", 1), "expected"),
        (Parcel("t", 1, 10, harvested_at=-1), "harvested_at"),
        (Parcel("t", 1, 10, fence=-1), "fence"),
    ],
)
def test_what_every_node_would_bag_is_never_sent(parcel: tuple[Any, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("+", r"\+")):
        rows_of([("good", 1, 10), parcel])


def test_a_run_becomes_one_receipt_a_packet() -> None:
    run = m.Run(7, 2, m.APPLIED, False, 3, 100, 4, None, None)
    assert receipts_of(run) == [
        Receipt("applied", Stamp(3, 100, 4), None, None, False, 7),
        Receipt("applied", Stamp(3, 100, 5), None, None, False, 8),
    ]


def test_an_outcome_beyond_the_window_has_no_stamp() -> None:
    run = m.Run(7, 1, m.UNKNOWN, True, None, None, None, None, None)
    assert receipts_of(run) == [Receipt("unknown", None, None, None, True, 7)]


def test_an_outcome_that_does_not_exist_is_a_fault() -> None:
    with pytest.raises(ProtocolFault, match="no outcome 3"):
        receipts_of(m.Run(7, 1, 3, True, None, None, None, None, None))


def test_a_cells_value_is_decoded_afresh_each_time() -> None:
    cell = cells_of([m.WireCell("k", cbor2.dumps({"a": 1}), 1, 2, 3, "p", 4, None)])["k"]
    cell.value["a"] = 99
    assert cell.value == {"a": 1}
    assert (cell.term, cell.tick, cell.slot, cell.producer, cell.harvested_at) == (1, 2, 3, "p", 4)
    assert cell.expires is None


def test_a_cell_is_shown_with_its_value() -> None:
    cell = ClientCell(cbor2.dumps(21.5), 1, 2, 3, "p", 4, None)
    stamp = "term=1, tick=2, slot=3, producer='p', harvested_at=4, expires=None"
    assert repr(cell) == f"ClientCell(21.5, {stamp})"
    assert repr(ClientCell(b"\xff", 1, 2, 3, "p", 4, None)).startswith(
        r"ClientCell(encoded=b'\xff'"
    )


@pytest.mark.parametrize("encoded", [b"", b"\xff", b"\xc1\x01", b"\x81" * 100])
def test_a_value_that_is_no_cbor_is_a_fault_of_the_node(encoded: bytes) -> None:
    cell = ClientCell(encoded, 1, 2, 3, "p", 4, None)
    with pytest.raises(ProtocolFault):
        _ = cell.value


def test_a_float_stays_what_it_is() -> None:
    assert math.isnan(cbor2.loads(encode_payload(math.nan)))
