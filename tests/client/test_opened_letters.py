"""client/letters: a letter can be shown whatever is in it, and a terminal obeys none of it."""

import json
from typing import Any

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf.client import opened_letters
from rmf.client.render import json_line
from tests.storage.dlq_letters import packet_of

KEYS = {"letter", "reason", "stage", "group", "producer", "topic", "seq", "term", "tick", "slot"}
KEYS |= {"node", "error", "packet", "payload", "bagged_at"}


def body_of(**fields: Any) -> dict[str, Any]:
    known = {
        "letter": "3.1841.0",
        "reason": "handler_error",
        "stage": "line",
        "seq": 1,
        "error": {"type": "ValueError", "message": "too hot", "traceback": "Traceback\n  here"},
        "packet": packet_of(1, {"celsius": 400}),
    }
    return {**known, **fields}


def test_scripts_get_exactly_the_keys_of_the_contract() -> None:
    letter = opened_letters.for_scripts(body_of(more="than known"))
    assert set(letter) == KEYS | {"line", "reads", "triage"}
    assert letter["payload"] == {"celsius": 400}
    assert letter["producer"] is None


def test_a_packet_is_opened_field_by_field() -> None:
    opened = opened_letters.open_packet(body_of())
    harvested_at = 1_700_000_000_000_000_000
    assert opened == (
        {"topic": "room/1/temp", "seq": 1, "harvested_at": harvested_at, "ttl_ms": 2000},
        {"celsius": 400},
        None,
    )


def test_bytes_that_are_no_packet_say_what_they_are() -> None:
    cut = opened_letters.open_packet(body_of(packet=packet_of()[:-1]))
    assert cut.fault is not None
    assert "the packet cannot be decoded: not_well_formed" in cut.fault
    frame = opened_letters.open_packet(body_of(packet=cbor2.dumps([3, [[1]]])))
    assert frame == ([3, [[1]]], None, "these bytes hold no packet of 5 or 6 fields")
    row = opened_letters.open_packet(body_of(packet=cbor2.dumps(["t", 1, 2, 3, "text"])))
    assert (row.payload, row.fault) == ("text", "the payload is no byte string")


def test_a_payload_that_is_poison_leaves_the_label_readable() -> None:
    packet = cbor2.dumps(["t", 1, 2, 3, b"\xff"])
    opened = opened_letters.open_packet(body_of(packet=packet))
    assert opened.packet["topic"] == "t"
    assert opened.fault is not None
    assert "payload cannot be decoded" in opened.fault
    text = opened_letters.text_of(body_of(packet=packet))
    assert packet[:16].hex(" ") in text


def test_the_letter_of_an_expired_cell_holds_the_cells_value() -> None:
    body = body_of(seq=None, packet=cbor2.dumps({"celsius": 21.5}))
    assert opened_letters.open_packet(body) == (None, {"celsius": 21.5}, None)


def test_the_text_tells_error_payload_and_traceback() -> None:
    text = opened_letters.text_of(body_of(bagged_at=1_700_000_000_123_456_789))
    assert "error      ValueError: too hot" in text
    assert '"celsius": 400' in text
    assert "bagged     2023-11-14 22:13:20.123Z" in text
    assert text.endswith("Traceback\n  here")


_JUNK = st.one_of(st.none(), st.integers(), st.text(), st.binary(), st.booleans())
_BODIES = st.dictionaries(
    st.sampled_from([*sorted(KEYS), "row", "harvested_at", "digest_before", "line"]),
    st.one_of(_JUNK, st.dictionaries(st.sampled_from(["type", "message", "traceback"]), _JUNK)),
)


@settings(deadline=None, max_examples=100)
@given(_BODIES)
def test_no_body_is_too_strange_to_be_shown(body: dict[str, Any]) -> None:
    json.loads(json_line(opened_letters.for_scripts(body)))
    shown = [opened_letters.text_of(body), *opened_letters.cells_of(body)]
    assert all(character.isprintable() or character == "\n" for x in shown for character in x)
    assert not any("\n" in cell for cell in opened_letters.cells_of(body))


def test_a_long_text_is_cut_with_a_sign() -> None:
    assert opened_letters.plain("x" * 50, 10) == "x" * 9 + "…"
    assert opened_letters.plain("\x1b[2J", 80) == "\\x1b[2J"
