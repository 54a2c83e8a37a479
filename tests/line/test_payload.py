import itertools
import time
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf.line.payload import PayloadInvalid, decode_all, decode_alone
from tests.line.test_cell_values import sound_values


@given(st.lists(sound_values, max_size=6))
@settings(deadline=None, max_examples=40)
@pytest.mark.slow
def test_payloads_are_decoded_together_as_alone(values: list[Any]) -> None:
    payloads = [cbor2.dumps(value) for value in values]
    together = decode_all(payloads)
    alone = [decode_alone(payload) for payload in payloads]
    assert values == alone
    assert together is None or values == together


@given(st.lists(st.binary(max_size=6) | sound_values.map(cbor2.dumps), min_size=1, max_size=4))
@settings(deadline=None, max_examples=120)
@pytest.mark.slow
def test_whether_a_payload_is_valid_does_not_depend_on_its_neighbours(
    payloads: list[bytes],
) -> None:
    together = decode_all(payloads)
    if together is not None:
        assert repr([decode_alone(payload) for payload in payloads]) == repr(together)


def test_every_cut_of_a_payload_is_refused_and_no_neighbour_fills_it_up() -> None:
    whole = cbor2.dumps({"celsius": 21.5, "tags": ["a", b"bc", None], "n": -70000})
    for end in range(len(whole)):
        with pytest.raises(PayloadInvalid):
            decode_alone(whole[:end])
        assert decode_all([whole[:end], whole[end:]]) is None


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "no CBOR, the item is cut off at byte 0"),
        (b"hello", "no CBOR, a string of 8 bytes is cut off at 1"),
        (hexed("0102"), "the item ends at byte 1, the payload at 2"),
        (hexed("1c"), "no CBOR, reserved head 0x1c at byte 0"),
        (hexed("19ff"), "no CBOR, the head at byte 0 is cut off"),
        (hexed("ff"), "no CBOR, reserved head 0xff at byte 0"),
        (hexed("c11a00000000"), "tag 1 at byte 0; tags are not taken"),
        (hexed("c249010000000000000000"), "tag 2 at byte 0; tags are not taken"),
        (hexed("81d81c80"), "tag 28 at byte 1; tags are not taken"),
        (hexed("a2616101616102"), "Duplicate map key: 'a'"),
        (hexed("a201010102"), "Duplicate map key"),
        (hexed("a1f500"), "the map key at byte 1 is neither text, bytes nor an integer"),
        (hexed("a1800000"), "the map key at byte 1 is neither text, bytes nor an integer"),
        (hexed("a1f9000000"), "the map key at byte 1 is neither text, bytes nor an integer"),
        (hexed("61ff"), "text"),
        (hexed("7f6161"), "no CBOR, the item is cut off at byte 3"),
        (hexed("7f4161ff"), "no CBOR, the chunk at byte 1 is of another kind"),
        (hexed("bf6161ff"), "reserved head 0xff at byte 3"),
        (b"\x81" * 33 + b"\x01", "nested deeper than 32 at byte 32"),
        (b"\x81" * 32 + b"\x80", "nested deeper than 32 at byte 32"),
        (b"\x81" * 10_000 + b"\x01", "nested deeper than 32 at byte 32"),
        (hexed("9b7fffffffffffffff"), "no CBOR, the item is cut off at byte 9"),
    ],
    ids=lambda x: f"{len(x)}-{x[:8].hex()}" if type(x) is bytes else None,
)
def test_what_is_no_payload_is_refused_by_name(payload: bytes, said: str) -> None:
    with pytest.raises(PayloadInvalid) as caught:
        decode_alone(payload)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (hexed("1801"), 1),  # a long head
        (hexed("9f0102ff"), [1, 2]),
        (hexed("bf61610161629fffff"), {"a": 1, "b": []}),
        (hexed("a17f61616162ff00"), {"ab": 0}),
        (hexed("5f41014102ff"), b"\x01\x02"),
        (hexed("a3000120024003"), {0: 1, -1: 2, b"": 3}),
        (hexed("f93c00"), 1.0),
        (b"\x81" * 31 + b"\x80", [[]]),
        (b"\x81" * 32 + b"\x01", [1]),
    ],
    ids=lambda x: f"{len(x)}-{x[:8].hex()}" if type(x) is bytes else None,
)
def test_what_small_devices_write_is_taken(payload: bytes, value: Any) -> None:
    decoded = decode_alone(payload)
    while payload.startswith(b"\x81\x81"):
        decoded, payload = decoded[0], payload[1:]
    assert value == decoded


def test_maps_whose_keys_would_collide_cost_nothing() -> None:
    # Arrays are hashed without a secret, and -1 and -2 have one hash: so have all of these.
    keys = itertools.product((0x20, 0x21), repeat=13)
    payload = b"\xb9\x20\x00" + b"".join(b"\x8d" + bytes(key) + b"\x00" for key in keys)
    begun = time.process_time()
    with pytest.raises(PayloadInvalid, match="the map key at byte 3 is neither"):
        decode_alone(payload)
    assert time.process_time() - begun < 0.3


def test_no_payloads_are_no_payloads() -> None:
    assert decode_all([]) == []
